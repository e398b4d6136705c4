"""Both models' items."""

from typing import Any, ClassVar, Literal

from fleetrec.simulator.scenario.sections.slate import Slate, SlateMaker


class JoinedSlate(Slate):
    """The LLM's list joined with the SRM's own best of the catalogue."""

    kind: Literal["both"] = "both"
    ranks_catalogue: ClassVar[bool] = True

    def made(self, maker: SlateMaker) -> Any:
        return maker.joined()
