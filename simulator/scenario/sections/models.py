"""The `srm` and `llm` sections: the small model on devices, and the LLM recommender in the cloud."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fleetrec.simulator.scenario.sections.base import Section, kind_of
from fleetrec.simulator.scenario.sections.text import Endpoint, TextLm
from fleetrec.simulator.scenario.units import Share

Precision = Literal["float32", "float16", "int8"]


class Training(Section):
    """How a model is trained."""

    seed: int = Field(
        1, ge=0, description="of weights, batches and negatives; another `seed` of the scenario does not retrain"
    )
    batch_size: int = Field(128, ge=1, description="windows of history in a step of the optimiser")
    learning_rate: float = Field(1e-3, gt=0, description="of Adam (AdamW where `weight_decay` is not 0)")
    weight_decay: float = Field(0.0, ge=0, description="of AdamW")
    dropout: float = Field(0.2, ge=0, lt=1, description="share of activations dropped in training")
    negatives: int = Field(4, ge=1, description="uniform negatives per positive, for bce")
    patience: int = Field(3, ge=1, description="epochs without better validation NDCG@10 before it stops")


class SrmTraining(Training):
    """How the small model is trained before the stream: by itself, or then also inside the LLM's lists (LSC4Rec)."""

    patience: int = Field(
        3,
        ge=1,
        description="epochs without better validation NDCG@10 before the learning rate falls to a quarter; the third "
        "time, training ends",
    )
    kind: Literal["independent", "cooperative"] = Field(
        "independent", description="on interactions alone; or, after that, on ordering the LLM's lists as well"
    )
    lists: int = Field(10, ge=1, description="cooperative: most lists of a training user, at prefixes drawn by `seed`")
    list_epochs: int = Field(3, ge=1, description="cooperative: most passes over those lists")
    list_learning_rate: float | None = Field(
        None, gt=0, description="cooperative: of Adam on those lists; none: a tenth of `learning_rate`"
    )
    missed: Literal["add", "skip"] = Field(
        "skip", description="cooperative: a list without the next item is left out, or gets it (`add`, as in the paper)"
    )


class OnDeviceTable(Section):
    """The vectors of all known items, or of the most popular ones, are installed with the model."""

    kind: Literal["on_device"] = "on_device"
    precision: Precision = Field("float32", description="of a number in a vector; int8 has a scale a vector")
    top: int | None = Field(None, ge=1, description="most items that it holds, by popularity so far; none: all")


class WithListTable(Section):
    """The vectors of its items travel with each candidate list; a phone holds the encoder and those of its list."""

    kind: Literal["with_list"] = "with_list"
    precision: Precision = Field("float32", description="of a number in a vector; int8 has a scale a vector")


ItemTable = Annotated[OnDeviceTable | WithListTable, kind_of()]


PAPER: dict[str, Any] = {
    "dim": 32,
    "layers": 1,
    "heads": 4,
    "max_length": 10,
    "loss": "bce",
    "epochs": 10,
    "training": SrmTraining(learning_rate=1e-3, negatives=4, patience=10),
}
"""The SRMs of LSC4Rec's code; DIN and GRU4Rec there differ from SASRec in their kind only."""


class Srm(Section):
    """The small recommendation model on each device."""

    preset: Literal["modern", "paper"] = Field(
        "modern",
        description="what the keys are that are not given: the defaults below, or those of LSC4Rec (dim 32, 1 layer, "
        " 4 heads, 10 items of history, bce with 4 negatives, 10 epochs)",
    )
    kind: Literal["sasrec", "gru4rec", "din"] = Field(
        "sasrec", description="the small model: self-attention, a recurrent network, or target attention"
    )
    dim: int = Field(64, ge=4, le=128, description="size of item and state vectors")
    layers: int = Field(2, ge=1, le=8, description="encoder blocks (sasrec) or recurrent layers (gru4rec)")
    heads: int = Field(2, ge=1, description="attention heads (sasrec); must divide `dim`")
    max_length: int = Field(50, ge=2, description="longest history window, in items")
    loss: Literal["full_softmax", "bce"] = Field(
        "full_softmax",
        description="softmax over the catalogue, or binary cross-entropy with sampled negatives (din: this one only)",
    )
    epochs: int = Field(
        60,
        ge=0,
        description="most passes over the training events; training ends before, once validation gets no better; 0 "
        "leaves the model untrained",
    )
    item_table: ItemTable = Field(OnDeviceTable(), description="where a phone has the vectors of items from")
    training: SrmTraining = SrmTraining()

    @model_validator(mode="before")
    @classmethod
    def _by_preset(cls, values: Any) -> Any:
        """Keys that are not given are those of the preset."""
        return {**PAPER, **values} if isinstance(values, dict) and values.get("preset") == "paper" else values


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


class Prompt(Section):
    """What a request's prompt holds, in tokens."""

    instruction_tokens: int = Field(60, ge=0, description="tokens of the prompt that are the same in every request")
    tokens_per_item: float = Field(8, gt=0, description="tokens that one item of the history takes")
    history: int = Field(100, ge=1, description="most of the newest items that the prompt holds")
    window: Literal["sliding", "blocks"] = Field(
        "sliding", description="always the newest items; or it grows and then drops its older half (prefix caching)"
    )


class Llm(Section):
    """The LLM recommender: where its candidate lists come from and what they cost to make."""

    candidates: Candidates = Field(ItemLm(), description="the model whose lists are shown")
    list_length: int = Field(50, ge=1, le=1000, description="candidates in a list")
    served_as: str | None = Field(
        None, description="catalogue model, or path of a config.json, whose speed is charged; none: the model itself"
    )
    prompt: Prompt = Prompt()
    generation: Literal["list", "beam", "score"] | None = Field(
        None,
        description="how the LLM that is charged answers: writes the list, searches with beams, or scores given "
        "candidates; none: as the candidates are made (item_lm and p5 search with beams, the others write a list)",
    )
    beams: int = Field(50, ge=1, description="beams of `generation: beam`")
    output_tokens_per_item: float = Field(8, gt=0, description="tokens that one item of the answer takes")
