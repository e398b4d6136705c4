"""A server of CPU cores for small models in the cloud (the baseline slate `cloud_srm`)."""

import math
from collections.abc import Callable

from simpy import Environment

from fleetrec.simulator.cloud.node.queueing import QueueingNode, Ticket

# One core, PyTorch, batch 1: measured on the small models of this project (docs/background/llm_node.md).
CORE_FLOPS_PER_S = 10e9
CALL_OVERHEAD_S = 0.0005


class CpuNode(QueueingNode):
    """Cores as servers, one request each; `gpu_seconds` of its tickets and totals are core-seconds."""

    def __init__(
        self,
        env: Environment,
        cores: int,
        queue_limit: int,
        core_flops_per_s: float = CORE_FLOPS_PER_S,
        overhead_s: float = CALL_OVERHEAD_S,
        on_late_cost: Callable[[Ticket], None] | None = None,
    ):
        super().__init__(env, cores, 1, queue_limit, on_late_cost=on_late_cost)
        self.core_flops_per_s, self.overhead_s = core_flops_per_s, overhead_s

    def submit(self, flops: float, deadline_s: float = math.inf) -> Ticket:
        """A request of `flops` arrives now; deadlines as in LlmNode.submit."""
        return self._enter((flops,), deadline_s)

    def _service_s(self, ticket: Ticket, concurrency: int) -> float:
        return ticket._work[0] / self.core_flops_per_s + self.overhead_s
