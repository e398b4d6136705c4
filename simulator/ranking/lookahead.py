"""Rankings for running devices: pure functions of (user, step, list, weights), computed in bulk and ahead of need.

In replay the next items are known, and lists are pure functions too. So when a device asks for a number that is not
there yet, the scorer follows this device and all others that will soon need one through their next interactions, as if
each list that a policy asks for landed at once. Wrong speculation costs time, never truth; nothing in the simulated
world waits for a batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.ranking.growing import GrowingHistories
from fleetrec.simulator.ranking.histories import Histories
from fleetrec.simulator.ranking.list_view import ListView
from fleetrec.simulator.ranking.slates import CatalogueSlates, ListSlates, Queries, Slates
from fleetrec.simulator.ranking.weight_versions import FIRST_WEIGHTS, DeviceWeights

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_DEVICES_PER_FILL = 4096
_STEPS_AHEAD = 64
_FEWEST_FOLLOWED = 64
_NO_STEP = 1 << 31


class UncertaintySlates(Protocol):
    """Slates that say how uncertain each device is of its list."""

    def place_and_score(self, queries: Queries) -> tuple[Ints, Floats, Floats]:
        """As `Slates.place`, and the uncertainty [M] of each device in its list (infinite: it has none)."""


@dataclass(frozen=True)
class LookAhead:
    """How a policy that asks at a score of `threshold` or more, as the stream begins, may be followed ahead."""

    slates: UncertaintySlates
    threshold: float
    first_row: Ints
    """[D] row of the stream at which step 0 of the device's user would stand"""
    first_decision: Ints
    """[D] the step after which each device decides first"""
    ties: NDArray[np.bool_]
    """[S] rows of the stream after which the device does not decide, since the next has the same moment"""
    lists: bool
    """whether lists that nobody has asked for yet may be looked at"""

    def decides(self, devices: Ints, steps: Ints) -> NDArray[np.bool_]:
        """Whether devices [M] decide after their steps [M]."""
        rows = self.first_row[devices] + steps
        inside = (rows >= 0) & (rows < len(self.ties))
        return (steps >= self.first_decision[devices]) & ~(inside & self.ties[np.where(inside, rows, 0)])


class _KnownScores:
    """What is known of one list: scores at successive steps, and where the next one at or above a threshold is."""

    __slots__ = ("first", "next_high", "threshold", "values")

    def __init__(self, first: int, values: list[float], next_high: list[int], threshold: float):
        self.first, self.values, self.next_high, self.threshold = first, values, next_high, threshold

    def extend(self, values: list[float], next_high: list[int]) -> None:
        """Scores at the steps after; `next_high` is by the threshold of those before."""
        place = len(self.values) - 1
        while place >= 0 and self.next_high[place] == _NO_STEP:
            self.next_high[place] = next_high[0]
            place -= 1
        self.values += values
        self.next_high += next_high

    def look_for(self, threshold: float) -> None:
        """Find the next scores at or above another threshold."""
        high = _NO_STEP
        for place in range(len(self.values) - 1, -1, -1):
            if self.values[place] >= threshold:
                high = self.first + place
            self.next_high[place] = high
        self.threshold = threshold


