"""Feedback: how what users take moves, over the time of a run in which they choose among what they are shown.

Coverage and Gini hang on how many choices they are of, so a run is cut into stretches of equally many. Tastes are
places in a space that the training part of the log spans, of which no recommender of the run is told.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import svds

from fleetrec.simulator.results.left_out import Taken, interval_without

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PREFIX = "feedback."
BOUNDS: Mapping[str, tuple[float, float]] = {
    "coverage": (0.0, 1.0),
    "gini": (0.0, 1.0),
    "popularity": (0.0, 1.0),
    "own_taste": (-1.0, 1.0),
    "coverage_drift": (-1.0, 1.0),
    "gini_drift": (-1.0, 1.0),
    "popularity_drift": (-1.0, 1.0),
    "own_taste_drift": (-2.0, 2.0),
}
"""figures, and what none of them can be below or above"""
STRETCHES = 8
_LEAST = 20
"""choices of a stretch, below which nothing is told"""
FEWEST = STRETCHES * _LEAST
"""choices of a run, below which no feedback is told"""
_DIMENSIONS = 16
_DIGITS, _DIGITS_WITHOUT = 6, 9
_NOW = ("coverage", "gini", "popularity", "own_taste")


def item_vectors(users: Ints, items: Ints, n_items: int) -> Floats:
    """Unit vectors [n_items, <= 16] of items by who had them: of interactions [E], the leading singular vectors."""
    _, row = np.unique(users, return_inverse=True)
    had = sp.csr_matrix((np.ones(len(items)), (row, items)), shape=(int(row.max(initial=-1)) + 1, n_items))
    had.data[:] = 1.0
    wide = min(_DIMENSIONS, min(had.shape) - 1)
    if wide < 1:
        return np.zeros((n_items, 1))
    often = np.maximum(np.asarray(had.sum(axis=0)).ravel(), 1.0)
    weighed = had @ sp.diags(1.0 / np.sqrt(often))  # else the leading one is popularity
    _, size, vectors = svds(weighed, k=wide, v0=np.ones(min(had.shape)), random_state=0)
    found = (vectors * size[:, None]).T
    length = np.sqrt((found**2).sum(axis=1, keepdims=True))
    return np.asarray(found / np.where(length > 0, length, 1.0))


def popularity_of(counts: Ints) -> Floats:
    """Place [n_items] of each item among all by how often it was had: 0 the least, 1 the most popular, ties alike."""
    ordered = np.sort(counts)
    below, upto = np.searchsorted(ordered, counts, side="left"), np.searchsorted(ordered, counts, side="right")
    return np.asarray((below + upto - 1) / 2 / max(len(counts) - 1, 1))


def gini(counts: Ints) -> float:
    """Of how often each item was taken: 0 where all were alike, towards 1 where one has them all."""
    ordered, n = np.sort(counts).astype(np.float64), len(counts)
    total = ordered.sum()
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * total)) if total else float("nan")


class Tastes:
    """What is known of items and of what users had before the run."""

    def __init__(self, vectors: Floats, counts: Ints, owner: Ints, items: Ints, devices: int):
        """`owner` and `items` [E]: what the devices' users had before; `counts` [n_items] of the training part."""
        self._vectors, self._popularity, self._n_items = vectors, popularity_of(counts), len(counts)
        had = np.stack([np.bincount(owner, vectors[items, d], minlength=devices) for d in range(vectors.shape[1])], 1)
        length = np.sqrt((had**2).sum(axis=1, keepdims=True))
        self._taste = had / np.where(length > 0, length, 1.0)

    def told(self, owner: Ints, items: Ints) -> dict[str, float]:
        """Coverage, Gini, popularity and closeness to the users' earlier taste, of choices [M]."""
        taken = np.bincount(items, minlength=self._n_items)
        popular, close = self._of(owner, items).mean(axis=0).tolist()
        found = ((taken > 0).mean(), gini(taken), popular, close)
        return {name: round(float(value), _DIGITS) for name, value in zip(_NOW, found, strict=True)}

    def taken(self, owner: Ints, items: Ints, whose: Ints, among: Ints) -> Taken:
        """Choices [M] in their order, of the devices that are `among` all; `whose` [D]: the devices' users, clones
        being one user, in whose order they are told."""
        users, numbers = np.unique(whose[among], return_inverse=True)
        number = np.zeros(len(whose), dtype=np.int64)
        number[among] = numbers
        return Taken(number[owner], items, self._of(owner, items), len(users), self._n_items)

    def _of(self, owner: Ints, items: Ints) -> Floats:
        """[M, 2]: how popular items are, and how close to the users' earlier taste."""
        close = (self._vectors[items] * self._taste[owner]).sum(axis=1)
        return np.stack([self._popularity[items], close], axis=1)


def feedback_by(
    tastes: Tastes, owner: Ints, items: Ints, whose: Ints, groups: Mapping[str, tuple[Ints, Sequence[str]]]
) -> dict[str, Any]:
    """What each group of devices took, of choices [M], and the 95% intervals of that: for each way to part them,
    numbers [D] of names; nothing of a group whose choices are too few to tell. `whose` [D]: the devices' users."""
    found: dict[str, Any] = {}
    for way, (numbers, names) in groups.items():
        found[way] = {}
        for number, name in enumerate(names):
            of = np.flatnonzero(numbers[owner] == number)
            if len(of) < _LEAST:
                continue
            told = tastes.told(owner[of], items[of])
            taken = tastes.taken(owner[of], items[of], whose, np.flatnonzero(numbers == number))
            without = dict(zip(_NOW, taken.without_each(0, len(of)).T, strict=True))
            found[way][name] = {"choices": len(of)} | told | {"intervals": intervals_of(told, without)}
    return found


def feedback_section(tastes: Tastes, owner: Ints, items: Ints, t_s: Floats) -> dict[str, Any] | None:
    """What users took [M] in all, by stretches of equally many choices, and what moved from the first to the last of
    them; None where there are too few to tell."""
    each = len(items) // STRETCHES
    if each < _LEAST:
        return None
    order = np.argsort(t_s, kind="stable")
    parts = [order[n * each : (n + 1) * each] for n in range(STRETCHES)]
    told = [tastes.told(owner[part], items[part]) for part in parts]
    drift = {f"{name}_drift": round(told[-1][name] - told[0][name], _DIGITS) for name in told[0]}
    series = {name: [one[name] for one in told] for name in told[0]}
    over_time = {"choices": each, "from_s": [float(t_s[part[0]]) for part in parts], **series}
    return tastes.told(owner, items) | drift | {"over_time": over_time}


def feedback_without(tastes: Tastes, owner: Ints, items: Ints, t_s: Floats, whose: Ints) -> dict[str, Floats]:
    """What every figure of the same would be without each of the users [U]; `whose` [D]: those of the devices."""
    order = np.argsort(t_s, kind="stable")
    taken = tastes.taken(owner[order], items[order], whose, np.arange(len(whose)))
    each = len(items) // STRETCHES
    stretches = ((0, len(items)), ((STRETCHES - 1) * each, STRETCHES * each), (0, each))
    now, last, first = (taken.without_each(*stretch) for stretch in stretches)
    found = np.round(np.concatenate([now, last - first], axis=1), _DIGITS_WITHOUT)
    return dict(zip(BOUNDS, found.T, strict=True))


def intervals_of(told: Mapping[str, Any], without: Mapping[str, Floats]) -> dict[str, list[float]]:
    """The 95% intervals of figures that are `without` [U] each of the users."""
    return {name: interval_without(told[name], values, *BOUNDS[name]) for name, values in without.items()}
