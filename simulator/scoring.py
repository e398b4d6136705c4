"""Rankings for running devices: pure functions of (user, step, list), computed in bulk and ahead of need.

In replay the next items are known, and lists are pure functions too. So when a device asks for a number that is not
there yet, the scorer follows this device and all others that will soon need one through their next interactions, as if
each list that a policy asks for landed at once. Wrong speculation costs time, never truth; nothing in the simulated
world waits for a batch.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simulator.histories import Histories
from simulator.slates import Jobs, Slates

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_DEVICES_PER_FILL = 4096
_STEPS_AHEAD = 64
_FEWEST_STEPS = 4
_NO_STEP = 1 << 31


class DoubtingSlates(Protocol):
    """Slates that say how much each device doubts its list."""

    def place_and_doubt(self, jobs: Jobs) -> tuple[Ints, Floats, Floats]:
        """As `Slates.place`, and the doubt [M] of each device in its list (infinite: it has none)."""


@dataclass(frozen=True)
class Foresight:
    """How a policy that asks at a doubt of `threshold` or more may be followed ahead of time."""

    slates: DoubtingSlates
    threshold: float
    first_row: Ints
    """[D] row of the stream at which step 0 of the device's user would stand"""
    ties: NDArray[np.bool_]
    """[S] rows of the stream after which the device does not decide, since the next has the same moment"""
    lists: bool
    """whether lists that nobody has asked for yet may be looked at"""

    def decides(self, devices: Ints, steps: Ints) -> NDArray[np.bool_]:
        """Whether devices [M] decide after their steps [M]."""
        rows = self.first_row[devices] + steps
        inside = (rows >= 0) & (rows < len(self.ties))
        return ~(inside & self.ties[np.where(inside, rows, 0)])


class _Doubts:
    """What is known of one list: doubts at successive steps, and where the next one at or above the threshold is."""

    __slots__ = ("first", "next_high", "values")

    def __init__(self, first: int, values: list[float], next_high: list[int]):
        self.first, self.values, self.next_high = first, values, next_high

    def extend(self, values: list[float], next_high: list[int]) -> None:
        place = len(self.values) - 1
        while place >= 0 and self.next_high[place] == _NO_STEP:
            self.next_high[place] = next_high[0]
            place -= 1
        self.values += values
        self.next_high += next_high[: len(values)]


