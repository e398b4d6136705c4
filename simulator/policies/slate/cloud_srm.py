"""A cheap cloud without an LLM."""

from typing import Any, ClassVar, Literal

from fleetrec.simulator.scenario.sections.slate import Slate, SlateMaker


class CloudSrmSlate(Slate):
    """Lists of an SRM that runs in the cloud, on CPU cores."""

    kind: Literal["cloud_srm"] = "cloud_srm"
    uses_llm: ClassVar[bool] = False
    by_cloud_srm: ClassVar[bool] = True
    ranks: ClassVar[bool] = False

    def made(self, maker: SlateMaker) -> Any:
        return maker.of_list()
