"""By how sure the SRM is of its own order, whatever the LLM says."""

from typing import ClassVar, Literal

from pydantic import Field

from fleetrec.simulator.policies.request.threshold import ShareOrThreshold
from fleetrec.simulator.scenario.units import Share

_SCORES = {"entropy": "entropy", "margin": "closeness"}


class UncertaintyRequest(ShareOrThreshold):
    """A request when the SRM is not sure about the list, by exactly one of `ratio` and `threshold`."""

    kind: Literal["uncertainty"] = "uncertainty"
    measure: Literal["entropy", "margin"] = Field(
        "entropy",
        description="entropy of the SRM's softmax over the list (1: all alike), or 1 less the lead of its best",
    )
    ratio: Share | None = Field(
        None, description="wanted share of decisions; the threshold is calibrated before the stream and then follows it"
    )
    threshold: float | None = Field(None, ge=0, le=1, description="score at or above which the device asks")

    looks_at_srm: ClassVar[bool] = True

    def scored(self) -> str:
        return _SCORES[self.measure]
