"""Intervals, corrections, power and warm-up against theory, hand-made cases and simulation of known worlds."""

import math

import numpy as np
import pytest

from simulator.experiments import statistics as st
from tests.simulator.experiments.worlds import World

WORLDS = {
    "seeds do not matter": World(seed=0.0),
    "small seed effects": World(seed=0.05),
    "seed effects like user effects": World(seed=0.15),
    "users hardly differ": World(user=0.1, seed=0.0, cell=1.0),
    "each seed meets a third of the users": World(met=0.3),
}


@pytest.mark.parametrize("n_seeds", [2, 3, 4])
@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS.keys())
def test_users_crossed_with_few_seeds_cover_new_users_and_new_worlds(world: World, n_seeds: int) -> None:
    sums, counts, _ = world.draw(np.random.default_rng(11), 2000, n_seeds)
    found = st.over_users_and_seeds(sums, counts, range(n_seeds))
    assert found.generalises_to == "new users and new worlds"
    assert 0.92 < np.mean((found.low <= 0) & (found.high >= 0)) < 0.98


def test_seed_effects_that_dominate_are_covered_from_three_seeds_on() -> None:
    for n_seeds in (3, 4):
        sums, counts, _ = World(user=0.5, seed=1.0).draw(np.random.default_rng(12), 2000, n_seeds)
        found = st.over_users_and_seeds(sums, counts, range(n_seeds))
        assert 0.92 < np.mean((found.low <= 0) & (found.high >= 0)) < 0.98


def test_user_clusters_cover_new_users_in_the_same_world() -> None:
    """Clones are in: counting devices or interactions as independent would be far too narrow."""
    sums, counts, seed = World(seed=1.0).draw(np.random.default_rng(13), 4000, 1)
    found = st.over_users_and_seeds(sums, counts, [5])
    assert found.generalises_to == "new users in the world of seed 5"
    assert 0.92 < np.mean((found.low <= seed[:, 0]) & (found.high >= seed[:, 0])) < 0.98


def test_t_over_enough_seeds_covers_new_worlds_of_the_same_users() -> None:
    rng = np.random.default_rng(14)
    n_seeds, users = st.ENOUGH_SEEDS, World(seed=0.2).n_users
    user, n = rng.standard_normal(users), rng.integers(2, 40, users).astype(float)
    cells = 0.5 * rng.standard_normal((4000, n_seeds, users)) + 0.2 * rng.standard_normal((4000, n_seeds, 1))
    found = st.over_users_and_seeds((user + cells) * n, np.tile(n, (n_seeds, 1)), range(n_seeds))
    truth = (user * n).sum() / n.sum()
    assert found.method == "t over seeds"
    assert 0.92 < np.mean((found.low <= truth) & (found.high >= truth)) < 0.98


@pytest.mark.parametrize("n_seeds", [1, 3, 5])
def test_joint_draws_spread_as_the_intervals_do(n_seeds: int) -> None:
    sums, counts, _ = World(n_users=200).draw(np.random.default_rng(15), 1, n_seeds)
    drawn, _ = st.joint_draws(sums, counts, np.zeros((1, n_seeds, 0)), range(n_seeds), np.random.default_rng(1))
    found = st.over_users_and_seeds(sums, counts, range(n_seeds))
    assert drawn.mean() == pytest.approx(found.mean[0], abs=0.2 * found.half_width()[0])
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert (high - low) / 2 == pytest.approx(found.half_width()[0], rel=0.2)


def test_joint_draws_keep_the_pairing_of_variants_and_of_cost() -> None:
    """Two variants a constant apart stay so in every draw, and so do their costs."""
    sums, counts, _ = World().draw(np.random.default_rng(16), 1, 3)
    pair = np.concatenate([sums, sums + 0.25 * counts])
    cost = np.array([[1.0, 1.2, 0.9], [1.5, 1.7, 1.4]])[..., None]
    drawn, costs = st.joint_draws(pair, counts, cost, range(3), np.random.default_rng(1))
    np.testing.assert_allclose(drawn[:, 1] - drawn[:, 0], 0.25, atol=1e-6)
    np.testing.assert_allclose(costs[:, 1, 0] - costs[:, 0, 0], 0.5, atol=1e-6)


