"""The life of one device, in the order of section "What happens to one device" of docs/background/model.md.

A process (clock.py) waits for the next interaction at which the device may ask the cloud; those before it are caught up
with when it wakes, or when an answer lands. A request is a process of its own. When the device is present and reachable
is a timeline fixed before the run, so nothing is ever interrupted.
"""

import math
from array import array
from dataclasses import dataclass, field

from fleetrec.simulator.core.clock import Clock, Process
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.engine.context import FROM_INTERACTION, FROM_PUSH, Profile, Rules
from fleetrec.simulator.engine.device_knowledge import DeviceKnowledge
from fleetrec.simulator.engine.fast_forward import fast_forward, quiet_rows, steady_row
from fleetrec.simulator.engine.interfaces import Adapter, LearningCloud
from fleetrec.simulator.engine.request_process import Requests
from fleetrec.simulator.engine.users import User
from fleetrec.simulator.fleet.link import Link
from fleetrec.simulator.policies.device_scores import DeviceScores
from fleetrec.simulator.policies.request.budget import Budget
from fleetrec.simulator.ranking.lookahead import Scorer
from fleetrec.simulator.ranking.weight_versions import FIRST_WEIGHTS
from fleetrec.simulator.records.recorder import Recorder
from fleetrec.simulator.records.schemas import NO_SLATE, RequestRecord
from fleetrec.simulator.scenario.sections.request import RunningRequestPolicy

NO_LIST = -1


