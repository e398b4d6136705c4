"""Users of the user's own: each is asked what it does as its opportunities come, one after the other."""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from fleetrec.models.llm.cache import GrownCandidates
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.engine.users import Screened, waits
from fleetrec.simulator.ranking.growing import GrowingHistories
from fleetrec.simulator.ranking.lookahead import Scorer
from fleetrec.simulator.ranking.slates import Queries
from fleetrec.simulator.records.opportunities import OpportunityLog
from fleetrec.simulator.records.recorder import Streamed
from fleetrec.simulator.records.slate_table import NamedSlates, SlateName
from fleetrec.simulator.scenario.sections.users import STOP, Floats, Leave, OwnUsers
from fleetrec.simulator.workload.users.choosing import (
    LEAVES,
    ORGANIC,
    SKIP,
    SLATE,
    STAYS,
    STOPS,
    WAIT,
    gumbel_noise,
)
from fleetrec.simulator.workload.users.opportunities import Opportunities
from fleetrec.simulator.workload.users.utility import Ints, Moments, Past, State, UserModel

_DAY_S = 86_400.0
_UNKNOWN = float("nan")
"""what items are worth to users of one's own"""


class Tastes:
    """What items are worth to users by a model that knows what each has had so far."""

    def __init__(self, make: Callable[[], UserModel], past: Past, users: Ints, histories: GrowingHistories):
        """`make` gives the model once it is asked for the first time; `users` [D] of the devices in the histories."""
        self._make, self._past, self._users, self._histories = make, past, users, histories
        self.taken: list[list[Moments]] = [[] for _ in users]
        """of each device, when its user has had what the model has not been told of"""

    @cached_property
    def _model(self) -> UserModel:
        return self._make()

    @cached_property
    def _states(self) -> State:
        return self._model.initial(self._past)

    def of(self, at: Moments, items: Ints) -> Floats:
        """Utilities [K] of items [K] to one user."""
        number = at.user
        user = self._users[number]
        begin = self._histories.lengths[user] - len(self.taken[number[0]])
        for nth, then in enumerate(self.taken[number[0]]):
            self._model.advance(self._states, number, then, self._histories.item_at(user, begin + nth))
        self.taken[number[0]].clear()
        return np.asarray(self._model.of(self._states[number], at, items[None])[0])


class Screen:
    """What a user sees at an opportunity (sections/users.py: SlateView)."""

    def __init__(
        self,
        at: Moments,
        items: Ints,
        ready: bool,
        waited_s: float,
        history: Ints,
        words: Sequence[tuple[str, ...]] | None,
        n_items: int,
        tastes: Tastes,
        draws: Draws,
    ):
        self._at, self._words, self._tastes, self._draws = at, words, tastes, draws
        self.items, self.ready, self.waited_s, self.history, self.n_items = items, ready, waited_s, history, n_items
        self._user, self.opportunity, self.session = int(at.user[0]), int(at.opportunity[0]), int(at.session[0])
        self.user = draws.first_device + self._user
        self.time_of_day_s = float(at.t_s[0]) % _DAY_S

    def attributes(self, item: int) -> tuple[str, ...]:
        """See SlateView."""
        if self._words is None:
            raise InputError(
                "workload.users: they ask for words of items, and the log has none; name the column of a table of "
                "items that has them: workload.interactions.items={path: items.csv, columns: {attributes: genre}}"
            )
        return self._words[item]

    def utility(self, items: ArrayLike) -> Floats:
        """See SlateView."""
        return self._tastes.of(self._at, np.asarray(items, dtype=np.int64))

    def gumbel(self, items: ArrayLike) -> Floats:
        """See SlateView."""
        return np.asarray(gumbel_noise(self._draws, self._at, np.asarray(items, dtype=np.int64)[None])[0])

    def uniform(self, purpose: str) -> float:
        """See SlateView."""
        return self._draws.uniform_one(f"users.own.{purpose}", self._user, self.opportunity)