def test_a_cost_has_no_interval_at_one_seed() -> None:
    found = st.over_seeds(np.array([[3.0]]), [7])
    assert np.isnan(found.low).all()
    assert "one run has no interval" in found.generalises_to


def test_the_t_interval_is_that_of_the_textbook() -> None:
    """1 .. 5: mean 3, standard error sqrt(2.5 / 5), t(4) 2.776445; with 4 degrees of freedom p has a closed form."""
    found = st.over_seeds(np.arange(1.0, 6.0), range(5))
    assert found.high - found.mean == pytest.approx(2.776445 * math.sqrt(0.5), rel=1e-6)
    assert found.p == pytest.approx(1 - math.sqrt(18 / 22) * (1 + 4 / 22 / 2))  # t^2 = 18


def test_policies_that_do_the_same_do_not_differ() -> None:
    found = st.over_users_and_seeds(np.zeros((3, 4)), np.ones((3, 4)), range(3))
    assert (found.low, found.high, found.p) == (0.0, 0.0, 1.0)


def test_the_interval_of_a_mean_takes_users_as_clusters() -> None:
    """Copies of each user's values narrow a naive interval, not this one."""
    values = np.random.default_rng(1).random(200)
    mean, half = st.clustered_mean(values, np.arange(200))
    again, half_again = st.clustered_mean(np.tile(values, 5), np.tile(np.arange(200), 5))
    assert mean == pytest.approx(again)
    assert half_again == pytest.approx(half)
    assert half == pytest.approx(1.96 * values.std(ddof=1) / math.sqrt(200), rel=0.01)
    assert st.clustered_mean(values, np.zeros(200, dtype=np.int64))[1] == math.inf


def test_holm_steps_down() -> None:
    """By hand: sorted .01 .03 .04 times 3 2 1 is .03 .06 .04, and no value is under the one before it."""
    np.testing.assert_allclose(st.holm(np.array([0.04, 0.01, math.nan, 0.03])), [0.06, 0.03, math.nan, 0.06])
    np.testing.assert_allclose(st.holm(np.array([0.9, 0.8])), [1.0, 1.0])


def test_so_many_seeds_resolve_the_difference_four_times_in_five_and_fewer_do_not() -> None:
    rng = np.random.default_rng(17)
    for effect in (0.5, 1.0, 2.0):
        needed = st.seeds_needed(effect, 1.0)
        assert needed is not None
        power = {}
        for n in (needed - 1, needed):
            found = st.over_seeds(effect + rng.standard_normal((20_000, n)), range(n))
            power[n] = np.mean(found.low > 0)
        assert power[needed] > 0.79
        assert power[needed - 1] < 0.81


def test_the_power_hint_says_when_it_knows_nothing() -> None:
    assert st.seeds_to_resolve(0.1, 1.0, seeds=3, resolved=True) == 0
    assert st.seeds_to_resolve(0.1, math.nan, seeds=1, resolved=False) is None
    assert st.seeds_to_resolve(0.0, 1.0, seeds=3, resolved=False) is None
    assert st.seeds_to_resolve(0.001, 1.0, seeds=3, resolved=False) is None  # eight million seeds
    assert st.seeds_to_resolve(5.0, 1.0, seeds=3, resolved=False) == 2  # up to enough seeds for t


def test_mser5_cuts_a_transient_and_nothing_else() -> None:
    rng = np.random.default_rng(18)
    steady = rng.standard_normal(5000)
    cut = st.mser5(steady - 8 * np.exp(-np.arange(5000) / 100))
    assert cut is not None
    assert 200 < cut < 1500  # the start is at 13% after 200 values, under noise after 1,500
    quiet = st.mser5(steady)
    assert quiet is not None
    assert quiet < 2500


def test_mser5_trusts_no_cut_beyond_half() -> None:
    climbing = np.concatenate([np.arange(4000.0), np.full(1000, 4000.0)])
    assert st.mser5(climbing) is None
    assert st.mser5(np.ones(10)) is None  # two batches


def test_mser5_is_whites_statistic_by_a_plain_loop() -> None:
    series = np.random.default_rng(19).standard_normal(1000) + np.where(np.arange(1000) < 60, 3.0, 0.0)
    batches = series.reshape(200, 5).mean(axis=1)
    plain = [batches[d:].var() / (200 - d) for d in range(195)]
    assert st.mser5(series) == 5 * int(np.argmin(plain))
