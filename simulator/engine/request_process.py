"""One request as a process: the history travels up, waits for a GPU and is served, and its list travels down."""

from typing import Protocol

from fleetrec.simulator.core.clock import Clock, Process
from fleetrec.simulator.engine.cloud_service import Service
from fleetrec.simulator.engine.interfaces import LearningCloud
from fleetrec.simulator.engine.request_ledger import RequestLedger
from fleetrec.simulator.fleet.link import Link
from fleetrec.simulator.fleet.message_sizes import Messages
from fleetrec.simulator.records.schemas import RequestRecord


class Asker(Protocol):
    """The device behind a request."""

    connection: Link
    as_of: int
    """newest interaction that its cached list has seen; -1: it has none"""
    left_s: float
    """when it leaves for good"""

    def spend(self, joules: float) -> None:
        """Its radio uses so much now."""


class Requests:
    """What all requests of a run need; the only one to write what becomes of them into their records."""

    def __init__(
        self,
        clock: Clock,
        service: Service,
        cloud: LearningCloud,
        ledger: RequestLedger,
        messages: Messages,
        timeout_s: float,
        stored: list[int] | None,
    ):
        """`stored` [D]: the newest list that the cloud has kept for each device; None where it keeps no lists."""
        self._clock, self._service, self._cloud, self.ledger = clock, service, cloud, ledger
        self._messages, self.timeout_s, self._stored = messages, timeout_s, stored

    def process(self, record: RequestRecord, device: Asker, attempt: int) -> Process:
        """From the decision to ask to the one outcome; `attempt` keys the luck of its messages."""
        clock, link, step = self._clock, device.connection, record.step
        deadline_s = record.t_issued_s + self._service.timeout_s(self.timeout_s, record.pushed)
        if not link.reachable(clock.now):
            back_s = min(link.next_reachable(clock.now), deadline_s)
            yield clock.after(back_s - clock.now)
            if back_s >= deadline_s:
                return self._end(record, device, "lost")
        record.bytes_up = self._messages.request_bytes(step, device.as_of, self._cloud.lacking(record.device, step))
        up_s = link.up(step, attempt, record.bytes_up, clock.now)
        if up_s is None:
            yield clock.after(max(deadline_s - clock.now, 0.0))
            return self._end(record, device, "lost")
        device.spend(link.joules(up_s))
        if clock.now + up_s >= deadline_s:
            yield clock.after(deadline_s - clock.now)
            return self._end(record, device, "timed_out")
        yield clock.after(up_s)
        record.t_arrived_s = clock.now
        self._cloud.receive(record.device, step)
        if self._stored is not None and self._stored[record.device] == step:
            record.t_started_s = record.t_finished_s = clock.now
        elif not self._service.answerable(record.device, step):
            return self._end(record, device, "rejected")
        else:
            self._submit(record, deadline_s)
            served = yield record.ticket.done
            record.t_started_s, record.t_finished_s = served.t_started_s, served.t_finished_s
            record.replica = served.replica
            if served.outcome != "completed":
                return self._end(record, device, served.outcome)
            if self._stored is not None:
                self._stored[record.device] = max(step, self._stored[record.device])
        record.bytes_down = self._messages.answer_bytes
        down_s = link.down(step, attempt, record.bytes_down, clock.now)
        if down_s is None:
            yield clock.after(max(deadline_s - clock.now, 0.0))
            return self._end(record, device, "lost")
        device.spend(link.joules(down_s))
        if clock.now + down_s > deadline_s:
            yield clock.after(max(deadline_s - clock.now, 0.0))
            return self._end(record, device, "timed_out")
        yield clock.after(down_s)
        record.t_delivered_s = clock.now
        return self._end(record, device, "completed")

    def _submit(self, record: RequestRecord, deadline_s: float) -> None:
        """Queue it at the cloud, with the tokens that it takes there."""
        submitted = self._service.submit(record, deadline_s)
        record.ticket, record.as_of = submitted.ticket, submitted.as_of
        record.prompt_tokens, record.output_tokens = submitted.prompt_tokens, submitted.output_tokens

    def _end(self, record: RequestRecord, device: Asker, outcome: str) -> None:
        record.outcome = outcome if self._clock.now <= device.left_s else "abandoned"

    def lost_offline(self, device: int, step: int, now: float, weights: int) -> int:
        """A request that fails before anything is sent: it costs nothing. Its number."""
        record = self.ledger.issue(device, step, now, weights)
        record.outcome = "lost"
        self.ledger.close(record)
        return record.request

    def close_all(self) -> None:
        """At the horizon, what is still under way is unfinished; what it has cost so far it has cost."""
        for record in list(self.ledger.open.values()):
            if record.ticket is not None:
                record.t_started_s, record.replica = record.ticket.t_started_s, record.ticket.replica
            self.ledger.close(record)
