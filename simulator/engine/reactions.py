"""What users who react do, one device at a time for the story, and computed in bulk ahead of need.

Until a device hears from the cloud its life depends on itself alone: slate, choice, history, state, next slate. So when
it needs its user's next choice and that is not known, this device and all others that will soon need one are walked
ahead together. What was foreseen holds for the screen that it was foreseen for; where another one is shown, it and all
that came of it are taken back. Wrong foresight costs time, never truth. With `batching` off, each opportunity is
computed by itself when it comes, by the same functions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fleetrec.models.llm.cache import GrownCandidates
from fleetrec.simulator.engine.users import Screened, waits
from fleetrec.simulator.engine.walk import NOBODY, Foresight, Walk
from fleetrec.simulator.ranking.growing import GrowingHistories
from fleetrec.simulator.ranking.lookahead import Scorer
from fleetrec.simulator.ranking.slates import Queries
from fleetrec.simulator.records.opportunities import OpportunityLog
from fleetrec.simulator.records.recorder import Streamed
from fleetrec.simulator.records.schemas import NO_SLATE
from fleetrec.simulator.records.slate_table import NamedSlates, SlateName
from fleetrec.simulator.workload.users.choosing import Choosing, Chosen, Mood
from fleetrec.simulator.workload.users.utility import Floats, Ints, Moments, Past

_DEVICES_AT_ONCE = 4096
_ROWS_AHEAD = 64


class _Foreseen(NamedTuple):
    """What comes of one opportunity, on one screen."""

    row: float
    as_of: float
    step: float
    weights: float
    """of the slate on screen (`SlateName`)"""
    seen_upto: float
    waits: float
    outcome: float
    item: float
    place: float
    utility: float
    value: float
    best_value: float
    satisfaction: float
    ends: float
    worn: float
    next_row: float
    missed: Sequence[int]
    """first rows of sessions, before `next_row`, to which the user does not come"""


class _Round(NamedTuple):
    """One opportunity of each device of a walk."""

    told: Floats
    """[M, 16] what comes of it (`_Foreseen`)"""
    missed: dict[int, list[int]]

    def of(self, place: int) -> _Foreseen:
        """What comes of one of them."""
        return _Foreseen._make((*self.told[place].tolist(), self.missed.get(place, ())))


@dataclass
class Reactions:
    """The users of a fleet, who choose."""

    choosing: Choosing
    users: Ints
    """[D] of each device, in the histories"""
    past: Past
    histories: GrowingHistories
    scorer: Scorer
    source: GrownCandidates | None
    slates: NamedSlates
    streamed: Streamed
    log: OpportunityLog
    foresight: Foresight
    hides_seen: bool
    batching: bool
    devices: Sequence[Screened] = ()
    """to be set before the run"""

    _foreseen: list[list[tuple[_Round, int]]] = field(init=False)
    """of each device, the next one last, and its place in its round"""

    def __post_init__(self) -> None:
        count = len(self.users)
        self._foreseen = [[] for _ in range(count)]
        self._mood = Mood(np.zeros(count), np.zeros(count, dtype=np.int64))  # as told
        self._state = self.choosing.model.initial(self.past)
        self._stated = self.histories.lengths[self.users]  # [D] interactions that the states know of
        self._taken: list[list[int]] = [[] for _ in range(count)]  # rows of those that they do not
        self._expected: dict[int, None] = {}  # devices that will need a choice that is not known
        self._until_s = -math.inf  # as far as all are walked ahead
        self._hits, self._misses = _ROWS_AHEAD, 1  # opportunities that were foreseen rightly, and wrongly

    # ------------------------------------------------------------------------------------------ for one device

    def meet(self, device: Screened, row: int, after: int, slate: int) -> tuple[int, int]:
        """The user comes to rows `row` to `after` - 1, which share a moment, with a slate on screen: how many items it
        takes, and the row of its next opportunity."""
        number, seen_upto, first, had = device.device, device.step, row, 0
        screen = self.slates.name(slate) if slate != NO_SLATE else NOBODY
        waiting = waits(device, slate, float(self.choosing.times.t_s[row]))
        while row < after:
            told = self._next(device, row, screen, seen_upto, waiting, had)
            if told.item >= 0:
                self.streamed.happens(first + had, seen_upto + 1 + had, int(told.item), int(told.place))
                self._taken[number].append(row)
                had += 1
            self._mood.satisfaction[number], self._mood.worn[number] = told.satisfaction, told.worn
            self.log.add(row, number, *told[6:14])
            for missed in told.missed:
                self.log.stayed_away(missed, number, told.satisfaction)
            row = int(told.next_row)
        if not self._foreseen[number] and row < device.end:
            self._expected[number] = None
        return had, row

    def changed(self, number: int) -> None:
        """A device has begun a new slate though nothing has happened: what was foreseen for it may be wrong."""
        device, known = self.devices[number], self._foreseen[number]
        if device.last_response_s < math.inf:
            self.foresight.answered(device.last_response_s)
        if known:
            rounds, place = known[-1]
            if tuple(rounds.told[place, 1:4]) == self.slates.name(device.next_slate):
                return
        self._expected[number] = None

    def table(self) -> pa.Table:
        """What came of every opportunity."""
        return self.log.table(self.choosing.times)

    def finish(self) -> None:
        """The run is over: what was foreseen and has not happened goes."""
        for number in range(len(self.users)):
            self._foreseen[number].clear()
        steps = np.array([device.step for device in self.devices], dtype=np.int64)
        self._rewind(np.arange(len(self.users)), steps + 1)

    def _next(self, device: Screened, row: int, screen: SlateName, seen_upto: int, waits: bool, had: int) -> _Foreseen:
        known = self._foreseen[device.device]
        if known:
            rounds, place = known.pop()
            ahead = rounds.of(place)
            if ahead[:6] == (row, *screen, seen_upto, waits):
                self._hits += 1
                return ahead
            self._misses += 1
        self._foresee(device, row, screen, seen_upto, waits, had)
        rounds, place = known.pop()
        return rounds.of(place)

    # ------------------------------------------------------------------------------------------ ahead of need

    def _foresee(self, device: Screened, row: int, screen: SlateName, seen_upto: int, waits: bool, had: int) -> None:
        """The choices of this device from `row` on, which it needs now, together with all that are expected."""
        number, now = device.device, float(self.choosing.times.t_s[row])
        self._expected.pop(number, None)
        others: list[int] = []
        if self.batching:
            while self._expected and len(others) < _DEVICES_AT_ONCE:
                other = self._expected.popitem()[0]
                if self.devices[other].row < self.devices[other].end:
                    others.append(other)
        if now >= self._until_s:
            self._until_s = now + self.foresight.window_s
        walkers = [device, *(self.devices[other] for other in others)]
        walk = Walk.of(self.foresight, self.slates, walkers, self._mood, now)
        walk.begin_with(row, screen, seen_upto, waits, had)
        walk = walk.setting_out()
        self._rewind(walk.number, walk.step + 1)
        walk.state = self._states(walk.number)
        for other in walk.number.tolist():
            self._foreseen[other].clear()
        # Few go a short way, for others to join them; nobody goes much farther than what is foreseen comes true.
        rows = min(max(len(walk.number) // 4, 2), 1 + 2 * self._hits // self._misses)
        self._go(walk, rows if self.batching else 1)

    def _rewind(self, numbers: Ints, lengths: Ints) -> None:
        """Take back what these devices [M] were thought to have beyond their first `lengths` [M] interactions."""
        users = self.users[numbers]
        if self.source is not None:
            self.source.forget(users, lengths - 1, self.histories.lengths[users] - 1)
        self.scorer.rewind(numbers, users, lengths)
        self.histories.rewind(users, lengths)

    def _states(self, numbers: Ints) -> NDArray[np.generic]:
        """The states [M, S] of users by what they have had."""
        lacking = np.array([len(self._taken[number]) for number in numbers.tolist()])
        for nth in range(int(lacking.max(initial=0))):
            some = numbers[lacking > nth]
            rows = np.array([self._taken[number][nth] for number in some.tolist()])
            items = self.histories.item_at(self.users[some], self._stated[some] + nth)
            self.choosing.model.advance(self._state, some, self._moments(some, rows), items)
        self._stated[numbers] += lacking
        for number in numbers[lacking > 0].tolist():
            self._taken[number].clear()
        return np.asarray(self._state[numbers])

    def _moments(self, numbers: Ints, rows: Ints) -> Moments:
        times = self.choosing.times
        return Moments(numbers, rows - times.first[numbers], times.session[rows], times.t_s[rows])

    def _go(self, walk: Walk, rows: int) -> None:
        """Walk ahead by at most so many opportunities, and note what comes of them."""
        found: list[tuple[Ints, _Round]] = []
        for _ in range(rows):
            chosen = self._choose(walk)
            ahead = self.choosing.follow(walk.number, walk.row, chosen, walk.mood)
            missed: dict[int, list[int]] = {}
            for which, at in ahead.missed:
                for place, session_row in zip(which.tolist(), at.tolist(), strict=True):
                    missed.setdefault(place, []).append(session_row)
            mood = ahead.mood
            columns = walk.row, *walk.shown.T, walk.seen_upto, walk.waits
            told = np.stack([*columns, *chosen, mood.satisfaction, ahead.ends, mood.worn, ahead.row], axis=1)
            found.append((walk.number, _Round(told, missed)))
            walk.advance(chosen, mood, ahead.row)
            walk = walk.going(self._until_s)
            if not len(walk.row):
                break
        for numbers, rounds in reversed(found):
            for place, number in enumerate(numbers.tolist()):
                self._foreseen[number].append((rounds, place))

    def _choose(self, walk: Walk) -> Chosen:
        """What every user of a walk does now; the items that they take are appended to their histories."""
        choosing, at = self.choosing, self._moments(walk.number, walk.row)
        alone = choosing.alone(at.user, at.opportunity)
        looks = ~alone & ~walk.waits
        chosen = choosing.wait(len(alone))
        for some, does in ((np.flatnonzero(alone), self._find), (np.flatnonzero(looks), self._look)):
            if len(some):
                for column, values in zip(chosen, does(walk, some, at.take(some)), strict=True):
                    column[some] = values
        takes = np.flatnonzero(chosen.item >= 0)
        if len(takes):
            items = chosen.item[takes]
            self.histories.append(self.users[walk.number[takes]], items, at.opportunity[takes])
            choosing.model.advance(walk.state, takes, at.take(takes), items)
        return chosen

    def _find(self, walk: Walk, some: Ints, at: Moments) -> Chosen:
        """What some of a walk's users find alone."""
        return self.choosing.find(walk.state[some], at)

    def _look(self, walk: Walk, some: Ints, at: Moments) -> Chosen:
        """What some of them choose of their screens."""
        users, seen = self.users[walk.number[some]], walk.seen_upto[some]
        as_of, step, weights = walk.shown[some].T
        screens = self.scorer.screens(
            Queries(users, step, as_of, np.full(len(some), -1), seen, weights), self.choosing.looks
        )
        if self.hides_seen:
            hidden = self.histories.seen_mask(users, seen)
        else:
            hidden = np.zeros((len(some), self.choosing.model.n_items), dtype=bool)
        return self.choosing.look(walk.state[some], at, screens, hidden)