@dataclass(slots=True, eq=False)
class Device(DeviceKnowledge):
    """One device: what it knows, what is on its screen, and what it does next."""

    device: int
    profile: Profile
    rules: Rules
    clock: Clock
    times: "array[float]"
    """time of each row of the stream"""
    next_tie: "array[int]"
    """first row at or after each that shares its time with the row after it"""
    user: User
    connection: Link
    policy: RunningRequestPolicy
    budget: Budget
    requests: Requests
    scorer: Scorer
    scores: DeviceScores
    """for a policy that does not say which one it looks at"""
    draws: Draws
    recorder: Recorder
    cloud: LearningCloud
    adapter: Adapter | None
    """none: it does not fine-tune"""

    row: int = field(init=False)
    """of the stream: its next interaction"""
    end: int = field(init=False)
    step: int = field(init=False)
    left_s: float = field(init=False)
    as_of: int = NO_LIST
    list_time_s: float = -math.inf
    shown_slate: int = NO_SLATE
    next_slate: int = NO_SLATE
    next_ready_s: float = math.inf
    since_s: float = 0.0
    """the newest event on the device"""
    first_ready_s: float = 0.0
    """when the first slate since then is ready"""
    newest_s: float = -math.inf
    """when its newest interaction was, or when it joined; before the run began"""
    last_gap_s: float = math.inf
    last_response_s: float = math.inf
    in_flight: int = 0
    asked: RequestRecord | None = None
    """decided now, and to be sent"""
    asked_s: float = -math.inf
    """when what is in flight was asked for, or pushed"""
    coming_step: int = -1
    """which it is of"""
    attempt: int = 0
    """which one at its step it is, to key its draws: each has its own luck"""
    asked_step: int = -1
    """of the newest request that was not pushed"""
    again: int = 0
    """how many have been made again at that step"""
    awaited: int = -1
    """the request that a blocking screen waits for"""
    decisions: int = 0
    late_answers: int = 0
    rankings: int = 0
    other_j: float = 0.0
    """joules of its radio and of its training"""
    weights: int = FIRST_WEIGHTS
    """installed"""
    list_weights: int = FIRST_WEIGHTS
    """those that the item vectors of the list belong to"""
    used_weights: int = FIRST_WEIGHTS
    """those that rank"""
    version: int = 0
    """of the fleet's weights"""

    def __post_init__(self) -> None:
        profile = self.profile
        self.row, self.end, self.step, self.left_s = profile.row, profile.end, profile.first_step - 1, profile.left_s

    # ------------------------------------------------------------------------------------------ its life

    def live(self) -> Process:
        """Join with the preloaded list, rank, perhaps decide; then wake at each interaction at which it may ask."""
        clock, rules, profile = self.clock, self.rules, self.profile
        yield clock.until(profile.joins_s, self.device)
        self.since_s = self.list_time_s = clock.now
        self.newest_s = clock.now if clock.now > 0.0 else -math.inf
        self.as_of = profile.preloaded
        self._rank(clock.now)
        self.user.changed(self.device)
        if profile.decides_joining:
            self._decide(clock.now)
        while True:
            if self.asked is not None and rules.skips:
                yield from self._request(*self._take_asked())  # nothing else is asked before it has ended
            elif self.asked is not None:
                clock.start(self._request(*self._take_asked()))
            if self.row >= self.end:
                return
            online_s = self.connection.next_online(clock.now) if rules.online else math.inf
            yield clock.until(min(self.times[self._next_look()], online_s), self.device)
            self.catch_up(clock.now, decides=rules.at_interaction)
            if clock.now == online_s:
                self._decide_between(clock.now)

    def catch_up(self, until_s: float, decides: bool = False) -> None:
        """The user's interactions up to `until_s`; the device decides at those of that very time if `decides`."""
        times, end = self.times, self.end
        while self.row < end and times[self.row] <= until_s:
            if not self._skip(until_s, decides):
                self._interact(decides and times[self.row] == until_s)
        if self.adapter is not None and self.adapter.ready_s <= until_s:
            self._finish_training(self.adapter)

    def _interact(self, decides: bool) -> None:
        """Evaluate the slate on screen, observe, re-rank, decide: all interactions of the next time, if its user has
        any."""
        times, row, now, after = self.times, self.row, self.times[self.row], self.row + 1
        while after < self.end and times[after] == now:
            after += 1
        adapter = self.adapter
        if adapter is not None and adapter.ready_s < now:
            self._finish_training(adapter)
        slate, latency_s = self._on_screen(now), min(self.first_ready_s, now) - self.since_s
        had, self.row = self.user.meet(self, row, after, slate)
        if not had:
            return
        if adapter is not None and adapter.watches and not self.exhausted:
            adapter.note(self.scorer.rank(self.device, self.as_of, self.step, self.used_weights))
        seen_upto, after, self.step = self.step, row + had, self.step + had
        self.last_gap_s, self.since_s, self.newest_s, self.awaited = now - self.newest_s, now, now, -1
        decided, request = NO_SLATE, -1
        if self.exhausted:
            self.first_ready_s = now
            slate = NO_SLATE if self.rules.empty_is_miss else slate
        else:
            decided = self._rank(now)
            if decides:
                request = self._decide(now)
            elif self.rules.at_interaction:
                self._pass()
        self.recorder.interacted_together(row, after, slate, seen_upto, decided, request, latency_s)
        if adapter is not None and not self.exhausted:
            self.other_j += adapter.consider(after - 1, self.step, now)

    # ------------------------------------------------------------------------------------------ deciding

    def _decide(self, now: float, waits: bool = True) -> int:
        """Ask the cloud if the policy wants to and the budget allows it; the number of the request, or -1. A blocking
        screen `waits` for the answer."""
        wants = not self.in_flight and self.policy.wants(self)
        self._pass()
        if not wants or not self.budget.holds(self.device):
            return -1
        if self.rules.fails_offline and not self.connection.reachable(now):
            return self.requests.lost_offline(self.device, self.step, now, self.weights)
        self.budget.spend(self.device)
        self.asked = self._new_request(now)
        if self.rules.blocking and waits:
            self.awaited = self.asked.request
            self.first_ready_s = self.next_ready_s = max(self.next_ready_s, now + self.rules.patience_s)
        return self.asked.request

    def _decide_between(self, now: float) -> None:
        """Decide between interactions, where no request is under way and the list has not seen the newest one. Nobody
        waits before the screen for what is asked then."""
        if not self.in_flight and self.step > self.as_of and not self.exhausted:
            self._decide(now, waits=False)

    def _pass(self, decisions: int = 1) -> None:
        """So many decisions are taken."""
        self.budget.earn(self.device, decisions)
        self.decisions += decisions

    # ------------------------------------------------------------------------------------------ its requests

    def _new_request(self, now: float, pushed: bool = False) -> RequestRecord:
        self.in_flight += 1
        self.asked_s, self.coming_step, self.attempt = now, self.step, FROM_PUSH
        if not pushed:
            self.again = self.again + 1 if self.step == self.asked_step else 0
            self.asked_step = self.step
            self.attempt = FROM_INTERACTION if self.again == 0 else FROM_PUSH + self.again
        return self.requests.ledger.issue(self.device, self.step, now, self.weights, pushed)

    def _take_asked(self) -> tuple[RequestRecord, int]:
        """The request that was decided, and its attempt."""
        record, self.asked = self.asked, None
        assert record is not None
        return record, self.attempt

    def _request(self, record: RequestRecord, attempt: int) -> Process:
        """A request to its end; then what the device asks for as its list lands, if anything."""
        while True:
            yield from self.requests.process(record, self, attempt)
            self._conclude(record)
            if self.asked is None:
                return
            record, attempt = self._take_asked()

    def pushes(self, times_s: list[float]) -> Process:
        """The cloud refreshes this device's list at the given times, unasked."""
        clock = self.clock
        for t_s in times_s:
            yield clock.after(max(t_s - clock.now, 0.0))
            self.catch_up(clock.now)
            if self.connection.reachable(clock.now) and not self.in_flight and self.step > self.as_of:
                yield from self._request(self._new_request(clock.now, pushed=True), FROM_PUSH)

    def _conclude(self, record: RequestRecord) -> None:
        """The device learns now what became of its request."""
        now, completed = self.clock.now, record.outcome == "completed"
        self.catch_up(now)
        self.in_flight -= 1
        late = not completed or now - record.t_issued_s > self.rules.late_s
        self.late_answers = self.late_answers + 1 if late else max(self.late_answers - 1, 0)
        self.last_response_s = now - record.t_issued_s if completed else math.inf
        if completed:
            self._land(record)
        elif self.awaited == record.request:
            self._give_up_waiting(now)
        self.requests.ledger.close(record)
        if self.rules.at_answer and completed and self.step > record.step:
            self._decide_between(now)

    def _land(self, record: RequestRecord) -> None:
        """A list arrives: it replaces the cached one unless a newer one has landed, and the SRM orders it."""
        if record.as_of < self.as_of:
            return
        self.as_of, self.list_time_s, self.list_weights = record.as_of, record.t_issued_s, record.weights
        self._choose_weights()
        if self.exhausted:
            return
        self._rank_again(self.clock.now)
        if self.rules.looks_ahead:
            self.scorer.prefetch(self.device, self.as_of, self.step, self.used_weights)

    def _give_up_waiting(self, now: float) -> None:
        """A blocking screen learns that no answer will come: it shows what the device has."""
        self.awaited = -1
        self.next_ready_s = min(self.next_ready_s, max(now, self.since_s + self.profile.compute_s))
        self.first_ready_s = self.next_ready_s

    # ------------------------------------------------------------------------------------------ its slates

    def _on_screen(self, now: float) -> int:
        """The newest slate that was ready before now."""
        if self.next_ready_s < now:
            self.shown_slate = self.next_slate
        return self.shown_slate

    def _rank(self, now: float) -> int:
        """Begin to order the cached list by the history up to `step`, the first time since the newest event; the slate
        that comes of it. An unfinished ordering is superseded."""
        if self.next_ready_s < now:
            self.shown_slate = self.next_slate
        made = self.recorder.slates.add(self.device, self.as_of, self.step, self.list_time_s, self.used_weights)
        self.next_slate, self.next_ready_s = made, now + self.profile.compute_s
        self.first_ready_s = self.next_ready_s
        self.rankings += 1
        return made

    def _rank_again(self, now: float) -> None:
        """The same, where nothing has happened but that the list or the weights are new."""
        finished, first_ready_s = self.next_ready_s < now, self.first_ready_s
        self._rank(now)
        self.user.changed(self.device)
        if finished:
            self.first_ready_s = first_ready_s

    # ------------------------------------------------------------------------------------------ its battery

    @property
    def exhausted(self) -> bool:
        """Whether its battery is empty."""
        profile = self.profile
        return self.rankings * profile.compute_j + self.other_j >= profile.battery_j  # energy_j, for speed

    def spend(self, joules: float) -> None:
        """Its radio uses so much now; interactions up to now found the battery as it was."""
        self.catch_up(self.clock.now)
        self.other_j += joules

    # ------------------------------------------------------------------------------------------ its weights

    def receive(self, version: int, weights: int, now: float) -> None:
        """A version of the fleet's weights has arrived; what the device had adapted itself goes with the old one."""
        self.version = version
        if self.adapter is not None:
            self.adapter.restart(now)
        self._install(weights, now)

    def _install(self, weights: int, now: float) -> None:
        """New weights are there, from now on; every interaction up to now has been told. The slate is made anew."""
        before, due_s, first_ready_s = self.used_weights, self.next_ready_s, self.first_ready_s
        self.weights = weights
        self._choose_weights()
        if self.used_weights == before or self.exhausted:
            return
        self._rank_again(now)
        if self.awaited >= 0:
            self.next_ready_s, self.first_ready_s = due_s, first_ready_s  # a blocking screen waits for the answer still

    def _choose_weights(self) -> None:
        """The newest weights rank; where item vectors travel with lists, those that the cached list's belong to, since
        embeddings and encoders of different versions never mix."""
        own = self.as_of < 0 or not self.rules.vectors_with_list
        self.used_weights = self.weights if own else self.list_weights

    def _finish_training(self, adapter: Adapter) -> None:
        now, weights = adapter.finish(self.version, self.weights)
        self._install(weights, now)

    # ------------------------------------------------------------------------------------------ skipping

    def _next_look(self) -> int:
        """The row of the stream at which the device must look up again: it may ask there, or the stream ends."""
        row, last = self.row, self.end - 1
        if not self.rules.skips:
            return row
        if not self.rules.at_interaction or self.exhausted:
            return last
        ask = self.policy.next_ask(self, row)
        if self.rules.looks_ahead and self.rules.weights_change:
            own = self.device, self.version, self.cloud, self.adapter
            ask = min(ask, steady_row(self.times, row, self.end, self.step, *own))
        return min(ask, last)

    def _skip(self, until_s: float, decides: bool) -> bool:
        """Come to where interactions up to `until_s` lead after which nothing is decided, but after the last of them if
        the device `decides` at that very time, nothing is trained and the battery is in charge; False where the next
        one is not of them."""
        row, times, profile = self.row, self.times, self.profile
        if not self.rules.skips:
            return False
        stop = quiet_rows(times, self.next_tie, row, self.end, until_s)
        if self.adapter is not None:
            stop = self.adapter.quiet_until(row, stop, self.step)
        n = stop - row
        if not n or (self.rankings + n) * profile.compute_j + self.other_j >= profile.battery_j:
            return False
        skipped = fast_forward(times, row, stop, profile.compute_s, self.newest_s)
        slate, latency_s = self._on_screen(times[row]), min(self.first_ready_s, times[row]) - self.since_s
        seen_upto, now, request = self.step, skipped.last_s, -1
        first = self.recorder.slates.add(self.device, self.as_of, seen_upto + 1, self.list_time_s, self.used_weights, n)
        self.row, self.step, self.awaited, self.rankings = stop, seen_upto + n, -1, self.rankings + n
        if skipped.on_screen >= 0:
            self.shown_slate = first + skipped.on_screen
        self.last_gap_s, self.since_s, self.newest_s = skipped.gap_s, now, now
        self.next_slate = first + n - 1
        self.first_ready_s = self.next_ready_s = now + profile.compute_s
        if decides and now == until_s:
            self._pass(n - 1)
            request = self._decide(now)
        elif self.rules.at_interaction:
            self._pass(n)
        self.recorder.interacted(row, n, slate, seen_upto, first, request, latency_s, profile.compute_s)
        return True
