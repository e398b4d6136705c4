"""Intervals, corrections, power and warm-up against theory, hand-made cases and simulation of known worlds."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.special import ndtr

from fleetrec.simulator.experiments import statistics as st
from tests.simulator.experiments.worlds import Floats, World

WORLDS = {
    "seeds do not matter": World(seed=0.0),
    "small seed effects": World(seed=0.05),
    "seed effects like user effects": World(seed=0.15),
    "users hardly differ": World(user=0.1, seed=0.0, cell=1.0),
    "each seed meets a third of the users": World(met=0.3),
}


def seeds(n: int) -> st.Replicates:
    return st.Replicates(tuple(range(n)))


@pytest.mark.parametrize("n_seeds", [2, 3, 4, 5, 10, 20])
@pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS.keys())
def test_users_crossed_with_seeds_cover_new_users_and_new_worlds(world: World, n_seeds: int) -> None:
    sums, counts, _ = world.draw(np.random.default_rng(11), 2000, n_seeds)
    found = st.over_users(sums, counts, seeds(n_seeds))
    assert found.generalises_to == "new users and new worlds"
    assert 0.93 < np.mean((found.low <= 0) & (found.high >= 0)) < (0.975 if n_seeds == 2 else 0.97)


def test_seed_effects_that_dominate_are_covered() -> None:
    for n_seeds in (2, 3, 4, 8):
        sums, counts, _ = World(user=0.5, seed=1.0).draw(np.random.default_rng(12), 2000, n_seeds)
        found = st.over_users(sums, counts, seeds(n_seeds))
        assert 0.92 < np.mean((found.low <= 0) & (found.high >= 0)) < 0.97


@pytest.mark.parametrize("n_seeds", [2, 3, 5, 20])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 0.5, 0.8, 0.9, 0.95, 1.0])
def test_intervals_hold_whatever_share_of_the_variance_is_of_worlds(n_seeds: int, share: float) -> None:
    """Coverage by theory: the chance that a normal mean is inside, averaged over the chi-squared variance of worlds."""
    df = n_seeds - 1
    seen = np.random.default_rng(7).chisquare(df, 100_000) / df * share
    users, nothing = np.full_like(seen, 1 - share), np.zeros_like(seen)
    found = st.Estimates(nothing, users, seen, nothing, nothing, np.inf, df, 0, "", "")
    assert 0.94 <= round(float((2 * ndtr(found.half_width()) - 1).mean()), 3) <= 0.964


@pytest.mark.parametrize("n_seeds", [2, 3, 5])
@pytest.mark.parametrize("ratio", [0.0, 1.0, 2.0])
def test_a_family_of_comparisons_is_wrong_in_one_of_twenty_at_most(n_seeds: int, ratio: float) -> None:
    """12 policies that are worth the same, which worlds treat differently: Holm's error is at most 5%."""
    rng = np.random.default_rng(20)
    world = World(user=0.5, seed=0.07 * ratio, cell=0.5)  # one run knows a mean to 0.07
    wrong = 0
    for _ in range(300):
        sums, counts, _ = world.draw(rng, 13, n_seeds)
        p = st.over_users(sums[1:] - sums[0], counts, seeds(n_seeds)).p
        wrong += bool((st.holm(p) < 0.05).any())
    assert wrong / 300 < 0.08  # 5% and two standard errors


def test_new_trainings_are_covered_beside_new_worlds() -> None:
    """Worlds and trainings crossed, 3 x 4, both with effects: coverage of the mean over new ones of both."""
    rng, replicates = np.random.default_rng(21), st.Replicates((1, 2, 3), (1, 2, 3, 4))
    worlds, trainings = rng.standard_normal((4000, 3, 1)), rng.standard_normal((4000, 1, 4))
    values = (worlds + trainings + 0.3 * rng.standard_normal((4000, 3, 4))).reshape(4000, 12)
    found = st.over_runs(values, replicates)
    assert found.generalises_to == "new worlds and new trainings of this log's users"
    assert 0.93 < np.mean((found.low <= 0) & (found.high >= 0)) < 0.98
    worlds_alone = st.over_runs(values.reshape(4000, 3, 4)[..., 0], st.Replicates((1, 2, 3)))
    assert np.mean((worlds_alone.low <= 0) & (worlds_alone.high >= 0)) < 0.93  # one training says nothing of others


