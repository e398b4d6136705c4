"""Figures without one user are those of a fleet that never had it, and their intervals hold what they say."""

import numpy as np
import pytest

from fleetrec.simulator.results.feedback import BOUNDS, Tastes, feedback_section, feedback_without
from fleetrec.simulator.results.left_out import Taken, interval_without, moved_by

ITEMS, USERS = 30, 24


def tastes(rng: np.random.Generator, devices: int) -> Tastes:
    vectors = rng.normal(size=(ITEMS, 3))
    vectors /= np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    owner, had = np.repeat(np.arange(devices), 5), rng.integers(0, ITEMS, 5 * devices)
    return Tastes(vectors, np.bincount(had, minlength=ITEMS), owner, had, devices)


def test_each_figure_without_a_user_is_that_of_the_same_choices_without_it() -> None:
    rng = np.random.default_rng(1)
    whose = np.concatenate([np.arange(USERS), [3, 3, 7]])  # clones
    owner = rng.choice(len(whose), 400, p=rng.dirichlet(np.full(len(whose), 0.7)))
    items, t_s = (ITEMS * rng.random(400) ** 2).astype(np.int64), rng.random(400).round(2)
    known = tastes(rng, len(whose))
    found = feedback_without(known, owner, items, t_s, whose)
    for user in range(USERS):
        kept = whose[owner] != user
        told = feedback_section(known, owner[kept], items[kept], t_s[kept])
        assert told is not None
        assert {name: found[name][user] for name in BOUNDS} == pytest.approx(
            {name: told[name] for name in BOUNDS}, abs=3e-6
        )


def test_of_a_mean_the_interval_is_that_of_a_mean() -> None:
    values = np.random.default_rng(2).normal(size=50)
    without = (values.sum() - values) / 49
    low, high = interval_without(values.mean(), without, -9.0, 9.0)
    assert high - low == pytest.approx(2 * 1.959964 * values.std(ddof=1) / np.sqrt(50), rel=1e-6)
    assert moved_by(without) == pytest.approx((values - values.mean()) / 50)


def test_of_one_user_nothing_can_be_said() -> None:
    assert interval_without(0.3, np.array([0.2]), 0.0, 1.0) == [0.0, 1.0]
    taken = Taken(np.zeros(4, np.int64), np.arange(4), np.ones((4, 1)), 1, ITEMS)
    assert np.isnan(taken.without_each(0, 1)).all()


def test_intervals_of_coverage_and_gini_are_not_too_narrow_and_those_of_means_hold_what_they_say() -> None:
    """Fleets of users with tastes of their own, against what as many other users come to in the mean."""
    rng = np.random.default_rng(3)
    users, each, items, runs = 60, 12, 400, 400
    values = rng.random(items)

    def fleet() -> np.ndarray:
        centre = items * rng.random(users) ** 2
        return np.clip(centre[:, None] + rng.normal(0, 20, (users, each)), 0, items - 1).astype(np.int64).ravel()

    def told(taken: np.ndarray) -> np.ndarray:
        counts = np.sort(np.bincount(taken, minlength=items))
        unlike = (2 * np.arange(1, items + 1) - items - 1) @ counts / items / len(taken)
        return np.array([(counts > 0).mean(), unlike, values[taken].mean()])

    truth = np.mean([told(fleet()) for _ in range(2_000)], axis=0)
    held = np.zeros(3)
    for _ in range(runs):
        taken = fleet()
        found = Taken(np.repeat(np.arange(users), each), taken, values[taken][:, None], users, items)
        without = found.without_each(0, 1)
        ends = np.array([interval_without(value, without[:, n], 0.0, 1.0) for n, value in enumerate(told(taken))])
        held += (ends[:, 0] <= truth) & (truth <= ends[:, 1])
    covered = held / runs
    assert (covered[:2] > 0.94).all()
    assert 0.92 < covered[2] < 0.98
