"""A request at the LLM node, and its job at a replica; a request that is retried has had several jobs."""

import math

from simpy import Environment

from fleetrec.simulator.cloud.node.cluster import Machine
from fleetrec.simulator.cloud.node.queueing import Ticket
from fleetrec.simulator.cloud.replica.jobs import Job


class LlmTicket(Ticket):
    """A request; `gpu_seconds`, `usd` and `joules` are final once it has been told and `in_service` is False.

    `replica` is that of the newest attempt that was served, `t_started_s` the start of the first one. `in_service`:
    the client has been told, and the request is still being served.
    """

    __slots__ = ("_before", "answer", "device", "job", "joules", "machine", "retries", "usd")

    def __init__(
        self, env: Environment, number: int, device: int, job: "Attempt", t_arrived_s: float, deadline_s: float
    ):
        super().__init__(env, number, (), t_arrived_s, deadline_s)
        self.device = device
        self.job = job
        self.machine: Machine | None = None  # None: it waits in the ingress queue, or has ended
        self.answer: tuple[int, int] | None = None  # tokens and sequences that another replica generates, not this one
        self.retries = 0
        self.usd = self.joules = 0.0
        self._before = (0.0, 0.0, 0.0)  # gpu_seconds, usd and joules of earlier attempts

    @property
    def started(self) -> bool:
        """Whether its newest attempt has ever left the waiting line."""
        return not math.isnan(self.job.t_started_s)

    def first_token_s(self, now: float) -> float:
        """When its newest attempt got its first token; NaN where it has none yet."""
        if self.machine is not None:
            self.machine.replica.catch_up(now)
        return self.job.t_first_token_s

    def bill(self, share_s: float, machine: Machine) -> float:
        """Its newest attempt has used `share_s` seconds of the machine so far; returns the attempt's joules."""
        pool, job = machine.pool, self.job
        gpu_seconds, usd, joules = self._before
        used = share_s * pool.gpus_per_replica
        further = job.generated_after_first
        tokens: float = job.prompt_passed + job.sequences * further
        if pool.drafter is not None:
            steps = further * job.decode_steps / max(job.output_tokens - 1, 1)  # in which its tokens come evenly
            tokens = pool.drafter.tokens_passed(job.prompt_passed, steps)
        drawn = pool.power.busy_joules(share_s, tokens) if pool.power else 0.0
        self.gpu_seconds = gpu_seconds + used
        self.usd = usd + used * pool.rent_usd + drawn * pool.usd_per_joule
        self.joules = joules + drawn
        if self.started:
            self.replica = machine.place
            self.t_first_token_s = job.t_first_token_s
            if math.isnan(self.t_started_s):
                self.t_started_s = job.t_started_s
        return drawn

    def retry(self) -> None:
        """What the newest attempt has used is spent; another one begins."""
        self.retries += 1
        self._next(self.job.again(self))

    def hand_over(self) -> "Attempt":
        """Its prompt is computed; what goes on from it, elsewhere."""
        self._next(self.job.handed_over(self))
        return self.job

    def _next(self, job: "Attempt") -> None:
        self._before = (self.gpu_seconds, self.usd, self.joules)
        self.machine = None
        self.job = job


class Attempt(Job):
    """A job that knows its ticket."""

    __slots__ = ("ticket",)

    ticket: LlmTicket

    def again(self, ticket: LlmTicket) -> "Attempt":
        """The same work, not begun: a prompt that was computed elsewhere is computed again."""
        output, sequences = (self.output_tokens, self.sequences) if self.role == "both" else (1, 1)
        job = Attempt(self.prompt_tokens, output, sequences, self.priority, self.prefix, self.service_s)
        job.ticket, job.device, job.tenant = ticket, self.device, self.tenant
        if self.role == "both":
            job.decode_steps = self.decode_steps
        else:
            job.role = "prefill"
        return job

    def handed_over(self, ticket: LlmTicket) -> "Attempt":
        """What another replica does once this one has computed the prompt."""
        assert ticket.answer is not None
        job = Attempt(self.prompt_tokens, *ticket.answer, self.priority, self.prefix)
        job.computed_elsewhere(self.t_first_token_s)
        job.ticket, job.device, job.tenant = ticket, self.device, self.tenant
        return job
