"""Baselines against slates written out in full, by hand and by a plain independent implementation."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from fleetrec.models.baselines import Baseline, Popular, all_baselines

Log = list[list[int]]


def flatten(log: Log) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    offsets = np.concatenate([[0], np.cumsum([len(user) for user in log])])
    return offsets, np.array([item for user in log for item in user], dtype=np.int32)


def slate_in_full(name: str, log: Log, learn_end: list[int], n_items: int, user: int, as_of: int) -> list[int]:
    """A whole slate, best first, written as the definitions read."""
    seen = log[user][: as_of + 1]
    trained = [items[:end] for items, end in zip(log, learn_end, strict=True)]
    popularity = Counter(item for items in trained for item in items)
    if name == "popular":
        return sorted(range(n_items), key=lambda item: (-popularity[item], item))
    if name == "markov":
        follows = Counter(pair for items in trained for pair in pairwise(items))
        newest = seen[-1] if seen else None
        return sorted(range(n_items), key=lambda item: (-follows[newest, item], -popularity[item], item))
    newest_place = {item: place for place, item in enumerate(seen)}
    times = Counter(seen) if name == "frequent" else Counter()
    return sorted(newest_place, key=lambda item: (-times[item], -newest_place[item]))


def rank_in_full(slate: list[int], target: int, removed: set[int], length: int) -> int:
    shown = [item for item in slate[:length] if item not in removed]
    return shown.index(target) if target in shown else -1


def test_ranks_equal_those_of_slates_written_out_in_full() -> None:
    rng = np.random.default_rng(3)
    n_items = 9
    log = [[int(i) for i in rng.integers(0, n_items - 1, rng.integers(0, 14))] for _ in range(12)]
    learn_end = [int(rng.integers(0, len(items) + 1)) for items in log]
    offsets, items = flatten(log)
    baselines = all_baselines(offsets, items, n_items, np.array(learn_end))
    queries = [
        (user, as_of, target, seen_upto)
        for user in range(len(log))
        for as_of in range(-1, len(log[user]))
        for target in range(n_items)
        for seen_upto in {-1, as_of - 2, as_of, len(log[user]) - 1}
        if seen_upto >= -1
    ]
    users, as_of, targets, seen_upto = np.array(queries).T
    for name, baseline in baselines.items():
        for length in (1, 4, n_items + 3):
            got = baseline.ranks(users, as_of, targets, seen_upto, length)
            unfiltered = baseline.ranks(users, as_of, targets, None, length)
            slates = [slate_in_full(name, log, learn_end, n_items, u, a) for u, a, _, _ in queries]
            want = [
                rank_in_full(slate, t, set(log[u][: s + 1]), length)
                for slate, (u, _, t, s) in zip(slates, queries, strict=True)
            ]
            want_unfiltered = [
                rank_in_full(slate, q[2], set(), length) for slate, q in zip(slates, queries, strict=True)
            ]
            np.testing.assert_array_equal(got, want, err_msg=f"{name} {length}")
            np.testing.assert_array_equal(unfiltered, want_unfiltered, err_msg=f"{name} {length}")


def test_ranks_do_not_depend_on_how_queries_are_chunked(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    offsets, items = flatten([[int(i) for i in rng.integers(0, 15, 20)] for _ in range(10)])
    users, as_of = np.repeat(np.arange(10), 20), np.tile(np.arange(20) - 1, 10)
    targets = rng.integers(0, 15, 200)
    baselines = all_baselines(offsets, items, 15, np.full(10, 12))
    at_once = {name: b.ranks(users, as_of, targets, as_of // 2, 8) for name, b in baselines.items()}
    monkeypatch.setattr("fleetrec.models.baselines._PAIRS_AT_ONCE", 7)
    for name, baseline in baselines.items():
        np.testing.assert_array_equal(baseline.ranks(users, as_of, targets, as_of // 2, 8), at_once[name])


def test_a_seen_item_leaves_the_slate_and_the_slate_is_not_refilled() -> None:
    offsets, items = flatten([[0, 0, 0, 1, 1, 2], [1, 2]])
    popular = all_baselines(offsets, items, 4, np.array([6, 2]))["popular"]  # order 0, 1, 2, 3
    user, as_of, upto = np.array([1, 1, 1]), np.array([0, 0, 0]), np.array([0, 0, 0])
    ranks = popular.ranks(user, as_of, np.array([0, 1, 2]), upto, 2)
    assert ranks.tolist() == [0, -1, -1]  # item 2 is third before item 1 leaves


def test_what_follows_the_learning_part_changes_no_popularity_and_no_transition() -> None:
    past, future = [0, 1, 0, 1, 2], [3, 2, 3, 2, 3]
    learn_end = np.array([5])
    query = (np.zeros(4, dtype=np.int64), np.full(4, 4), np.arange(4), None, 4)
    with_future, with_other_future = (
        all_baselines(*flatten([past + tail]), 4, learn_end) for tail in (future, [1, 1, 1, 1, 1])
    )
    for name in ("popular", "markov"):
        assert with_future[name].ranks(*query).tolist() == with_other_future[name].ranks(*query).tolist()


def test_the_popular_slate_is_the_one_its_ranks_speak_of() -> None:
    offsets, items = flatten([[2, 2, 0], [1, 1, 1]])
    popular = all_baselines(offsets, items, 3, np.array([3, 3]))["popular"]
    assert isinstance(popular, Popular)
    users, as_of = np.array([0, 1]), np.array([2, 2])
    assert popular.top(users, as_of, 5).tolist() == [[1, 2, 0, -1, -1]] * 2
    assert popular.ranks(users, as_of, np.array([0, 1]), None, 5).tolist() == [2, 0]


def stream_queries(folder: Path) -> tuple[dict[str, Baseline], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The last 20 events of each user (or all but the first) as queries with fresh history, learning from the rest."""
    table = pd.read_csv(folder / "interactions.csv.gz", usecols=["user_id", "item_id"])
    users, item_codes = pd.factorize(table.user_id)[0], pd.factorize(table.item_id)[0]
    order = np.argsort(users, kind="stable")
    items = item_codes[order].astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(users))])
    length = np.diff(offsets)
    learn_end = np.maximum(length - 20, 1)
    user = np.repeat(np.arange(len(length)), length - learn_end)
    position = np.concatenate([np.arange(end, n) for end, n in zip(learn_end, length, strict=True)])
    return (
        all_baselines(offsets, items, int(items.max()) + 1, learn_end),
        user,
        position,
        items[offsets[user] + position],
    )


