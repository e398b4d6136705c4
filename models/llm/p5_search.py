"""Beam search for item ids, over their tree (no invalid id comes out) or free of it; a list is a function of its query.

Prompts are padded to lengths, and encoded in rows of tiles, that (user, as_of) alone determine; log-probabilities are
rounded to multiples of 2^-16, so their sums are exact; ties go by item id.
"""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from fleetrec.models.llm.item_ids import ItemIds, trie_of
from fleetrec.models.llm.p5_network import P5Network
from fleetrec.models.llm.ranking import best_places
from fleetrec.models.runtime.precision import mixed_precision
from fleetrec.models.runtime.ragged import ragged
from fleetrec.models.runtime.threads import for_each

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
        constrained: bool = True,
    ):
        """`beams`: prefixes of ids kept at each step. `exclude_seen`: items had up to as_of cannot be reached.

        Not `constrained`: beams take any code at any position, and one that spells no item (or, with `exclude_seen`,
        one that was had) holds its place in the list as -1.
        """
        self._network, self._n_items = network, ids.n_items
        device, trie = network.item_tokens.device, trie_of(ids)
        self._children, self._prefix = (torch.from_numpy(part).to(device) for part in (trie.children, trie.prefix))
        self._root, self._nobody = trie.root, trie.n_nodes  # a column beyond the last node: where no child is
        self._offsets, self._items, self._max_length = offsets, items, max_length
        self._length, self._beams, self._exclude_seen = list_length, beams, exclude_seen
        self._constrained = constrained
        self._powers = ids.width ** np.arange(ids.depth - 1, -1, -1)
        spelt = ids.codes @ self._powers
        self._spelt, self._item_of = np.sort(spelt), np.argsort(spelt)
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
                search = self._search if self._constrained else self._search_freely
                result[chosen] = search(users[chosen], as_of[chosen], row[chosen], int(padded[chosen[0]]))

        for_each(compute, list(pairwise(bounds)))
        return result

    def _encoded(self, users: Ints, as_of: Ints, row: Ints, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The prompts of one tile's queries, and which of their tokens count."""
        windows = np.zeros((self.tile, length), dtype=np.int64)
        windows[row] = newest_windows(self._offsets, self._items, users, as_of + 1, length)
        return self._network.encode(self._network.prompts(torch.from_numpy(windows).to(self._children.device)))

    def _search(self, users: Ints, as_of: Ints, row: Ints, length: int) -> NDArray[np.int32]:
        """Lists of one tile's queries, each in a row of its own."""
        network, tile, n_items = self._network, self.tile, self._n_items
        device = network.item_tokens.device
        encoded, counts = self._encoded(users, as_of, row, length)
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

    def _search_freely(self, users: Ints, as_of: Ints, row: Ints, length: int) -> NDArray[np.int32]:
        """As `_search`, without the tree; ties go to the better prefix, then to the lower code."""
        network, tile = self._network, self.tile
        device = network.item_tokens.device
        encoded, counts = self._encoded(users, as_of, row, length)
        codes = torch.zeros((tile, 1, 0), dtype=torch.int64, device=device)
        scores = torch.zeros((tile, 1), dtype=torch.float64, device=device)
        for _ in range(network.depth):
            likely = network.log_probabilities(encoded, counts, codes)[:, :, -1].double()
            totals = (scores[:, :, None] + torch.round(likely / _STEP) * _STEP).flatten(1)
            place = best_places(totals, min(self._beams, totals.shape[1]))
            beam, code = place // network.width, place % network.width
            before = codes.gather(1, beam[:, :, None].expand(-1, -1, codes.shape[2]))
            codes, scores = torch.cat([before, code[:, :, None]], dim=2), totals.gather(1, place)
        number = codes.cpu().numpy()[row] @ self._powers
        at = np.minimum(np.searchsorted(self._spelt, number), len(self._spelt) - 1)
        items = np.where(self._spelt[at] == number, self._item_of[at], -1)[:, : self._length]
        if self._exclude_seen:
            for query, (user, newest) in enumerate(zip(users.tolist(), as_of.tolist(), strict=True)):
                begin = self._offsets[user]
                items[query, np.isin(items[query], self._items[begin : begin + newest + 1])] = -1
        result = np.full((len(users), self._length), -1, dtype=np.int32)
        result[:, : items.shape[1]] = items
        return result
