"""Intervals, bins, step functions and distributions, against textbook formulas and hand-made cases."""

import numpy as np
import pytest
from scipy.stats import t as student

from fleetrec.reports.data.estimates import binned_steps, ecdf, grouped_shares, merged_bins, time_edges


def test_with_one_interaction_a_user_the_interval_is_wilsons() -> None:
    n, hits = 200, 60
    estimate = grouped_shares(np.arange(n) < hits, np.zeros(n, np.int64), np.arange(n), 1)
    p, z = hits / n, student.ppf(0.975, n - 1)
    # The clustered variance divides by n - 1, so the effective sample size is n - 1.
    m = n - 1
    centre, half = p + z * z / (2 * m), z * np.sqrt(p * (1 - p) / m + z * z / (4 * m * m))
    assert estimate.share[0] == p
    assert estimate.low[0] == pytest.approx((centre - half) / (1 + z * z / m))
    assert estimate.high[0] == pytest.approx((centre + half) / (1 + z * z / m))


def test_repeating_every_interaction_of_a_user_does_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(1)
    hits, users = rng.uniform(size=100) < 0.3, np.arange(100)
    once = grouped_shares(hits, np.zeros(100, np.int64), users, 1)
    often = grouped_shares(np.repeat(hits, 20), np.zeros(2000, np.int64), np.repeat(users, 20), 1)
    assert often.low[0] == pytest.approx(once.low[0])
    assert often.high[0] == pytest.approx(once.high[0])


def test_the_interval_covers_the_truth_at_the_stated_rate_when_users_differ() -> None:
    rng = np.random.default_rng(2)
    worlds, users, each = 400, 60, 15
    taste = rng.beta(2, 6, (worlds, users))  # mean 0.25
    hits = rng.uniform(size=(worlds, users, each)) < taste[..., None]
    world, user, _ = np.indices(hits.shape)
    found = grouped_shares(hits.ravel(), world.ravel(), user.ravel() + 1000 * world.ravel(), worlds)
    covered = float(((found.low <= 0.25) & (found.high >= 0.25)).mean())
    assert 0.92 <= covered <= 0.98  # 0.95 with a binomial spread of 0.011


def test_groups_that_are_empty_or_all_alike_are_no_surprise() -> None:
    groups = np.array([0, 0, 0, 2, -1])
    found = grouped_shares(np.array([True, True, True, False, True]), groups, np.array([1, 2, 3, 4, 5]), 3)
    assert found.count.tolist() == [3, 0, 1]
    assert found.share[0] == found.high[0] == 1.0
    assert found.low[0] < 0.7
    assert np.isnan(found.share[1])
    assert found.low[2] == 0.0
    assert found.high[2] > 0.9


def test_a_step_function_has_its_time_weighted_mean_and_its_peak_in_each_bin() -> None:
    # 0 until 2 s, then 4 until 6 s, then 1; bins of 4 s; the run ends at 10 s.
    steps = binned_steps(np.array([2.0, 6.0]), np.array([4.0, 1.0]), np.array([0.0, 4.0, 8.0, 12.0]), 10.0)
    assert steps.mean.tolist() == [2.0, 2.5, 1.0]
    assert steps.peak.tolist() == [4.0, 4.0, 1.0]


def test_bins_are_as_wide_as_round_times_and_poor_ones_are_joined() -> None:
    edges = time_edges(86400.0, 60)
    assert edges[1] == 1800.0
    assert edges[-1] == 86400.0
    assert len(time_edges(900 * 86400.0, 60)) <= 62
    assert merged_bins(np.array([5, 1, 1, 9, 2]), 5).tolist() == [0, 1, 1, 1, 1]
    assert merged_bins(np.array([1, 1]), 5).tolist() == [0, 0]


def test_a_distribution_counts_what_is_below_the_floor_and_ignores_what_never_happened() -> None:
    found = ecdf(np.array([0.0, np.nan, 0.2, 0.1, 0.4]), 1e-3)
    assert found is not None
    assert found.value.tolist() == [1e-3, 0.1, 0.2, 0.4]
    assert found.share.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert found.quantiles["p50"] == pytest.approx(0.15)
    assert found.count == 4
    assert ecdf(np.array([np.nan]), 1e-3) is None
