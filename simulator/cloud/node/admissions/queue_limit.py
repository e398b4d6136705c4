"""By the length of the queue alone."""

from typing import ClassVar, Literal

from fleetrec.simulator.scenario.sections.admission import Admission, ArrivalView


class QueueLimitOnly(Admission):
    """Requests are turned away above `queue_limit` alone."""

    kind: Literal["queue_limit"] = "queue_limit"
    limit_alone: ClassVar[bool] = True

    def admits(self, arrival: ArrivalView) -> bool:
        return True
