"""The bootstrap over users: keyed, paired, and as wide as theory says."""

import numpy as np
import pytest

from fleetrec.simulator.core.resampling import CLUSTERS, Resampling, interval, user_weights


def test_a_users_weights_depend_on_its_label_and_the_draw_alone() -> None:
    few, many = user_weights(["b", "7"], 50), user_weights(["a", "b", "c", 7], 80)
    assert (few[:, 0] == many[:50, 1]).all()
    assert (few[:, 1] == many[:50, 3]).all()


def test_weights_are_those_of_a_poisson_law_of_mean_one() -> None:
    """P(0) = P(1) = 1/e, P(2) = 1/(2e), variance 1 (160,000 draws: 0.7% at three standard errors)."""
    weights = user_weights(range(400), 400)
    share = np.bincount(weights.ravel(), minlength=3)[:3] / weights.size
    assert share == pytest.approx([np.exp(-1), np.exp(-1), np.exp(-1) / 2], abs=0.004)
    assert weights.mean() == pytest.approx(1.0, abs=0.01)
    assert weights.var() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("users", [300, 3 * CLUSTERS])
def test_a_mean_spreads_over_draws_by_its_standard_error(users: int) -> None:
    values = np.random.default_rng(1).exponential(size=users)
    means = Resampling.of(range(users)).means(values)
    assert means.std() == pytest.approx(values.std() / np.sqrt(users), rel=0.12)
    low, high = interval(means)
    assert low < values.mean() < high


def test_clones_of_a_user_are_taken_together() -> None:
    resampling = Resampling.of(["a", "b", "a"])
    weights = user_weights(["a", "b"])
    taken = weights.any(axis=1)
    expected = 2.0 * weights[:, 0] + 3.0 * weights[:, 1]
    assert resampling.totals(np.array([1.0, 3.0, 1.0]))[taken] == pytest.approx(expected[taken])


def test_no_draw_takes_nobody() -> None:
    assert np.isfinite(Resampling.of(["only"]).means(np.array([2.0]))).all()


def test_rows_of_the_same_users_are_resampled_as_their_labels_are() -> None:
    ids, rows = np.array([f"user {number}" for number in range(40)]), np.random.default_rng(1).integers(0, 40, 300)
    by_label, by_row = Resampling.of(ids[rows]), Resampling.of_rows(rows, ids)
    np.testing.assert_array_equal(by_row.cluster, by_label.cluster)
    np.testing.assert_array_equal(by_row.weights, by_label.weights)
