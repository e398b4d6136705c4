"""Rankings of lists in compiled code, where so many are made that loading it pays.

What it knows: lists as the LLM made them, an SRM with a user state and one set of weights on the CPU, a fusion of both
ranks, and an uncertainty that hangs on both orders. All else is left to `slates`, and so is all without a compiler.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.candidates import CandidateSource
from fleetrec.models.runtime.threads import for_each
from fleetrec.simulator.core.machine_code import Demand
from fleetrec.simulator.ranking.histories import Histories
from fleetrec.simulator.ranking.list_view import ByRanks, Fusion
from fleetrec.simulator.ranking.srm_logits import StateScores

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_CODE = "fleetrec.simulator.ranking.compiled_place"
_PAYS = 200_000
"""rankings that save as much as loading the compiler and the machine code takes: 0.4 to 0.6 s"""
_PAYS_TO_COMPILE = 500_000
"""the same where it has to be made, which takes 2 to 3 s and is done once for a machine"""
_RANKINGS_PER_PIECE = 1_024

DEMAND = Demand(_CODE, "lists are ranked without compiled code", _PAYS, _PAYS_TO_COMPILE)


@dataclass(frozen=True)
class RankedLists:
    """How much both orders of lists [M] disagree: of `ScoredLists`, what `inconsistency` asks for."""

    rank_gap: Floats
    invalid_penalty: Floats
    count: Ints


@dataclass(frozen=True)
class OnePass:
    """Slates of fused lists, made by compiled code."""

    histories: Histories
    scores: StateScores
    source: CandidateSource
    fusion: Fusion
    hides_seen: bool

    def place(
        self, code: ModuleType, users: Ints, steps: Ints, as_of: Ints, targets: Ints, seen_upto: Ints
    ) -> tuple[Ints, RankedLists]:
        """Of queries [M] that have lists: ranks [M] of their targets, -1 where they are not shown, and what is known
        of the lists."""
        ranks, gaps, counts = (np.empty(len(users), dtype=np.int64) for _ in range(3))
        n = self.source.list_length
        by_ranks = self._by_ranks(n)

        def compute(some: Ints, *lists: Any) -> None:
            ranks[some], gaps[some], counts[some] = code.place(
                *lists, targets[some], seen_upto[some], self.hides_seen, *by_ranks
            )

        self._each(users, steps, as_of, compute)
        penalty = np.asarray((4.0 + 0.3 * (n - counts)) ** 2, dtype=np.float64)
        return ranks, RankedLists(gaps / np.maximum(counts, 1), penalty, counts)

    def screens(self, code: ModuleType, users: Ints, steps: Ints, as_of: Ints, seen_upto: Ints, depth: int) -> Ints:
        """Of queries [M] that have lists, the items [M, depth] at the first places, -1 past the last one."""
        items = np.empty((len(users), depth), dtype=np.int64)
        by_ranks = self._by_ranks(self.source.list_length)

        def compute(some: Ints, *lists: Any) -> None:
            items[some] = code.screens(*lists, seen_upto[some], self.hides_seen, *by_ranks, depth)

        self._each(users, steps, as_of, compute)
        return items

    def _by_ranks(self, n: int) -> ByRanks:
        by_ranks = self.fusion.of_ranks(n)
        assert by_ranks is not None
        return by_ranks

    def _each(self, users: Ints, steps: Ints, as_of: Ints, work: Callable[..., None]) -> None:
        """Do `work` for all queries [M], in pieces: with their numbers, and what compiled code reads of their states,
        lists and logs."""
        order = np.lexsort((as_of, users))
        users, as_of = users[order], as_of[order]
        fresh = np.ones(len(order), dtype=bool)
        fresh[1:] = (users[1:] != users[:-1]) | (as_of[1:] != as_of[:-1])
        starts = np.flatnonzero(fresh)
        lists = np.ascontiguousarray(self.source.lists(users[starts], as_of[starts]).items, dtype=np.int32)
        list_of, histories = np.cumsum(fresh) - 1, self.histories
        rows, begins = self.scores.places(users, steps[order]), histories.offsets[users]
        ends = begins + histories.lengths[users]

        def compute(part: slice) -> None:
            first = list_of[part.start]
            of = lists[first : list_of[part.stop - 1] + 1], list_of[part] - first
            work(order[part], *self.scores.tables(rows[part]), *of, histories.items, begins[part], ends[part])

        bounds = [*range(0, len(order), _RANKINGS_PER_PIECE), len(order)]
        for_each(compute, [slice(*pair) for pair in pairwise(bounds)])
