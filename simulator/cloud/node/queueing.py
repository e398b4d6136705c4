"""A queueing node in SimPy: servers with slots, one FIFO queue with a limit, deadlines, withdrawal and a horizon.

Every ticket's `done` fires exactly once. A request in service always runs on to its end, whoever still waits for it,
and costs its share of the server's busy time: at any moment that time is divided equally among those being served, so
the shares add up to the busy time. Two SimPy events a request (`done`, end of service), a third if it times out there.
"""

import math
from abc import ABC, abstractmethod
from collections import Counter, OrderedDict
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from simpy import Environment, Event, Timeout

from fleetrec.simulator.cloud.node.timeline import Timeline

Outcome = Literal["completed", "timed_out", "rejected", "lost", "withdrawn", "unfinished"]


class Served(NamedTuple):
    """What the client is told, once. replica -1 and t_started_s NaN: it never reached a server."""

    outcome: Outcome
    replica: int
    t_started_s: float
    t_finished_s: float  # when the client was told
    gpu_seconds: float  # busy seconds charged so far (a CPU node's core-seconds)
    cost_final: bool  # False: told while in service, which runs on; `on_late_cost` brings the rest


class Ticket:
    """A request at a node. `gpu_seconds` is final once `in_service` is False."""

    __slots__ = (
        "_done",
        "_env",
        "_share_at_start",
        "_work",
        "deadline_s",
        "gpu_seconds",
        "in_service",
        "number",
        "replica",
        "served",
        "t_arrived_s",
        "t_finished_s",
        "t_first_token_s",
        "t_started_s",
    )

    def __init__(self, env: Environment, number: int, work: tuple[float, ...], t_arrived_s: float, deadline_s: float):
        self.number = number  # 0, 1, ... in order of arrival at this node
        self.t_arrived_s = t_arrived_s
        self.deadline_s = deadline_s
        self.served: Served | None = None  # None: the client has not been told
        self.replica = -1
        self.t_started_s = math.nan
        self.t_first_token_s = math.nan
        self.t_finished_s = math.nan  # when it left the node
        self.gpu_seconds = 0.0
        self.in_service = False
        self._env = env
        self._done: Event | None = None
        self._work = work
        self._share_at_start = 0.0

    @property
    def done(self) -> Event:
        """Fires with `served`. It is made when somebody first asks for it: many requests have nobody who waits."""
        if self._done is None:
            self._done = Event(self._env)
            if self.served is not None:
                self._told(self._done, self.served)
        return self._done

    def tell(self, served: Served) -> None:
        """Tells the client, once."""
        self.served = served
        if self._done is not None:
            if self._done.callbacks:
                self._done.succeed(served)
            else:
                self._told(self._done, served)

    @staticmethod
    def _told(done: Event, served: Served) -> None:
        """Nobody waits, and who asks later need not wait."""
        done._ok, done._value, done.callbacks = True, served, None  # type: ignore[assignment]


def _call_after(env: Environment, delay_s: float, callback: Callable[[Event], None], value: object) -> None:
    Timeout(env, delay_s, value).callbacks.append(callback)


