"""By chance, more of them the longer the queue."""

from typing import Literal

from pydantic import Field

from fleetrec.simulator.scenario.sections.admission import Admission, ArrivalView


class RandomEarlyAdmission(Admission):
    """Requests are turned away at random, more of them the longer the queue is (random early detection)."""

    kind: Literal["random_early"] = "random_early"
    start: float = Field(
        0.2, ge=0, lt=1, description="share of `queue_limit` at which it begins; at `queue_limit` all are turned away"
    )

    def admits(self, arrival: ArrivalView) -> bool:
        begin = self.start * arrival.queue_limit
        fill = (arrival.waiting - begin) / max(arrival.queue_limit - begin, 1e-9)  # the chance to be turned away
        return fill <= arrival.uniform("cloud.admission")
