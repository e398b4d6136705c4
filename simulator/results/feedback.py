"""Feedback: how what users take moves, over the time of a run in which they choose among what they are shown.

Coverage and Gini hang on how many choices they are of, so a run is cut into stretches of equally many. Tastes are
places in a space that the training part of the log spans, of which no recommender of the run is told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # loads sparse where it is used: most runs need none of its linear algebra
from numpy.typing import NDArray

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
    sp = scipy.sparse
    had = sp.csr_matrix((np.ones(len(items)), (row, items)), shape=(int(row.max(initial=-1)) + 1, n_items))
    had.data[:] = 1.0
    wide = min(_DIMENSIONS, min(had.shape) - 1)
    if wide < 1:
        return np.zeros((n_items, 1))
    often = np.maximum(np.asarray(had.sum(axis=0)).ravel(), 1.0)
    weighed = had @ sp.diags(1.0 / np.sqrt(often))  # else the leading one is popularity
    _, size, vectors = sp.linalg.svds(weighed, k=wide, v0=np.ones(min(had.shape)), random_state=0)
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


@dataclass(frozen=True)
class Choices:
    """What the users of devices [D] took [M], of a catalogue whose items are so popular."""

    device: Ints
    item: Ints
    t_s: Floats
    own_taste: Floats
    """closeness of each to its user's earlier taste (`closeness`)"""
    popularity: Floats
    """[n_items] (`popularity_of`)"""
    owners: Ints
    """[D] the devices' users, clones being one user, in whose order they are told"""

    def told(self, some: Ints) -> dict[str, float]:
        """Coverage, Gini, popularity and closeness to the users' earlier taste, of `some` of them."""
        taken = np.bincount(self.item[some], minlength=len(self.popularity))
        popular, close = self._of(some).mean(axis=0).tolist()
        found = ((taken > 0).mean(), gini(taken), popular, close)
        return {name: round(float(value), _DIGITS) for name, value in zip(_NOW, found, strict=True)}

    def taken(self, some: Ints, among: Ints) -> Taken:
        """Those of `some`, in their order, of the devices that are `among` all."""
        users, numbers = np.unique(self.owners[among], return_inverse=True)
        number = np.zeros(len(self.owners), dtype=np.int64)
        number[among] = numbers
        whose = number[self.device[some]]
        return Taken(whose, self.item[some], self._of(some), len(users), len(self.popularity))

    @property
    def in_time(self) -> Ints:
        """[M] all of them in the order of time."""
        return np.argsort(self.t_s, kind="stable")

    def _of(self, some: Ints) -> Floats:
        """[M, 2]: how popular items are, and how close to the users' earlier taste."""
        return np.stack([self.popularity[self.item[some]], self.own_taste[some]], axis=1)


def closeness(vectors: Floats, owner: Ints, had: Ints, devices: int, device: Ints, item: Ints) -> Floats:
    """How close each item [M] that a device's user took is to what that one had before: of devices whose users are
    `owner` [E] of the items `had` [E]; `vectors` of items (`item_vectors`)."""
    past = np.stack([np.bincount(owner, vectors[had, d], minlength=devices) for d in range(vectors.shape[1])], 1)
    length = np.sqrt((past**2).sum(axis=1, keepdims=True))
    taste = past / np.where(length > 0, length, 1.0)
    return np.asarray((vectors[item] * taste[device]).sum(axis=1))


def feedback_by(choices: Choices, groups: Mapping[str, tuple[Ints, Sequence[str]]]) -> dict[str, Any]:
    """What each group of devices took, and the 95% intervals of that: for each way to part them, numbers [D] of names;
    nothing of a group whose choices are too few to tell."""
    found: dict[str, Any] = {}
    for way, (numbers, names) in groups.items():
        found[way] = {}
        for number, name in enumerate(names):
            of = np.flatnonzero(numbers[choices.device] == number)
            if len(of) < _LEAST:
                continue
            told, taken = choices.told(of), choices.taken(of, np.flatnonzero(numbers == number))
            without = dict(zip(_NOW, taken.without_each(0, len(of)).T, strict=True))
            found[way][name] = {"choices": len(of)} | told | {"intervals": intervals_of(told, without)}
    return found


def feedback_section(choices: Choices) -> dict[str, Any] | None:
    """What users took in all, by stretches of equally many choices, and what moved from the first to the last of them;
    None where there are too few to tell."""
    each, order = len(choices.item) // STRETCHES, choices.in_time
    if each < _LEAST:
        return None
    parts = [order[n * each : (n + 1) * each] for n in range(STRETCHES)]
    told = [choices.told(part) for part in parts]
    drift = {f"{name}_drift": round(told[-1][name] - told[0][name], _DIGITS) for name in told[0]}
    series = {name: [one[name] for one in told] for name in told[0]}
    over_time = {"choices": each, "from_s": [float(choices.t_s[part[0]]) for part in parts], **series}
    return choices.told(np.arange(len(order))) | drift | {"over_time": over_time}


def feedback_without(choices: Choices) -> dict[str, Floats]:
    """What every figure of the same would be without each of the users [U]."""
    taken, total = choices.taken(choices.in_time, np.arange(len(choices.owners))), len(choices.item)
    each = total // STRETCHES
    stretches = ((0, total), ((STRETCHES - 1) * each, STRETCHES * each), (0, each))
    now, last, first = (taken.without_each(*stretch) for stretch in stretches)
    found = np.round(np.concatenate([now, last - first], axis=1), _DIGITS_WITHOUT)
    return dict(zip(BOUNDS, found.T, strict=True))


def intervals_of(told: Mapping[str, Any], without: Mapping[str, Floats]) -> dict[str, list[float]]:
    """The 95% intervals of figures that are `without` [U] each of the users."""
    return {name: interval_without(told[name], values, *BOUNDS[name]) for name, values in without.items()}