def hr_and_ndcg_at_10(ranks: NDArray[np.int64]) -> tuple[float, float]:
    hit = (ranks >= 0) & (ranks < 10)
    return float(hit.mean()), float(np.where(hit, 1 / np.log2(np.maximum(ranks, 0) + 2), 0).mean())


@pytest.mark.data
def test_markov_on_movielens_1m_scores_as_measured_elsewhere(data_dir: Path) -> None:
    baselines, user, position, target = stream_queries(data_dir / "interactions" / "ml-1m")
    ranks = baselines["markov"].ranks(user, position - 1, target, position - 1, 3416)
    length = np.bincount(user, weights=position).astype(np.int64)[user] // 20 + 11  # the mean position is 10.5 from it
    usual = (length >= 60) & (length <= 400)  # the figures elsewhere are of 2,000 such users
    assert hr_and_ndcg_at_10(ranks[usual]) == pytest.approx((0.2085, 0.1219), abs=0.003)


@pytest.mark.data
def test_own_frequent_venues_on_foursquare_score_as_measured_elsewhere(data_dir: Path) -> None:
    baselines, user, position, target = stream_queries(data_dir / "interactions" / "foursquare-nyc")
    ranks = baselines["frequent"].ranks(user, position - 1, target, None, 5135)
    assert hr_and_ndcg_at_10(ranks) == pytest.approx((0.6246, 0.4277), abs=0.002)
