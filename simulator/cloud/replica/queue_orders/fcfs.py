"""First come, first served."""

from typing import ClassVar, Literal

from fleetrec.simulator.scenario.sections.queue_order import QueueOrder, WaitingView


class Fcfs(QueueOrder):
    """First come, first served."""

    kind: Literal["fcfs"] = "fcfs"
    by_arrival: ClassVar[bool] = True

    def key(self, request: WaitingView) -> float:
        return 0.0
