"""By the priority that requests come with."""

from typing import Literal

from fleetrec.simulator.scenario.sections.queue_order import QueueOrder, WaitingView


class Priority(QueueOrder):
    """The lowest number of `priority` first, as vLLM has it."""

    kind: Literal["priority"] = "priority"

    def key(self, request: WaitingView) -> float:
        return request.priority