class Scorer:
    """Answers `doubt` for one device at a time and `place` in bulk; both through the same slates.

    `users` [D] is each device's user. With `batching` off every job is a call of its own.
    """

    def __init__(
        self,
        slates: Slates,
        histories: Histories,
        users: Ints,
        lookahead: int,
        batching: bool,
        foresight: Foresight | None = None,
    ):
        self.slates = slates
        self._histories, self._users, self._foresight = histories, users, foresight
        self._ends: list[int] = histories.lengths[users].tolist()
        self._ahead = lookahead if batching else 1
        self._batching = batching
        self._known: list[dict[int, _Doubts] | None] = [None] * len(users)
        self._expected: dict[int, tuple[int, int]] = {}
        self._reach = np.full(len(users), _STEPS_AHEAD if batching and foresight and foresight.lists else 0)
        self._size = int(histories.lengths.max(initial=0)) + 2
        self._book: list[tuple[Ints, Ints, Floats]] = []  # keys, ranks and inconsistencies of jobs done ahead

    # ------------------------------------------------------------------------------------------ for one device

    def doubt(self, device: int, as_of: int, step: int) -> float:
        """The doubt of the device in its list at this step."""
        known = self._doubts(device, as_of, step)
        if known is None:
            self._fill(device, as_of, step)
            known = self._doubts(device, as_of, step)
            assert known is not None
        return known.values[step - known.first]

    def next_doubt(self, device: int, as_of: int, step: int) -> int:
        """The first step from `step` on with a doubt at or above the threshold, or that nobody has looked at yet."""
        known = self._doubts(device, as_of, step)
        if known is None:
            self._expected[device] = (as_of, step)
            return step
        high = known.next_high[step - known.first]
        if high < _NO_STEP:
            return high
        end = known.first + len(known.values)
        if end < self._ends[device]:
            self._expected[device] = (as_of, end)
        return end

    def expect(self, device: int, as_of: int, step: int) -> None:
        """This list has landed: its doubts from `step` on are likely to be asked soon."""
        if self._doubts(device, as_of, step) is None:
            self._reach[device] //= 2  # what was foreseen for this device did not come true
            self._expected[device] = (as_of, step)

    def expect_all(self, as_of: Ints, steps: Ints) -> None:
        """Every device [D] with a list will need its doubts from its step on."""
        having = np.flatnonzero(as_of >= 0)
        self._expected = dict(
            zip(having.tolist(), zip(as_of[having].tolist(), steps[having].tolist(), strict=True), strict=True)
        )

    def _doubts(self, device: int, as_of: int, step: int) -> _Doubts | None:
        lists = self._known[device]
        known = lists.get(as_of) if lists is not None else None
        if known is None or not known.first <= step < known.first + len(known.values):
            return None
        return known

    # ------------------------------------------------------------------------------------------ in bulk

    def next_items(self, users: Ints, steps: Ints) -> Ints:
        """The items that users [M] have after their steps [M]; -1 at the end of a log."""
        return self._histories.item_at(users, steps + 1)

    def place(self, jobs: Jobs) -> tuple[Ints, Floats]:
        """Ranks and inconsistencies of many jobs, as `Slates.place`."""
        if self._batching or len(jobs) == 0:
            return self.slates.place(jobs)
        parts = [self.slates.place(jobs.take(slice(i, i + 1))) for i in range(len(jobs))]
        return np.concatenate([ranks for ranks, _ in parts]), np.concatenate([gaps for _, gaps in parts])

    def place_next(self, jobs: Jobs) -> tuple[Ints, Floats]:
        """`place` of jobs whose targets are next items; what was done ahead of need is not done again.

        For each user, steps must not fall from one call to the next.
        """
        if not self._book:
            return self.place(jobs)
        keys, ranks, gaps = (np.concatenate(column) for column in zip(*self._book, strict=True))
        order = np.argsort(keys, kind="stable")
        keys, ranks, gaps = keys[order], ranks[order], gaps[order]
        wanted = self._keys(jobs.user, jobs.as_of, jobs.step)
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        unknown = keys[place] != wanted
        found_ranks, found_gaps = ranks[place], gaps[place]
        if unknown.any():
            found_ranks[unknown], found_gaps[unknown] = self.place(jobs.take(unknown))
        newest = np.full(len(self._histories.lengths), -1)
        np.maximum.at(newest, jobs.user, jobs.step)
        later = keys % self._size - 1 >= newest[keys // self._size**2]
        self._book = [(keys[later], ranks[later], gaps[later])]
        return found_ranks, found_gaps

    def _keys(self, users: Ints, as_of: Ints, steps: Ints) -> Ints:
        return (users * self._size + as_of + 1) * self._size + steps + 1

    # ------------------------------------------------------------------------------------------ ahead of need

    def _fill(self, device: int, as_of: int, step: int) -> None:
        """Doubts of this list from `step` on, together with all that is expected."""
        wanted = {device: (as_of, step)}
        if self._batching:
            self._expected.pop(device, None)
            while self._expected and len(wanted) < _DEVICES_PER_FILL:
                other, what = self._expected.popitem()
                wanted.setdefault(other, what)
        devices = np.fromiter(wanted, dtype=np.int64, count=len(wanted))
        lists, steps = np.array(list(wanted.values()), dtype=np.int64).T
        for other, landed in zip(devices.tolist(), lists.tolist(), strict=True):
            kept = self._known[other]
            kept = {landed: kept[landed]} if kept is not None and landed in kept else {}
            self._known[other] = kept
        ends = np.minimum(self._histories.lengths[self._users[devices]], steps + np.maximum(self._reach[devices], 1))
        first, widths = steps, np.full(len(steps), self._ahead)
        while len(devices):
            high = self._look(devices, lists, steps, widths, asks_from=first)
            asks = high < _NO_STEP
            # The next list is looked at for as long as this one was kept, and then little by little.
            kept = np.clip(high - lists + 1, _FEWEST_STEPS, self._ahead)
            first = np.where(asks, high + 1, steps)
            steps, widths = np.where(asks, high, steps + widths), np.where(asks, kept, min(_FEWEST_STEPS, self._ahead))
            lists = np.where(asks, high, lists)
            going = (steps < ends) & (self._reach[devices] > 0)
            devices, lists, steps, widths, first, ends = (
                column[going] for column in (devices, lists, steps, widths, first, ends)
            )

    def _look(self, devices: Ints, lists: Ints, steps: Ints, widths: Ints, asks_from: Ints) -> Ints:
        """Look at the next `widths` steps of lists [M]: where each device asks from `asks_from` on, if it does."""
        foresight = self._foresight
        assert foresight is not None
        users = self._users[devices]
        counts = np.minimum(widths, self._histories.lengths[users] - steps)
        begins = np.cumsum(counts) - counts
        step_of = np.repeat(steps, counts) + np.arange(counts.sum()) - np.repeat(begins, counts)
        user_of, list_of = np.repeat(users, counts), np.repeat(lists, counts)
        jobs = Jobs(user_of, step_of, list_of, self.next_items(user_of, step_of), step_of)
        ranks, gaps, doubts = foresight.slates.place_and_doubt(jobs)
        if self._batching:
            self._book.append((self._keys(user_of, list_of, step_of), ranks, gaps))
        high = np.where(doubts >= foresight.threshold, step_of, _NO_STEP)
        asks = (step_of >= np.repeat(asks_from, counts)) & foresight.decides(np.repeat(devices, counts), step_of)
        asked = np.minimum.reduceat(np.where(asks, high, _NO_STEP), begins)
        ahead = np.full((len(devices), self._ahead), _NO_STEP)
        ahead[np.repeat(np.arange(len(devices)), counts), step_of - np.repeat(steps, counts)] = high
        next_high = np.minimum.accumulate(ahead[:, ::-1], axis=1)[:, ::-1].tolist()
        values, bounds = doubts.tolist(), [*begins.tolist(), len(doubts)]
        for number, (device, as_of, first) in enumerate(
            zip(devices.tolist(), lists.tolist(), steps.tolist(), strict=True)
        ):
            here = self._known[device]
            assert here is not None
            new = values[bounds[number] : bounds[number + 1]]
            known = here.get(as_of)
            if known is None or known.first + len(known.values) != first:
                here[as_of] = _Doubts(first, new, next_high[number][: len(new)])
            else:
                known.extend(new, next_high[number])
        return np.asarray(asked)
