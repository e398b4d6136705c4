"""Which weights the SRM of a device has at a moment: a version of the fleet's and, on top of it, an own adaptation.

Every such pair that a device ever has gets a number, and slates are made by that number; 0 is the model of before the
stream. What a number stands for is computed when a ranking first needs it, a version's states from its release on only.
"""

import copy
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.ranking.srm_logits import Floats, Ints, SrmScores, StateScores

if TYPE_CHECKING:
    from fleetrec.simulator.ranking.device_adapters import OwnWeights

MakeScores = Callable[[], SrmScores]

FIRST_WEIGHTS = 0
_FROM_THE_BEGINNING = -1


class DeviceWeights:
    """The weights that devices have had so far, and the logits (`SrmScores`) of each."""

    def __init__(self, first: SrmScores, own: "OwnWeights | None" = None):
        """`first`: the scores of before the stream; `own`: where devices adapt, what they learn."""
        self._own = own
        self._scores: list[SrmScores | None] = [self._adaptable(0, first)]
        self._make: list[MakeScores] = [lambda: first]
        self._version, self._adaptation = array("i", [0]), array("i", [0])
        self._parent, self._device, self._step = array("i", [-1]), array("i", [-1]), array("i", [-1])
        self._waiting: list[int] = []  # adaptations that have not been computed

    # ------------------------------------------------------------------------------------------ what there is

    def add_version(self, make: MakeScores) -> int:
        """A new version of the fleet's weights, whose scores `make` gives once they are needed; its number here."""
        self._scores.append(None)
        self._make.append(make)
        return self._add(len(self._scores) - 1, 0, _FROM_THE_BEGINNING, -1, -1)

    def adapt(self, device: int, step: int, before: int) -> int:
        """What a device has that trained on its history up to `step`, from the weights `before`; its number here."""
        number = self._adaptation[before] + 1
        parent = before if number > 1 else _FROM_THE_BEGINNING
        self._waiting.append(self._add(self._version[before], number, parent, device, step))
        return self._waiting[-1]

    def _add(self, version: int, adaptation: int, parent: int, device: int, step: int) -> int:
        for column, value in (
            (self._version, version),
            (self._adaptation, adaptation),
            (self._parent, parent),
            (self._device, device),
            (self._step, step),
        ):
            column.append(value)
        return len(self._version) - 1

    def version_of(self, weights: NDArray[np.int32] | Ints) -> NDArray[np.int32]:
        """The fleet's version of each [M]."""
        return np.array(self._version)[weights]

    def adaptation_of(self, weights: NDArray[np.int32] | Ints) -> NDArray[np.int32]:
        """How many times the device had adapted that version, of each [M]."""
        return np.array(self._adaptation)[weights]

    # ------------------------------------------------------------------------------------------ computing it

    def make_ready(self, users: Ints, steps: Ints, weights: Ints) -> None:
        """Compute what the logits of these queries [M] need; to be called before they are asked for, by one thread."""
        if len(self._version) == 1:
            self.scores(0).ready(users, steps)
            return
        version, adapted = self.version_of(weights), self.adaptation_of(weights) > 0
        for one in np.unique(version).tolist():
            self.scores(one).ready(users[version == one], steps[version == one])
        if self._waiting and adapted.any():
            self._learn()
        if self._own is not None:
            for one in np.unique(version[adapted]).tolist():
                of = adapted & (version == one)
                self._own.encode(one, users[of], steps[of], weights[of])

    def _learn(self) -> None:
        """All adaptations that wait, those of one device one after the other."""
        assert self._own is not None
        waiting, self._waiting = np.array(self._waiting, dtype=np.int64), []
        done = np.ones(len(self._version), dtype=bool)
        done[waiting] = False
        parents = np.array(self._parent, dtype=np.int64)
        version = np.array(self._version)
        columns = [np.array(column, dtype=np.int64) for column in (self._device, self._step)]
        while len(waiting):
            ready = (parents[waiting] < 0) | done[parents[waiting]]
            now = waiting[ready]
            for one in np.unique(version[now]).tolist():
                some = now[version[now] == one]
                scores = self.scores(one)
                assert isinstance(scores, StateScores)
                self._own.learn(one, scores, some, parents[some], *(column[some] for column in columns))
            done[now] = True
            waiting = waiting[~ready]

    def scores(self, version: int) -> SrmScores:
        """The scores of a version."""
        scores = self._scores[version]
        if scores is None:
            scores = self._scores[version] = self._adaptable(version, self._make[version]())
        return scores

    def rewind(self, users: Ints, lengths: Ints) -> None:
        """Of histories that grow: what these users [M] had beyond their first `lengths` [M] did not happen."""
        for scores in self._scores:
            if scores is not None:
                scores.rewind(users, lengths)

    def _adaptable(self, version: int, scores: SrmScores) -> SrmScores:
        """The same scores, which know of adaptations."""
        if self._own is None or not isinstance(scores, StateScores):
            return scores
        own, adaptable = self._own, copy.copy(scores)

        def adapt(states: Floats, users: Ints, steps: Ints, weights: Ints) -> Floats:
            rows = np.flatnonzero(self.adaptation_of(weights))
            if len(rows):
                states[rows] = own.adapted(version, states[rows], users[rows], steps[rows], weights[rows])
            return states

        adaptable.adapt = adapt
        return adaptable

    # ------------------------------------------------------------------------------------------ SrmScores

    def of_lists(self, users: Ints, steps: Ints, items: Ints, weights: Ints) -> Floats:
        """See SrmScores."""
        if len(self._scores) == 1:
            return self.scores(0).of_lists(users, steps, items, weights)
        logits = np.empty((*steps.shape, items.shape[1]))
        for version, part in self._parts(weights):
            logits[part] = self.scores(version).of_lists(users[part], steps[part], items[part], weights[part])
        return logits

    def ready(self, users: Ints, steps: Ints) -> None:
        """See SrmScores: of the weights of before the stream."""
        self.scores(0).ready(users, steps)

    def plain(self) -> StateScores | None:
        """See SrmScores."""
        return self.scores(0).plain() if len(self._version) == 1 else None

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

    def similarity(self, users: Ints, steps: Ints, others: Ints, weights: Ints) -> Floats:
        """See SrmScores."""
        if len(self._scores) == 1:
            return self.scores(0).similarity(users, steps, others, weights)
        cosine = np.empty(len(users))
        for version, part in self._parts(weights):
            cosine[part] = self.scores(version).similarity(users[part], steps[part], others[part], weights[part])
        return cosine

    def _parts(self, weights: Ints) -> list[tuple[int, Ints]]:
        """Of queries by `weights` [M], those of each version."""
        version = self.version_of(weights)
        return [(one, np.flatnonzero(version == one)) for one in np.unique(version).tolist()]
