"""A logistic model of what users go on to have, fitted before the stream (preparation/policy_training.py)."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from fleetrec.simulator.ranking.scored_lists import confidence
from fleetrec.simulator.scenario.sections.fusion import FittedFusion, Floats

if TYPE_CHECKING:
    from fleetrec.simulator.ranking.list_view import ListView


class LogisticFusion(FittedFusion):
    """Rank, score, age and confidence, weighed by a logistic model fitted on interactions before the stream."""

    kind: Literal["logistic"] = "logistic"
    penalty: float = Field(1e-3, ge=0, description="of squared weights")

    first_weights: ClassVar[tuple[float, ...]] = (1.0, 1.0, 0.0, 0.0, 0.0, 0.0)

    def squared_penalty(self) -> float:
        return self.penalty

    def terms(self, view: "ListView") -> Floats:
        """Log rank and log score [M, N, 6], alone, times age, and times confidence."""
        rank = -np.log1p(np.maximum(view.lists.llm_rank, 0.0))  # invalid ones before the first valid have rank -1
        score = np.log(np.maximum(view.lists.probabilities, 1e-12))
        age, sure = np.log1p(view.age)[:, None], (1.0 - confidence(view.lists)[0])[:, None]
        return np.stack([rank, score, rank * age, score * age, rank * sure, score * sure], axis=-1)
