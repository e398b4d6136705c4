"""Training on from the last weights, on what has been seen since: how a cloud keeps a small model up to date.

(Weights before, data, plan, threads, PyTorch version, device type) determine the weights after, and are the key under
which they are kept; so runs and policies that uploaded the same share one training.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.artifacts import ArtifactStore, content_hash
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.precision import computed_with
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.sequences import TrainingSet, n_transitions, training_set
from fleetrec.models.srm.configs import TrainingConfig, TrainingPlan
from fleetrec.models.srm.deployment import MasterWeights
from fleetrec.models.srm.trained import KeptModel

FORMAT = 1  # of the artifact and of the procedure: raise it when either changes
_ARTIFACT, _MODEL, _HISTORY = "srm_update", "model.safetensors", "history.json"


@dataclass(frozen=True)
class Plan:
    """A TrainingPlan whose epochs and learning rate are those of an update."""

    kind: str
    loss: str
    epochs: int
    training: TrainingConfig


@dataclass(frozen=True)
class Update:
    """The model after an update, and what the training was."""

    master: MasterWeights
    key: Mapping[str, Any]  # under which the store keeps the weights
    transitions: int  # (history, next item) pairs of one epoch
    loss: float


def known_data(data: TrainingSet, ends: NDArray[np.int64]) -> TrainingSet:
    """What models may learn from when the first `ends` [U] interactions of each user are known, and no others there."""
    offsets = np.concatenate(([0], np.cumsum(ends)))
    return training_set(offsets, data.items[data.events_before(ends)], data.n_items, ends, ends)


def newest_data(known: TrainingSet, since: NDArray[np.int64], context: int) -> TrainingSet:
    """Of what is known, only interactions from `since` [U] on, after at most `context` earlier ones each; none of a
    user of whom nothing is new."""
    ends = known.valid_end
    begin = np.where(ends > since, np.maximum(since - context, 0), ends)
    counts = ends - begin
    offsets = np.concatenate(([0], np.cumsum(counts)))
    rows = np.arange(offsets[-1]) + np.repeat(known.offsets[:-1] + begin - offsets[:-1], counts)
    return training_set(offsets, known.items[rows], known.n_items, counts, counts)


def update_or_load(
    before: MasterWeights,
    plan: TrainingPlan,
    data: TrainingSet,
    store: ArtifactStore,
    threads: int,
    device: str,
    progress: Progress,
) -> Update:
    """`before` trained on by `plan` on `data`, from the cache where that has been done. Raises InputError where the
    training diverges."""
    key = {
        "format": FORMAT,
        "before": before.content_hash,
        "data": data.content_hash,
        "epochs": plan.epochs,
        "loss": plan.loss,
        "training": {
            name: getattr(plan.training, name)
            for name in ("seed", "batch_size", "learning_rate", "weight_decay", "dropout", "negatives")
        },
        **computed_with(threads, device, plan.training.softmax_precision, plan.training.encoder_precision),
    }
    folder = store.open(_ARTIFACT, key)
    if folder is not None:
        loss = float(json.loads((folder / _HISTORY).read_text(encoding="utf-8"))["loss"])
        return Update(_loaded(before, key, folder), key, n_transitions(data), loss)
    from safetensors.torch import save_file

    from fleetrec.models.srm.training import deterministic, fine_tune

    model = copy.deepcopy(before.model).requires_grad_(True)
    with deterministic(plan.training.seed, threads, device):
        loss = fine_tune(model, plan, data, progress)
    with store.creating(_ARTIFACT, key) as temporary:
        save_file(model.weights(), temporary / _MODEL)
        (temporary / _HISTORY).write_text(json.dumps({"loss": loss}), encoding="utf-8")
    model.eval().requires_grad_(False)
    return Update(MasterWeights(KeptModel.of(model), content_hash(key)), key, n_transitions(data), loss)


def updated_weights(before: MasterWeights, key: Mapping[str, Any], store: ArtifactStore) -> MasterWeights:
    """The weights that an update of `before` has left in the store under `key`; InputError where they are not there."""
    folder = store.open(_ARTIFACT, key)
    if folder is None:
        raise InputError(f"{store.folder(_ARTIFACT, key)}: weights that this run has trained are gone; run it again")
    return _loaded(before, key, folder)


def _loaded(before: MasterWeights, key: Mapping[str, Any], folder: Path) -> MasterWeights:
    from safetensors.torch import load_file

    model = copy.deepcopy(before.model)
    model.load_state_dict(load_file(folder / _MODEL))
    model.eval().requires_grad_(False)
    return MasterWeights(KeptModel.of(model), content_hash(key))
