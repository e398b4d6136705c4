"""By the inconsistency of the SRM's and the LLM's orders: LSC4Rec's intelligent request."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from fleetrec.simulator.policies.request.threshold import ShareOrThreshold
from fleetrec.simulator.scenario.sections.request import RATIOS
from fleetrec.simulator.scenario.units import Share

_SCORES = {"both": "inconsistency", "rank": "rank_gap", "invalid": "invalid_penalty"}


class InconsistencyRequest(ShareOrThreshold):
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
    searched: ClassVar[Mapping[str, Any]] = {"ratio": RATIOS}

    def scored(self) -> str:
        return _SCORES[self.terms]
