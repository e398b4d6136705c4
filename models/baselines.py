"""Baselines without a neural network, as exact ranks of single items: popular, recent, frequent, first-order Markov.

Popularity and transitions are counted on the learning part of a log only; a query (user, as_of) shows a baseline that
user's events up to and including position as_of. Nothing is ever left to chance: every tie ends with the item id.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fleetrec.models.runtime.ragged import ragged

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]
Floats = NDArray[np.float64]

_PAIRS_AT_ONCE = 2_000_000


class Baseline(Protocol):
    """A recommender of which we only ask at what place it puts one item."""

    name: str

    def ranks(self, users: Int64, as_of: Int64, targets: Int64, seen_upto: Int64 | None, length: int) -> Int64:
        """0-based place [M] of each target in the slate of `length` items made for (user, as_of); -1: not in it.

        Where `seen_upto` is given, items that the user had at positions up to it have left the slate, which is
        not refilled: a target that was itself had is -1, the others move up.
        """
        ...


class LogIndex:
    """First, previous and next occurrences of items in their users' logs; shared by all baselines of one log."""

    def __init__(self, offsets: Int64, items: Int32, n_items: int):
        """CSR log: event (u, p) is items[offsets[u] + p]."""
        self.offsets, self.items, self.n_items = offsets, items.astype(np.int64), n_items
        self._longest = int(np.diff(offsets).max(initial=0)) + 1
        events = np.arange(len(items))
        user = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        self.position: Int64 = events - offsets[user]
        pair = user * n_items + self.items
        by_pair = np.argsort(pair, kind="stable")  # a user's occurrences of one item lie side by side, in order
        starts = np.diff(pair[by_pair], prepend=-1) != 0
        run_start = np.maximum.accumulate(np.where(starts, events, 0))
        self._by_pair = by_pair
        self._keys = pair[by_pair] * self._longest + self.position[by_pair]
        self.first: Int64 = np.empty(len(items), dtype=np.int64)
        self.first[by_pair] = self.position[by_pair[run_start]]
        self.occurrence: Int64 = np.empty(len(items), dtype=np.int64)
        self.occurrence[by_pair] = events - run_start
        same_next = np.append(~starts[1:], False)[: len(items)]
        self.next: Int64 = np.full(len(items), np.iinfo(np.int64).max)
        self.next[by_pair[same_next]] = self.position[by_pair[np.flatnonzero(same_next) + 1]]
        is_first = self.first == self.position
        self._distinct = self.items[is_first]  # each user's items in the order of first occurrence
        self._firsts_before = np.concatenate([[0], np.cumsum(is_first)])

    def last_occurrence(self, users: Int64, items: Int64, upto: Int64) -> Int64:
        """Flat index [M] of the user's last event with that item at a position <= upto; -1 where there is none."""
        pair = users * self.n_items + items
        place = np.searchsorted(self._keys, pair * self._longest + upto, side="right") - 1
        found = (place >= 0) & (self._keys[place] // self._longest == pair)
        return np.where(found, self._by_pair[place], -1)

    def has_seen(self, users: Int64, items: Int64, upto: Int64) -> Bool:
        """Whether the user had the item at a position <= upto."""
        return self.last_occurrence(users, items, upto) >= 0

    def seen(self, users: Int64, upto: Int64) -> Iterator[tuple[Int64, Int64]]:
        """Every distinct item that each query's user had up to a position: chunks of (query [K], item [K])."""
        start = self._firsts_before[self.offsets[users]]
        stop = self._firsts_before[self.offsets[users] + upto + 1]
        for query, place in ragged_ranges(start, stop):
            yield query, self._distinct[place]

    def standing(self, users: Int64, as_of: Int64) -> Iterator[tuple[Int64, Int64]]:
        """The last occurrence, up to as_of, of every item the user had: chunks of (query [K], flat event [K])."""
        begin = self.offsets[users]
        for query, event in ragged_ranges(begin, begin + as_of + 1):
            stands = self.next[event] > as_of[query]
            yield query[stands], event[stands]


def ragged_ranges(start: Int64, stop: Int64) -> Iterator[tuple[Int64, Int64]]:
    """All (m, i) with start[m] <= i < stop[m], in chunks of about two million pairs."""
    sizes = np.maximum(stop - start, 0)
    ends = np.cumsum(sizes)
    low, total = 0, int(ends[-1]) if len(ends) else 0
    done = 0
    while done < total:
        high = max(low + 1, int(np.searchsorted(ends, done + _PAIRS_AT_ONCE, side="right")))
        which, nth = ragged(sizes[low:high])
        query = low + which
        yield query, start[query] + nth
        low, done = high, int(ends[high - 1])


class Popular:
    """The items with most events in the learning part, the same for everybody."""

    name = "popular"

    def __init__(self, index: LogIndex, learn_end: Int64):
        """Learns from positions [0, learn_end[u]) of each user u."""
        self._index = index
        self._learn = np.arange(len(index.items)) < np.repeat(index.offsets[:-1] + learn_end, np.diff(index.offsets))
        count = np.bincount(index.items[self._learn], minlength=index.n_items)
        self._order: Int64 = np.lexsort((np.arange(index.n_items), -count))
        self._place: Int64 = np.empty(index.n_items, dtype=np.int64)
        self._place[self._order] = np.arange(index.n_items)

    def top(self, users: Int64, as_of: Int64, length: int) -> Int32:
        """The slates themselves, [M, length], best first, -1 where the catalogue has run out; seen items included."""
        slate = np.full(length, -1, dtype=np.int32)
        slate[: min(length, len(self._order))] = self._order[:length]
        return np.tile(slate, (len(users), 1))

    def worth(self, newest: Int64) -> Floats:
        """Scores [M, n_items] by which items are ordered after the items `newest` [M] (n_items: after none)."""
        return np.tile(-self._place.astype(np.float64), (len(newest), 1))

    def ranks(self, users: Int64, as_of: Int64, targets: Int64, seen_upto: Int64 | None, length: int) -> Int64:
        """See Baseline.ranks."""
        index = self._index
        newest = np.full(len(users), index.n_items)  # one row past the catalogue: nothing seen
        newest[as_of >= 0] = index.items[(index.offsets[users] + as_of)[as_of >= 0]]
        place = self._place[targets]
        ranks = self._rank(newest, place)
        ranks[ranks >= length] = -1
        if seen_upto is None:
            return ranks
        ranks[index.has_seen(users, targets, seen_upto)] = -1
        shown = np.flatnonzero(ranks >= 0)
        newest, place = newest[shown], place[shown]
        count = self._count(newest, place)
        for query, item in index.seen(users[shown], seen_upto[shown]):
            other = self._place[item]
            other_count = self._count(newest[query], other)
            ahead = (other_count > count[query]) | ((other_count == count[query]) & (other < place[query]))
            ranks[shown] -= np.bincount(query[ahead], minlength=len(shown))
        return ranks

    def _rank(self, newest: Int64, place: Int64) -> Int64:
        """Rank [K], over the whole catalogue, of the item at a place of the popularity order after the item newest."""
        return place.copy()

    def _count(self, newest: Int64, place: Int64) -> Int64:
        """What the items are ordered by before their place in the popularity order."""
        return np.zeros_like(place)


class Markov(Popular):
    """Items by how often they followed the user's newest item; those that never did come after, by popularity."""

    name = "markov"

    def __init__(self, index: LogIndex, learn_end: Int64):
        """Learns from positions [0, learn_end[u]) of each user u."""
        super().__init__(index, learn_end)
        second = np.flatnonzero(self._learn & (index.position > 0))
        pair = index.items[second - 1] * index.n_items + self._place[index.items[second]]
        self._pairs, counts = np.unique(pair, return_counts=True)  # sorted by (first item, place of the second)
        first, place = np.divmod(self._pairs, index.n_items)
        self._row_start: Int64 = np.searchsorted(first, np.arange(index.n_items + 2))
        rank = np.empty(len(first), dtype=np.int64)
        rank[np.lexsort((place, -counts, first))] = np.arange(len(first)) - self._row_start[first]
        shape = (index.n_items + 1, index.n_items)
        self._counts = sparse.csr_array((counts, place, self._row_start), shape)
        self._rank_plus_one = sparse.csr_array((rank + 1, place, self._row_start), shape)

    def worth(self, newest: Int64) -> Floats:
        """See Popular.worth."""
        counts = self._counts[newest].toarray()[:, self._place]
        return np.asarray(counts * float(self._index.n_items) + super().worth(newest))

    def _rank(self, newest: Int64, place: Int64) -> Int64:
        rank = _entries(self._rank_plus_one, newest, place) - 1
        start, stop = self._row_start[newest], self._row_start[newest + 1]
        followers_before = np.searchsorted(self._pairs, newest * self._index.n_items + place) - start
        return np.where(rank >= 0, rank, stop - start + place - followers_before)

    def _count(self, newest: Int64, place: Int64) -> Int64:
        return _entries(self._counts, newest, place)


def _entries(matrix: sparse.csr_array, row: Int64, column: Int64) -> Int64:
    """The entries at these places; of none, which SciPy would give as a matrix, none."""
    return np.asarray(matrix[row, column]) if len(row) else np.zeros(0, dtype=np.int64)


class Recent:
    """The user's own distinct items, newest first."""

    name = "recent"

    def __init__(self, index: LogIndex):
        self._index = index

    def ranks(self, users: Int64, as_of: Int64, targets: Int64, seen_upto: Int64 | None, length: int) -> Int64:
        """See Baseline.ranks. An item that the user has not had by as_of is -1."""
        index = self._index
        event = index.last_occurrence(users, targets, as_of)
        held = np.flatnonzero(event >= 0)
        own = event[held]
        times, position = self._times(own), index.position[own]
        left = np.full(len(users), -1) if seen_upto is None else seen_upto
        ahead = np.zeros(len(held), dtype=np.int64)
        ahead_and_left = np.zeros(len(held), dtype=np.int64)
        for query, other in index.standing(users[held], as_of[held]):
            theirs = self._times(other)
            before = theirs > times[query]
            before |= (theirs == times[query]) & (index.position[other] > position[query])
            query, other = query[before], other[before]
            ahead += np.bincount(query, minlength=len(held))
            gone = index.first[other] <= left[held[query]]
            ahead_and_left += np.bincount(query[gone], minlength=len(held))
        ranks = np.full(len(users), -1)
        in_slate = (ahead < length) & (index.first[own] > left[held])
        ranks[held[in_slate]] = (ahead - ahead_and_left)[in_slate]
        return ranks

    def _times(self, event: Int64) -> Int64:
        """What the items are ordered by before recency."""
        return np.zeros_like(event)


class Frequent(Recent):
    """The user's own items by how often the user had them, then newest first."""

    name = "frequent"

    def _times(self, event: Int64) -> Int64:
        return self._index.occurrence[event]


def all_baselines(offsets: Int64, items: Int32, n_items: int, learn_end: Int64) -> dict[str, Baseline]:
    """The four baselines by name, over one index; they learn from positions [0, learn_end[u]) of each user u."""
    index = LogIndex(offsets, items, n_items)
    made: list[Baseline] = [Popular(index, learn_end), Recent(index), Frequent(index), Markov(index, learn_end)]
    return {baseline.name: baseline for baseline in made}
