"""Figures without one user are those of a fleet that never had it, and their intervals hold what they say."""

import numpy as np
import pytest

from fleetrec.simulator.results.feedback import (
    BOUNDS,
    Choices,
    closeness,
    feedback_section,
    feedback_without,
    popularity_of,
)
from fleetrec.simulator.results.left_out import Taken, interval_without, moved_by

ITEMS, USERS = 30, 24


class Known:
    """What was known of so many devices' users before, of which the tastes of theirs are told."""

    def __init__(self, rng: np.random.Generator, devices: int, items: int = ITEMS):
        vectors = rng.normal(size=(items, 3))
        self.vectors = vectors / np.sqrt((vectors**2).sum(axis=1, keepdims=True))
        self.owner, self.had = np.repeat(np.arange(devices), 5), rng.integers(0, items, 5 * devices)
        self.popularity = popularity_of(np.bincount(self.had, minlength=items))

    def choices(self, device: np.ndarray, item: np.ndarray, t_s: np.ndarray, whose: np.ndarray) -> Choices:
        close = closeness(self.vectors, self.owner, self.had, len(whose), device, item)
        return Choices(device, item, t_s, close, self.popularity, whose)


def test_each_figure_without_a_user_is_that_of_the_same_choices_without_it() -> None:
    rng = np.random.default_rng(1)
    whose = np.concatenate([np.arange(USERS), [3, 3, 7]])  # clones
    owner = rng.choice(len(whose), 400, p=rng.dirichlet(np.full(len(whose), 0.7)))
    items, t_s = (ITEMS * rng.random(400) ** 2).astype(np.int64), rng.random(400).round(2)
    choices = Known(rng, len(whose)).choices(owner, items, t_s, whose)
    found = feedback_without(choices)
    for user in range(USERS):
        told = choices.told(np.flatnonzero(whose[owner] != user))
        assert {name: found[name][user] for name in told} == pytest.approx(told, abs=1e-6)


def test_of_a_mean_the_interval_is_that_of_a_mean() -> None:
    values = np.random.default_rng(2).normal(size=50)
    without = (values.sum() - values) / 49
    low, high = interval_without(values.mean(), without, -9.0, 9.0)
    assert high - low == pytest.approx(2 * 1.959964 * values.std(ddof=1) / np.sqrt(50), rel=1e-6)
    assert moved_by(without) == pytest.approx((values - values.mean()) / 50)


def test_of_one_user_nothing_can_be_said() -> None:
    assert interval_without(0.3, np.array([0.2]), 0.0, 1.0) == [0.0, 1.0]
    taken = Taken(np.zeros(4, np.int64), np.arange(4), np.ones((4, 1)), 1, ITEMS)
    assert np.isnan(taken.without_each(0, 4)).all()


def test_intervals_of_coverage_and_gini_are_not_too_narrow_and_those_of_means_hold_what_they_say() -> None:
    """Fleets of users with tastes of their own, who narrow in time, against what as many other users come to in the
    mean: in all, and from the first eighth of the choices to the last."""
    rng = np.random.default_rng(3)
    devices, items, runs = 120, 200, 300
    known = Known(rng, devices, items)
    seen = []
    for _ in range(runs):
        many = rng.poisson(10, devices)
        owner = np.repeat(np.arange(devices), many)
        t_s = rng.beta(*np.repeat(rng.uniform(0.5, 2.0, (2, devices)), many, axis=1))  # some come early, some late
        centre = items * rng.random(devices) ** 2
        taken = np.clip(centre[owner] + rng.normal(0, 30 - 20 * t_s), 0, items - 1).astype(np.int64)
        choices = known.choices(owner, taken, t_s, np.arange(devices))
        told = feedback_section(choices)
        assert told is not None
        without = feedback_without(choices)
        seen.append([(told[name], *interval_without(told[name], without[name], -9.0, 9.0)) for name in BOUNDS])
    value, low, high = np.array(seen).transpose(2, 0, 1)
    truth = value.mean(axis=0)
    covered = dict(zip(BOUNDS, ((low <= truth) & (truth <= high)).mean(axis=0), strict=True))
    wider = (high - low).mean(axis=0) / (2 * 1.96 * value.std(axis=0))
    for name, share in covered.items():
        assert share > 0.92, name
        assert share < 0.98 or name.startswith(("coverage", "gini")), name
    assert (wider > 0.9).all()
    assert (wider < 1.5).all()
