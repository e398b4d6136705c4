"""By what can be done in time."""

from typing import Literal

from pydantic import Field

from fleetrec.simulator.scenario.sections.admission import Admission, ArrivalView


class DeadlineAdmission(Admission):
    """A request whose answer is expected after its deadline is turned away, as the replica's line and pace tell."""

    kind: Literal["deadline"] = "deadline"
    margin: float = Field(1.0, gt=0, description="the expected time is multiplied by this; more turns away earlier")

    def admits(self, arrival: ArrivalView) -> bool:
        return arrival.expected_s * self.margin <= arrival.time_left_s
