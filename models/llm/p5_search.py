"""Beam search over the tree of item ids: no invalid id comes out, and a list is a function of its query alone.

Prompts are padded to lengths, and encoded in rows of tiles, that (user, as_of) alone determine; log-probabilities are
rounded to multiples of 2^-16, so their sums are exact; ties go by item id.
"""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from models.llm.item_ids import ItemIds, trie_of
from models.llm.p5_network import P5Network
from models.llm.ranking import best_columns
from models.parallel import for_each

_STEP = 2.0**-16
_SHORTEST = 4  # items; prompts are padded to this many times a power of two, at most to the longest
_STRIDE = 37  # rows between a user's consecutive queries
_TILE = {"cpu": 8, "cuda": 128}

Ints = NDArray[np.int64]


def newest_windows(offsets: Ints, items: NDArray[np.int32], users: Ints, end: Ints, length: int) -> Ints:
    """Windows [M, length] of item code + 1, left-aligned, 0 padding: the newest `length` items before `end` [M]."""
    begin = np.maximum(end - length, 0)
    column = begin[:, None] + np.arange(length)[None, :]
    inside = column < end[:, None]
    flat = np.where(inside, offsets[users][:, None] + column, 0)
    return np.where(inside, items[flat].astype(np.int64) + 1, 0)


class BeamSearch:
    """The best items of a P5 network for any prefix of any log of its items."""

    def __init__(
        self,
        network: P5Network,
        ids: ItemIds,
        offsets: Ints,
        items: NDArray[np.int32],
        max_length: int,
        list_length: int,
        beams: int,
        exclude_seen: bool,
    ):
        """`beams`: prefixes of ids kept at each step. `exclude_seen`: items had up to as_of cannot be reached."""
        self._network, self._trie, self._n_items = network, trie_of(ids), ids.n_items
        self._offsets, self._items, self._max_length = offsets, items, max_length
        self._length, self._beams, self._exclude_seen = list_length, beams, exclude_seen
        self.tile = _TILE[network.item_tokens.device.type]

    def lists(self, users: Ints, as_of: Ints) -> NDArray[np.int32]:
        """Items [M, list_length] for users [M] as of positions [M] >= 0, best first; -1 where the beams give no more.

        The same whatever else is asked.
        """
        result = np.full((len(users), self._length), -1, dtype=np.int32)
        known = np.minimum(as_of + 1, self._max_length)
        steps = np.ceil(np.log2(np.maximum(known, _SHORTEST) / _SHORTEST)).astype(np.int64)
        padded = np.minimum(_SHORTEST * 2**steps, self._max_length)
        row = (users + as_of * _STRIDE) % self.tile
        # Queries of one padded length that share a row go to successive tiles.
        order = np.lexsort((row, padded))
        first = np.ones(len(order), dtype=bool)
        first[1:] = (np.diff(padded[order]) != 0) | (np.diff(row[order]) != 0)
        start = np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
        number = np.empty(len(order), dtype=np.int64)
        number[order] = np.arange(len(order)) - start
        by_tile = np.lexsort((number, padded))
        begins = np.ones(len(order), dtype=bool)
        begins[1:] = (np.diff(padded[by_tile]) != 0) | (np.diff(number[by_tile]) != 0)
        bounds = [*np.flatnonzero(begins).tolist(), len(by_tile)]

        @torch.no_grad()
        def compute(bound: tuple[int, int]) -> None:
            chosen = by_tile[bound[0] : bound[1]]
            result[chosen] = self._search(users[chosen], as_of[chosen], row[chosen], int(padded[chosen[0]]))

        for_each(compute, list(pairwise(bounds)))
        return result

    def _search(self, users: Ints, as_of: Ints, row: Ints, length: int) -> NDArray[np.int32]:
        """Lists of one tile's queries, each in a row of its own."""
        network, trie, tile = self._network, self._trie, self.tile
        windows = np.zeros((tile, length), dtype=np.int64)
        windows[row] = newest_windows(self._offsets, self._items, users, as_of + 1, length)
        device = network.item_tokens.device
        encoded, counts = network.encode(network.prompts(torch.from_numpy(windows).to(device)))
        nodes, scores = np.full((tile, 1), trie.root), np.zeros((tile, 1))
        for position in range(network.depth):
            codes = torch.from_numpy(trie.prefix[nodes][:, :, :position]).to(device)
            likely = network.log_probabilities(encoded, counts, codes)[:, :, -1].double().cpu().numpy()
            totals = scores[:, :, None] + np.rint(likely / _STEP) * _STEP
            child = trie.children[nodes]
            b, k, c = np.nonzero((child >= 0) & np.isfinite(scores)[:, :, None])
            reached = np.full((tile, trie.n_nodes), -np.inf)
            reached[b, child[b, k, c]] = totals[b, k, c]
            if position + 1 < network.depth:
                inner = reached[:, self._n_items :]
                place = best_columns(inner, min(self._beams, inner.shape[1])).astype(np.int64)
                scores = np.where(place >= 0, np.take_along_axis(inner, np.maximum(place, 0), axis=1), -np.inf)
                nodes = np.where(place >= 0, place + self._n_items, trie.root)
        final = reached[row, : self._n_items]
        if self._exclude_seen:
            had = as_of + 1
            owner = np.repeat(np.arange(len(users)), had)
            within = np.arange(len(owner)) - np.repeat(np.cumsum(had) - had, had)
            final[owner, self._items[self._offsets[users][owner] + within]] = -np.inf
        kept = min(self._length, self._n_items)
        result = np.full((len(users), self._length), -1, dtype=np.int32)
        result[:, :kept] = best_columns(final, kept)
        return result
