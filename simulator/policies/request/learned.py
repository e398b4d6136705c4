"""By the gain that a small model on the device expects of a fresh list (policies/gain_model.py)."""

from typing import ClassVar, Literal

from pydantic import Field

from fleetrec.simulator.policies.request.threshold import ThresholdRequest
from fleetrec.simulator.scenario.sections.request import Preparation, Tuned
from fleetrec.simulator.scenario.units import Share


class LearnedRequest(ThresholdRequest):
    """A request when a small model on the device, trained before the stream, expects a fresh list to gain enough."""

    kind: Literal["learned"] = "learned"
    ratio: Share = Field(
        0.2, description="wanted share of decisions; the threshold on the gain begins as calibrated before the stream"
    )
    hidden: int = Field(16, ge=1, le=256, description="hidden units of the model")
    seed: int = Field(1, ge=0, description="of the model's training")

    looks_at_srm: ClassVar[bool] = True
    looks_back: ClassVar[bool] = True
    trains: ClassVar[bool] = True

    def prepare(self, before: Preparation[Tuned]) -> Tuned:
        return before.expected_gain(self.ratio, self.hidden, self.seed)

    def wanted_share(self) -> float:
        return self.ratio
