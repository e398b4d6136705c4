"""Who is named, in made sweeps whose truth is known: nobody where nothing differs, the better one where one is."""

from typing import Any

import numpy as np
import pytest

from fleetrec.simulator.experiments.comparison.cost_plane import plane_of
from fleetrec.simulator.experiments.comparison.decision import decide, hint
from fleetrec.simulator.experiments.comparison.metric_values import Measure
from fleetrec.simulator.experiments.comparison.records import WithoutCloud
from fleetrec.simulator.experiments.comparison.savings import savings
from fleetrec.simulator.experiments.statistics import Estimates, Replicates

N, USERS, PER_USER = 8, 100, 10.0


def decided(
    rng: np.random.Generator,
    seeds: int,
    better: float = 0.0,
    cheaper: float = 0.0,
    alone: float = 0.2,
    differ: float = 0.0,
) -> dict[str, Any]:
    """The decision of a sweep of 8 policies that are reward 0.3 and cost 1, but for the last; `differ` over worlds.

    A run knows a reward to about 0.0014. What needs no request is reward `alone`, known as well.
    """
    replicates, shape = Replicates(tuple(range(seeds))), (N, seeds, USERS)
    last = np.arange(N) == N - 1
    user = 0.1 * rng.standard_normal(USERS)
    reward = 0.3 + better * last[:, None, None] + user + 0.014 * rng.standard_normal(shape)
    reward = reward + 0.0014 * differ * rng.standard_normal((N, seeds, 1))
    counts = np.full((seeds, USERS), PER_USER)
    asked = (1 - cheaper * last[:, None, None]) * (1 + 0.1 * rng.standard_normal(shape))
    weights = rng.poisson(1.0, (100, USERS))
    drawn = asked @ weights.T / weights.sum(axis=1)
    measures = {
        "m": Measure(reward * PER_USER, counts, replicates, by_user=True),
        "c": Measure(asked.mean(axis=-1)[..., None], np.ones((seeds, 1)), replicates, by_user=False, draws=drawn),
    }
    nothing = np.broadcast_to(alone + user + 0.014 * rng.standard_normal((seeds, USERS)), shape)
    rival = WithoutCloud(
        "srm",
        Measure(nothing * PER_USER, counts, replicates, by_user=True),
        Measure((reward - nothing) * PER_USER, counts, replicates, by_user=True),
    )
    families = {f"v{i}": [i] for i in range(N)}
    allowed = np.ones(N, dtype=bool)
    plane = plane_of(list(families), 0, measures["m"], measures["c"], 1.0, allowed, families.values())
    return decide(plane, 1.0, measures, "m", "c", [rival], savings(plane, families), None, allowed)


@pytest.mark.parametrize(("seeds", "differ"), [(1, 0.0), (2, 1.0), (3, 1.0), (5, 0.0), (5, 2.0)])
def test_nobody_is_named_among_equals(seeds: int, differ: float) -> None:
    """At most 5% of null sweeps name anybody; 9 of 100 would be two standard errors above."""
    rng = np.random.default_rng(1)
    assert sum(decided(rng, seeds, differ=differ)["winner"] is not None for _ in range(100)) < 10


def test_the_one_that_is_better_is_found() -> None:
    """Better by seven errors of a difference: named in most sweeps of five seeds, and nobody else ever."""
    rng = np.random.default_rng(2)
    named = [decided(rng, 5, better=0.006)["winner"] for _ in range(60)]
    assert sum(name == "v7" for name in named) > 48
    assert sum(name not in ("v7", None) for name in named) <= 3


def test_the_one_that_is_better_for_less_saves() -> None:
    found = decided(np.random.default_rng(3), 8, better=0.006, cheaper=0.3)
    assert (found["winner"], found["winner_by"], found["runner_up"]) == ("v7", "saving", "v0")
    assert found["difference"]["c"]["high"] < -0.25


def test_what_costs_less_at_the_same_reward_is_told_and_does_not_win() -> None:
    found = decided(np.random.default_rng(4), 5, cheaper=0.3)
    assert (found["winner"], found["cheaper"]["variant"]) == (None, "v7")
    assert found["cheaper"]["share_saved"] == pytest.approx(0.3, abs=0.03)


def test_a_saving_that_would_be_told_as_nothing_is_not_told() -> None:
    assert decided(np.random.default_rng(4), 5, cheaper=0.003)["cheaper"] is None


def test_whether_to_call_is_shown_either_way_or_not() -> None:
    rng = np.random.default_rng(5)
    calls = [decided(rng, 5, alone=alone)["call"] for alone in (0.2, 0.4, 0.3)]
    assert calls == ["yes", "no", "not shown"]
    near = decided(rng, 2, alone=0.294)["nothing"][0]
    assert near["shown"] is None
    assert 1 <= near["more_seeds"] < 40


def test_so_many_more_seeds_are_said_to_show_what_is_seen() -> None:
    """Better by two errors: two seeds do not show it, and a dozen more or so would."""
    found = decided(np.random.default_rng(6), 2, better=0.004)
    assert found["winner"] is None
    assert 1 <= found["more_seeds"]["seeds"] < 40


def test_two_worlds_that_are_alike_by_chance_promise_no_early_proof() -> None:
    """Users move one run's difference by 0.006: (1.96 + 0.84)^2 (0.006 / 0.0026)^2 = 42 runs show 0.0026 four times in
    five, however near two runs lie to each other."""
    one = np.ones(1)
    found = Estimates(
        0.0026 * one, 0 * one, 1e-8 * one, 0 * one, 0.006**2 / 2 * one, 50.0, 1, 0, "user clusters", "new users"
    )
    assert hint(found, 0, 2, 0.95) == pytest.approx(40, abs=5)


def test_dollars_a_month_are_never_below_nothing() -> None:
    """Two worlds whose dollars differ fivefold: the interval of their mean would begin below zero."""
    dollars = np.array([[[1000.0], [5000.0]]])
    drawn = dollars * np.array([0.9, 1.0, 1.1])
    month = Measure(dollars, np.ones((2, 1)), Replicates((1, 2)), by_user=False, draws=drawn)
    assert month.own().low[0] < 0
    low, high = month.interval()
    assert low[0] == 0.0
    assert high[0] > 5000
