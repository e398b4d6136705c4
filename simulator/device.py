"""The life of one device, in the order of section "What happens to one device" of docs/model.md.

A SimPy generator sleeps until the user's next interaction; a request is a small process of its own. When the device
is present and reachable is a timeline fixed before the run, so nothing is ever interrupted.
"""

import math
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from simulator.recorder import NO_SLATE, RequestRecord

if TYPE_CHECKING:
    from simulator.world import World

Story = Generator[Any, Any, None]

_FROM_INTERACTION, _FROM_PUSH = 0, 1
NO_LIST = -1


class Device:
    """One device: what it knows, what is on its screen, and what it does next."""

    __slots__ = (
        "as_of",
        "awaited",
        "decisions",
        "device",
        "energy_j",
        "first_ready_s",
        "in_flight",
        "last_gap_s",
        "list_time_s",
        "next_ready_s",
        "next_slate",
        "shown_slate",
        "since_s",
        "step",
        "world",
    )

    def __init__(self, world: "World", device: int):
        self.world = world
        self.device = device
        self.step = world.first_step[device] - 1
        self.as_of, self.list_time_s = NO_LIST, -math.inf
        self.shown_slate, self.next_slate, self.next_ready_s = NO_SLATE, NO_SLATE, math.inf
        self.since_s = self.first_ready_s = 0.0  # the newest event on the device, and when its first slate is ready
        self.in_flight = 0
        self.awaited = -1  # the request that a blocking screen waits for
        self.decisions = 0
        self.last_gap_s = math.inf
        self.energy_j = 0.0

    # ------------------------------------------------------------------------------------------ the story

    def live(self) -> Story:
        """Join, rank and decide once; then meet the user's interactions until the stream ends."""
        world, env, device = self.world, self.world.env, self.device
        yield env.timeout(world.joined_s[device])
        self._join()
        times = world.t_s
        row, end = world.first_row[device], world.end_row[device]
        while row < end:
            t_s = times[row]
            after = row + 1
            while after < end and times[after] == t_s:
                after += 1
            yield env.timeout(max(t_s - env.now, 0.0))
            self._interact(row, after)
            row = after

    def _join(self) -> None:
        world, now = self.world, self.world.env.now
        self.since_s = now
        self.as_of = world.preloaded_as_of[self.device]
        self.list_time_s = now
        self._rerank(now)
        self.first_ready_s = self.next_ready_s
        if world.decides_at_join:
            self._decide(now)

    def _interact(self, row: int, after: int) -> None:
        """The user has the items of stream rows [row, after), all at this moment."""
        world, now = self.world, self.world.env.now
        slate = self._on_screen(now)
        latency_s = min(self.first_ready_s, now) - self.since_s
        seen_upto = self.step
        self.step += after - row
        self.last_gap_s, self.since_s = now - self.since_s, now
        self.awaited = -1
        decided, request = NO_SLATE, -1
        if self.energy_j < world.battery_j[self.device]:
            self._rerank(now)
            self.first_ready_s = self.next_ready_s
            decided = self.next_slate
            if world.decides_at_interaction:
                request = self._decide(now)
        else:
            self.first_ready_s = now
            if world.empty_is_miss:
                slate = NO_SLATE
        for other in range(row, after - 1):
            world.recorder.interaction(other, slate, seen_upto, NO_SLATE, -1, latency_s)
        world.recorder.interaction(after - 1, slate, seen_upto, decided, request, latency_s)

    def _on_screen(self, now: float) -> int:
        """The newest slate that was ready before now."""
        if self.next_ready_s < now:
            self.shown_slate = self.next_slate
        return self.shown_slate

    def _rerank(self, now: float) -> None:
        """Start ordering the cached list by the history up to `step`; supersedes an unfinished ordering."""
        world, device = self.world, self.device
        self._on_screen(now)
        self.next_slate = world.recorder.slate(device, self.as_of, self.step, self.list_time_s)
        self.next_ready_s = now + world.compute_s[device]
        self.energy_j += world.compute_j[device]

    # ------------------------------------------------------------------------------------------ deciding

    def list_age_s(self) -> float:
        """Time since the history behind the cached list was sent; infinite without a list."""
        return self.world.env.now - self.list_time_s if self.as_of >= 0 else math.inf

    def inconsistency(self) -> float:
        """Disagreement of SRM and LLM over the cached list at this step; infinite without a list."""
        if self.as_of < 0:
            return math.inf
        rank, gap = self.world.scorer.ranking(self.device, self.as_of, self.step)
        self.world.recorder.ranked(self.next_slate, rank, gap)
        return gap

    def _decide(self, now: float) -> int:
        """Ask the cloud if the policy wants to and the budget allows it; the number of the request, or -1."""
        world = self.world
        world.budget.earn(self.device)
        wants = world.policy.wants(self)
        self.decisions += 1
        if not wants or self.in_flight:
            return -1
        if world.fails_offline and not world.presence.reachable(self.device, now):
            return self._fail_offline(now)
        if not world.budget.spend(self.device):
            return -1
        record = self._new_request(now)
        if world.blocking:
            self.awaited = record.request
            self.next_ready_s = max(self.next_ready_s, now + world.patience_s)
            self.first_ready_s = self.next_ready_s
        world.env.process(self._request(record, _FROM_INTERACTION))
        return record.request

    def _fail_offline(self, now: float) -> int:
        """A request that fails before anything is sent: it costs nothing, no token either."""
        record = self.world.new_request(self.device, self.step, now)
        record.outcome = "lost"
        self.world.close_request(record)
        return record.request

    def _new_request(self, now: float) -> RequestRecord:
        self.in_flight += 1
        return self.world.new_request(self.device, self.step, now)

    def pushes(self, times_s: list[float]) -> Story:
        """The cloud refreshes this device's list at the given times, unasked."""
        env, device, presence = self.world.env, self.device, self.world.presence
        for t_s in times_s:
            yield env.timeout(max(t_s - env.now, 0.0))
            if presence.reachable(device, env.now) and not self.in_flight and self.step > self.as_of:
                record = self._new_request(env.now)
                record.pushed = True
                yield from self._request(record, _FROM_PUSH)

    # ------------------------------------------------------------------------------------------ one request

    def _request(self, record: RequestRecord, attempt: int) -> Story:
        """The history up to `record.step` travels up, waits for a GPU, is served, and its list travels down."""
        world, env = self.world, self.world.env
        deadline_s = record.t_issued_s + world.request_timeout_s
        yield from self._exchange(record, attempt, deadline_s)
        if env.now > world.left_s[self.device]:
            record.outcome = "abandoned"
        self.in_flight -= 1
        if record.outcome == "completed":
            self._land(record)
        elif self.awaited == record.request:
            self._give_up_waiting(env.now)
        world.close_request(record)

    def _exchange(self, record: RequestRecord, attempt: int, deadline_s: float) -> Story:
        world, env, device, presence = self.world, self.world.env, self.device, self.world.presence
        if not presence.reachable(device, env.now):
            back_s = min(presence.next_reachable(device, env.now), deadline_s)
            yield env.timeout(back_s - env.now)
            if back_s >= deadline_s:
                record.outcome = "lost"
                return
        record.bytes_up = world.messages.request_bytes(record.step, self.as_of)
        up_s = world.network.up(device, record.step, attempt, record.bytes_up, env.now)
        if up_s is None or presence.reachable_until(device, env.now) < env.now + up_s:
            yield from self._lose(record, deadline_s)
            return
        self.energy_j += world.network.radio_joules(device, up_s)
        if env.now + up_s >= deadline_s:
            yield env.timeout(deadline_s - env.now)
            record.outcome = "timed_out"
            return
        yield env.timeout(up_s)
        record.t_arrived_s = env.now
        if world.take_stored(device, record.step):
            record.outcome, record.t_started_s, record.t_finished_s = "completed", env.now, env.now
        elif not world.service.answerable(record):
            record.outcome = "rejected"
        else:
            record.ticket = world.service.submit(record, deadline_s)
            served = yield record.ticket.done
            record.outcome, record.replica = served.outcome, served.replica
            record.t_started_s, record.t_finished_s = served.t_started_s, served.t_finished_s
        if record.outcome == "completed":
            world.store(device, record.step)
            yield from self._download(record, attempt, deadline_s)

    def _download(self, record: RequestRecord, attempt: int, deadline_s: float) -> Story:
        world, env, device = self.world, self.world.env, self.device
        record.bytes_down = world.messages.answer_bytes
        down_s = world.network.down(device, record.step, attempt, record.bytes_down, env.now)
        if down_s is None or world.presence.reachable_until(device, env.now) < env.now + down_s:
            yield from self._lose(record, deadline_s)
            return
        self.energy_j += world.network.radio_joules(device, down_s)
        if env.now + down_s > deadline_s:
            yield env.timeout(max(deadline_s - env.now, 0.0))
            record.outcome = "timed_out"
            return
        yield env.timeout(down_s)
        record.t_delivered_s = env.now

    def _lose(self, record: RequestRecord, deadline_s: float) -> Story:
        """A message is lost; the device learns it when its patience with the request ends."""
        yield self.world.env.timeout(max(deadline_s - self.world.env.now, 0.0))
        record.outcome = "lost"

    def _land(self, record: RequestRecord) -> None:
        """A list arrives: it replaces the cached one unless a newer one has landed, and the SRM orders it."""
        world, now = self.world, self.world.env.now
        if record.as_of < self.as_of:
            return
        self.as_of, self.list_time_s = record.as_of, record.t_issued_s
        if self.energy_j >= world.battery_j[self.device]:
            return
        unfinished = self.next_ready_s >= now
        self._rerank(now)
        if unfinished:
            self.first_ready_s = self.next_ready_s
        if world.looks_ahead:
            world.scorer.expect(self.device, self.as_of, self.step)

    def _give_up_waiting(self, now: float) -> None:
        """A blocking screen learns that no answer will come: it shows what the device has."""
        self.awaited = -1
        self.next_ready_s = min(self.next_ready_s, max(now, self.since_s + self.world.compute_s[self.device]))
        self.first_ready_s = self.next_ready_s
