"""Rankings of lists in compiled code, where so many are made that loading it pays.

What it knows: lists as the LLM made them, an SRM with a user state and one set of weights on the CPU, a fusion of both
ranks, and an uncertainty that hangs on both orders. All else is left to `slates`, and so is all without a compiler.
"""

import math
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.candidates import CandidateSource
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.threads import for_each
from fleetrec.simulator.cloud.compiled.loading import key_of, machine_code, switched_off
from fleetrec.simulator.ranking.histories import Histories
from fleetrec.simulator.ranking.list_view import Fusion
from fleetrec.simulator.ranking.srm_logits import StateScores

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_CODE = "fleetrec.simulator.ranking.compiled_place"
"""looked up where it is asked for, since it imports the compiler"""
_PAYS = 200_000
"""rankings that save as much as loading the compiler and the machine code takes: 0.4 to 0.6 s"""
_PAYS_TO_COMPILE = 500_000
"""the same where it has to be made, which takes 2 to 3 s and is done once for a machine"""
_RANKINGS_PER_PIECE = 8_192


class Demand:
    """How many rankings this process has asked for, and the machine code once that pays."""

    def __init__(self) -> None:
        self.rankings = 0
        self._asks_from = 0.0  # so that it is not looked for with every few rankings
        self._code: ModuleType | None = None

    def code(self, more: int) -> ModuleType | None:
        """The machine code, where the rankings so far and `more` took longer without it than it takes to load, or to
        make; None: they are made without."""
        self.rankings += more
        if self._code is None and self.rankings >= self._asks_from:
            self._code = self._found()
        return None if switched_off() else self._code

    def _found(self) -> ModuleType | None:
        if self.rankings < _PAYS:
            return None
        makes = self.rankings >= _PAYS_TO_COMPILE
        self._asks_from = math.inf if makes else _PAYS_TO_COMPILE
        if switched_off() or find_spec("numba") is None:
            return None
        known = makes or ArtifactStore().has("compiled", key_of(_CODE))
        return machine_code(_CODE, "lists are ranked without compiled code") if known else None


DEMAND = Demand()


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
        order = np.lexsort((as_of, users))
        users, as_of = users[order], as_of[order]
        fresh = np.ones(len(order), dtype=bool)
        fresh[1:] = (users[1:] != users[:-1]) | (as_of[1:] != as_of[:-1])
        starts = np.flatnonzero(fresh)
        lists = np.ascontiguousarray(self.source.lists(users[starts], as_of[starts]).items, dtype=np.int32)
        list_of, n = np.cumsum(fresh) - 1, lists.shape[1]
        log, offsets = self.histories.items, self.histories.offsets
        rows, begins, ends = self.scores.places(users, steps[order]), offsets[users], offsets[users + 1]
        targets, seen_upto = targets[order], seen_upto[order]
        ranks, gaps, counts = (np.empty(len(order), dtype=np.int64) for _ in range(3))
        by_ranks = self.fusion.of_ranks(n)
        assert by_ranks is not None

        def compute(part: slice) -> None:
            first = list_of[part.start]
            of = lists[first : list_of[part.stop - 1] + 1], list_of[part] - first, log, begins[part], ends[part]
            asked = targets[part], seen_upto[part], self.hides_seen
            found = code.place(*self.scores.tables(rows[part]), *of, *asked, *by_ranks)
            for column, values in zip((ranks, gaps, counts), found, strict=True):
                column[order[part]] = values

        bounds = [*range(0, len(order), _RANKINGS_PER_PIECE), len(order)]
        for_each(compute, [slice(*pair) for pair in pairwise(bounds)])
        return ranks, RankedLists(gaps / np.maximum(counts, 1), (4.0 + 0.3 * (n - counts)) ** 2, counts)
