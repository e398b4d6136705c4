"""Top-k accuracy with the true next item as the only relevant one. A rank is 0-based; -1 is a miss.

HR@k: 1 where rank < k. NDCG@k: 1 / log2(rank + 2) there (one relevant item, so the ideal is 1). MRR@k: 1 / (rank + 1)
there. Precision@k: HR@k / k.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fleetrec.models.runtime.pieces import counts_by, pieces, sums_by
from fleetrec.models.runtime.unique import different

Floats = NDArray[np.float64]

CONFIDENCE_Z = 1.959964
"""standard errors on either side of a 95% interval"""


def accuracy_per_query(ranks: ArrayLike, ks: Sequence[int]) -> dict[str, Floats]:
    """`ranks` int[M] -> {"hr@5": float[M], "ndcg@5": ..., "mrr@5": ..., "precision@5": ..., for each k}."""
    rank = np.asarray(ranks, dtype=np.int64)
    gain = 1.0 / np.log2(np.maximum(rank, 0) + 2.0)
    reciprocal = 1.0 / (np.maximum(rank, 0) + 1.0)
    result: dict[str, Floats] = {}
    for k in ks:
        hit = ((rank >= 0) & (rank < k)).astype(np.float64)
        result |= {f"hr@{k}": hit, f"ndcg@{k}": hit * gain, f"mrr@{k}": hit * reciprocal, f"precision@{k}": hit / k}
    return result


class Gains:
    """What one metric of `accuracy_per_query` gives ranks, by a table of them."""

    def __init__(self, metric: str):
        """`metric`: "ndcg@10", say."""
        self._k = int(metric.split("@")[1])
        self._of = accuracy_per_query(np.arange(-1, self._k + 1), (self._k,))[metric]

    def __call__(self, ranks: NDArray[np.integer[Any]]) -> Floats:
        """Of each rank [M], -1 or more."""
        gained: Floats = self._of[np.clip(ranks, -1, self._k) + 1]
        return gained


def accuracy(ranks: ArrayLike, ks: Sequence[int]) -> dict[str, float]:
    """Means over queries; NaN where there is no query."""
    rank = np.asarray(ranks)
    counts = np.zeros(max(ks) + 1, dtype=np.int64)
    for piece in pieces(len(rank)):
        counts += np.bincount(_places(rank[piece], ks), minlength=max(ks) + 1)
    return _weighed(counts, len(rank), ks)


def accuracy_per_user(ranks: ArrayLike, users: ArrayLike, ks: Sequence[int]) -> dict[str, float]:
    """Means over users of each user's mean over its queries: every user with a query counts the same.

    `users` int[M]: whose query each one is, any whole numbers. NaN where there is no query.
    """
    rank = np.asarray(ranks)
    found, group = different(np.asarray(users))
    share = 1.0 / counts_by(group, len(found))
    weights: NDArray[Any] = np.zeros(max(ks) + 1)
    for piece in pieces(len(rank)):
        places = np.append(np.arange(len(weights)), _places(rank[piece], ks))
        weights = np.bincount(places, np.append(weights, share[group[piece]]), len(weights))
    return _weighed(weights, len(found), ks)


def _places(rank: NDArray[Any], ks: Sequence[int]) -> NDArray[np.int64]:
    """Ranks [M] of which all that miss every k are the largest k."""
    return np.where((rank >= 0) & (rank < max(ks)), rank, max(ks)).astype(np.int64)


def _weighed(weights: NDArray[Any], total: int, ks: Sequence[int]) -> dict[str, float]:
    """What queries with these weights at ranks 0, 1, ... have in the mean; they count for `total` in all."""
    if not total:
        return dict.fromkeys(accuracy_per_query([], ks), math.nan)
    told = accuracy_per_query(np.arange(max(ks)), ks)
    return {name: float(values @ weights[: max(ks)]) / total for name, values in told.items()}


def clustered_mean(values: Floats, clusters: NDArray[np.integer[Any]]) -> tuple[float, float]:
    """Mean of `values` [M] and half the width of its 95% interval, with users as clusters (clones are one user)."""
    if not len(values):
        return math.nan, math.nan
    found, group = different(clusters)
    mean = float(values.sum()) / len(values)
    return mean, _half(sums_by(group, lambda piece: values[piece] - mean, len(found)), len(values))


def clustered_ratio(sums: Floats, counts: Floats, clusters: NDArray[np.int64]) -> tuple[float, float]:
    """Ratio of the totals of sums [M] and counts [M], and half the width of its 95% interval, users being clusters.

    The variance is by linearisation, with the small-sample factor C/(C-1).
    """
    total = float(counts.sum())
    if not total:
        return math.nan, math.nan
    _, group = different(clusters)
    mean = float(sums.sum()) / total
    return mean, _half(np.bincount(group, weights=sums - mean * counts), total)


def _half(residual: NDArray[Any], total: float) -> float:
    """Half the width of an interval, from what each cluster [C] is off."""
    count = len(residual)
    if count < 2:
        return math.inf
    variance = count / (count - 1) * float((residual**2).sum()) / total**2
    return CONFIDENCE_Z * math.sqrt(variance)


def headline_k(ks: tuple[int, ...]) -> int:
    """The cut-off of the NDCG that a headline speaks of: 10 where it is measured, else the first."""
    return 10 if 10 in ks else ks[0]
