"""The LLM node in SimPy: requests come in by one queue, are routed to replicas, and end exactly once, whatever fails.

A replica knows no clock: it is looked at when it says so (`next_s`), so consecutive decode steps are one event. Each
replica has a waiting line of its own, as servers behind a load balancer have; where no replica takes requests they wait
in the ingress queue. A request costs its share of its replica's busy time, and the shares add up to the busy time.
"""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from simpy import Environment

from fleetrec.simulator.cloud.node.autoscaling import autoscale
from fleetrec.simulator.cloud.node.cluster import Cluster, Machine, Pool
from fleetrec.simulator.cloud.node.entrance import Entrance
from fleetrec.simulator.cloud.node.handover import Handover
from fleetrec.simulator.cloud.node.queueing import Outcome, Served, Ticket
from fleetrec.simulator.cloud.node.tickets import Attempt, LlmTicket
from fleetrec.simulator.cloud.node.timeline import Timeline
from fleetrec.simulator.cloud.node.timers import Deadlines, Wakes
from fleetrec.simulator.cloud.replica.replica import Replica
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Cloud

_RECENT = 1 / 16  # weight of the newest request in a replica's recent mean service time


class LlmNode:
    """`pools` of replicas under the rules of `cloud`, whose keys about machines are not looked at."""

    def __init__(
        self,
        env: Environment,
        pools: tuple[Pool, ...],
        cloud: Cloud,
        draws: Draws,
        on_late_cost: Callable[[Ticket], None] | None = None,
        tenants: NDArray[np.int64] | None = None,
    ):
        """`on_late_cost(ticket)` is called once for each ticket whose client was told before its cost was final.
        `tenants`: the class of each device [D], for queue orders that care; None: they are of one."""
        self.env = env
        self.outcomes: Counter[Outcome] = Counter()
        self.prompt_tokens = self.output_tokens = 0  # of requests that reached a GPU, each attempt counted
        self.busy_joules = 0.0  # that the requests drew, each attempt counted when it is over
        self.retries = 0
        self.submitted = 0
        self._cloud = cloud
        self._law = next((pool.drafter.law for pool in pools if pool.drafter is not None), None)
        self._draws = draws
        self._on_late_cost = on_late_cost
        self._tenants = None if tenants is None else tenants.tolist()
        self._open: dict[int, LlmTicket] = {}  # waiting or served
        self._ingress: dict[int, LlmTicket] = {}  # those that no replica takes, in order of arrival
        self._deadlines = Deadlines(env, self._open, lambda ticket: self._give_up(ticket, "timed_out", env.now))
        self._wakes = Wakes(env, self._on_wake)
        self._waiting = self._served = self._busy = 0  # at the replicas
        self._closed_s: float | None = None
        self._timeline = Timeline()
        self._cluster = cluster = Cluster(env, pools, self, draws)
        self._entrance = Entrance(cloud, cluster)
        self._handover = Handover(env, cluster, self._wakes, self._count)
        self._unplaced = self._handover.unplaced
        self._splits = bool(cluster.decoding)  # prompts from the rest
        cluster.begin(cloud.failures)
        for pool in pools:
            if pool.autoscale is not None:
                unplaced = self._unplaced if pool.decodes else self._ingress
                env.process(autoscale(cluster, pool, pool.autoscale, unplaced.__len__))

    # ------------------------------------------------------------------------------------------ the client's side

    def submit(
        self,
        prompt_tokens: int,
        output_tokens: int,
        sequences: int = 1,
        service_s: float = math.nan,
        deadline_s: float = math.inf,
        device: int = 0,
        priority: float = 0.0,
        prefix: tuple[Hashable, int] | None = None,
    ) -> LlmTicket:
        """A request arrives now; `served = yield ticket.done` waits for its end.

        `output_tokens` are those of each of its `sequences`; `service_s` is for timed replicas alone. `deadline_s`
        (absolute time): the client is told "timed_out" then. A request still waiting leaves and costs nothing; one in
        service runs on and costs its GPU seconds, or leaves at the next step under `abort_on_timeout`.
        """
        now = self.env.now
        hands_over = self._splits and output_tokens > 1
        output, beams = (1, 1) if hands_over else (output_tokens, sequences)
        job = Attempt(prompt_tokens, output, beams, priority, prefix, service_s)
        ticket = job.ticket = LlmTicket(self.env, self.submitted, device, job, now, deadline_s)
        if hands_over:
            job.role, ticket.answer = "prefill", (output_tokens, sequences)
        self.submitted += 1
        job.device = device
        if self._tenants is not None:
            job.tenant = self._tenants[device]
        if self._law is not None and output_tokens > 1:
            uniform = self._draws.uniform_one
            job.decode_steps = self._law.draw(output_tokens - 1, uniform, "cloud.speculation", ticket.number)
        if self._closed_s is not None:
            self._tell(ticket, "unfinished", now)
        elif deadline_s <= now:
            self._tell(ticket, "timed_out", now)
        else:
            machine = self._entrance.choose(ticket)
            if self._entrance.turns_away(ticket, machine, now, self.queue_length):
                self._tell(ticket, "rejected", now)
            else:
                self._open[ticket.number] = ticket
                self._place(ticket, machine, now)
                if deadline_s < math.inf:
                    self._deadlines.add(ticket)
        return ticket

    def withdraw(self, ticket: LlmTicket) -> bool:
        """The client no longer wants the answer: `done` fires now with "withdrawn"; False where it had fired already.

        What becomes of the request is as at a deadline.
        """
        if ticket.served is None:
            self._give_up(ticket, "withdrawn", self.env.now)
            return True
        return False

    def close(self, now: float) -> list[LlmTicket]:
        """Ends the node at the horizon: what waits or is served is "unfinished", with the GPU seconds used so far.

        Returns those tickets. `now` is the environment's time, or later where no event is left before it. What is
        submitted afterwards is "unfinished" at once.
        """
        if now < self.env.now:
            raise ValueError(f"close at {now}, but it is already {self.env.now}")
        self._closed_s = now
        for machine in self._cluster.machines:
            self._look(machine, now)
            machine.replica.halt(now)
            self._changed(machine, now)
        told = [ticket for ticket in self._open.values() if ticket.served is None]
        for ticket in list(self._open.values()):
            self._settle(ticket, "unfinished", now)
        self._ingress.clear()
        self._handover.close()
        self._cluster.close(now)
        self._record(now)
        return told

    def timeline_handed_over(
        self,
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
        """Its timeline, for compiled code to go on from; see `take_over`."""
        return self._timeline.handed_over()

    def take_over(
        self,
        outcomes: Mapping[Outcome, int],
        submitted: int,
        tokens: tuple[int, int],
        timeline: tuple[NDArray[np.int64], NDArray[np.float64]],
        busy_s: Sequence[float],
        counted: Sequence[Sequence[int]],
    ) -> None:
        """What compiled code has counted in its place: requests by outcome, those submitted, prompt and output tokens,
        the timeline, and of each replica its busy seconds, preemptions and tokens passed. Nothing is open."""
        self.outcomes.update(outcomes)
        self.submitted = submitted
        self.prompt_tokens, self.output_tokens = tokens
        self._timeline.taken_back(*timeline)
        for machine, seconds, (preemptions, passed) in zip(self.machines, busy_s, counted, strict=True):
            replica = cast(Replica, machine.replica)
            replica.busy_s, replica.preemptions, replica.tokens_computed = seconds, preemptions, passed

    def catch_up(self) -> None:
        """Lets replicas note what they tell nobody: their memory in use, first tokens. They are then as of now."""
        for machine in self._cluster.machines:
            machine.replica.catch_up(self.env.now)

    # ------------------------------------------------------------------------------------------ what a run reports

    @property
    def queue_length(self) -> int:
        """Requests that wait, at replicas, for one or on the way to one."""
        return self._waiting + len(self._ingress) + len(self._unplaced)

    @property
    def in_service(self) -> int:
        """Requests that are served."""
        return self._served

    @property
    def busy_gpu_seconds(self) -> float:
        """GPU seconds in which the node's replicas served at least one request, up to now."""
        return math.fsum(self.busy_gpu_seconds_of)

    @property
    def busy_gpu_seconds_of(self) -> list[float]:
        """The same of each pool."""
        now, cluster = self._now, self._cluster
        return [
            math.fsum(m.replica.busy_until(now) * m.pool.gpus_per_replica for m in cluster.of(pool))
            for pool in cluster.pools
        ]

    @property
    def up_gpu_seconds(self) -> float:
        """GPU seconds in which the node's replicas could serve, up to now."""
        now = self._now
        return math.fsum(m.up_until(now) * m.pool.gpus_per_replica for m in self._cluster.machines)

    @property
    def paid_gpu_seconds(self) -> float:
        """GPU seconds for which the node's replicas are paid up to now: cold starts and idle time too."""
        now = self._now
        return math.fsum(m.paid_until(now) * m.pool.gpus_per_replica for m in self._cluster.machines)

    @property
    def paid_usd(self) -> float:
        """The rent of those GPU seconds, dollars."""
        now = self._now
        machines = self._cluster.machines
        return math.fsum(m.paid_until(now) * m.pool.gpus_per_replica * m.pool.rent_usd for m in machines)

    @property
    def idle_joules(self) -> float:
        """What replicas drew that were paid for and served nothing, up to now: cold starts too."""
        now = self._now
        return math.fsum(
            m.pool.power.idle_joules(max(m.paid_until(now) - m.replica.busy_until(now), 0.0))
            for m in self._cluster.machines
            if m.pool.power is not None
        )

    @property
    def machines(self) -> list[Machine]:
        """The places of its replicas, by number."""
        return self._cluster.machines

    @property
    def replicas(self) -> int:
        """Replicas that are up."""
        return self._cluster.up

    def utilization(self) -> float:
        """Share of the time in which replicas could serve that they were busy, GPU for GPU."""
        up = self.up_gpu_seconds
        return self.busy_gpu_seconds / up if up > 0 else 0.0

    def timeline(self) -> dict[str, NDArray[np.float64]]:
        """Columns t_s, queue (longest in the bin), and means: busy and up (replicas), in_service (requests served)."""
        return self._timeline.rows(self._now)

    @property
    def _now(self) -> float:
        return self.env.now if self._closed_s is None else self._closed_s

    # ------------------------------------------------------------------------------------------ into a replica

    def _place(self, ticket: LlmTicket, machine: Machine | None, now: float) -> None:
        ticket.machine = machine
        if machine is None:
            self._ingress[ticket.number] = ticket
            self._record(now)
        else:
            machine.replica.add(ticket.job, now)
            self._changed(machine, now)

    def _look(self, machine: Machine, now: float) -> None:
        """Lets a replica process what is due; requests that left it end here."""
        for job in machine.replica.advance(now):
            ticket = cast(Attempt, job).ticket
            if not (self._cloud.abort_on_timeout and ticket.served is not None):
                seconds = job.t_finished_s - job.t_started_s
                machine.service_s += (seconds - machine.service_s) * (_RECENT if machine.service_s else 1.0)
            if job.role == "prefill" and job.completed:
                self._bill(ticket)
                self._handover.begin(ticket, machine, now)
            else:
                self._settle(ticket, "completed", now)

    def _changed(self, machine: Machine, now: float) -> None:
        """Something at a replica may have changed: count it, and see when it must be looked at next."""
        replica = machine.replica
        if machine.counted != (replica.waiting, replica.outstanding):
            self._count(machine)
        next_s = replica.next_s()
        if next_s < math.inf:
            self._wakes.at(machine, next_s)
        if next_s > now:  # else more happens at this moment
            self._record(now)
        if not replica.outstanding:
            self._cluster.emptied(machine)

    def _count(self, machine: Machine) -> None:
        """Who waits and who is served at a replica may have changed."""
        replica = machine.replica
        waiting, outstanding = replica.waiting, replica.outstanding
        waiting_before, outstanding_before = machine.counted
        served, served_before = outstanding - waiting, outstanding_before - waiting_before
        self._waiting += waiting - waiting_before
        self._served += served - served_before
        self._busy += (served > 0) - (served_before > 0)
        machine.counted = waiting, outstanding
        if outstanding != outstanding_before:
            machine.choice.loads.changed(machine)

    def _on_wake(self, machine: Machine) -> None:
        now, next_s = self.env.now, machine.replica.next_s()
        if next_s <= now:
            self._look(machine, now)
            self._changed(machine, now)
        elif next_s < math.inf:  # its plans have changed since
            self._wakes.at(machine, next_s)

    # ------------------------------------------------------------------------------------------ out of a replica

    def _settle(self, ticket: LlmTicket, outcome: Outcome, now: float) -> None:
        """The request leaves the node: its cost is final, and its client is told unless that has happened."""
        del self._open[ticket.number]
        self._bill(ticket)
        del ticket.job.ticket  # so that it is freed with its last user, not by the cycle collector
        ticket.in_service = False
        if ticket.served is None:
            self._tell(ticket, outcome, now)
        else:
            ticket.t_finished_s = now
            if self._on_late_cost is not None:
                self._on_late_cost(ticket)

    def _bill(self, ticket: LlmTicket) -> None:
        """The newest attempt is over: what it used is known."""
        job, machine = ticket.job, ticket.machine
        if machine is not None:
            self.busy_joules += ticket.bill(job.busy_share_s, machine)
            if ticket.started:
                decodes = job.role == "decode"  # its prompt and a first token were counted before
                self.prompt_tokens += 0 if decodes else job.prompt_tokens
                self.output_tokens += job.output_tokens * job.sequences - decodes

    def _tell(self, ticket: LlmTicket, outcome: Outcome, now: float) -> None:
        self.outcomes[outcome] += 1
        ticket.t_finished_s = now
        final = not ticket.in_service
        served = Served(outcome, ticket.replica, ticket.t_started_s, now, ticket.gpu_seconds, final)
        ticket.tell(served)

    def _give_up(self, ticket: LlmTicket, outcome: Outcome, now: float) -> None:
        """The client stops waiting for a request that is open and has not been told."""
        machine, job = ticket.machine, ticket.job
        if machine is None:
            if self._ingress.pop(ticket.number, None) is None:
                self._handover.give_up(ticket)
            self._settle(ticket, outcome, now)
            self._record(now)
            return
        self._look(machine, now)
        if ticket.served is not None:  # answered at this very moment
            self._changed(machine, now)
            return
        if ticket.machine is not machine:  # handed over at this very moment
            self._changed(machine, now)
            self._give_up(ticket, outcome, now)
            return
        if ticket.started:
            ticket.in_service = True
            ticket.bill(machine.replica.share_until(job, now), machine)
            self._tell(ticket, outcome, now)
        if not ticket.started or self._cloud.abort_on_timeout:
            machine.replica.remove(job, now)
            self._look(machine, now)
            if not math.isnan(job.t_finished_s) and ticket.number in self._open:
                self._settle(ticket, outcome, now)
        self._changed(machine, now)

    # ------------------------------------------------------------------------------------------ machines

    def machine_ready(self, machine: Machine) -> None:
        """See cluster.Listener: those in the ingress queue go in, or those that wait to be handed over."""
        now = self.env.now
        if machine.pool.decodes:
            self._handover.machine_ready()
            return
        for number in list(self._ingress):
            ticket = self._ingress.pop(number)
            self._place(ticket, self._entrance.choose(ticket), now)

    def machine_lost(self, machine: Machine) -> None:
        """See cluster.Listener: what it served starts anew elsewhere, or is lost."""
        now = self.env.now
        self._look(machine, now)
        jobs = machine.replica.halt(now)
        self._changed(machine, now)
        tickets = [cast(Attempt, job).ticket for job in jobs]
        for ticket in self._handover.lost(machine):
            tickets.append(ticket)
            if ticket.machine is not None:
                self._changed(ticket.machine, now)
        for ticket in tickets:
            again = self._cloud.on_failure == "retry" and ticket.retries < self._cloud.max_retries
            if again and ticket.served is None:
                self._bill(ticket)
                ticket.retry()
                self.retries += 1
                self._place(ticket, self._entrance.choose(ticket), now)
            else:
                self._settle(ticket, "lost", now)

    def machines_changed(self) -> None:
        """See cluster.Listener."""
        self._record(self.env.now)

    def _record(self, now: float) -> None:
        queue = self._waiting + len(self._ingress) + len(self._unplaced)
        self._timeline.change(now, queue, self._busy, self._served, self._cluster.up)