class Scorer:
    """Answers `uncertainty` for one device at a time and `place` in bulk; both through the same slates.

    `users` [D] is each device's user. With `batching` off every query is a call of its own.
    """

    def __init__(
        self,
        slates: Slates,
        histories: Histories,
        users: Ints,
        lookahead: int,
        batching: bool,
        weights: DeviceWeights,
        look_ahead: LookAhead | None = None,
    ):
        self.slates, self._weights = slates, weights
        self._histories, self._users, self._look_ahead = histories, users, look_ahead
        self.threshold = look_ahead.threshold if look_ahead is not None else np.inf
        """the one in force"""
        self._ends: list[int] = histories.lengths[users].tolist()
        self._ahead = lookahead if batching else 1
        self._batching = batching
        self._known: list[dict[tuple[int, int], _KnownScores] | None] = [None] * len(users)  # by list and weights
        self._expected: dict[int, tuple[int, int, int]] = {}  # list, step and weights
        self._postponed: dict[int, tuple[int, ...]] = {}  # list, step and weights to go on with, and where to stop
        self._ranks: dict[int, tuple[int, int, int, list[int]]] = {}  # list, first step, weights and ranks
        self._reach = np.full(len(users), _STEPS_AHEAD if batching and look_ahead and look_ahead.lists else 0)
        self._grows = isinstance(histories, GrowingHistories)
        self._size = int(histories.lengths.max(initial=0)) + 2
        self._looked = self._asks = 0  # steps that were followed ahead of need, and requests foreseen among them
        self._book: list[tuple[Ints, Ints, Floats]] = []  # keys, ranks and inconsistencies, by the first weights alone

    # ------------------------------------------------------------------------------------------ for one device

    def rank(self, device: int, as_of: int, step: int, weights: int) -> int:
        """Rank of the device's next item in the slate made now (-1: absent)."""
        known = self._ranks.get(device)
        if known is None or (known[0], known[2]) != (as_of, weights) or not 0 <= step - known[1] < len(known[3]):
            ranks, _ = self.place(self.next_queries(device, as_of, step, weights))
            known = self._ranks[device] = (as_of, step, weights, ranks.tolist())
        return known[3][step - known[1]]

    def next_queries(self, device: int, as_of: int, step: int, weights: int) -> Queries:
        """Rankings of the device's list from `step` on, as far as it pays to compute them at once."""
        count = max(min(self._ahead, self._ends[device] - step), 1)
        steps, users = np.arange(step, step + count), np.full(count, self._users[device])
        targets = self.next_items(users, steps)
        return Queries(users, steps, np.full(count, as_of), targets, steps, np.full(count, weights))

    def uncertainty(self, device: int, as_of: int, step: int, weights: int) -> float:
        """The uncertainty of the device in its list at this step, with these weights."""
        known = self._known_scores(device, as_of, step, weights)
        if known is None:
            self._fill(device, as_of, step, weights)
            known = self._known_scores(device, as_of, step, weights)
            assert known is not None
        return known.values[step - known.first]

    def next_uncertain(self, device: int, as_of: int, step: int, weights: int) -> int:
        """The first step from `step` on with a score at or above the threshold, or that nobody has looked at yet."""
        known = self._known_scores(device, as_of, step, weights)
        if known is None:
            self._expected[device] = (as_of, step, weights)
            return step
        if known.threshold != self.threshold:
            known.look_for(self.threshold)
        high = known.next_high[step - known.first]
        if high < _NO_STEP:
            return high
        end = known.first + len(known.values)
        if end < self._ends[device]:
            self._expected[device] = (as_of, end, weights)
        return end

    def prefetch(self, device: int, as_of: int, step: int, weights: int) -> None:
        """This list has landed: its scores from `step` on are likely to be asked soon."""
        if self._known_scores(device, as_of, step, weights) is None:
            if device not in self._postponed or self._postponed[device][0] != as_of:
                self._reach[device] //= 2  # what was foreseen for this device did not come true
            self._expected[device] = (as_of, step, weights)

    def prefetch_all(self, as_of: Ints, steps: Ints) -> None:
        """Every device [D] with a list will need its scores from its step on, by the first weights."""
        having = np.flatnonzero(as_of >= 0)
        lists = zip(as_of[having].tolist(), steps[having].tolist(), strict=True)
        self._expected = {
            device: (landed, step, FIRST_WEIGHTS) for device, (landed, step) in zip(having.tolist(), lists, strict=True)
        }

    def foresee(self, devices: Ints, lists: Ints, steps: Ints, weights: Ints) -> Floats:
        """The uncertainty [M] of devices in lists [M] at steps that are foreseen, each device's one after the other;
        kept for when they ask. Infinite where there is no list."""
        scores = np.full(len(devices), np.inf)
        having = np.flatnonzero(lists >= 0)
        if len(having):
            columns = devices[having], lists[having], steps[having], weights[having]
            each = list(zip(*(column.tolist() for column in columns), strict=True))
            for device, *_ in each:
                if self._known[device] is None:
                    self._known[device] = {}
            devices, lists, steps, weights = columns
            self._look(devices, lists, steps, weights, np.ones(len(having), dtype=np.int64))
            for place, (device, landed, step, used) in zip(having.tolist(), each, strict=True):
                scores[place] = self.uncertainty(device, landed, step, used)
        return scores

    def rewind(self, devices: Ints, users: Ints, lengths: Ints) -> None:
        """Of histories that grow: what these `users` [M] of `devices` [M] were thought to have beyond their first
        `lengths` [M] interactions did not happen."""
        self._weights.rewind(users, lengths)
        for device in devices.tolist():
            self._known[device] = None
            self._expected.pop(device, None)
            self._postponed.pop(device, None)

    def _known_scores(self, device: int, as_of: int, step: int, weights: int) -> _KnownScores | None:
        lists = self._known[device]
        known = lists.get((as_of, weights)) if lists is not None else None
        if known is None or not known.first <= step < known.first + len(known.values):
            return None
        return known

    # ------------------------------------------------------------------------------------------ in bulk

    def screens(self, queries: Queries, depth: int) -> Ints:
        """The items [M, depth] at the first places of the slates, of slates that can tell them."""
        assert isinstance(self.slates, ListSlates | CatalogueSlates)
        self._weights.make_ready(queries.user, queries.step, queries.weights)
        return self.slates.screens(queries, depth)

    def next_items(self, users: Ints, steps: Ints) -> Ints:
        """The items that users [M] have after their steps [M]; -1 at the end of a log."""
        return self._histories.item_at(users, steps + 1)

    def place(self, queries: Queries) -> tuple[Ints, Floats]:
        """Ranks and inconsistencies of many queries, as `Slates.place`."""
        if self._batching or len(queries) == 0:
            return self._place(queries)
        parts = [self._place(queries.take(slice(i, i + 1))) for i in range(len(queries))]
        return np.concatenate([ranks for ranks, _ in parts]), np.concatenate([gaps for _, gaps in parts])

    def _place(self, queries: Queries) -> tuple[Ints, Floats]:
        self._weights.make_ready(queries.user, queries.step, queries.weights)
        return self.slates.place(queries)

    def look(self, queries: Queries, work: Callable[[Ints, ListView], None]) -> None:
        """`ListSlates.look`, of a policy that shows lists."""
        assert isinstance(self.slates, ListSlates)
        self._weights.make_ready(queries.user, queries.step, queries.weights)
        self.slates.look(queries, work)

    def place_next(self, queries: Queries) -> tuple[Ints, Floats]:
        """`place` of queries whose targets are next items; what was done ahead of need is not done again.

        For each user, steps must not fall from one call to the next.
        """
        if not self._book:
            return self.place(queries)
        keys, ranks, gaps = (np.concatenate(column) for column in zip(*self._book, strict=True))
        order = np.argsort(keys, kind="stable")
        keys, ranks, gaps = keys[order], ranks[order], gaps[order]
        wanted = self._keys(queries.user, queries.as_of, queries.step)
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        unknown = (keys[place] != wanted) | (queries.weights != FIRST_WEIGHTS)
        found_ranks, found_gaps = ranks[place], gaps[place]
        if unknown.any():
            found_ranks[unknown], found_gaps[unknown] = self.place(queries.take(unknown))
        newest = np.full(len(self._histories.lengths), -1)
        np.maximum.at(newest, queries.user, queries.step)
        later = keys % self._size - 1 >= newest[keys // self._size**2]
        self._book = [(keys[later], ranks[later], gaps[later])] if later.any() else []
        return found_ranks, found_gaps

    def _keys(self, users: Ints, as_of: Ints, steps: Ints) -> Ints:
        return (users * self._size + as_of + 1) * self._size + steps + 1

    # ------------------------------------------------------------------------------------------ ahead of need

    def _fill(self, device: int, as_of: int, step: int, weights: int) -> None:
        """Scores of this list from `step` on, together with all that is expected."""
        wanted = {device: (as_of, step, weights)}
        if self._batching:
            self._expected.pop(device, None)
            while self._expected and len(wanted) < _DEVICES_PER_FILL:
                other, what = self._expected.popitem()
                wanted.setdefault(other, what)
        for other, (landed, _, used) in wanted.items():
            kept, key = self._known[other], (landed, used)
            self._known[other] = {key: kept[key]} if kept is not None and key in kept else {}
        devices = np.fromiter(wanted, dtype=np.int64, count=len(wanted))
        lists, steps, by = np.array(list(wanted.values()), dtype=np.int64).T
        ends = np.minimum(self._histories.lengths[self._users[devices]], steps + np.maximum(self._reach[devices], 1))
        rest = [(other, *what) for other, what in self._postponed.items() if other not in wanted]
        followed = np.array(rest, dtype=np.int64).reshape(-1, 5)
        self._follow(*np.concatenate([np.stack([devices, lists, steps, by, ends], axis=1), followed]).T)

    def _follow(self, devices: Ints, lists: Ints, steps: Ints, by: Ints, ends: Ints) -> None:
        """Look at lists [M] from `steps` to `ends` with weights `by`, as if each list that is asked for landed at once.

        Few devices are left to the next fill, since a look at a few costs nearly as much as one at many.
        """
        self._postponed = {}
        widths = np.full(len(steps), self._steps_a_list())
        while True:
            high = self._look(devices, lists, steps, by, widths)
            asks, followed = high < _NO_STEP, self._reach[devices] > 0
            self._looked += int(np.where(asks, high - steps + 1, np.minimum(widths, ends - steps))[followed].sum())
            self._asks += int(asks[followed].sum())
            # The next list is looked at for as long as lists are kept on average, and then little by little.
            whole = self._steps_a_list()
            steps, widths = np.where(asks, high, steps + widths), np.where(asks, whole, max(whole // 2, 1))
            lists = np.where(asks, high, lists)
            going = (steps < ends) & followed
            devices, lists, steps, by, widths, ends = (
                column[going] for column in (devices, lists, steps, by, widths, ends)
            )
            if len(devices) < _FEWEST_FOLLOWED:
                columns = (column.tolist() for column in (lists, steps, by, ends))
                self._postponed = dict(zip(devices.tolist(), zip(*columns, strict=True), strict=True))
                return

    def _steps_a_list(self) -> int:
        """Steps of a new list to look at: as many as lists have been kept for, on average, where they were followed."""
        return min(max(round(self._looked / self._asks), 1), self._ahead) if self._asks else self._ahead

    def _look(self, devices: Ints, lists: Ints, steps: Ints, by: Ints, widths: Ints) -> Ints:
        """Look at the next `widths` steps of lists [M] with weights `by`, which nobody foresees to change: where each
        device first asks for a list that is newer, if it does."""
        look_ahead = self._look_ahead
        assert look_ahead is not None
        users = self._users[devices]
        counts = np.minimum(widths, self._histories.lengths[users] - steps)
        begins = np.cumsum(counts) - counts
        step_of = np.repeat(steps, counts) + np.arange(counts.sum()) - np.repeat(begins, counts)
        user_of, list_of, weights_of = np.repeat(users, counts), np.repeat(lists, counts), np.repeat(by, counts)
        queries = Queries(user_of, step_of, list_of, self.next_items(user_of, step_of), step_of, weights_of)
        self._weights.make_ready(user_of, step_of, weights_of)
        ranks, gaps, scores = look_ahead.slates.place_and_score(queries)
        if self._batching and not self._grows:
            kept = weights_of == FIRST_WEIGHTS
            self._book.append((self._keys(user_of[kept], list_of[kept], step_of[kept]), ranks[kept], gaps[kept]))
        high = scores >= self.threshold
        asks = high & (step_of > list_of) & look_ahead.decides(np.repeat(devices, counts), step_of)
        asked = np.minimum.reduceat(np.where(asks, step_of, _NO_STEP), begins)
        stops, place = begins + counts, np.arange(len(high))
        next_place = np.minimum.accumulate(np.where(high, place, len(high))[::-1])[::-1]
        next_high = np.where(next_place < np.repeat(stops, counts), step_of + next_place - place, _NO_STEP).tolist()
        values, columns = scores.tolist(), (devices, steps, lists, by, begins, stops)
        for device, step, landed, used, begin, stop in zip(*(column.tolist() for column in columns), strict=True):
            here = self._known[device]
            assert here is not None
            known = here.get((landed, used))
            if known is None or known.first + len(known.values) != step:
                here[landed, used] = _KnownScores(step, values[begin:stop], next_high[begin:stop], self.threshold)
            else:
                if known.threshold != self.threshold:
                    known.look_for(self.threshold)
                known.extend(values[begin:stop], next_high[begin:stop])
        return np.asarray(asked)
