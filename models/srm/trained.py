"""A trained small model, from the cache where it has been trained before.

What a run asks of it that needs no weights is kept beside them, since to read weights loads PyTorch.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetrec.models.early_stopping import UNTRAINED, TrainingCurve, curve_of
from fleetrec.models.runtime.artifacts import ArtifactStore, content_hash
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.precision import computed_with
from fleetrec.models.runtime.progress import NullProgress, Progress
from fleetrec.models.sequences import TrainingSet, n_transitions
from fleetrec.models.srm.configs import SrmConfig

if TYPE_CHECKING:
    from fleetrec.models.srm.base import SmallModel

FORMAT = 3  # of the artifact and of the training procedure: raise it when either changes
_ARTIFACT, _WEIGHTS, _HISTORY = "srm", "model.safetensors", "history.json"
_FACTS, _FACTS_FILE, _FACTS_FORMAT = "srm_facts", "facts.json", 1


@dataclass(frozen=True)
class ModelShape:
    """What is known of a small model whatever its weights."""

    kind: str
    has_user_state: bool
    has_user_table: bool
    """whether it has a row of weights for each user"""
    n_items: int
    dim: int
    max_length: int
    encoder_numbers: int
    """weights that a phone holds beside the item table"""
    tile: int
    """windows that it encodes at once on a processor; 0 without a user state"""

    @staticmethod
    def of(model: "SmallModel") -> "ModelShape":
        """The shape of a model that is there."""
        table = model.user_table is not None
        sizes = model.n_items, model.dim, model.max_length, model.encoder_numbers, getattr(model, "tile", 0)
        return ModelShape(model.kind, model.has_user_state, table, *sizes)


@dataclass(frozen=True)
class KeptModel:
    """A small model whose weights are read when they are first needed."""

    read: "Callable[[], SmallModel]"
    shape: ModelShape

    @cached_property
    def model(self) -> "SmallModel":
        """The model, with its weights."""
        return self.read()

    @staticmethod
    def of(model: "SmallModel") -> "KeptModel":
        """One that is there."""
        return KeptModel(lambda: model, ModelShape.of(model))


@dataclass(frozen=True)
class TrainedSrm:
    """A trained small model and what a simulation needs to know of it."""

    kept: KeptModel
    loss: str  # "full_softmax" or "bce"
    flops_encode: int  # one full window into a state, batch 1; 0 for DIN, which has no state
    flops_per_candidate: float  # scoring one more candidate (DIN: against a full window)
    encoder_bytes: int  # weights that are not the item table
    item_bytes: int  # one item's row of the table
    validation: dict[str, float]  # of the epoch kept; empty where nothing was held out
    content_hash: str  # of the weights and the architecture
    curve: TrainingCurve = UNTRAINED

    @property
    def model(self) -> "SmallModel":
        """With its weights."""
        return self.kept.model

    def flops(self, candidates: int) -> float:
        """Of ranking so many candidates."""
        return self.flops_encode + self.flops_per_candidate * candidates


def train_or_load_srm(
    config: SrmConfig,
    data: TrainingSet,
    store: ArtifactStore,
    threads: int,
    device: str = "cpu",
    progress: Progress | None = None,
) -> TrainedSrm:
    """The small model of `config` trained on `data`, from the cache where it has been trained before.

    Raises InputError for an empty training set, a loss the model cannot have, or a training that diverges.
    """
    _check(config, data)
    key = _key(config, data, threads, device)
    folder = store.open(_ARTIFACT, key)
    if folder is None:
        store.check_writable()
        _train(config, data, store, key, device, progress or NullProgress())
        folder = store.folder(_ARTIFACT, key)
    history: Mapping[str, Any] = json.loads((folder / _HISTORY).read_text(encoding="utf-8"))

    def read() -> "SmallModel":
        return _read(config, data, folder / _WEIGHTS, device)

    facts = _facts(store, key, folder / _WEIGHTS, config, read)
    shape = ModelShape(**facts["shape"])
    return TrainedSrm(
        kept=KeptModel(read, shape),
        loss=config.loss,
        flops_encode=int(history["flops"]["encode"]),
        flops_per_candidate=float(history["flops"]["candidate"]),
        encoder_bytes=4 * shape.encoder_numbers,
        item_bytes=4 * shape.dim,
        validation=dict(history["validation"]),
        curve=curve_of(history, config.epochs),
        content_hash=facts["content_hash"],
    )


def _check(config: SrmConfig, data: TrainingSet) -> None:
    if not config.has_user_state and config.loss != "bce":
        raise InputError(
            f"srm.loss: {config.kind} scores single pairs and cannot be trained with full_softmax; set srm.loss: bce"
        )
    if n_transitions(data) == 0:
        raise InputError(
            "the training set is empty: no user has two interactions to learn from; "
            "use a longer log, a later workload.split.at or a smaller workload.split.last"
        )
    if config.loss == "bce" and data.n_items < 2:
        raise InputError("srm.loss: bce needs a catalogue of at least two items; this one has one")


def _key(config: SrmConfig, data: TrainingSet, threads: int, device: str) -> dict[str, Any]:
    training = ("seed", "batch_size", "learning_rate", "weight_decay", "dropout", "negatives", "patience")
    linear = {"schedule": "linear"} if config.training.schedule == "linear" else {}
    return {
        "format": FORMAT,
        "config": config.determinants(),
        "training": {name: getattr(config.training, name) for name in training} | linear,
        "data": data.content_hash,
        **computed_with(threads, device, config.training.softmax_precision, config.training.encoder_precision),
    }


def _train(
    config: SrmConfig, data: TrainingSet, store: ArtifactStore, key: dict[str, Any], device: str, progress: Progress
) -> None:
    from safetensors.torch import save_file

    from fleetrec.models.srm.flops import flops_of
    from fleetrec.models.srm.training import FALLS, deterministic, train

    with deterministic(config.training.seed, key["threads"], device):
        model = config.network(data.n_items, data.n_users).to(device)
        history = train(model, config, data, progress, FALLS if config.training.schedule == "plateau" else 0)
        # Counted here and kept: the first count of a process loads seconds' worth of PyTorch.
        history["flops"] = dict(zip(("encode", "candidate"), flops_of(model), strict=True))
    with store.creating(_ARTIFACT, key) as temporary:
        save_file(model.weights(), temporary / _WEIGHTS)
        (temporary / _HISTORY).write_text(json.dumps(history, indent=1), encoding="utf-8")


def _read(config: SrmConfig, data: TrainingSet, weights: Path, device: str) -> "SmallModel":
    from safetensors.torch import load_file

    from fleetrec.models.runtime.pytorch import get_threads
    from fleetrec.models.srm.training import deterministic

    with deterministic(0, get_threads(), "cpu"):  # building draws weights, which are then replaced
        model = config.network(data.n_items, data.n_users)
    model.load_state_dict(load_file(weights))
    return model.eval().requires_grad_(False).to(device)


def _facts(
    store: ArtifactStore, key: dict[str, Any], weights: Path, config: SrmConfig, read: "Callable[[], SmallModel]"
) -> dict[str, Any]:
    """Shape and content hash of a model. A cache that may only be read goes without them."""
    key = {"format": _FACTS_FORMAT, "model": key, "weights": content_hash(weights.read_bytes())}
    facts: dict[str, Any] | None = store.load_json(_FACTS, key, _FACTS_FILE)
    if facts is None:
        model = read()
        trained_by = ("max_length", "loss", "epochs")
        form = [value for name, value in config.determinants().items() if name not in trained_by]
        arrays = {name: tensor.numpy() for name, tensor in model.weights().items()}
        hashed = content_hash([*form, model.max_length, model.n_items], arrays)
        facts = {"shape": asdict(ModelShape.of(model)), "content_hash": hashed}
        with suppress(InputError), store.creating(_FACTS, key) as temporary:
            (temporary / _FACTS_FILE).write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return facts
