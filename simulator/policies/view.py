"""What a device knows of its candidate list at one step: the ground on which it fuses, and on which it may ask anew."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simulator.histories import Histories
from simulator.policies.fusion import ScoredLists

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

NEWEST = 8
"""at most so many interactions since the list's own history are looked back at"""


class ListScores(Protocol):
    """The SRM on the device, exact whatever the company of a job."""

    def of_lists(self, users: Ints, steps: Ints, items: Ints) -> Floats:
        """Logits [G, W, N] of candidates [G, N] after the histories (users [G], steps [G, W])."""

    def similarity(self, users: Ints, steps: Ints, others: Ints) -> Floats:
        """Cosine [M] of the user states after `steps` and after `others`; 1 for an SRM without a user state."""


@dataclass(frozen=True)
class ListView:
    """Devices that look at their lists; every array has one entry a job [M]."""

    user: Ints
    step: Ints
    """newest interaction of the device"""
    as_of: Ints
    """newest interaction that the list has seen"""
    items: Ints  # [M, N], -1 invalid
    lists: ScoredLists  # [M, N]
    first: Ints  # [M, N] position at which the user first has each candidate (histories.NEVER: never)
    histories: Histories
    scores: ListScores

    @cached_property
    def age(self) -> Ints:
        """Interactions [M] that the list has not seen."""
        return self.step - self.as_of

    @cached_property
    def newest(self) -> tuple[Ints, NDArray[np.bool_]]:
        """Positions [M, NEWEST] of the newest interactions, newest first, and which of them the list has not seen."""
        positions = self.step[:, None] - np.arange(NEWEST)
        return positions, positions > self.as_of[:, None]

    @cached_property
    def places(self) -> Ints:
        """Where those interactions' items stand in the list [M, NEWEST]; -1: seen by the list, or absent."""
        positions, unseen = self.newest
        had = np.where(unseen, self.histories.item_at(self.user[:, None], np.maximum(positions, 0)), -2)
        places = np.full(had.shape, -1, dtype=np.int64)
        for back in range(min(NEWEST, int(self.age.max(initial=0)))):
            match = self.items == had[:, back : back + 1]
            places[:, back] = np.where(match.any(axis=1), match.argmax(axis=1), -1)
        return places

    @cached_property
    def similarity(self) -> Floats:
        """Cosine [M] of the SRM's states now and at the end of the list's history."""
        return self.scores.similarity(self.user, self.step, self.as_of)
