"""Which weights the SRM of a device has at a moment: a version of the fleet's and, on top of it, an own adaptation.

Every such pair that a device ever has gets a number, and slates are made by that number; 0 is the model of before the
stream. Scores of a version are computed when a ranking first needs them, for the steps from its release on only.
"""

from array import array
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from simulator.srm_scores import Floats, Ints, SrmScores

MakeScores = Callable[[], SrmScores]


class DeviceWeights:
    """The weights that devices have had so far, and the logits (`SrmScores`) of each."""

    def __init__(self, first: SrmScores):
        self._scores: list[SrmScores | None] = [first]
        self._make: list[MakeScores] = [lambda: first]
        self._version, self._adaptation = array("i", [0]), array("i", [0])

    def add_version(self, make: MakeScores) -> int:
        """A new version of the fleet's weights, whose scores `make` gives once they are needed; its number here."""
        self._scores.append(None)
        self._make.append(make)
        return self._add(len(self._scores) - 1, 0)

    def _add(self, version: int, adaptation: int) -> int:
        self._version.append(version)
        self._adaptation.append(adaptation)
        return len(self._version) - 1

    def version_of(self, weights: NDArray[np.int32] | Ints) -> NDArray[np.int32]:
        """The fleet's version of each [M]."""
        return np.array(self._version)[weights]

    def adaptation_of(self, weights: NDArray[np.int32] | Ints) -> NDArray[np.int32]:
        """How many times the device had adapted that version, of each [M]."""
        return np.array(self._adaptation)[weights]

    def make_ready(self, users: Ints, steps: Ints, weights: Ints) -> None:
        """Compute what the logits of these jobs [M] need; to be called before they are asked for, by one thread."""
        if len(self._scores) == 1:
            return
        for version in np.unique(self.version_of(weights)).tolist():
            self.scores(version)

    def scores(self, version: int) -> SrmScores:
        """The scores of a version."""
        scores = self._scores[version]
        if scores is None:
            scores = self._scores[version] = self._make[version]()
        return scores

    def of_lists(self, users: Ints, steps: Ints, items: Ints, weights: Ints) -> Floats:
        """See SrmScores."""
        if len(self._scores) == 1:
            return self.scores(0).of_lists(users, steps, items, weights)
        logits = np.empty((*steps.shape, items.shape[1]))
        for version, part in self._parts(weights):
            logits[part] = self.scores(version).of_lists(users[part], steps[part], items[part], weights[part])
        return logits

    def of_catalogue(self, users: Ints, steps: Ints, weights: Ints) -> Floats:
        """See SrmScores."""
        if len(self._scores) == 1:
            return self.scores(0).of_catalogue(users, steps, weights)
        parts = [
            (part, self.scores(version).of_catalogue(users[part], steps[part], weights[part]))
            for version, part in self._parts(weights)
        ]
        if len(parts) == 1:
            return parts[0][1]
        logits = np.empty((len(users), parts[0][1].shape[1]))
        for part, some in parts:
            logits[part] = some
        return logits

    def _parts(self, weights: Ints) -> list[tuple[int, Ints]]:
        """Of jobs by `weights` [M], those of each version."""
        version = self.version_of(weights)
        return [(one, np.flatnonzero(version == one)) for one in np.unique(version).tolist()]
