"""By the inconsistency of the SRM's and the LLM's orders: LSC4Rec's intelligent request."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from fleetrec.simulator.policies.request.threshold import ThresholdRequest
from fleetrec.simulator.scenario.sections.request import Preparation, Tuned, exactly_one
from fleetrec.simulator.scenario.units import Share

_SCORES = {"both": "inconsistency", "rank": "rank_gap", "invalid": "invalid_penalty"}


class InconsistencyRequest(ThresholdRequest):
    """A request when the SRM's and the LLM's orders disagree (LSC4Rec), by exactly one of `ratio` and `threshold`."""

    kind: Literal["inconsistency"] = "inconsistency"
    ratio: Share | None = Field(
        None, description="wanted share of decisions; the threshold is calibrated before the stream and then follows it"
    )
    threshold: float | None = Field(None, ge=0, description="score at or above which the device asks")
    terms: Literal["both", "rank", "invalid"] = Field(
        "both", description="the gap between the orders and the penalty of invalid candidates, or one of them alone"
    )

    looks_at_srm: ClassVar[bool] = True
    searched: ClassVar[Mapping[str, Any]] = {"ratio": {"low": 0.05, "high": 1.0, "step": 0.05}}

    def prepare(self, before: Preparation[Tuned]) -> Tuned:
        name = _SCORES[self.terms]
        if self.ratio is not None:
            return before.share(name, self.ratio)
        assert self.threshold is not None
        return before.score(name, self.threshold)

    def wanted_share(self) -> float | None:
        return self.ratio

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from exactly_one(self.kind, {"ratio": self.ratio, "threshold": self.threshold})
