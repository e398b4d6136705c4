"""Candidate lists of the user's own code: what it gives is checked, and what it raises is told with its line."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.candidates import CandidateLists
from fleetrec.models.llm.source_inputs import SourceInputs
from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.sequences import learning_data

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Histories(Sequence[Ints]):
    """What M users have had, oldest first: `histories[i]` holds items (from 0) of user `users[i]`."""

    items: tuple[Ints, ...]
    users: Ints
    """[M], from 0"""
    list_length: int
    """different items that each list must have"""
    n_items: int
    hides_seen: bool
    """whether items that a user has had leave the slate, so that they are wasted on a list"""

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    def __iter__(self) -> Iterator[Ints]:
        return iter(self.items)


class OwnCandidates:
    """A CandidateSource that asks an object of the user's own."""

    def __init__(
        self,
        own: Any,
        name: str,
        used: Mapping[str, Any],
        inputs: SourceInputs,
        place: str,
        guard: Callable[[str], AbstractContextManager[None]],
    ):
        """`used`: its class, its keys and the digest of its source; `place`: where its class stands; `guard` watches
        its methods."""
        self.name, self.list_length = name, inputs.list_length
        log, self._inputs = inputs.log, inputs
        self._own, self._place, self._guard = own, place, guard
        known = [log.titles, log.item_ids, inputs.data.content_hash]
        self.content_hash = content_hash(
            "own", used, known, log.offsets, log.items, inputs.list_length, inputs.exclude_seen
        )
        self._asked = False

    def lists(self, users: Ints, as_of: Ints) -> CandidateLists:
        """See CandidateSource.lists. No list is found at as_of = -1."""
        items = np.full((len(users), self.list_length), -1, dtype=np.int32)
        found = as_of >= 0
        rows = np.flatnonzero(found)
        if len(rows):
            if not self._asked:
                self._begin(users[rows[0]], as_of[rows[0]])
            items[rows] = self._answer(users[rows], as_of[rows])
        return CandidateLists(items=items, found=found, as_of=as_of.copy())

    def _begin(self, user: int, as_of: int) -> None:
        """Fit it, and ask for one list by itself and in company."""
        log, data = self._inputs.log, self._inputs.data
        if hasattr(self._own, "fit"):
            with self._guard(f"{self._place}.fit"):
                self._own.fit(learning_data(data, log.titles, log.item_ids))
        self._asked = True
        one = np.array([user]), np.array([as_of])
        alone = self._answer(*one)
        other = np.array([user, user]), np.array([0, as_of])
        if not np.array_equal(self._answer(*other)[1:], alone):
            raise InputError(
                f"{self._place}.candidates gives a history another list in other company, or another time; make each "
                "list of its own history alone"
            )

    def _answer(self, users: Ints, as_of: Ints) -> NDArray[np.int32]:
        log, place = self._inputs.log, f"{self._place}.candidates"
        n_items = len(log.item_ids)
        begin = log.offsets[users]
        histories = tuple(
            log.items[first:end].astype(np.int64) for first, end in zip(begin, begin + as_of + 1, strict=True)
        )
        asked = Histories(histories, users, self.list_length, n_items, self._inputs.exclude_seen)
        with self._guard(place):
            given = self._own.candidates(asked)
            rows = [np.asarray(row) for row in given]
        if len(rows) != len(histories):
            raise InputError(f"{place} returned {len(rows)} lists of {len(histories)} histories; return one for each")
        kept = min(self.list_length, n_items)
        answer = np.full((len(rows), self.list_length), -1, dtype=np.int32)
        for number, row in enumerate(rows):
            if row.ndim != 1 or row.dtype.kind not in "iu":
                raise InputError(f"{place} returned a list of {row.dtype} {row.shape}; return item numbers, best first")
            if len(row) < kept:
                raise InputError(f"{place} returned a list of {len(row)} items; return {kept} (histories.list_length)")
            row = row[:kept]
            if row.min() < 0 or row.max() >= n_items:
                wrong = row[(row < 0) | (row >= n_items)][0]
                raise InputError(f"{place} returned item {wrong}; items are numbered from 0 to {n_items - 1}")
            if len(np.unique(row)) < kept:
                values, counts = np.unique(row, return_counts=True)
                raise InputError(f"{place} returned item {values[counts > 1][0]} twice in a list; name each once")
            answer[number, :kept] = row
        return answer
