"""The small model alone."""

from typing import Any, ClassVar, Literal

from fleetrec.simulator.scenario.sections.slate import Slate, SlateMaker


class SrmSlate(Slate):
    """The SRM's best of the catalogue, on the device."""

    kind: Literal["srm"] = "srm"
    asks: ClassVar[bool] = False
    uses_llm: ClassVar[bool] = False
    ranks_catalogue: ClassVar[bool] = True

    def made(self, maker: SlateMaker) -> Any:
        return maker.of_catalogue()