class AskedUsers:
    """The users of a fleet, who are asked one by one (a User)."""

    def __init__(
        self,
        own: OwnUsers,
        times: Opportunities,
        users: Ints,
        histories: GrowingHistories,
        scorer: Scorer,
        slates: NamedSlates,
        streamed: Streamed,
        source: GrownCandidates | None,
        tastes: Tastes,
        draws: Draws,
        words: Sequence[tuple[str, ...]] | None,
        longest: int,
    ):
        """`users` [D] of the devices; `source` of lists that are made together where users will see them soon, if any;
        `words` of items, where the log has them; `longest`: places of a screen."""
        self._own, self._times, self._users, self._histories = own, times, users, histories
        self._scorer, self._slates, self.streamed, self._tastes = scorer, slates, streamed, tastes
        self._draws, self._words, self._longest = draws, words, longest
        self._t_s, self._log = array("d", times.t_s.tobytes()), OpportunityLog()
        self._source = source
        self.devices: Sequence[Screened] = ()  # to be set before the run
        self._landed: dict[int, int] = {}  # by device, what its newest list is as of, where nobody has seen that yet

    def meet(self, device: Screened, row: int, after: int, slate: int) -> tuple[int, int]:
        """See User."""
        seen_upto, first, had = device.step, row, 0
        screen = None if waits(device, slate, self._t_s[row]) else self._slates.name(slate)
        while row < after:
            item, row = self._opportunity(device, row, screen, seen_upto)
            if item >= 0:
                self.streamed.happens(first + had, seen_upto + 1 + had, item)
                had += 1
        return had, row

    def changed(self, number: int) -> None:
        """See User."""
        self._landed[number] = self.devices[number].as_of

    def finish(self) -> None:
        """The run is over."""

    def table(self) -> pa.Table:
        """What came of every opportunity."""
        return self._log.table(self._times)

    def _opportunity(self, device: Screened, row: int, screen: SlateName | None, seen_upto: int) -> tuple[int, int]:
        """What the user does at `row`: the item that it takes (-1: none), and its next opportunity."""
        number, user, now = device.device, self._users[device.device : device.device + 1], self._t_s[row]
        times, histories = self._times, self._histories
        here = np.array([row])
        at = Moments(np.array([number]), here - times.first[number], times.session[here], times.t_s[here])
        items = np.empty(0, dtype=np.int64)
        if screen is not None:
            self._make_lists(user, screen.as_of)
            named = (np.array([value]) for value in (screen.step, screen.as_of, -1, seen_upto, screen.weights))
            step, *rest = named
            items = self._scorer.screens(Queries(user, step, *rest), self._longest)[0]
            items = items[items >= 0]
        waited_s = min(device.first_ready_s, now) - device.since_s
        begin = histories.offsets[user[0]]
        known = histories.items[begin : begin + histories.lengths[user[0]]].astype(np.int64)
        own = self._words, histories.n_items, self._tastes, self._draws
        answer = self._own.answer(Screen(at, items, screen is not None, waited_s, known, *own), now)

        place = np.flatnonzero(items == answer) if isinstance(answer, int) else items[:0]
        outcome, following, ends = SKIP if screen is not None else WAIT, row + 1, STAYS
        if isinstance(answer, int):
            outcome = SLATE if len(place) else ORGANIC
            histories.append(user, np.array([answer]), at.opportunity)
            self._tastes.taken[number].append(at)
        elif isinstance(answer, Leave):
            ends = LEAVES if row + 1 < times.following[row] else STAYS
            following = self._back(number, row, now + answer.for_s)
        elif answer == STOP:
            ends, following = STOPS, device.end
        item = answer if isinstance(answer, int) else -1
        values = item, int(place[0]) if len(place) else -1, *[_UNKNOWN] * 4, ends
        self._log.add(row, number, outcome, *values)
        return item, following

    def _make_lists(self, user: Ints, as_of: int) -> None:
        """Where this list has not been made yet, it is, and all others that have landed since with it."""
        if self._source is None or as_of < 0 or self._source.knows(user, np.array([as_of]))[0]:
            return
        known = {int(user[0]): as_of} | {
            int(self._users[number]): landed for number, landed in self._landed.items() if landed >= 0
        }
        self._landed.clear()
        self._source.lists(np.array(list(known)), np.array(list(known.values())))

    def _back(self, number: int, row: int, from_s: float) -> int:
        """The first opportunity after the session of `row` that is not before a time; sessions that lie between are
        missed."""
        times = self._times
        row, end = int(times.following[row]), int(times.end[number])
        back = bisect_left(self._t_s, from_s, row, end)
        while row < back and times.following[row] <= back:
            self._log.stayed_away(row, number, _UNKNOWN)
            row = int(times.following[row])
        return back
