"""Histories that grow while a run goes: those of users who choose what they have.

Every device has a user of its own: the log's history of before the run, then a place for each opportunity that its user
may take. What stands at a position is final once it has happened; what was written ahead of that may be taken back, and
everything that was computed of it goes with it (`rewind`).
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.ranking.histories import Histories, Ints


class GrowingHistories(Histories):
    """Histories with room: `items` is -1 where nothing has been had yet."""

    before: Ints
    """[U] interactions of each user before the run"""
    numbers: Ints
    """[U] the place in the log of each"""
    lengths: Ints
    """[U] interactions of each user so far, those written ahead included"""
    reached: NDArray[np.int32]
    """[E] beside the items: which interaction of its user the log has where each was had"""

    def __init__(self, offsets: Ints, items: NDArray[np.int32], n_items: int, before: Ints, numbers: Ints):
        super().__init__(offsets, items, n_items)
        reached = (np.arange(len(items)) - np.repeat(offsets[:-1], np.diff(offsets))).astype(np.int32)
        own = {"before": before, "numbers": numbers, "lengths": before.copy(), "reached": reached}
        for name, values in own.items():
            object.__setattr__(self, name, values)

    def append(self, users: Ints, items: Ints, opportunities: Ints) -> None:
        """One more item for each of these different users [M], had at an opportunity [M] of theirs, from 0."""
        at = self.offsets[users] + self.lengths[users]
        self.items[at], self.reached[at] = items, self.before[users] + opportunities
        self.lengths[users] += 1

    def rewind(self, users: Ints, lengths: Ints) -> None:
        """What these different users [M] had beyond their first `lengths` [M] did not happen."""
        self.lengths[users] = lengths

    @cached_property
    def _first(self) -> tuple[Ints, Ints]:
        """Of the items of before the run."""
        owners = np.repeat(np.arange(len(self.before)), self.before)
        rows = np.arange(len(owners)) - (np.cumsum(self.before) - self.before - self.offsets[:-1])[owners]
        keys, firsts = np.unique(owners * self.n_items + self.items[rows], return_index=True)
        return keys, (rows - self.offsets[owners])[firsts]

    def first_position(self, users: Ints, items: Ints) -> Ints:
        """See Histories."""
        first = super().first_position(users, items)
        before, grown = self.before[users], self.lengths[users] - self.before[users]
        at = np.arange(int(grown.max(initial=0)))[:, None]
        inside = at < grown
        had = np.where(inside, self.items[np.where(inside, (self.offsets[users] + before) + at, 0)], -2)
        named, since = items.astype(np.int32), np.full(items.shape, len(had), dtype=np.int32)
        for back in range(len(had) - 1, -1, -1):
            np.copyto(since, back, where=named == had[back][:, None])
        return np.where(since < len(had), np.minimum(first, before[:, None] + since), first)
