"""By how sure the SRM is of its own order, whatever the LLM says."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from fleetrec.simulator.policies.request.threshold import ThresholdRequest
from fleetrec.simulator.scenario.sections.request import Preparation, Tuned, exactly_one
from fleetrec.simulator.scenario.units import Share

_SCORES = {"entropy": "entropy", "margin": "closeness"}


class UncertaintyRequest(ThresholdRequest):
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

    def prepare(self, before: Preparation[Tuned]) -> Tuned:
        name = _SCORES[self.measure]
        if self.ratio is not None:
            return before.share(name, self.ratio)
        assert self.threshold is not None
        return before.score(name, self.threshold)

    def wanted_share(self) -> float | None:
        return self.ratio

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from exactly_one(self.kind, {"ratio": self.ratio, "threshold": self.threshold})
