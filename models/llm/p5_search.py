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
from models.llm.ranking import best_places
from models.parallel import for_each
from models.precision import mixed_precision
from models.ragged import ragged

_STEP = 2.0**-16
_SHORTEST = 4  # items; prompts are padded to this many times a power of two, at most to the longest
_STRIDE = 37  # rows between a user's consecutive queries
_TILE = {"cpu": 8, "cuda": 512}

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
        self._network, self._n_items = network, ids.n_items
        device, trie = network.item_tokens.device, trie_of(ids)
        self._children, self._prefix = (torch.from_numpy(part).to(device) for part in (trie.children, trie.prefix))
        self._root, self._nobody = trie.root, trie.n_nodes  # a column beyond the last node: where no child is
        self._offsets, self._items, self._max_length = offsets, items, max_length
        self._length, self._beams, self._exclude_seen = list_length, beams, exclude_seen
        self.tile = _TILE[device.type]

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
            with mixed_precision(self._children.device):
                result[chosen] = self._search(users[chosen], as_of[chosen], row[chosen], int(padded[chosen[0]]))

        for_each(compute, list(pairwise(bounds)))
        return result

    def _search(self, users: Ints, as_of: Ints, row: Ints, length: int) -> NDArray[np.int32]:
        """Lists of one tile's queries, each in a row of its own."""
        network, tile, n_items = self._network, self.tile, self._n_items
        device = network.item_tokens.device
        windows = np.zeros((tile, length), dtype=np.int64)
        windows[row] = newest_windows(self._offsets, self._items, users, as_of + 1, length)
        encoded, counts = network.encode(network.prompts(torch.from_numpy(windows).to(device)))
        nodes = torch.full((tile, 1), self._root, device=device)
        scores = torch.zeros((tile, 1), dtype=torch.float64, device=device)
        for position in range(network.depth):
            codes = self._prefix[nodes][:, :, :position]
            likely = network.log_probabilities(encoded, counts, codes)[:, :, -1].double()
            totals = scores[:, :, None] + torch.round(likely / _STEP) * _STEP
            child = self._children[nodes]
            child = torch.where((child >= 0) & scores.isfinite()[:, :, None], child, self._nobody)
            reached = torch.full((tile, self._nobody + 1), -torch.inf, dtype=torch.float64, device=device)
            reached.scatter_(1, child.flatten(1), totals.flatten(1))
            if position + 1 < network.depth:
                inner = reached[:, n_items : self._nobody]
                place = best_places(inner, min(self._beams, inner.shape[1]))
                scores = torch.where(place >= 0, inner.gather(1, place.clamp(min=0)), -torch.inf)
                nodes = torch.where(place >= 0, place + n_items, self._root)
        final = reached[torch.from_numpy(row).to(device), :n_items]
        if self._exclude_seen:
            owner, nth = ragged(as_of + 1)
            seen = self._items[self._offsets[users][owner] + nth].astype(np.int64)
            final[torch.from_numpy(owner).to(device), torch.from_numpy(seen).to(device)] = -torch.inf
        kept = min(self._length, n_items)
        result = np.full((len(users), self._length), -1, dtype=np.int32)
        result[:, :kept] = best_places(final, kept).cpu().numpy()
        return result
