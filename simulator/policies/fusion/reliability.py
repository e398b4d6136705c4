"""Linear fusion that trusts the LLM's order as far as it has been right (the idea of SCaLRec)."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from fleetrec.simulator.policies.fusion.scores import SCORE, lead_of_srm
from fleetrec.simulator.scenario.sections.fusion import Floats, FusionRule, Score

if TYPE_CHECKING:
    from fleetrec.simulator.ranking.list_view import ListView


class ReliabilityFusion(FusionRule):
    """Linear fusion that trusts the LLM's order as far as the newest interactions bear it out (the idea of SCaLRec)."""

    kind: Literal["reliability"] = "reliability"
    srm_weight: float = Field(1.0, ge=0, description="weight of the SRM's score beside an LLM order of full trust")
    prior: float = Field(2.0, gt=0, description="interactions that the trust in a fresh list counts for")
    score: Score = Field("rank", description=SCORE)

    def fuse(self, view: "ListView") -> Floats:
        n = view.lists.logits.shape[-1]
        trust = reliability(view, self.prior)[:, None]
        lead = lead_of_srm(self.score, view.lists)
        return np.asarray(-trust * (view.lists.llm_rank + 1.0) / n + self.srm_weight * lead)


def reliability(view: "ListView", prior: float) -> Floats:
    """Trust [M] in the LLM's order, from 0 to 1: how high the items since stood in it, after `prior` perfect ones.

    An item at 0-based place j counts 1 / log2(j + 2), an item that is not there nothing.
    """
    _, unseen = view.newest
    count = unseen.sum(axis=1)
    return np.asarray((prior + discounts(view).sum(axis=1)) / (prior + count))


def discounts(view: "ListView") -> Floats:
    """1 / log2(j + 2) [M, NEWEST] for the newest items since the list's history, at places j; 0 where not there."""
    return np.where(view.places >= 0, 1.0 / np.log2(np.maximum(view.places, 0) + 2.0), 0.0)
