"""Slates as pure functions: where an item stands in the slate made of a candidate list, a history and the models.

A query names everything a slate depends on, so any number of queries may be computed in any order and company with the
same result: SRM states and item vectors are multiples of 2^-16 and their products are summed exactly in float64.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.baselines import Baseline
from fleetrec.models.best_columns import best_columns
from fleetrec.models.candidates import CandidateSource
from fleetrec.models.runtime.threads import for_each
from fleetrec.simulator.ranking.growing import GrowingHistories
from fleetrec.simulator.ranking.histories import Histories
from fleetrec.simulator.ranking.list_view import Fusion, ListView, UncertaintyScore
from fleetrec.simulator.ranking.one_pass import DEMAND, OnePass
from fleetrec.simulator.ranking.scored_lists import (
    ScoredLists,
    best_shown,
    inconsistency,
    rank_of,
    with_floor,
)
from fleetrec.simulator.ranking.srm_logits import SrmScores

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_STEPS_PER_LIST = 8
_LISTS_PER_BLOCK = 128
CATALOGUE_BLOCK = 256
_GROWING = 4
"""rankings of histories that were always so long that take as much time, without compiled code, as one of those that
grow"""


@dataclass(frozen=True)
class Queries:
    """Slates to place a target in; every array has one entry a query [M]."""

    user: Ints
    step: Ints
    """newest interaction that the SRM has seen"""
    as_of: Ints
    """newest interaction that the candidate list has seen; -1: the device has no list"""
    target: Ints
    """the item to place; -1: none"""
    seen_upto: Ints
    """newest interaction whose item has left the slate, where seen items do"""
    weights: Ints
    """what the SRM on the device had learnt: a number of `DeviceWeights`; 0: the weights of before the stream"""

    def __len__(self) -> int:
        return len(self.user)

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_] | slice) -> "Queries":
        """The queries at `index`."""
        columns = (self.user, self.step, self.as_of, self.target, self.seen_upto, self.weights)
        return Queries(*(column[index] for column in columns))


class Slates(Protocol):
    """A kind of slate."""

    def place(self, queries: Queries) -> tuple[Ints, Floats]:
        """0-based rank of each target (-1: absent) and the inconsistency of each list (NaN: no list), both [M]."""


def blocks(total: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


class CatalogueScores(Protocol):
    """What orders the whole catalogue: `SrmScores`, or a baseline."""

    def of_catalogue(self, users: Ints, steps: Ints, weights: Ints) -> Floats:
        """See SrmScores."""


class CatalogueSlates:
    """The SRM alone (or a baseline) over the whole catalogue: its best `length` items that the user has not had."""

    def __init__(self, histories: Histories, scores: CatalogueScores, length: int, exclude_seen: bool):
        self._histories, self._scores = histories, scores
        self._length, self._exclude_seen = length, exclude_seen

    def place(self, queries: Queries) -> tuple[Ints, Floats]:
        ranks = np.empty(len(queries), dtype=np.int64)

        def compute(block: slice) -> None:
            ranks[block] = self._place(queries.take(block))

        for_each(compute, blocks(len(queries), CATALOGUE_BLOCK))
        return ranks, np.full(len(queries), np.nan)

    def _place(self, queries: Queries) -> Ints:
        logits = self._scores.of_catalogue(queries.user, queries.step, queries.weights)
        shown = np.isfinite(logits)
        if self._exclude_seen:
            shown &= ~self._histories.seen_mask(queries.user, queries.seen_upto)
        ranks = rank_of(queries.target, logits, shown)
        return np.where(ranks < self._length, ranks, -1)

    def screens(self, queries: Queries, depth: int) -> Ints:
        """The items [M, depth] at the first places, -1 past the last one: `place` finds each of them where it is."""
        items = np.empty((len(queries), depth), dtype=np.int64)

        def compute(block: slice) -> None:
            here = queries.take(block)
            logits = self._scores.of_catalogue(here.user, here.step, here.weights)
            shown = np.isfinite(logits)
            if self._exclude_seen:
                shown &= ~self._histories.seen_mask(here.user, here.seen_upto)
            items[block] = best_shown(np.arange(logits.shape[1])[None], logits, shown, min(depth, self._length), depth)

        for_each(compute, blocks(len(queries), CATALOGUE_BLOCK))
        return items

    def top(self, users: Ints, steps: Ints, weights: Ints) -> tuple[Ints, Floats]:
        """The slate itself, items [M, length] best first (-1 past its end), and all logits [M, n_items]."""
        logits = self._scores.of_catalogue(users, steps, weights)
        ranked = logits.copy()
        if self._exclude_seen:
            ranked[self._histories.seen_mask(users, steps)] = -np.inf
        best = best_columns(ranked, min(self._length, ranked.shape[1]))
        short = self._length - best.shape[1]
        return np.pad(best, ((0, 0), (0, short)), constant_values=-1) if short > 0 else best, logits


class BaselineSlates:
    """A baseline's best `length` items that the user has not had, made on the device from its own history."""

    def __init__(self, baseline: Baseline, n_items: int, length: int, exclude_seen: bool):
        self._baseline, self._n_items = baseline, n_items
        self._length, self._exclude_seen = length, exclude_seen

    def place(self, queries: Queries) -> tuple[Ints, Floats]:
        wanted = queries.target >= 0
        ranks = np.full(len(queries), -1, dtype=np.int64)
        some = queries.take(wanted)
        seen = some.seen_upto if self._exclude_seen else None
        ranks[wanted] = self._baseline.ranks(some.user, some.step, some.target, seen, self._n_items)
        return np.where(ranks < self._length, ranks, -1), np.full(len(queries), np.nan)


