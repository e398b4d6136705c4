"""What a device knows of its candidate list at one step: the ground on which it fuses, and on which it may ask anew."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.ranking.histories import Histories
from fleetrec.simulator.ranking.scored_lists import ScoredLists
from fleetrec.simulator.ranking.srm_logits import SrmScores
from fleetrec.simulator.scenario import sections

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

NEWEST = 8
"""at most so many interactions since the list's own history are looked back at"""


@dataclass(frozen=True)
class ListView:
    """Devices that look at their lists; every array has one entry a query [M]."""

    user: Ints
    step: Ints
    """newest interaction of the device"""
    as_of: Ints
    """newest interaction that the list has seen"""
    weights: Ints
    """what the SRM on the device has learnt (`DeviceWeights`)"""
    items: Ints  # [M, N], -1 invalid
    lists: ScoredLists  # [M, N]
    histories: Histories
    scores: SrmScores
    received: "ListView | None" = None
    """of the list as it was received, where items that its user has had since have been replaced in this one"""

    def take(self, index: Ints) -> "ListView":
        """The queries at `index`."""
        user, step, as_of, weights, items = (
            each[index] for each in (self.user, self.step, self.as_of, self.weights, self.items)
        )
        received = None if self.received is None else self.received.take(index)
        lists = self.lists.take(index)
        return ListView(user, step, as_of, weights, items, lists, self.histories, self.scores, received)

    @cached_property
    def first(self) -> Ints:
        """Position [M, N] at which the user first has each candidate; histories.NEVER: never."""
        fresh = np.ones(len(self.user), dtype=bool)  # queries of one list come one after the other
        fresh[1:] = (self.user[1:] != self.user[:-1]) | (self.items[1:] != self.items[:-1]).any(axis=1)
        of_lists = self.histories.first_position(self.user[fresh], self.items[fresh])
        return np.asarray(of_lists.take(np.cumsum(fresh) - 1, axis=0))

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
        """Where those interactions' items stood in the list [M, NEWEST]; -1: seen by the list, or absent."""
        if self.received is not None:
            return self.received.places
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
        return self.scores.similarity(self.user, self.step, self.as_of, self.weights)


def looks_back(policy: sections.Policy) -> bool:
    """Whether a policy needs states from before the newest interaction, as far back as the list's own history."""
    return policy.fusion.looks_back or policy.request.looks_back


UncertaintyScore = Callable[[ListView], Floats]
"""Uncertainty [M] of devices in their lists; infinite for a list without a valid candidate."""
ByRanks = tuple[Floats, Floats]
"""what a place in the LLM's order [N] and one in the SRM's [N] give to a candidate's score"""


class Fusion(Protocol):
    """How both orders of lists make slates."""

    def __call__(self, view: ListView) -> Floats:
        """Scores [M, N] of the candidates, higher is better, on a grid (policies/fusion/scores.py)."""

    def of_ranks(self, n: int) -> ByRanks | None:
        """What the ranks in lists of `n` give, where a score is the sum of what two ranks give; None: it is another."""


Show = Callable[[ListView, Floats], Ints]
"""Items [M, K] on screens, of lists and their fused scores."""
