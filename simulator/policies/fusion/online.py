"""Linear fusion whose weight each device learns as it goes, by exponential weights."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from fleetrec.simulator.policies.fusion.scores import SCORE, lead_of_srm, rounded, weighed
from fleetrec.simulator.ranking.scored_lists import ScoredLists, rank_of, with_floor
from fleetrec.simulator.scenario.sections.fusion import Floats, FusionRule, Score

if TYPE_CHECKING:
    from fleetrec.simulator.ranking.list_view import ListView

ONLINE_WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)


class OnlineFusion(FusionRule):
    """Linear fusion whose weight each device learns from its newest interactions since the list's history."""

    kind: Literal["online"] = "online"
    srm_weight: float = Field(1.0, ge=0, description="weight of the SRM's score before anything is learnt")
    rate: float = Field(2.0, ge=0, description="how fast weights that would have ranked better gain ground")
    score: Score = Field("rank", description=SCORE)

    looks_back: ClassVar[bool] = True

    def fuse(self, view: "ListView") -> Floats:
        return weighed(view.lists, self.score, self.weight(view))

    def weight(self, view: "ListView") -> Floats:
        """Weight [M] of the SRM's score, by exponential weights over ONLINE_WEIGHTS and the section's own.

        Each choice gains 1 / log2(rank + 2) for every interaction since the list's history whose item it would have
        ranked so, with the SRM as it stood before it; the weight is the mean of all choices under exp(rate * gain).
        """
        view = view.received or view  # the past is judged on what was received
        choices = np.array([self.srm_weight, *ONLINE_WEIGHTS])
        gains = np.zeros((len(view.step), len(choices)))
        positions, _ = view.newest
        back = min(positions.shape[1], int(view.age.max(initial=0)))
        if back:
            targets = view.places[:, :back]
            before = np.maximum(positions[:, :back] - 1, view.as_of[:, None])
            logits = view.scores.of_lists(view.user, before, view.items, view.weights)  # [M, back, N]
            valid = np.broadcast_to(view.lists.valid[:, None, :], logits.shape)
            llm_rank = np.broadcast_to(view.lists.llm_rank[:, None, :], logits.shape)
            past = ScoredLists(with_floor(logits, valid), valid, llm_rank)
            lead, by_llm = lead_of_srm(self.score, past), -(llm_rank + 1.0) / logits.shape[-1]
            for number, choice in enumerate(choices.tolist()):
                ranks = rank_of(targets, rounded(by_llm + choice * lead, valid), valid)
                gains[:, number] = np.where(ranks >= 0, 1.0 / np.log2(np.maximum(ranks, 0) + 2.0), 0.0).sum(axis=1)
        prior = np.array([float(len(ONLINE_WEIGHTS)), *(1.0 for _ in ONLINE_WEIGHTS)])  # as much as all others together
        shares = prior * np.exp(self.rate * (gains - gains.max(axis=1, keepdims=True)))
        return np.asarray((shares * choices).sum(axis=1) / shares.sum(axis=1))