class Targets(NamedTuple):
    """The targets of those queries [M] whose lists have them."""

    query: Ints
    """its number"""
    place: Ints
    """in its list"""
    view: ListView
    shown: NDArray[np.bool_]
    """which items of its list are on screen [M, N]"""


class ListSlates:
    """The paper's slate: the LLM's candidate list, re-ranked by the SRM on the newest history and fused.

    `uncertainty` is what the request policy looks at; one that looks at no ranking has none. It looks at the list as it
    was received. With `refill`, items that the user has had by the time of the ranking give their places to the SRM's
    best of the catalogue that are not in the list, which have LLM rank N.
    """

    def __init__(
        self,
        histories: Histories,
        scores: SrmScores,
        source: CandidateSource,
        fusion: Fusion,
        fallback: Slates,
        exclude_seen: bool,
        uncertainty: UncertaintyScore | None = None,
        refill: bool = False,
    ):
        self._histories, self._scores, self._source = histories, scores, source
        self._fusion, self._fallback = fusion, fallback
        self._exclude_seen, self._uncertainty = exclude_seen, uncertainty
        self._own = CatalogueSlates(histories, scores, source.list_length, exclude_seen)
        self._refill = refill

    def with_refill(self, refill: bool) -> "ListSlates":
        """The same slates, refilled or not."""
        kept = self._histories, self._scores, self._source, self._fusion, self._fallback
        return type(self)(*kept, self._exclude_seen, self._uncertainty, refill)

    def place(self, queries: Queries) -> tuple[Ints, Floats]:
        ranks, disagreement, _ = self._place(queries, None)
        return ranks, disagreement

    def place_and_score(self, queries: Queries) -> tuple[Ints, Floats, Floats]:
        """As `place`, and the uncertainty [M] of each device in its list (infinite: it has none)."""
        return self._place(queries, self._uncertainty)

    def _place(self, queries: Queries, uncertainty: UncertaintyScore | None) -> tuple[Ints, Floats, Floats]:
        ranks = np.full(len(queries), -1, dtype=np.int64)
        disagreement, scores = np.full(len(queries), np.nan), np.full(len(queries), np.inf)
        without = np.flatnonzero(queries.as_of < 0)
        if len(without):
            ranks[without] = self._fallback.place(queries.take(without))[0]
        one_pass = self._one_pass(uncertainty)
        code = self._code(len(queries)) if one_pass is not None else None
        if one_pass is not None and code is not None:
            having = np.flatnonzero(queries.as_of >= 0)
            here = queries.take(having)
            asked = here.user, here.step, here.as_of, here.target, here.seen_upto
            ranks[having], compared = one_pass.place(code, *asked)
            disagreement[having] = inconsistency(compared)
            if uncertainty is not None:
                scores[having] = uncertainty(self._seen_by(here, here.target[:, None], cast(ScoredLists, compared)))
            return ranks, disagreement, scores

        def compute(chosen: Ints, view: ListView) -> None:
            here = queries.take(chosen)
            ranks[chosen] = self._ranks(here, view)
            disagreement[chosen] = inconsistency(view.lists)
            if uncertainty is not None:
                scores[chosen] = uncertainty(view)

        self.look(queries, compute)
        return ranks, disagreement, scores

    def _one_pass(self, uncertainty: UncertaintyScore | None) -> OnePass | None:
        """What ranks in compiled code; None where that does not know these slates or this score."""
        of_ranks, states = self._fusion.of_ranks(self._source.list_length) is not None, self._scores.plain()
        plain = of_ranks and type(self) is ListSlates and not self._refill
        if states is None or not (plain and getattr(uncertainty, "of_ranks", uncertainty is None)):
            return None
        return OnePass(self._histories, states, self._source, self._fusion, self._exclude_seen)

    def _code(self, rankings: int) -> ModuleType | None:
        grows = isinstance(self._histories, GrowingHistories)
        return DEMAND.code(rankings * _GROWING if grows else rankings)

    def screens(self, queries: Queries, depth: int) -> Ints:
        """The items [M, depth] at the first places, -1 past the last one: `place` finds each of them where it is."""
        items = np.full((len(queries), depth), -1, dtype=np.int64)
        without = np.flatnonzero(queries.as_of < 0)
        if len(without):
            assert isinstance(self._fallback, CatalogueSlates)
            items[without] = self._fallback.screens(queries.take(without), depth)
        one_pass = self._one_pass(None)
        code = self._code(len(queries)) if one_pass is not None else None
        if one_pass is not None and code is not None:
            having = np.flatnonzero(queries.as_of >= 0)
            here = queries.take(having)
            items[having] = one_pass.screens(code, here.user, here.step, here.as_of, here.seen_upto, depth)
            return items

        def compute(chosen: Ints, view: ListView) -> None:
            items[chosen] = self._screens(queries.take(chosen), view, depth)

        self.look(queries, compute)
        return items

    def look(self, queries: Queries, work: Callable[[Ints, ListView], None]) -> None:
        """Do `work` for all queries that have a list, in blocks: with their numbers, and what their devices see."""
        having = np.flatnonzero(queries.as_of >= 0)
        keys = queries.step, queries.weights, queries.as_of, queries.user
        order = having[np.lexsort([key[having] for key in keys])]
        user, as_of, weights = queries.user[order], queries.as_of[order], queries.weights[order]
        fresh = np.ones(len(order), dtype=bool)
        fresh[1:] = (user[1:] != user[:-1]) | (as_of[1:] != as_of[:-1]) | (weights[1:] != weights[:-1])
        starts = np.flatnonzero(fresh)
        within = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
        slot = within % _STEPS_PER_LIST
        group = np.cumsum(slot == 0) - 1
        by_size = np.argsort(np.bincount(group)[group], kind="stable")  # a block is as wide as its largest group
        order, slot = order[by_size], slot[by_size]
        group = np.cumsum(slot == 0) - 1
        leader = order[slot == 0]
        lists = self._source.lists(queries.user[leader], queries.as_of[leader]).items

        def compute(block: slice) -> None:
            low, high = np.searchsorted(group, [block.start, block.stop])
            chosen = order[low:high]
            items = lists[block].astype(np.int64)
            work(chosen, self._view(queries.take(chosen), items, group[low:high] - block.start, slot[low:high]))

        for_each(compute, blocks(len(leader), _LISTS_PER_BLOCK))

    def _view(self, queries: Queries, items: Ints, group: Ints, slot: Ints) -> ListView:
        """Queries that share lists `items` [G, N] and weights; `group` [M] numbers the list, `slot` [M] the step."""
        count, width = len(items), int(slot.max()) + 1
        leader = np.flatnonzero(slot == 0)
        steps = np.broadcast_to(queries.step[leader][:, None], (count, width)).copy()
        steps[group, slot] = queries.step
        users, named = queries.user[leader], items.take(group, axis=0)
        valid = named >= 0
        logits = self._scores.of_lists(users, steps, items, queries.weights[leader]).reshape(count * width, -1)
        lists = ScoredLists.of(with_floor(logits.take(group * width + slot, axis=0), valid), valid)
        return self._seen_by(queries, named, lists)

    def _seen_by(self, queries: Queries, items: Ints, lists: ScoredLists, received: ListView | None = None) -> ListView:
        own = queries.user, queries.step, queries.as_of, queries.weights
        return ListView(*own, items, lists, self._histories, self._scores, received)

    def _own_best(self, queries: Queries, named: Ints) -> tuple[Ints, Floats]:
        """The SRM's own best items [M, N] that `named` [M, N] has not, -1 elsewhere; all logits [M, n_items]."""
        own, catalogue = self._own.top(queries.user, queries.step, queries.weights)
        named_set = np.zeros((len(queries), catalogue.shape[1] + 1), dtype=bool)
        np.put_along_axis(named_set, named, True, axis=1)  # -1 lands in the spare last column
        return np.where(np.take_along_axis(named_set, own, axis=1), -1, own), catalogue

    def _refilled(self, queries: Queries, view: ListView) -> ListView:
        """The lists, as long as they were, with other items for those that their users have had."""
        n = view.items.shape[1]
        had = view.lists.valid & (view.first <= queries.step[:, None])
        own, catalogue = self._own_best(queries, view.items)
        filling = (own >= 0) & (np.cumsum(own >= 0, axis=1) <= had.sum(axis=1, keepdims=True))
        kept = np.concatenate([view.lists.valid & ~had, filling], axis=1)
        place = np.argsort(~kept, axis=1, kind="stable")[:, :n]
        valid = np.take_along_axis(kept, place, axis=1)
        items = np.where(valid, np.take_along_axis(np.concatenate([view.items, own], axis=1), place, axis=1), -1)
        rank = np.concatenate([view.lists.llm_rank, np.full(own.shape, float(n))], axis=1)
        logits = with_floor(np.take_along_axis(catalogue, np.maximum(items, 0), axis=1), valid)
        lists = ScoredLists(logits, valid, np.take_along_axis(rank, place, axis=1))
        return self._seen_by(queries, items, lists, view)

    def _ranks(self, queries: Queries, view: ListView) -> Ints:
        """0-based rank [M] of each target in the fused slate; -1 where it is not shown."""
        return self.ranks(self._targets(np.arange(len(queries)), queries, view), len(queries))

    def targets(self, queries: Queries) -> list[Targets]:
        """Where the targets of queries stand in their lists, whatever the fusion: what `ranks` are found of."""
        found: list[Targets] = []
        self.look(queries, lambda chosen, view: found.extend(self._targets(chosen, queries.take(chosen), view)))
        return found

    def ranks(self, targets: Iterable[Targets], queries: int) -> Ints:
        """0-based rank in the fused slate of each of so many queries that have a list; -1 where its target is not
        shown."""
        ranks = np.full(queries, -1, dtype=np.int64)
        for held in targets:
            ranks[held.query] = rank_of(held.place, self._fusion(held.view), held.shown)
        return ranks

    def _targets(self, numbers: Ints, queries: Queries, view: ListView) -> Iterator[Targets]:
        """Those of queries with these numbers. Only those are fused that have their target at all."""
        for rows, seen in self._on_screen(queries, view):
            match = (seen.items == queries.target[rows, None]) & seen.lists.valid
            having, place = np.divmod(np.flatnonzero(match), match.shape[1])
            rows, here = rows[having], seen.take(having)
            yield Targets(numbers[rows], place, here, self._shown(here, queries.seen_upto[rows]))

    def _on_screen(self, queries: Queries, view: ListView) -> Iterator[tuple[Ints, ListView]]:
        """The queries in pieces, with their lists as they are fused: refilled, where these slates are."""
        if not self._refill:
            yield np.arange(len(queries)), view
            return
        lacking = (view.lists.valid & (view.first <= queries.step[:, None])).any(axis=1)
        whole, lacks = np.flatnonzero(~lacking), np.flatnonzero(lacking)
        yield whole, view.take(whole)
        for block in blocks(len(lacks), CATALOGUE_BLOCK):
            rows = lacks[block]
            yield rows, self._refilled(queries.take(rows), view.take(rows))

    def _shown(self, view: ListView, seen_upto: Ints) -> NDArray[np.bool_]:
        """Which items [M, N] of lists are on screen."""
        return view.lists.valid & (view.first > seen_upto[:, None]) if self._exclude_seen else view.lists.valid

    def _screens(self, queries: Queries, view: ListView, depth: int) -> Ints:
        """The items [M, depth] at the first places of the fused slates."""
        items, most = np.empty((len(queries), depth), dtype=np.int64), min(depth, self._source.list_length)
        for rows, seen in self._on_screen(queries, view):
            shown = self._shown(seen, queries.seen_upto[rows])
            items[rows] = best_shown(seen.items, self._fusion(seen), shown, most, depth)
        return items
