"""A user's own LLM's answers to the log, shown to users who part from it: of each the latest list made so far.

A list speaks of what its user had in the log, whatever that user has had instead. It is made at the interaction of the
log that it is as of: at that moment, where times are the log's own, else once the user has had as many interactions.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.candidates import CandidateLists
from fleetrec.models.llm.source_inputs import Grown
from fleetrec.models.llm.table import TableCandidates
from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.models.runtime.errors import InputError

Ints = NDArray[np.int64]


class LatestOfTable:
    """Candidate lists of a table for histories that grow."""

    name = "table"

    def __init__(self, table: TableCandidates, grown: Grown, offsets: Ints, path: str, required: bool):
        """`table` holds the log as it was, and lets older lists stand in; `offsets` [U+1] of the log as it grows.

        `required`: InputError, which names the table at `path`, where a user has no list yet.
        """
        self.list_length = table.list_length
        self.content_hash = content_hash("latest", table.content_hash, grown.numbers, offsets, required)
        self._table, self._grown, self._offsets, self._path, self._required = table, grown, offsets, path, required
        self._reached = grown.reached if table.table.times else None

    def lists(self, users: Ints, as_of: Ints) -> CandidateLists:
        """See CandidateSource.lists. `as_of` of the answer is the first interaction of its user, in the history that
        has grown, at which the list had been made."""
        reached = as_of
        if self._reached is not None:
            reached = np.where(as_of >= 0, self._reached[self._offsets[users] + np.maximum(as_of, 0)], -1)
        found = self._table.lists(self._grown.numbers[users], reached)
        if self._required and not found.found.all():
            none = int(np.flatnonzero(~found.found)[0])
            user = self._grown.log.user_ids[self._grown.numbers[users[none]]]
            raise InputError(
                f"{self._path}: user {user!r} has no list by interaction {as_of[none]} of this run (from 0); add one, "
                "or set llm.candidates.missing to previous or fail_request"
            )
        return replace(found, as_of=self._first_at(users, as_of, found))

    def _first_at(self, users: Ints, as_of: Ints, found: CandidateLists) -> Ints:
        """[M]: from which interaction on each list is there."""
        first = np.where(found.found, found.as_of, as_of)
        if self._reached is not None:
            for row in np.flatnonzero(found.found & (first >= 0)).tolist():
                begin = self._offsets[users[row]]
                first[row] = np.searchsorted(self._reached[begin : begin + as_of[row] + 1], first[row])
        return first
