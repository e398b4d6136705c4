"""A T5 that reads and writes the ids of items (models/llm/p5.py)."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fleetrec.simulator.scenario.sections.candidates import Candidates, charged_as
from fleetrec.simulator.scenario.sections.model_problems import undivided
from fleetrec.simulator.scenario.sections.training import Training

if TYPE_CHECKING:
    from fleetrec.models.candidates import CandidateSource
    from fleetrec.models.llm.source_inputs import SourceInputs


class P5(Candidates):
    """A T5 that reads the ids of a user's items and writes the id of the next, in the style of P5 and OpenP5."""

    kind: Literal["p5"] = "p5"
    item_ids: Literal["sequential", "collaborative"] = Field(
        "sequential",
        description="ids as token sequences: numbered as users come to have items, or by clusters of items that the "
        "same users have",
    )
    dim: int = Field(64, ge=8, le=1024, description="hidden size; with a `checkpoint`, the checkpoint's")
    layers: int = Field(2, ge=1, description="blocks of the encoder, and of the decoder")
    heads: int = Field(4, ge=1, description="attention heads; must divide `dim`")
    max_length: int = Field(20, ge=1, description="newest items that a prompt holds")
    epochs: int = Field(10, ge=0, description="most passes over the prompts; 0 takes model or checkpoint untrained")
    prompts_per_epoch: int | None = Field(
        None, ge=1, description="prompts drawn for each epoch; none: every history with a next item"
    )
    beams: int | None = Field(None, ge=1, description="beams of the search for lists; none: `list_length`")
    constrained: bool = Field(
        True,
        description="beams spell ids of items only; off: any codes, and a beam that spells none is invalid",
    )
    checkpoint: str | None = Field(
        None,
        description="T5 to start from: a folder, or OWNER/MODEL of the Hugging Face hub, which is then downloaded",
    )
    training: Training = Training(batch_size=64, dropout=0.1)

    trains: ClassVar[bool] = True
    save_every: ClassVar[int | None] = 16_384
    generation: ClassVar[Literal["list", "beam"]] = "beam"
    own_tokens: ClassVar[bool] = True

    def source(self, inputs: "SourceInputs") -> "tuple[CandidateSource, Mapping[str, int] | None]":
        from fleetrec.models.llm.p5 import P5Candidates, train_or_load_p5

        p5 = train_or_load_p5(self, *inputs.training, item_ids=inputs.log.item_ids)
        how = (inputs.list_length, self.beams, inputs.exclude_seen, self.constrained)
        return P5Candidates(p5, inputs.log.offsets, inputs.log.items, *how), p5.architecture

    def described(self, served_as: str | None) -> str:
        return f"a stand-in, a P5 trained here{charged_as(served_as)}"

    def problems(self, served_as: str | None, generation: str | None, asked: bool) -> Iterator[tuple[str, str]]:
        if self.checkpoint is None and (text := undivided("llm.candidates", self.heads, self.dim)):
            yield "llm.candidates.heads", text
