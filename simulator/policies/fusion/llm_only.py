"""The LLM alone."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from fleetrec.simulator.scenario.sections.fusion import Floats, FusionRule

if TYPE_CHECKING:
    from fleetrec.simulator.ranking.list_view import ListView


class LlmOnly(FusionRule):
    """The LLM's order."""

    kind: Literal["llm_only"] = "llm_only"

    uses_srm: ClassVar[bool] = False

    def of_ranks(self, n: int) -> tuple[Floats, Floats]:
        return -(np.arange(float(n)) + 1.0), np.zeros(n)

    def fuse(self, view: "ListView") -> Floats:
        return -(view.lists.llm_rank + 1.0)
