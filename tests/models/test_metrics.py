"""HR, NDCG, MRR and precision against hand-made cases."""

import math

import numpy as np
import pytest

from fleetrec.models.metrics import accuracy, accuracy_per_query, accuracy_per_user, clustered_mean, clustered_ratio


def test_metrics_of_hand_made_ranks() -> None:
    # ranks 0, 1, 4, 5, miss at k = 5: gains 1, 1/log2(3), 1/log2(6), 0, 0
    found = accuracy([0, 1, 4, 5, -1], [5])
    assert found["hr@5"] == pytest.approx(3 / 5)
    assert found["ndcg@5"] == pytest.approx((1 + 1 / math.log2(3) + 1 / math.log2(6)) / 5)
    assert found["mrr@5"] == pytest.approx((1 + 1 / 2 + 1 / 5) / 5)
    assert found["precision@5"] == pytest.approx(3 / 25)


def test_a_rank_of_k_is_a_miss_at_k_and_a_hit_at_k_plus_one() -> None:
    per_query = accuracy_per_query([3], [3, 4])
    assert per_query["hr@3"].tolist() == [0.0]
    assert per_query["hr@4"].tolist() == [1.0]


def test_hit_rate_mrr_and_ndcg_agree_at_one() -> None:
    ranks = np.array([0, 0, 1, -1])
    assert accuracy(ranks, [1]) == {"hr@1": 0.5, "ndcg@1": 0.5, "mrr@1": 0.5, "precision@1": 0.5}


def test_every_user_counts_the_same_in_the_mean_over_users() -> None:
    # user 7 hits 3 of 3, user 2 hits 0 of 1: 3/4 over queries, 1/2 over users
    ranks, users = [0, 0, 0, -1], [7, 7, 7, 2]
    assert accuracy(ranks, [5])["hr@5"] == 0.75
    assert accuracy_per_user(ranks, users, [5])["hr@5"] == 0.5


def test_no_query_gives_no_number() -> None:
    assert math.isnan(accuracy([], [5])["hr@5"])
    assert math.isnan(accuracy_per_user([], [], [5])["ndcg@5"])


def test_the_interval_of_a_mean_takes_users_as_clusters() -> None:
    """Copies of each user's values narrow a naive interval, not this one."""
    values = np.random.default_rng(1).random(200)
    mean, half = clustered_mean(values, np.arange(200))
    again, half_again = clustered_mean(np.tile(values, 5), np.tile(np.arange(200), 5))
    assert mean == pytest.approx(again)
    assert half_again == pytest.approx(half)
    assert half == pytest.approx(1.96 * values.std(ddof=1) / math.sqrt(200), rel=0.01)
    assert clustered_mean(values, np.zeros(200, dtype=np.int64))[1] == math.inf


def test_a_ratio_of_sums_has_the_interval_of_its_bootstrap_over_users() -> None:
    rng = np.random.default_rng(3)
    counts = rng.poisson(6, 300) + 1.0
    sums = counts * rng.normal(2.0, 0.5, 300)
    ratio, half = clustered_ratio(sums, counts, np.arange(300))
    taken = rng.integers(0, 300, (2000, 300))
    drawn = sums[taken].sum(axis=1) / counts[taken].sum(axis=1)
    assert ratio == pytest.approx(sums.sum() / counts.sum())
    assert half == pytest.approx(1.96 * drawn.std(), rel=0.1)
