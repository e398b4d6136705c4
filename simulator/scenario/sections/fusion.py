"""What a fusion rule is: how both orders of a list make a slate. Its kinds: simulator/policies/fusion/."""

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.scenario.sections.kinds import Family, Kind

Floats = NDArray[np.float64]

Score = Literal["sigmoid", "list_softmax", "zscore", "rank"]
"""how the SRM's logits become scores"""


class FusionRule(Kind):
    """How the LLM's order and the SRM's scores of a candidate list make one slate.

    A rule needs `fuse` alone: a pure function of what devices see of their lists, many at once. Scores are put on a
    grid of 2^-30 and what is no candidate is left out, so a rule need not care; equal scores go by LLM rank.
    """

    family: ClassVar[Family] = Family(
        "policy.fusion", "fleetrec.simulator.policies.fusion", "linear", ("fuse(self, view)",)
    )

    uses_srm: ClassVar[bool] = True
    """whether the SRM decides anything by it"""
    looks_back: ClassVar[bool] = False
    """whether it needs the SRM's states of before the newest interaction"""

    def fuse(self, view: Any) -> Floats:
        """Scores [M, N] of the candidates of M lists, higher is better. `view`: a ListView (ranking/list_view.py)."""
        raise NotImplementedError

    def of_ranks(self, n: int) -> tuple[Floats, Floats] | None:
        """Of lists of `n` candidates: what each 0-based rank in the LLM's order [n] and in the SRM's [n] gives, where
        `fuse` is the sum of both, so that compiled code may fuse; None: more decides."""
        return None

    def fitted(self) -> "FittedFusion | None":
        """The rule, where its weights are fitted on interactions before the stream; None: nothing is fitted."""
        return None

    def start(self, weights: Floats | None = None) -> Callable[[Any], Floats]:
        """What runs: a function of a view; `weights` are the fitted ones."""
        return self.fuse


class FittedFusion(FusionRule):
    """A weighted sum of terms, whose weights make the items most likely that users went on to have."""

    first_weights: ClassVar[tuple[float, ...]]
    """where there is nothing to learn from, and where fitting begins"""

    def terms(self, view: Any) -> Floats:
        """What is weighed [M, N, number of weights]."""
        raise NotImplementedError

    def squared_penalty(self) -> float:
        """Penalty of squared weights."""
        return 0.0

    def fitted(self) -> "FittedFusion":
        return self

    def start(self, weights: Floats | None = None) -> Callable[[Any], Floats]:
        assert weights is not None
        return lambda view: self.terms(view) @ weights
