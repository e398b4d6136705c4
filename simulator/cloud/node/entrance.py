"""The door of a node: which replica a request is routed to, and whether admission turns it away."""

from fleetrec.simulator.cloud.node.choice import Arrival, Ask
from fleetrec.simulator.cloud.node.cluster import Cluster, Machine
from fleetrec.simulator.cloud.node.tickets import LlmTicket
from fleetrec.simulator.scenario.sections import Cloud


class Entrance:
    """The router and the admission rule of `cloud` before the machines of `cluster`."""

    def __init__(self, cloud: Cloud, cluster: Cluster):
        self._cluster, self._limit = cluster, cloud.queue_limit
        self._router = cloud.router.start()
        self._admits = None if cloud.admission.limit_alone else cloud.admission.running()

    def choose(self, ticket: LlmTicket) -> Machine | None:
        """The replica that gets the request; None where none takes requests."""
        choice = self._cluster.choice
        if not choice.accepting:
            return None
        job = ticket.job
        prefix, tokens = job.prefix, (job.prompt_tokens, job.output_tokens, job.sequences)
        number = self._router.choose(choice, Ask(ticket.number, ticket.retries, ticket.device, *tokens, prefix))
        choice.routed += 1
        if prefix is not None:
            choice.sent(prefix[0], number)
        return self._cluster.machines[number]

    def turns_away(self, ticket: LlmTicket, machine: Machine | None, now: float, waiting: int) -> bool:
        """Whether admission refuses it, where so many requests wait at the node. The length of the queue is no reason
        where its replica has room for it."""
        limit = self._limit
        if machine is None or (waiting < limit and self._admits is None):
            return waiting >= limit
        line, job = machine.replica.waiting, ticket.job
        running = machine.replica.outstanding - line
        must_wait = line > 0 or (running + 1) * job.sequences > machine.replica.max_sequences
        if must_wait and waiting >= limit:
            return True
        if self._admits is None:
            return False
        request = (ticket.number, ticket.device, job.prompt_tokens, job.output_tokens, job.sequences)
        there = (must_wait, line, running, machine.service_s)
        return not self._admits(Arrival(*request, ticket.deadline_s - now, *there, waiting, limit, self._cluster.draws))