class QueueingNode(ABC):
    """The node; a subclass says what work is (`submit`) and how long it takes (`_service_s`)."""

    def __init__(
        self,
        env: Environment,
        replicas: int,
        slots: int,
        queue_limit: int,
        gpus_per_replica: int = 1,
        on_late_cost: Callable[[Ticket], None] | None = None,
    ):
        """`queue_limit`: requests that may wait; more are rejected. `on_late_cost(ticket)` is called once for each
        ticket whose client was told before its cost was final, when it leaves its server."""
        if replicas < 1 or slots < 1 or queue_limit < 0 or gpus_per_replica < 1:
            raise ValueError(f"replicas {replicas}, slots {slots}, queue_limit {queue_limit}, gpus {gpus_per_replica}")
        self.env = env
        self.replicas, self.slots, self.queue_limit, self.gpus_per_replica = (
            replicas,
            slots,
            queue_limit,
            gpus_per_replica,
        )
        self.outcomes: Counter[Outcome] = Counter()
        self._on_late_cost = on_late_cost
        self._submitted = 0
        self._waiting: OrderedDict[int, Ticket] = OrderedDict()
        self._serving: dict[int, Ticket] = {}
        self._free_slots = replicas * slots
        self._busy_replicas = 0
        self._loads = [0] * replicas
        # One clock per replica grows by elapsed / load: a request's share of busy time is a difference of two readings.
        self._shares = [0.0] * replicas
        self._changed_s = [0.0] * replicas
        self._busy_s = [0.0] * replicas
        self._at_load = [(1 << replicas) - 1] + [0] * slots  # bit set of the replicas at each load
        self._lowest = 0  # no replica has a load below this
        self._deadlines: list[tuple[float, int]] = []  # of requests that wait, or once did
        self._alarm_s = math.inf
        self._closed_s: float | None = None
        self._timeline = Timeline()
        self._end_callback = self._on_end

    @abstractmethod
    def _service_s(self, ticket: Ticket, concurrency: int) -> float:
        """Service time of a request that is one of `concurrency` on its replica; also counts what it processes."""

    # ------------------------------------------------------------------------------------------ the client's side

    def _enter(self, work: tuple[float, ...], deadline_s: float) -> Ticket:
        env = self.env
        now = env.now
        ticket = Ticket(env, self._submitted, work, now, deadline_s)
        self._submitted += 1
        if self._closed_s is not None:
            self._leave_unserved(ticket, "unfinished", now)
        elif deadline_s <= now:
            self._leave_unserved(ticket, "timed_out", now)
        elif self._free_slots:
            self._start(ticket, now)
            self._record(now)
        elif len(self._waiting) >= self.queue_limit:
            self._leave_unserved(ticket, "rejected", now)
        else:
            self._waiting[ticket.number] = ticket
            if deadline_s < math.inf:
                heappush(self._deadlines, (deadline_s, ticket.number))
                if deadline_s < self._alarm_s:
                    self._set_alarm(deadline_s)
            self._record(now)
        return ticket

    def withdraw(self, ticket: Ticket) -> bool:
        """The client no longer wants the answer: `done` fires now with "withdrawn"; False where it had fired already.

        A waiting request leaves the queue and costs nothing; one in service runs on and costs its GPU seconds.
        """
        if ticket.served is not None:
            return False
        now = self.env.now
        if self._waiting.pop(ticket.number, None) is not None:
            self._leave_unserved(ticket, "withdrawn", now)
            self._record(now)
        else:
            self._tell_early(ticket, "withdrawn", now)
        return True

    def close(self, now: float) -> list[Ticket]:
        """Ends the node at the horizon: what waits or is served is "unfinished", with the GPU seconds used so far.

        Returns those tickets. `now` is the environment's time, or later where no event is left before it. What is
        submitted afterwards is "unfinished" at once.
        """
        if now < self.env.now:
            raise ValueError(f"close at {now}, but it is already {self.env.now}")
        for replica in range(self.replicas):
            self._accrue(replica, now)
        left = [*self._serving.values(), *self._waiting.values()]
        for ticket in self._serving.values():
            self._settle(ticket, now)
        told = [ticket for ticket in left if ticket.served is None]
        for ticket in told:
            ticket.t_finished_s = now
            self._tell(ticket, "unfinished", now)
        self._serving.clear()
        self._waiting.clear()
        self._deadlines.clear()
        self._loads = [0] * self.replicas
        self._busy_replicas = 0
        self._free_slots = self.replicas * self.slots
        self._closed_s = now
        self._record(now)
        return told

    # ------------------------------------------------------------------------------------------ what a run reports

    @property
    def queue_length(self) -> int:
        return len(self._waiting)

    @property
    def in_service(self) -> int:
        return len(self._serving)

    @property
    def submitted(self) -> int:
        return self._submitted

    @property
    def busy_gpu_seconds(self) -> float:
        """GPU seconds (core-seconds) in which the node's replicas served at least one request, up to now."""
        now = self.env.now if self._closed_s is None else self._closed_s
        running = sum(now - since for since, load in zip(self._changed_s, self._loads, strict=True) if load)
        return (math.fsum(self._busy_s) + running) * self.gpus_per_replica

    def utilization(self, horizon_s: float) -> float:
        """Share of the replicas' time up to `horizon_s` in which they were busy."""
        return self.busy_gpu_seconds / (self.replicas * self.gpus_per_replica * horizon_s) if horizon_s > 0 else 0.0

    def timeline(self) -> dict[str, NDArray[np.float64]]:
        """Columns t_s, queue (longest in the bin), and means: busy and up (replicas), in_service (requests served)."""
        return self._timeline.rows(self.env.now if self._closed_s is None else self._closed_s)

    # ------------------------------------------------------------------------------------------ inside

    def _record(self, now: float) -> None:
        self._timeline.change(now, len(self._waiting), self._busy_replicas, len(self._serving), self.replicas)

    def _accrue(self, replica: int, now: float) -> int:
        """Books the replica's time since its load last changed; returns that load."""
        load = self._loads[replica]
        if load:
            elapsed = now - self._changed_s[replica]
            self._shares[replica] += elapsed / load
            self._busy_s[replica] += elapsed
        self._changed_s[replica] = now
        return load

    def _start(self, ticket: Ticket, now: float) -> None:
        """Begins service on the least loaded replica, the first of them in number."""
        at_load = self._at_load
        load = self._lowest
        while not at_load[load]:
            load += 1
        self._lowest = load
        bit = at_load[load] & -at_load[load]
        replica = bit.bit_length() - 1
        at_load[load] ^= bit
        at_load[load + 1] |= bit
        self._accrue(replica, now)
        self._loads[replica] = load + 1
        self._free_slots -= 1
        if not load:
            self._busy_replicas += 1
        ticket.replica = replica
        ticket.t_started_s = now
        ticket.in_service = True
        ticket._share_at_start = self._shares[replica]
        self._serving[ticket.number] = ticket
        service_s = self._service_s(ticket, load + 1)
        if not 0.0 <= service_s < math.inf:
            raise ValueError(f"service time {service_s} s of a request of work {ticket._work}")
        _call_after(self.env, service_s, self._end_callback, ticket)
        if ticket.deadline_s < now + service_s:
            _call_after(self.env, ticket.deadline_s - now, self._on_deadline_in_service, ticket)

    def _settle(self, ticket: Ticket, now: float) -> bool:
        """The ticket leaves its server, whose clock is at `now`; its cost is final. True: told before."""
        ticket.in_service = False
        ticket.t_finished_s = now
        ticket.gpu_seconds = (self._shares[ticket.replica] - ticket._share_at_start) * self.gpus_per_replica
        told = ticket.served is not None
        if told and self._on_late_cost is not None:
            self._on_late_cost(ticket)
        return told

    def _on_end(self, event: Event) -> None:
        ticket = cast(Ticket, event.value)
        if not ticket.in_service:  # the node closed before
            return
        now = self.env.now
        replica = ticket.replica
        load = self._accrue(replica, now)
        self._loads[replica] = load - 1
        bit = 1 << replica
        self._at_load[load] ^= bit
        self._at_load[load - 1] |= bit
        if load <= self._lowest:
            self._lowest = load - 1
        if load == 1:
            self._busy_replicas -= 1
        self._free_slots += 1
        del self._serving[ticket.number]
        if not self._settle(ticket, now):
            self._tell(ticket, "completed", now)
        while self._waiting:
            following = self._waiting.popitem(last=False)[1]
            if following.deadline_s <= now:
                self._leave_unserved(following, "timed_out", now)
                continue
            self._start(following, now)
            break
        self._record(now)

    def _tell(self, ticket: Ticket, outcome: Outcome, now: float) -> None:
        self.outcomes[outcome] += 1
        ticket.tell(Served(outcome, ticket.replica, ticket.t_started_s, now, ticket.gpu_seconds, not ticket.in_service))

    def _leave_unserved(self, ticket: Ticket, outcome: Outcome, now: float) -> None:
        ticket.t_finished_s = now
        self._tell(ticket, outcome, now)

    def _tell_early(self, ticket: Ticket, outcome: Outcome, now: float) -> None:
        """The client is told while the request runs on."""
        self._accrue(ticket.replica, now)
        ticket.gpu_seconds = (self._shares[ticket.replica] - ticket._share_at_start) * self.gpus_per_replica
        self._tell(ticket, outcome, now)

    def _on_deadline_in_service(self, event: Event) -> None:
        ticket = cast(Ticket, event.value)
        if ticket.served is None:
            self._tell_early(ticket, "timed_out", self.env.now)

    def _set_alarm(self, deadline_s: float) -> None:
        self._alarm_s = deadline_s
        _call_after(self.env, deadline_s - self.env.now, self._on_alarm, deadline_s)

    def _on_alarm(self, event: Event) -> None:
        """One timer serves all that wait: it is set for the earliest deadline and moved on when it goes off."""
        if event.value != self._alarm_s:  # an earlier deadline came after this timer was set
            return
        now, due, self._alarm_s = self.env.now, self._alarm_s, math.inf
        deadlines = self._deadlines
        expired = False
        while deadlines and (deadlines[0][0] <= due or deadlines[0][1] not in self._waiting):
            ticket = self._waiting.pop(heappop(deadlines)[1], None)
            if ticket is not None:
                self._leave_unserved(ticket, "timed_out", now)
                expired = True
        if deadlines:
            self._set_alarm(deadlines[0][0])
        if expired:
            self._record(now)
