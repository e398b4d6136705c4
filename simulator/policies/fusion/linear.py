"""A weighted sum of LLM rank and SRM score, with one weight for all."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from fleetrec.simulator.policies.fusion.scores import SCORE, SRM_WEIGHTS, lead_of_rank, lead_of_srm
from fleetrec.simulator.scenario.sections.fusion import Floats, FusionRule, Score

if TYPE_CHECKING:
    from fleetrec.simulator.ranking.list_view import ListView


class LinearFusion(FusionRule):
    """LLM rank plus weighted SRM score."""

    kind: Literal["linear"] = "linear"
    srm_weight: float = Field(1.0, ge=0, description="weight of the SRM's score beside the LLM's rank")
    score: Score = Field("rank", description=SCORE)

    searched: ClassVar[Mapping[str, Any]] = {"srm_weight": SRM_WEIGHTS}

    def of_ranks(self, n: int) -> tuple[Floats, Floats] | None:
        return (-(np.arange(float(n)) + 1.0) / n, self.srm_weight * lead_of_rank(n)) if self.score == "rank" else None

    def fuse(self, view: "ListView") -> Floats:
        lists = view.lists
        n = lists.logits.shape[-1]
        return np.asarray(-(lists.llm_rank + 1.0) / n + self.srm_weight * lead_of_srm(self.score, lists))
