"""Devices on their way ahead of the clock: what each of them will have on its screen, as far as that can be foreseen.

What a device asks for, what becomes of it and when its answer lands is known where its policy says so and as well as
its link is known; nothing hangs on it but how much has to be computed anew.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.engine.context import FROM_INTERACTION, FROM_PUSH, Rules
from fleetrec.simulator.engine.users import Screened
from fleetrec.simulator.fleet.network import Network
from fleetrec.simulator.fleet.presence import Presence
from fleetrec.simulator.ranking.lookahead import Scorer
from fleetrec.simulator.records.schemas import NO_SLATE
from fleetrec.simulator.records.slate_table import NamedSlates, SlateName
from fleetrec.simulator.scenario.sections.request import DevicesAhead, Foreseeable, RunningRequestPolicy
from fleetrec.simulator.workload.users.choosing import Chosen, Mood
from fleetrec.simulator.workload.users.opportunities import Opportunities
from fleetrec.simulator.workload.users.utility import Floats, Ints

NOBODY = SlateName(-2, -2, -2)
"""no slate at all"""
_NOTHING, _LOST = -1, -2
_ROWS_AHEAD = 64
_MOST_AHEAD = 2_000_000
"""opportunities of all users that are walked ahead: so many take 0.4 GB"""


@dataclass
class Foresight:
    """What is known of devices before it happens, and what is likely."""

    times: Opportunities
    online: NDArray[np.bool_]
    """[S] whether the device is within reach at each row of the stream"""
    rules: Rules
    policy: RunningRequestPolicy
    scorer: Scorer
    network: Network
    presence: Presence
    timeout_s: float
    lists_ahead: float
    """new lists through whose landing a device is followed: few where a list that was foreseen in vain is dear"""
    pushes: Sequence[Sequence[float]] = ()
    """[D] when the cloud refreshes each device's list unasked; none: it never does"""
    latency_s: float = 1.0
    """of an answer, as it is likely to be"""

    def __post_init__(self) -> None:
        self.tied = self.times.same_time_next
        """[S]"""
        count = np.array([len(times_s) for times_s in self.pushes], dtype=np.int64)
        self.pushed_s = np.concatenate([*(np.append(times_s, np.inf) for times_s in self.pushes), np.empty(0)])
        """when lists are pushed, device by device; after the last of each: never"""
        self.first_push = np.cumsum(count + 1) - (count + 1)
        """[D] where those of each device begin"""
        met = self.times.t_s[self.times.session >= 0]
        every_s = float(np.ptp(met)) * len(self.times.first) / len(met) if len(met) else 0.0
        ahead = min(_ROWS_AHEAD, max(_MOST_AHEAD // max(len(self.times.first), 1), 1))
        self.window_s = ahead * every_s
        """time in which a user comes to so many opportunities, in the mean"""

    def answered(self, response_s: float) -> None:
        """A request has taken so long."""
        self.latency_s += (response_s - self.latency_s) / 16.0

    def next_push(self, number: int, now: float) -> int:
        """The next push after `now`."""
        return int(self.first_push[number]) + bisect_right(self.pushes[number], now) if self.pushes else 0

    def ends_s(self, numbers: Ints, from_s: Floats, lost: NDArray[np.bool_], offline: NDArray[np.bool_]) -> Floats:
        """When requests [M] that are made at `from_s` are likely to end; those `offline` wait first."""
        ends_s = from_s + np.where(lost, self.timeout_s, self.latency_s)
        for place in np.flatnonzero(offline).tolist():
            ends_s[place] = self.presence.next_reachable(int(numbers[place]), float(from_s[place])) + self.latency_s
        return ends_s


@dataclass
class Walk:
    """Devices on their way; arrays [M] by device."""

    foresight: Foresight
    number: Ints
    row: Ints
    end: Ints
    step: Ints
    """newest interaction"""
    shown: Ints
    """[M, 3] the slate on screen: list, step, weights; as `NOBODY` where there is none"""
    following: Ints
    """[M, 3] the slate after it"""
    ready_s: NDArray[np.float64]
    """of that"""
    lists: Ints
    """cached"""
    list_time_s: Floats
    """when the histories behind those were sent"""
    weights: Ints
    compute_s: NDArray[np.float64]
    awaits: NDArray[np.bool_]
    """whether a blocking screen waits until the next slate is ready"""
    coming: Ints
    """list that is under way; -1: none, -2: its request is lost"""
    asked_s: Floats
    """when it was asked for"""
    lands_s: Floats
    """when it is likely to land, or to be given up"""
    late_answers: Ints
    push: Ints
    """the next one of the device in `Foresight.pushed_s`"""
    mood: Mood
    waits: NDArray[np.bool_]
    """whether a screen that is not ready is before the user"""
    seen_upto: Ints
    """newest interaction before this moment"""
    newest_s: Floats
    """when the newest interaction was"""
    decisions: Ints
    """taken so far"""
    landed: Ints
    """how many lists have since they set out"""
    state: NDArray[np.generic] = field(default_factory=lambda: np.empty(0))

    @classmethod
    def of(
        cls, foresight: Foresight, names: NamedSlates, devices: Sequence[Screened], mood: Mood, now: float
    ) -> "Walk":
        """Devices as they are now, about to come to their next opportunities, their users in a `mood` [D]."""

        def named(slate: int) -> SlateName:
            return names.name(slate) if slate != NO_SLATE else NOBODY

        def ints(values: list[int]) -> Ints:
            return np.array(values, dtype=np.int64)

        number = ints([device.device for device in devices])
        coming = ints([device.coming_step if device.in_flight else _NOTHING for device in devices])
        attempt = ints([device.attempt for device in devices])
        push = ints([foresight.next_push(device.device, now) for device in devices])
        lost = (coming >= 0) & foresight.network.loses(number, coming, attempt)
        offline = np.array(
            [device.in_flight and not foresight.presence.reachable(device.device, now) for device in devices]
        )
        walk = cls(
            foresight,
            number,
            ints([device.row for device in devices]),
            ints([device.end for device in devices]),
            ints([device.step for device in devices]),
            np.array([named(device.shown_slate) for device in devices], dtype=np.int64),
            np.array([named(device.next_slate) for device in devices], dtype=np.int64),
            np.array([device.next_ready_s for device in devices]),
            ints([device.as_of for device in devices]),
            np.array([device.list_time_s for device in devices]),
            ints([device.used_weights for device in devices]),
            np.array([device.profile.compute_s for device in devices]),
            np.array([device.awaited >= 0 for device in devices]),
            np.where(lost, _LOST, coming),
            np.array([device.asked_s for device in devices]),
            foresight.ends_s(number, np.full(len(number), now), lost, offline),
            ints([device.late_answers for device in devices]),
            push,
            mood.take(number),
            np.zeros(len(number), dtype=bool),
            ints([device.step for device in devices]),
            np.array([device.newest_s for device in devices]),
            ints([device.decisions for device in devices]),
            np.zeros(len(number), dtype=np.int64),
        )
        walk._come(np.ones(len(number), dtype=bool))
        return walk

    def begin_with(self, row: int, screen: SlateName, seen_upto: int, waits: bool, had: int) -> None:
        """The first device is in the midst of a moment: at `row`, with this screen, after `had` items."""
        self.row[0], self.shown[0], self.seen_upto[0], self.waits[0] = row, screen, seen_upto, waits
        self.step[0] = seen_upto + had

    def _come(self, arrives: NDArray[np.bool_]) -> None:
        """Those who arrive at a new moment find the newest slate that is ready by then, of a list that has landed."""
        times = self.foresight.times
        t_s = times.t_s[np.minimum(self.row, len(times.t_s) - 1)]
        self._land(arrives, t_s)
        if len(self.foresight.pushed_s):
            self._are_pushed(arrives, t_s)
        ready = arrives & (self.ready_s < t_s)
        self.shown = np.where(ready[:, None], self.following, self.shown)
        missing = self.shown[:, 0] == NOBODY.as_of
        self.waits = np.where(arrives, missing | (self.awaits & ~(self.ready_s < t_s)), self.waits)
        self.seen_upto = np.where(arrives, self.step, self.seen_upto)

    def _land(self, arrives: NDArray[np.bool_], t_s: Floats) -> None:
        """What is under way lands before `t_s`, or is given up."""
        lands = arrives & (self.coming != _NOTHING) & (self.lands_s < t_s)
        if not lands.any():
            return
        newer = lands & (self.coming >= np.maximum(self.lists, 0))
        before = newer & (self.ready_s < self.lands_s)
        self.shown = np.where(before[:, None], self.following, self.shown)
        self.lists, self.landed = np.where(newer, self.coming, self.lists), self.landed + newer
        self.list_time_s = np.where(newer, self.asked_s, self.list_time_s)
        made = np.stack([self.lists, self.step, self.weights], axis=1)
        self.following = np.where(newer[:, None], made, self.following)
        self.ready_s = np.where(newer, self.lands_s + self.compute_s, self.ready_s)
        late = (self.coming == _LOST) | (self.lands_s - self.asked_s > self.foresight.rules.late_s)
        answers = np.where(late, self.late_answers + 1, np.maximum(self.late_answers - 1, 0))
        self.late_answers = np.where(lands, answers, self.late_answers)
        self.coming = np.where(lands, _NOTHING, self.coming)

    def _are_pushed(self, arrives: NDArray[np.bool_], t_s: Floats) -> None:
        """What the cloud sends unasked before `t_s`."""
        foresight = self.foresight
        while (due := np.flatnonzero(arrives & (foresight.pushed_s[self.push] < t_s))).size:
            at_s = foresight.pushed_s[self.push[due]]
            lacks = (self.coming[due] == _NOTHING) & (self.step[due] > self.lists[due])
            some, at_s = due[lacks], at_s[lacks]
            online = np.array([*map(foresight.presence.reachable, self.number[some].tolist(), at_s.tolist())], bool)
            some, at_s = some[online], at_s[online]
            lost = foresight.network.loses(self.number[some], self.step[some], FROM_PUSH)
            self.coming[some], self.asked_s[some] = np.where(lost, _LOST, self.step[some]), at_s
            self.lands_s[some] = foresight.ends_s(self.number[some], at_s, lost, np.zeros_like(lost))
            self.push[due] += 1
            self._land(arrives, t_s)

    def advance(self, chosen: Chosen, mood: Mood, row: Ints) -> None:
        """Come to the next opportunities at `row`; devices order their lists anew at the end of a moment in which
        something was taken, and then ask where their policy is likely to."""
        foresight, rules = self.foresight, self.foresight.rules
        self.step = self.step + (chosen.item >= 0)
        leaves = ~foresight.tied[self.row] | (row != self.row + 1)
        ranks = leaves & (self.step > self.seen_upto)
        made = np.stack([self.lists, self.step, self.weights], axis=1)
        t_s = foresight.times.t_s[self.row]
        self.following = np.where(ranks[:, None], made, self.following)
        self.ready_s = np.where(ranks, t_s + self.compute_s, self.ready_s)
        self.awaits = self.awaits & ~ranks
        gap_s = t_s - self.newest_s
        self.newest_s = np.where(ranks, t_s, self.newest_s)
        asks = self._asks(np.flatnonzero(ranks & (self.coming == _NOTHING)), row, gap_s)
        self.decisions = self.decisions + ranks
        if asks.any():
            lost = asks & foresight.network.loses(self.number, self.step, FROM_INTERACTION)
            offline = asks & ~foresight.online[self.row]
            self.coming = np.where(asks, np.where(lost, _LOST, self.step), self.coming)
            self.asked_s = np.where(asks, t_s, self.asked_s)
            self.lands_s = np.where(asks, foresight.ends_s(self.number, t_s, lost, offline), self.lands_s)
            if rules.blocking:
                self.awaits |= asks
                self.ready_s = np.where(asks, np.maximum(self.ready_s, t_s + rules.patience_s), self.ready_s)
        self.mood, self.row = mood, row
        self._come(leaves)

    def _asks(self, some: Ints, row: Ints, gap_s: Floats) -> NDArray[np.bool_]:
        """Which of `some` devices are likely to ask with a request that leaves them, their users coming next at `row`
        after a gap."""
        foresight, asks = self.foresight, np.zeros(len(self.number), dtype=bool)
        if foresight.rules.fails_offline:
            some = some[foresight.online[self.row[some]]]
        if isinstance(foresight.policy, Foreseeable) and foresight.rules.at_interaction and len(some):
            columns = self.number, self.lists, self.step, self.weights
            now = [column[some] for column in columns]
            ahead = DevicesAhead(
                device=self.number[some],
                rows=row[some] - 1,
                steps=self.step[some],
                as_of=self.lists[some],
                list_time_s=self.list_time_s[some],
                since_s=self.newest_s[some],
                decisions=self.decisions[some],
                last_gap_s=gap_s[some],
                late_answers=self.late_answers[some],
                score=lambda: foresight.scorer.foresee(*now),
            )
            asks[some] = foresight.policy.likely(ahead)
        return asks

    def setting_out(self) -> "Walk":
        """The first device, which is where it is, and of the others those whose lists may be made."""
        return self._of(np.append(True, self._can_list()[1:]))

    def going(self, until_s: float) -> "Walk":
        """Those with an opportunity ahead, before `until_s`, and a list that may be made."""
        times = self.foresight.times.t_s
        ahead = (self.row < self.end) & (times[np.minimum(self.row, len(times) - 1)] < until_s)
        return self._of(ahead & self._can_list())

    def _can_list(self) -> NDArray[np.bool_]:
        return np.asarray(self.landed <= self.foresight.lists_ahead)

    def _of(self, chosen: NDArray[np.bool_]) -> "Walk":
        some = np.flatnonzero(chosen)
        if len(some) == len(self.row):
            return self
        held = {name: getattr(self, name) for name in _OF_DEVICES}
        taken = {name: values[some] for name, values in held.items() if len(values)}  # `state` may be yet to come
        return replace(self, mood=self.mood.take(some), **taken)


_OF_DEVICES = [one.name for one in fields(Walk) if one.name not in ("foresight", "mood")]
