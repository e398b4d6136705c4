"""How a model is trained: keys that several sections share."""

from typing import Literal

from pydantic import Field

from fleetrec.simulator.scenario.sections.base import Section


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
    softmax_precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="of the products of states and item vectors in `full_softmax` on a CPU; bfloat16 gives other "
        "weights and is quicker on processors that have it (others take float32, and say so)",
    )
    encoder_precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="of all other products of sasrec and of the item LM in `full_softmax` on a CPU; bfloat16 gives "
        "other weights and is quicker: windows lose their padding, and `dropout` is taken in steps of 1/256",
    )


class SrmTraining(Training):
    """How the small model is trained before the stream: by itself, or then also inside the LLM's lists (LSC4Rec)."""

    patience: int = Field(
        3,
        ge=1,
        description="epochs without better validation NDCG@10 before the learning rate falls to a quarter; the third "
        "time, training ends",
    )
    schedule: Literal["plateau", "linear"] = Field(
        "plateau",
        description="the learning rate is held and falls as `patience` says; linear: it falls straight to nothing over "
        "`srm.epochs`, and training ends before that after `patience` epochs without better validation",
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
