"""Linear fusion that trusts the SRM more, the older the list is."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from fleetrec.simulator.policies.fusion.scores import SCORE, weighed
from fleetrec.simulator.scenario.sections.fusion import Floats, FusionRule, Score

if TYPE_CHECKING:
    from fleetrec.simulator.ranking.list_view import ListView


class StalenessFusion(FusionRule):
    """Linear fusion whose weight follows the age of the list."""

    kind: Literal["staleness"] = "staleness"
    srm_weight: float = Field(1.0, ge=0, description="weight of the SRM's score on a fresh list")
    growth: float = Field(
        0.5, ge=-1, description="added to the weight, as a share of it, by each interaction the list has not seen"
    )
    largest: float = Field(8.0, ge=0, description="largest weight of the SRM's score")
    score: Score = Field("rank", description=SCORE)

    def weight(self, view: "ListView") -> Floats:
        """Weight [M] of the SRM's score: `growth` of the first weight more for each interaction not seen."""
        return np.clip(self.srm_weight * (1.0 + self.growth * view.age), 0.0, self.largest)

    def fuse(self, view: "ListView") -> Floats:
        return weighed(view.lists, self.score, self.weight(view))
