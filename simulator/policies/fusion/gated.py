"""The SRM's score where it says something, the LLM's rank elsewhere."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from fleetrec.simulator.policies.fusion.scores import SCORE, lead_of_rank, lead_of_srm
from fleetrec.simulator.scenario.sections.fusion import Floats, FusionRule, Score

if TYPE_CHECKING:
    from fleetrec.simulator.ranking.list_view import ListView


class GatedFusion(FusionRule):
    """LLM rank plus the SRM's score where that is sure."""

    kind: Literal["gated"] = "gated"
    gate: float = Field(0.4, ge=0, le=0.5, description="SRM scores closer to 0.5 than this are ignored")
    score: Score = Field("rank", description=SCORE)

    def of_ranks(self, n: int) -> tuple[Floats, Floats] | None:
        lead = lead_of_rank(n)
        by_srm = np.where(np.abs(lead) > self.gate, lead, 0.0)
        return (0.5 - (np.arange(float(n)) + 1.0) / n, by_srm) if self.score == "rank" else None

    def fuse(self, view: "ListView") -> Floats:
        lists = view.lists
        lead = lead_of_srm(self.score, lists)
        by_llm = 0.5 - (lists.llm_rank + 1.0) / lists.logits.shape[-1]
        return np.asarray(by_llm + np.where(np.abs(lead) > self.gate, lead, 0.0))
