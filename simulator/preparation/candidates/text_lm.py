"""A Hugging Face causal LM that writes titles (models/llm/text_lm.py)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fleetrec.simulator.scenario.sections.candidates import TitlePrompt, charged_as

if TYPE_CHECKING:
    from fleetrec.models.candidates import CandidateSource
    from fleetrec.models.llm.source_inputs import SourceInputs


class TextLm(TitlePrompt):
    """A Hugging Face causal LM that reads the user's recent titles and writes titles of the catalogue."""

    kind: Literal["text_lm"] = "text_lm"
    checkpoint: str = Field(description="a folder, or OWNER/MODEL of the Hugging Face hub, which is then downloaded")

    save_every: ClassVar[int | None] = 256

    def source(self, inputs: "SourceInputs") -> "tuple[CandidateSource, Mapping[str, int] | None]":
        from fleetrec.models.llm.text_lm import TextLm as Model

        how = inputs.threads, inputs.device, inputs.progress
        lists = inputs.titles_of(lambda: Model(self, *how), self, self.save_every)
        return lists, getattr(lists.answerer, "architecture", None)

    def described(self, served_as: str | None) -> str:
        return f"a stand-in, a text LM run here{charged_as(served_as)}"
