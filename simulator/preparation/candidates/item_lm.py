"""A language model over items, trained here (models/llm/item_lm.py)."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fleetrec.simulator.scenario.sections.candidates import Candidates, charged_as
from fleetrec.simulator.scenario.sections.model_problems import undivided, unhalved
from fleetrec.simulator.scenario.sections.training import Training
from fleetrec.simulator.scenario.text_files import resolve_path

if TYPE_CHECKING:
    from fleetrec.models.candidates import CandidateSource
    from fleetrec.models.llm.source_inputs import SourceInputs


class ItemLm(Candidates):
    """A causal language model (Llama architecture) whose tokens are the catalogue's items."""

    kind: Literal["item_lm"] = "item_lm"
    dim: int = Field(128, ge=8, le=1024, description="hidden size")
    layers: int = Field(2, ge=1, description="transformer layers")
    heads: int = Field(4, ge=1, description="attention heads; twice their number must divide `dim`")
    max_length: int = Field(100, ge=2, description="longest history window, in items")
    epochs: int = Field(6, ge=0, description="most passes over the training events; 0 leaves the model untrained")
    item_text: bool = Field(True, description="items share embeddings of their attributes where the log has them")
    checkpoint: str | None = Field(None, description="folder of a saved Hugging Face causal LM, instead of training")
    training: Training = Training(batch_size=32, learning_rate=3e-3, weight_decay=0.01)

    trains: ClassVar[bool] = True
    cheap: ClassVar[bool] = True
    generation: ClassVar[Literal["list", "beam"]] = "beam"

    def source(self, inputs: "SourceInputs") -> "tuple[CandidateSource, Mapping[str, int] | None]":
        from fleetrec.models.llm.item_lm import ItemLmCandidates, train_or_load_item_lm
        from fleetrec.models.runtime.out_of_memory import enough_memory

        section = self
        if self.checkpoint is not None:
            section = self.model_copy(update={"checkpoint": str(resolve_path(self.checkpoint))})
        with enough_memory("item_lm", "llm.candidates.training.batch_size, max_length or dim"):
            lm = train_or_load_item_lm(section, *inputs.training, item_ids=inputs.log.item_ids)
        log = inputs.log
        how = inputs.list_length, inputs.exclude_seen, inputs.grown.numbers if inputs.grown is not None else None
        lists = ItemLmCandidates(lm, log.offsets, log.items, inputs.first, *how)
        return lists, lm.architecture

    def files(self) -> Iterator[tuple[str, str]]:
        if self.checkpoint is not None:
            yield "checkpoint", self.checkpoint

    def described(self, served_as: str | None) -> str:
        return f"a stand-in, an item LM trained here{charged_as(served_as)}"

    def problems(self, served_as: str | None, generation: str | None, asked: bool) -> Iterator[tuple[str, str]]:
        key = "llm.candidates"
        if self.checkpoint is None:
            if text := undivided(key, self.heads, self.dim):
                yield f"{key}.heads", text
            elif self.dim // self.heads % 2:
                yield f"{key}.heads", f"dim / heads must be even (rotary positions), but is {self.dim // self.heads}"
        if text := unhalved(self.max_length):
            yield f"{key}.max_length", text
