"""Slates of lists that are not the LLM's alone: joined with the SRM's own best, or what a function puts on screens."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.ranking.list_view import ListView, Show
from fleetrec.simulator.ranking.scored_lists import ScoredLists, best_shown, llm_ranks, with_floor
from fleetrec.simulator.ranking.slates import CATALOGUE_BLOCK, ListSlates, Queries, Targets, blocks

Ints = NDArray[np.int64]


class JoinedSlates(ListSlates):
    """The LLM's list joined with the SRM's own best over the catalogue; what the LLM did not name has LLM rank N."""

    def ranks(self, targets: Iterable[Targets], queries: int) -> Ints:
        """See ListSlates; only so many places are shown as a list has."""
        ranks = super().ranks(targets, queries)
        return np.where(ranks < self._source.list_length, ranks, -1)

    def _on_screen(self, queries: Queries, view: ListView) -> Iterator[tuple[Ints, ListView]]:
        for block in blocks(len(queries), CATALOGUE_BLOCK):
            yield np.arange(len(queries))[block], self._joined(queries.take(block), view.items[block])

    def _joined(self, queries: Queries, named: Ints) -> ListView:
        """The joined lists, items [M, 2N]."""
        own, catalogue = self._own_best(queries, named)
        items = np.concatenate([named, own], axis=1)
        valid = items >= 0
        logits = with_floor(np.take_along_axis(catalogue, np.maximum(items, 0), axis=1), valid)
        n = self._source.list_length
        llm_rank = np.concatenate([llm_ranks(valid[:, :n]), np.full((len(queries), n), float(n))], axis=1)
        return self._seen_by(queries, items, ScoredLists(logits, valid, llm_rank))


class ShownSlates(ListSlates):
    """What a function of lists and their fused scores puts on screens: items [M, K], best first, -1 for none."""

    def __init__(self, *parts: Any, show: Show):
        super().__init__(*parts)
        self._show = show

    def _ranks(self, queries: Queries, view: ListView) -> Ints:
        ranks = np.empty(len(queries), dtype=np.int64)
        for block in blocks(len(queries), CATALOGUE_BLOCK):
            here, seen = queries.take(block), view.take(np.arange(len(queries))[block])
            items = self._show(seen, self._fusion(seen))
            shown = items >= 0
            if self._exclude_seen:
                shown &= self._histories.first_position(here.user, items) > here.seen_upto[:, None]
            match = shown & (items == here.target[:, None])
            place = np.cumsum(shown, axis=1)[np.arange(len(items)), match.argmax(axis=1)] - 1
            ranks[block] = np.where(match.any(axis=1), place, -1)
        return ranks

    def _screens(self, queries: Queries, view: ListView, depth: int) -> Ints:
        items = self._show(view, self._fusion(view))
        shown = items >= 0
        if self._exclude_seen:
            shown &= self._histories.first_position(queries.user, items) > queries.seen_upto[:, None]
        falling = np.broadcast_to(-np.arange(float(items.shape[1])), items.shape)
        return best_shown(items, falling, shown, depth, depth)
