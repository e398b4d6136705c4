"""The users' logs as the engine reads them: flat arrays, positions, and who had which item when."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.ragged import ragged

Ints = NDArray[np.int64]

NEVER = np.int64(2**62)
"""Position of an item that a user never has."""


@dataclass(frozen=True)
class Histories:
    """All users' logs: the item of user u at position p is `items[offsets[u] + p]`."""

    offsets: Ints  # [U + 1]
    items: NDArray[np.int32]  # [E]
    n_items: int

    @cached_property
    def lengths(self) -> Ints:
        return np.diff(self.offsets)

    @cached_property
    def numbers(self) -> Ints:
        """[U] the place in the log of each user, by which its draws are keyed."""
        return np.arange(len(self.offsets) - 1)

    def item_at(self, users: Ints, positions: Ints) -> Ints:
        """Items at positions [M]; -1 past the end of a user's log."""
        inside = positions < self.lengths[users]
        rows = np.where(inside, self.offsets[users] + positions, 0)
        return np.where(inside, self.items[rows], -1).astype(np.int64)

    @cached_property
    def _first(self) -> tuple[Ints, Ints]:
        owners = np.repeat(np.arange(len(self.offsets) - 1), self.lengths)
        keys, rows = np.unique(owners * self.n_items + self.items, return_index=True)
        return keys, rows - self.offsets[owners[rows]]

    def first_position(self, users: Ints, items: Ints) -> Ints:
        """Position at which each user [M] first had each of its items [M, N]; NEVER where it never does."""
        keys, positions = self._first
        wanted = users[:, None] * self.n_items + items
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        return np.where((keys.take(place) == wanted) & (items >= 0), positions.take(place), NEVER)

    def seen_mask(self, users: Ints, upto: Ints) -> NDArray[np.bool_]:
        """Which catalogue items each user has had at positions <= upto: bool [M, n_items]."""
        mask = np.zeros((len(users), self.n_items), dtype=bool)
        rows, positions = ragged(np.clip(upto + 1, 0, self.lengths[users]))
        mask[rows, self.items[self.offsets[users][rows] + positions]] = True
        return mask
