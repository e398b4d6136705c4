"""Re-ranking alone: the LLM says which candidates, the SRM in which order."""

from typing import TYPE_CHECKING, Literal

from fleetrec.simulator.scenario.sections.fusion import Floats, FusionRule

if TYPE_CHECKING:
    from fleetrec.simulator.ranking.list_view import ListView


class SrmOnly(FusionRule):
    """The SRM's order of the LLM's candidates."""

    kind: Literal["srm_only"] = "srm_only"

    def fuse(self, view: "ListView") -> Floats:
        return view.lists.logits