def test_variances_of_worlds_and_trainings_are_told_apart() -> None:
    """Means 0, 1 of two worlds and 0, 3 of two trainings that simply add: var/n of each, 0.25 and 2.25."""
    worlds, trainings = st.between(np.array([0.0, 3.0, 1.0, 4.0]), st.Replicates((1, 2), (1, 2)))
    assert (float(worlds), float(trainings)) == pytest.approx((0.25, 2.25))


def test_user_clusters_cover_new_users_in_the_same_world() -> None:
    """Clones are in: counting devices or interactions as independent would be far too narrow."""
    sums, counts, seed = World(seed=1.0).draw(np.random.default_rng(13), 4000, 1)
    found = st.over_users(sums, counts, st.Replicates((5,)))
    assert found.generalises_to == "new users in the world of seed 5"
    assert 0.92 < np.mean((found.low <= seed[:, 0]) & (found.high >= seed[:, 0])) < 0.98


def test_a_resampled_cost_covers_new_users_and_new_worlds() -> None:
    """A cost a user, met in 6 worlds of which each adds its own: t over seeds alone would be blind to the users."""
    rng, n_seeds, users, repetitions = np.random.default_rng(14), 6, 100, 1500
    cost = (
        1 + 0.5 * rng.standard_normal((repetitions, 1, users)) + 0.03 * rng.standard_normal((repetitions, n_seeds, 1))
    )
    weights = rng.poisson(1.0, (300, users)).astype(float)
    draws = cost @ weights.T / weights.sum(axis=1)
    found = st.over_runs(cost.mean(axis=-1), seeds(n_seeds), draws)
    assert found.generalises_to == "new users and new worlds"
    assert 0.93 < np.mean((found.low <= 1) & (found.high >= 1)) < 0.97
    blind = st.over_runs(cost.mean(axis=-1), seeds(n_seeds))
    assert np.mean((blind.low <= 1) & (blind.high >= 1)) < 0.6


def test_one_run_of_a_resampled_cost_has_the_interval_of_its_users() -> None:
    draws = np.random.default_rng(3).normal(2.0, 0.1, (1, 1, 20_000))
    found = st.over_runs(np.array([[2.0]]), st.Replicates((7,)), draws)
    assert found.high[0] - 2.0 == pytest.approx(0.196, rel=0.03)
    assert found.generalises_to == "new users in the world of seed 7"


def drawn(sums: Floats, counts: Floats, figures: Floats, n: int) -> tuple[Floats, Floats]:
    """Joint draws of a user metric [B, V] and of a figure a run [B, V]."""
    weights = np.random.default_rng(5).poisson(1.0, (400, counts.shape[1])).astype(np.uint8)
    by_users = st.resampled(sums, counts, [weights] * n)  # [V, R, B]
    values = np.concatenate([sums.sum(-1) / counts.sum(-1), figures])
    both = np.concatenate([by_users, np.repeat(figures[..., None], 400, axis=-1)])
    found = st.joint_draws(values.T, both.transpose(2, 1, 0), seeds(n), np.random.default_rng(1))
    return found[:, : len(sums)], found[:, len(sums) :]


@pytest.mark.parametrize("n_seeds", [1, 3, 5])
def test_joint_draws_spread_as_the_intervals_do(n_seeds: int) -> None:
    sums, counts, _ = World(n_users=200).draw(np.random.default_rng(15), 1, n_seeds)
    means, _ = drawn(sums, counts, np.zeros((1, n_seeds)), n_seeds)
    found = st.over_users(sums, counts, seeds(n_seeds))
    assert means.mean() == pytest.approx(found.mean[0], abs=0.2 * found.half_width()[0])
    low, high = np.quantile(means, [0.025, 0.975])
    assert (high - low) / 2 == pytest.approx(found.half_width()[0], rel=0.25)


