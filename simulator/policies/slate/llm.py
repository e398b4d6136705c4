"""The LLM's list, re-ranked: the paper's slate."""

from typing import Any, ClassVar, Literal

from fleetrec.simulator.scenario.sections.slate import Slate, SlateMaker


class LlmSlate(Slate):
    """The LLM's list, re-ranked on the device by the fusion."""

    kind: Literal["llm"] = "llm"
    is_list: ClassVar[bool] = True

    def made(self, maker: SlateMaker) -> Any:
        return maker.of_list()
