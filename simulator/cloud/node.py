"""The LLM node, first version: replicas that each serve up to `slots` requests at once, timed by the roofline.

A request's time is set when it starts, from the number of requests then on its replica, which are taken to be like it
and to be replaced as they end. Continuous batching step by step comes behind the same interface (design, section 4).
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from simpy import Environment

from simulator.cloud.catalogue import default_catalogue, served_model
from simulator.cloud.queueing import QueueingNode, Ticket
from simulator.cloud.timing import RooflineTiming, Timing, check_memory
from simulator.cloud.tokens import llm_request_tokens
from simulator.scenario.sections import Cloud, Llm


class LlmNode(QueueingNode):
    """`replicas` of a model behind one FIFO queue; each goes to the least loaded replica."""

    def __init__(
        self,
        env: Environment,
        timing: Timing,
        replicas: int,
        slots: int,
        queue_limit: int,
        on_late_cost: Callable[[Ticket], None] | None = None,
    ):
        super().__init__(env, replicas, slots, queue_limit, timing.gpus_per_replica, on_late_cost)
        self.timing = timing
        self.prompt_tokens = 0.0  # of requests that reached a GPU
        self.output_tokens = 0.0  # over all their sequences

    def submit(
        self,
        prompt_tokens: float,
        output_tokens: float,
        sequences: int = 1,
        service_s: float | None = None,
        deadline_s: float = math.inf,
    ) -> Ticket:
        """A request arrives now; `served = yield ticket.done` waits for its end.

        `output_tokens` are those of each of its `sequences`. `service_s` replaces the roofline (a table's latency).
        `deadline_s` (absolute time): the client is told "timed_out" then. A request still waiting leaves the queue and
        costs nothing; one in service runs on and costs its GPU seconds.
        """
        return self._enter(
            (prompt_tokens, output_tokens, sequences, -1.0 if service_s is None else service_s), deadline_s
        )

    def _service_s(self, ticket: Ticket, concurrency: int) -> float:
        prompt, output, sequences, given_s = ticket._work
        self.prompt_tokens += prompt
        self.output_tokens += output * sequences
        return given_s if given_s >= 0.0 else self.timing.service_s(prompt, output, sequences, concurrency)


def build_llm_node(
    env: Environment,
    llm: Llm,
    cloud: Cloud,
    architecture: Mapping[str, Any] | None,
    on_late_cost: Callable[[Ticket], None] | None = None,
) -> LlmNode:
    """The node of a scenario. `architecture` is that of the candidate model (None: a table's, unknown).

    InputError where a name is not in the catalogue, or the model and its longest requests do not fit the GPUs.
    """
    model = served_model(llm.served_as, architecture)
    gpu = default_catalogue().gpu(cloud.gpu)
    longest = llm_request_tokens(llm, llm.prompt.history)
    tokens_per_sequence = longest.prompt_tokens + longest.output_tokens
    check_memory(model, gpu, cloud.gpus_per_replica, cloud.slots, tokens_per_sequence, longest.sequences)
    timing = RooflineTiming(model, gpu, cloud.gpus_per_replica)
    return LlmNode(env, timing, cloud.replicas, cloud.slots, cloud.queue_limit, on_late_cost)
