"""Where the LLM's candidate lists come from. Its kinds: simulator/preparation/candidates/."""

from typing import Annotated, Literal

from pydantic import Field

from fleetrec.simulator.scenario.sections.base import Section, kind_of
from fleetrec.simulator.scenario.sections.text import Endpoint, TextLm
from fleetrec.simulator.scenario.sections.training import Training
from fleetrec.simulator.scenario.units import Share


class ItemLm(Section):
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


class P5(Section):
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


class CandidateTable(Section):
    """The user's own LLM's answers: Parquet of user_id, as_of or as_of_time, item_id, rank or score."""

    kind: Literal["table"] = "table"
    path: str = Field(description="the Parquet file; `${VARIABLE}` and `~` are expanded")
    missing: Literal["error", "previous", "fail_request"] = Field(
        "error",
        description="no list for (user, as_of): the run ends, the newest older list serves, or the request fails",
    )
    max_invalid: Share = Field(0.05, description="share of unknown items above which the table is refused")


Candidates = Annotated[ItemLm | P5 | TextLm | Endpoint | CandidateTable, kind_of()]
