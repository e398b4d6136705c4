"""The life of one device, in the order of section "What happens to one device" of docs/background/model.md.

A story (clock.py) sleeps until the next interaction at which the device may ask the cloud; those before it are met in
one go when it wakes, or when an answer lands. A request is a small story of its own. When the device is present and
reachable is a timeline fixed before the run, so nothing is ever interrupted.
"""

import math
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from fleetrec.simulator.core.clock import Story
from fleetrec.simulator.engine.device_knowledge import DeviceKnowledge
from fleetrec.simulator.ranking.weight_versions import FIRST_WEIGHTS
from fleetrec.simulator.records.schemas import NO_SLATE, RequestRecord

if TYPE_CHECKING:
    from fleetrec.simulator.engine.context import World

_FROM_INTERACTION, _FROM_PUSH = 0, 1
NO_LIST = -1


class Device(DeviceKnowledge):
    """One device: what it knows, what is on its screen, and what it does next."""

    __slots__ = tuple(
        (
            "adapter again as_of asked asked_step awaited decisions device end first_ready_s in_flight last_gap_s "
            "last_response_s late_answers list_time_s list_weights newest_s next_ready_s next_slate other_j rankings "
            "reachable_until_s row shown_slate since_s step used_weights version weights world"
        ).split()
    )

    def __init__(self, world: "World", device: int):
        self.world = world
        self.device = device
        self.row, self.end = world.first_row[device], world.end_row[device]  # of the stream: not yet met
        self.step = world.first_step[device] - 1
        self.as_of, self.list_time_s = NO_LIST, -math.inf
        self.shown_slate, self.next_slate, self.next_ready_s = NO_SLATE, NO_SLATE, math.inf
        self.reachable_until_s = -math.inf  # as far as has been looked up
        self.since_s = self.first_ready_s = 0.0  # the newest event on the device, and when its first slate is ready
        self.newest_s = -math.inf  # when its newest interaction was, or when it joined; before the run began
        self.in_flight = 0
        self.asked: RequestRecord | None = None  # decided now, and to be sent
        self.asked_step, self.again = -1, 0  # of the newest request, and how many have been made again at that step
        self.awaited = -1  # the request that a blocking screen waits for
        self.decisions = self.late_answers = 0
        self.last_gap_s = self.last_response_s = math.inf
        self.rankings, self.other_j = 0, 0.0  # joules of its radio and of its training
        # Installed; those that the item vectors of the list belong to; those that rank.
        self.weights = self.list_weights = self.used_weights = FIRST_WEIGHTS
        self.version = 0  # of the fleet's
        self.adapter = world.adapters[device] if world.adapters else None

    # ------------------------------------------------------------------------------------------ the story

    def live(self) -> Story:
        """Join, rank and perhaps decide; then sleep from one interaction at which it may ask to the next."""
        world, env, device = self.world, self.world.env, self.device
        yield env.until(world.joined_s[device], device)
        self._join()
        while True:
            asked, self.asked = self.asked, None
            if asked is not None and world.sleeps:
                yield from self._request(asked, self._attempt(asked.step))  # nothing else is asked before it has ended
            elif asked is not None:
                env.tell(self._request(asked, self._attempt(asked.step)))
            if self.row >= self.end:
                return
            online_s = world.presence.next_online(device, env.now) if world.decides_online else math.inf
            yield env.until(min(world.t_s[self._next_decision()], online_s), device)
            self.catch_up(env.now, decides=world.decides_at_interaction)
            if env.now == online_s:
                self._decide_between(env.now)

    def _join(self) -> None:
        world, now = self.world, self.world.env.now
        self.since_s = now
        if now > 0.0:
            self.newest_s = now
        self.as_of = world.preloaded_as_of[self.device]
        self.list_time_s = now
        self._rerank(now)
        self.first_ready_s = self.next_ready_s
        if world.decides_joining[self.device]:
            self._decide(now)

    def _next_decision(self) -> int:
        """The row of the stream at which the device must look up again: it may ask there, or the stream ends."""
        world, last = self.world, self.end - 1
        if not world.sleeps:
            return self.row
        if not world.decides_at_interaction or self.exhausted:
            return last
        ask = world.policy.next_ask(self, self.row)
        if world.looks_ahead and world.updates:
            ask = min(ask, bisect_left(world.t_s, self._steady_until(), self.row, self.end))
        return min(ask, last)

    def catch_up(self, until_s: float, decides: bool = False) -> None:
        """Meet the user's interactions up to `until_s`; those of that very moment are decided on if `decides`."""
        times, end = self.world.t_s, self.end
        while self.row < end and times[self.row] <= until_s:
            if not self._meet_calmly(until_s, decides):
                self._meet_moment(until_s, decides)
        if self.adapter is not None and self.adapter.ready_s <= until_s:
            self.adapter.finish(self)

    def _meet_moment(self, until_s: float, decides: bool) -> None:
        """Meet the next interaction, and all others of its moment."""
        times, row, adapter = self.world.t_s, self.row, self.adapter
        t_s, after = times[row], row + 1
        if adapter is not None and adapter.ready_s < t_s:
            adapter.finish(self)
        while after < self.end and times[after] == t_s:
            after += 1
        if adapter is not None and adapter.watches:
            adapter.watch(self)
        self.row = after
        self._interact(row, after, t_s, decides and t_s == until_s)
        if adapter is not None:
            adapter.consider(self, after - 1, t_s)

    def _meet_calmly(self, until_s: float, decides: bool) -> bool:
        """Meet at once, as `_meet_moment` would one by one, the next interactions up to `until_s`: those that have a
        moment of their own, find the battery in charge and begin no training. False where there is none."""
        world, device, row, step = self.world, self.device, self.row, self.step
        times, compute_s = world.t_s, world.compute_s[device]
        stop = min(bisect_right(times, until_s, row, self.end), world.next_tie[row])
        if self.adapter is not None:
            stop = self.adapter.calm_until(self, row, stop)
        n = stop - row
        if not n or (self.rankings + n) * world.compute_j[device] + self.other_j >= world.battery_j[device]:
            return False
        slate, latency_s = self._on_screen(times[row]), min(self.first_ready_s, times[row]) - self.since_s
        first = world.recorder.slates.add(device, self.as_of, step + 1, self.list_time_s, self.used_weights, n)
        now, before_s = times[stop - 1], times[stop - 2] if n > 1 else self.newest_s
        newest = stop - 1  # whose predecessor made the slate on screen at the last one
        while newest > row and times[newest - 1] + compute_s >= times[newest]:
            newest -= 1
        if newest > row:
            self.shown_slate = first + newest - row - 1
        self.row, self.step, self.awaited = stop, step + n, -1
        self.last_gap_s, self.since_s, self.newest_s = now - before_s, now, now
        self.next_slate, self.next_ready_s = first + n - 1, now + compute_s
        self.first_ready_s = self.next_ready_s
        self.rankings += n
        request = -1
        if decides and now == until_s:
            self._pass(n - 1)
            request = self._decide(now)
        elif world.decides_at_interaction:
            self._pass(n)
        world.recorder.met(row, n, slate, step, first, request, latency_s, compute_s)
        return True

    def _interact(self, row: int, after: int, now: float, decides: bool) -> None:
        """The user has the items of stream rows [row, after), all at this moment."""
        world = self.world
        slate = self._on_screen(now)
        latency_s = min(self.first_ready_s, now) - self.since_s
        seen_upto = self.step
        self.step += after - row
        self.last_gap_s, self.since_s, self.newest_s = now - self.newest_s, now, now
        self.awaited = -1
        decided, request = NO_SLATE, -1
        if not self.exhausted:
            self._rerank(now)
            self.first_ready_s = self.next_ready_s
            decided = self.next_slate
            if decides:
                request = self._decide(now)
            elif world.decides_at_interaction:
                self._pass()
        else:
            self.first_ready_s = now
            if world.empty_is_miss:
                slate = NO_SLATE
        for other in range(row, after - 1):
            world.recorder.met(other, 1, slate, seen_upto, NO_SLATE, -1, latency_s)
        world.recorder.met(after - 1, 1, slate, seen_upto, decided, request, latency_s)

    def _on_screen(self, now: float) -> int:
        """The newest slate that was ready before now."""
        if self.next_ready_s < now:
            self.shown_slate = self.next_slate
        return self.shown_slate

    def _rerank(self, now: float) -> None:
        """Start ordering the cached list by the history up to `step`; supersedes an unfinished ordering."""
        world, device = self.world, self.device
        self._on_screen(now)
        self.next_slate = world.recorder.slates.add(device, self.as_of, self.step, self.list_time_s, self.used_weights)
        self.next_ready_s = now + world.compute_s[device]
        self.rankings += 1

    @property
    def exhausted(self) -> bool:
        """Whether its battery is empty."""
        return self.energy_j >= self.world.battery_j[self.device]

    # ------------------------------------------------------------------------------------------ its weights

    def receive(self, version: int, weights: int, now: float) -> None:
        """A version of the fleet's weights has arrived; what the device had adapted itself goes with the old one."""
        self.version = version
        if self.adapter is not None:
            self.adapter.restart(now)
        self.install(weights, now)

    def install(self, weights: int, now: float) -> None:
        """New weights are there, from now on; every interaction up to now has been met. The slate is made anew."""
        before = self.used_weights
        self.weights = weights
        self._choose_weights()
        if self.used_weights == before or self.exhausted:
            return
        waits, unfinished = self.awaited >= 0, self.next_ready_s >= now
        due_s = self.next_ready_s
        self._rerank(now)
        if waits:
            self.next_ready_s = due_s  # a blocking screen still waits for the answer
        elif unfinished:
            self.first_ready_s = self.next_ready_s

    def _steady_until(self) -> float:
        """A moment before which its weights surely stay as they are."""
        world = self.world
        own_s = self.adapter.steady_until(self) if self.adapter is not None else math.inf
        return min(own_s, world.learning.steady_until(self.device, self.version) if world.learning else math.inf)

    def _choose_weights(self) -> None:
        """The newest weights rank; where item vectors travel with lists, those that the cached list's belong to, since
        embeddings and encoders of different versions never mix."""
        own = self.as_of < 0 or not self.world.vectors_with_list
        self.used_weights = self.weights if own else self.list_weights

    # ------------------------------------------------------------------------------------------ deciding

    def _pass(self, decisions: int = 1) -> None:
        """So many decisions not to ask."""
        self.world.budget.earn(self.device, decisions)
        self.decisions += decisions

    def _decide_between(self, now: float) -> None:
        """Decide between interactions, where no request is under way and the list has not seen the newest one. Nobody
        waits before the screen for what is asked then."""
        if not self.in_flight and self.step > self.as_of and not self.exhausted:
            self._decide(now, waits=False)

    def _decide(self, now: float, waits: bool = True) -> int:
        """Ask the cloud if the policy wants to and the budget allows it; the number of the request, or -1. A blocking
        screen `waits` for the answer."""
        world = self.world
        wants = not self.in_flight and world.policy.wants(self)
        self._pass()
        if not wants or not world.budget.holds(self.device):
            return -1
        if world.fails_offline and self._reachable_until(now) <= now:
            return self._fail_offline(now)
        world.budget.spend(self.device)
        record = self._new_request(now)
        if world.blocking and waits:
            self.awaited = record.request
            self.next_ready_s = max(self.next_ready_s, now + world.patience_s)
            self.first_ready_s = self.next_ready_s
        self.asked = record
        return record.request

    def _fail_offline(self, now: float) -> int:
        """A request that fails before anything is sent: it costs nothing, no token either."""
        record = self.world.new_request(self.device, self.step, now, self.weights)
        record.outcome = "lost"
        self.world.close_request(record)
        return record.request

    def _new_request(self, now: float) -> RequestRecord:
        self.in_flight += 1
        return self.world.new_request(self.device, self.step, now, self.weights)

    def pushes(self, times_s: list[float]) -> Story:
        """The cloud refreshes this device's list at the given times, unasked."""
        env = self.world.env
        for t_s in times_s:
            yield env.after(max(t_s - env.now, 0.0))
            self.catch_up(env.now)
            if self._reachable_until(env.now) > env.now and not self.in_flight and self.step > self.as_of:
                record = self._new_request(env.now)
                record.pushed = True
                yield from self._request(record, _FROM_PUSH)

    # ------------------------------------------------------------------------------------------ one request

    def _request(self, record: RequestRecord, attempt: int) -> Story:
        """The history up to `record.step` travels up, waits for a GPU, is served, and its list travels down; then comes
        what the device asks for as it lands, if anything."""
        yield from self._exchange(record, attempt)
        self._conclude(record)
        while self.asked is not None:
            record, self.asked = self.asked, None
            yield from self._exchange(record, self._attempt(record.step))
            self._conclude(record)

    def _attempt(self, step: int) -> int:
        """Which request at this step begins now, to key its draws: each has its own luck on its way."""
        self.again = self.again + 1 if step == self.asked_step else 0
        self.asked_step = step
        return _FROM_INTERACTION if self.again == 0 else _FROM_PUSH + self.again

    def _exchange(self, record: RequestRecord, attempt: int) -> Story:
        world, env, device = self.world, self.world.env, self.device
        deadline_s = record.t_issued_s + world.request_timeout_s
        if self._reachable_until(env.now) <= env.now:
            back_s = min(world.presence.next_reachable(device, env.now), deadline_s)
            yield env.after(back_s - env.now)
            if back_s >= deadline_s:
                record.outcome = "lost"
                return
        lacking = world.learning.lacking(device, record.step) if world.learning is not None else 0
        record.bytes_up = world.messages.request_bytes(record.step, self.as_of, lacking)
        up_s = world.network.up(device, record.step, attempt, record.bytes_up, env.now)
        if up_s is None or self._reachable_until(env.now) < env.now + up_s:
            yield from self._lose(record, deadline_s)
            return
        self.other_j += world.network.radio_joules(device, up_s)
        if env.now + up_s >= deadline_s:
            yield env.after(deadline_s - env.now)
            record.outcome = "timed_out"
            return
        yield env.after(up_s)
        record.t_arrived_s = env.now
        if world.learning is not None:
            world.learning.receive(device, record.step)
        if world.take_stored(device, record.step):
            record.outcome, record.t_started_s, record.t_finished_s = "completed", env.now, env.now
        elif not world.service.answerable(record):
            record.outcome = "rejected"
        else:
            record.ticket = world.service.submit(record, deadline_s)
            served = yield record.ticket.done
            record.outcome, record.replica = served.outcome, served.replica
            record.t_started_s, record.t_finished_s = served.t_started_s, served.t_finished_s
        if record.outcome != "completed":
            return
        world.store(device, record.step)
        record.bytes_down = world.messages.answer_bytes
        down_s = world.network.down(device, record.step, attempt, record.bytes_down, env.now)
        if down_s is None or self._reachable_until(env.now) < env.now + down_s:
            yield from self._lose(record, deadline_s)
            return
        self.catch_up(env.now)  # with the battery as it was
        self.other_j += world.network.radio_joules(device, down_s)
        if env.now + down_s > deadline_s:
            yield env.after(max(deadline_s - env.now, 0.0))
            record.outcome = "timed_out"
            return
        yield env.after(down_s)
        record.t_delivered_s = env.now

    def _conclude(self, record: RequestRecord) -> None:
        """The device learns now what became of its request."""
        world, now = self.world, self.world.env.now
        self.catch_up(now)
        if now > world.left_s[self.device]:
            record.outcome = "abandoned"
        self.in_flight -= 1
        late = record.outcome != "completed" or now - record.t_issued_s > world.late_s
        self.late_answers = self.late_answers + 1 if late else max(self.late_answers - 1, 0)
        self.last_response_s = now - record.t_issued_s if record.outcome == "completed" else math.inf
        if record.outcome == "completed":
            self._land(record)
        elif self.awaited == record.request:
            self._give_up_waiting(now)
        world.close_request(record)
        if world.decides_at_answer and record.outcome == "completed" and self.step > record.step:
            self._decide_between(now)

    def _reachable_until(self, now: float) -> float:
        """The end of the reachable period that holds `now`; no later than `now` where the device is out of reach."""
        if self.reachable_until_s <= now:
            self.reachable_until_s = self.world.presence.reachable_until(self.device, now)
        return self.reachable_until_s

    def _lose(self, record: RequestRecord, deadline_s: float) -> Story:
        """A message is lost; the device learns it when its patience with the request ends."""
        yield self.world.env.after(max(deadline_s - self.world.env.now, 0.0))
        record.outcome = "lost"

    def _land(self, record: RequestRecord) -> None:
        """A list arrives: it replaces the cached one unless a newer one has landed, and the SRM orders it."""
        world, now = self.world, self.world.env.now
        if record.as_of < self.as_of:
            return
        self.as_of, self.list_time_s, self.list_weights = record.as_of, record.t_issued_s, record.weights
        self._choose_weights()
        if self.exhausted:
            return
        unfinished = self.next_ready_s >= now
        self._rerank(now)
        if unfinished:
            self.first_ready_s = self.next_ready_s
        if world.looks_ahead:
            world.scorer.expect(self.device, self.as_of, self.step, self.used_weights)

    def _give_up_waiting(self, now: float) -> None:
        """A blocking screen learns that no answer will come: it shows what the device has."""
        self.awaited = -1
        self.next_ready_s = min(self.next_ready_s, max(now, self.since_s + self.world.compute_s[self.device]))
        self.first_ready_s = self.next_ready_s