def test_joint_draws_keep_the_pairing_of_variants_and_of_cost() -> None:
    """Two variants a constant apart stay so in every draw, and so do their costs."""
    sums, counts, _ = World().draw(np.random.default_rng(16), 1, 3)
    pair = np.concatenate([sums, sums + 0.25 * counts])
    means, costs = drawn(pair, counts, np.array([[1.0, 1.2, 0.9], [1.5, 1.7, 1.4]]), 3)
    np.testing.assert_allclose(means[:, 1] - means[:, 0], 0.25, atol=1e-6)
    np.testing.assert_allclose(costs[:, 1] - costs[:, 0], 0.5, atol=1e-6)


def test_what_is_alike_is_drawn_alike_to_the_last_bit() -> None:
    sums, counts, _ = World().draw(np.random.default_rng(16), 1, 3)
    means, _ = drawn(np.concatenate([sums, 2 * sums, sums]), counts, np.zeros((1, 3)), 3)
    assert (means[:, 0] == means[:, 2]).all()


def test_a_cost_has_no_interval_at_one_seed() -> None:
    found = st.over_runs(np.array([[3.0]]), st.Replicates((7,)))
    assert np.isnan(found.low).all()
    assert "one run has no interval" in found.generalises_to


def test_the_t_interval_is_that_of_the_textbook() -> None:
    """1 .. 5: mean 3, standard error sqrt(2.5 / 5), t(4) 2.776445; with 4 degrees of freedom p has a closed form."""
    found = st.over_runs(np.arange(1.0, 6.0), seeds(5))
    assert found.high - found.mean == pytest.approx(2.776445 * math.sqrt(0.5), rel=1e-6)
    assert found.p == pytest.approx(1 - math.sqrt(18 / 22) * (1 + 4 / 22 / 2))  # t^2 = 18


def test_policies_that_do_the_same_do_not_differ() -> None:
    found = st.over_users(np.zeros((3, 4)), np.ones((3, 4)), seeds(3))
    assert (found.low, found.high, found.p) == (0.0, 0.0, 1.0)


def test_holm_steps_down() -> None:
    """By hand: sorted .01 .03 .04 times 3 2 1 is .03 .06 .04, and no value is under the one before it."""
    np.testing.assert_allclose(st.holm(np.array([0.04, 0.01, math.nan, 0.03])), [0.06, 0.03, math.nan, 0.06])
    np.testing.assert_allclose(st.holm(np.array([0.9, 0.8])), [1.0, 1.0])


@pytest.mark.parametrize("users", [0.0, 0.01])
def test_so_many_seeds_show_the_difference_four_times_in_five_and_fewer_do_not(users: float) -> None:
    """Differences of 0.5, 1 and 2 standard deviations over seeds, with or without an error of users that all share."""
    rng, level = np.random.default_rng(17), 0.99
    for effect in (0.5, 1.0, 2.0):
        needed = st.seeds_needed(effect, 1.0, users, level)
        assert needed is not None
        power = {}
        for n in (needed - 1, needed):
            values = effect + math.sqrt(users) * rng.standard_normal((20_000, 1)) + rng.standard_normal((20_000, n))
            found = st.over_runs(values, seeds(n))
            known = dataclasses.replace(found, users=np.full(20_000, users), users_df=math.inf)
            power[n] = np.mean(known.mean > known.bound(level))
        assert power[needed] > 0.79
        assert power[needed - 1] < 0.81


def test_the_power_hint_says_when_it_knows_nothing() -> None:
    def more(effect: float, deviation: float, seeds: int, shown: bool = False, users: float = 0.0) -> int | None:
        return st.seeds_to_show(effect, deviation, users, seeds, 0.95, shown)

    assert more(0.1, 1.0, seeds=3, shown=True) == 0
    assert more(0.1, math.nan, seeds=1) is None
    assert more(0.0, 1.0, seeds=3) is None
    assert more(0.001, 1.0, seeds=3) is None  # eight million seeds
    assert more(0.1, 0.01, seeds=3, users=0.01) is None  # as large as the error of users, which no seed takes away


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
