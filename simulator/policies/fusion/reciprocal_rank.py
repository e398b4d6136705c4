"""Reciprocal rank fusion (Cormack, Clarke and Buettcher 2009): ranks alone count."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from fleetrec.simulator.policies.fusion.scores import SRM_WEIGHTS
from fleetrec.simulator.scenario.sections.fusion import Floats, FusionRule

if TYPE_CHECKING:
    from fleetrec.simulator.ranking.list_view import ListView


class ReciprocalRankFusion(FusionRule):
    """Weighted sum of both reciprocal ranks."""

    kind: Literal["reciprocal_rank"] = "reciprocal_rank"
    srm_weight: float = Field(1.0, ge=0, description="weight of the SRM's reciprocal rank beside the LLM's")
    constant: float = Field(60, gt=0, description="added to each rank before its reciprocal is taken")

    searched: ClassVar[Mapping[str, Any]] = {"srm_weight": SRM_WEIGHTS}

    def of_ranks(self, n: int) -> tuple[Floats, Floats]:
        rank = self.constant + np.arange(float(n)) + 1.0
        return 1.0 / rank, self.srm_weight / rank

    def fuse(self, view: "ListView") -> Floats:
        fused = 1.0 / (self.constant + view.lists.llm_rank + 1.0)
        return fused + self.srm_weight / (self.constant + view.lists.srm_rank + 1.0)
