"""Training of small models: mini-batches, until validation NDCG@10 gets no better, and a cache by content hash.

Initial weights and dropout come from PyTorch's generator, forked and seeded for the training and then restored; all
other draws come from a generator of their own. So (configuration, data, threads, PyTorch version, device type)
determine the weights, and they are the key of the cache.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from fleetrec.models.early_stopping import curve_of, train_epochs
from fleetrec.models.runtime.artifacts import ArtifactStore, content_hash
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.precision import computed_with, mixed_precision, narrow_products
from fleetrec.models.runtime.progress import NullProgress, Progress, Task
from fleetrec.models.sequences import TrainingSet
from fleetrec.models.srm.base import SmallModel, SrmConfig, StateModel, TrainedSrm, TrainingPlan
from fleetrec.models.srm.batches import epoch_batches, n_transitions
from fleetrec.models.srm.flops import flops_of
from fleetrec.models.srm.losses import bce_backward, full_softmax_backward
from fleetrec.models.srm.validation import validate

FORMAT = 3  # of the artifact and of the training procedure: raise it when either changes
_ARTIFACT = "srm"
_CLIP_NORM = 5.0
_WARM_UP = 0.05  # share of all epochs
_FALLS = 2
"""times that the learning rate of a small model falls, each time once validation no longer gets better"""
_FALL = 0.25
_RISE = 0.5  # epochs until the rate of a small model is what `learning_rate` says
_FILLING: Any = torch.utils.deterministic  # a module whose settings PyTorch's type stubs do not know


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
        with deterministic(config.training.seed, threads, device):
            model = config.network(data.n_items, data.n_users).to(device)
            falls = _FALLS if config.training.schedule == "plateau" else 0
            history = train(model, config, data, progress or NullProgress(), falls)
            # Counted here and kept: the first count of a process loads seconds' worth of PyTorch.
            history["flops"] = dict(zip(("encode", "candidate"), flops_of(model), strict=True))
        with store.creating(_ARTIFACT, key) as temporary:
            save_file(model.weights(), temporary / "model.safetensors")
            (temporary / "history.json").write_text(json.dumps(history, indent=1), encoding="utf-8")
            return _trained(config, data, temporary, device)
    return _trained(config, data, folder, device)


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


def train(
    model: SmallModel, config: TrainingPlan, data: TrainingSet, progress: Progress, falls: int = 0
) -> dict[str, Any]:
    """Trains in place and leaves the best epoch's weights; returns what happened, epoch by epoch (JSON-able).

    `falls`: the learning rate is held, and falls so many times as validation gets no better, before the training ends;
    0, or nothing held out: it falls straight to nothing over all epochs.
    """
    training = config.training
    if model.fit is not None:
        _fit(model, config, data, progress)
        return {"validation": validate(model, data), "best_epoch": 0, "epochs": []}
    generator = torch.Generator().manual_seed(training.seed)
    optimiser = _optimiser(model, config)
    judged = bool((data.valid_end > data.fit_end).any())
    held = falls > 0 and judged
    may_end = judged and training.patience < config.epochs

    def learn(epoch: int, fallen: int) -> float:
        rate = (lambda done: min(1.0, (done + 0.01) / _RISE) * _FALL**fallen) if held else _straight(config)
        return _epoch(model, config, data, optimiser, generator, task, epoch, rate)

    with progress.task(f"training {config.kind}", config.epochs * n_transitions(data), may_end) as task:
        return train_epochs(
            model, config.epochs, training.patience, learn, lambda: validate(model, data), task, falls if held else 0
        )


def _straight(config: TrainingPlan) -> Callable[[float], float]:
    return lambda done: rate_at(done / config.epochs)


def fine_tune(model: SmallModel, config: TrainingPlan, data: TrainingSet, progress: Progress) -> float:
    """Trains in place for `config.epochs`, without validation; returns the last epoch's mean loss, NaN of a model that
    trains in its own way."""
    loss = math.nan
    if model.fit is not None:
        _fit(model, config, data, progress)
        return loss
    generator = torch.Generator().manual_seed(config.training.seed)
    with progress.task(f"updating {config.kind}", config.epochs * n_transitions(data)) as task:
        optimiser = _optimiser(model, config)
        for epoch in range(1, config.epochs + 1):
            loss = _epoch(model, config, data, optimiser, generator, task, epoch, _straight(config))
    return loss


def _fit(model: SmallModel, config: TrainingPlan, data: TrainingSet, progress: Progress) -> None:
    """Training in the model's own way."""
    assert model.fit is not None
    with progress.task(f"fitting {config.kind}", 1) as task:
        model.train()
        model.fit(data)
        task.advance(1)


def _optimiser(model: SmallModel, config: TrainingPlan) -> torch.optim.Optimizer:
    training, weights = config.training, model.embedding.weight
    # In one pass on a CPU too, but where all is float32: last bits would be others there than they always were.
    fused = weights.is_cuda or narrow_products(training.encoder_precision, weights.device)
    return torch.optim.AdamW(
        _parameter_groups(model, training.weight_decay),
        lr=training.learning_rate,
        betas=(0.9, 0.98),
        fused=fused or None,
    )


def _epoch(
    model: SmallModel,
    config: TrainingPlan,
    data: TrainingSet,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    task: Task,
    epoch: int,
    rate: Callable[[float], float],
) -> float:
    """One pass over the learning part; the mean loss of its transitions. `rate`: the learning rate's factor once so
    many epochs are done."""
    model.train()
    transitions_per_epoch = n_transitions(data)
    device = model.embedding.weight.device
    total, count = torch.zeros((), dtype=torch.float64, device=device), 0  # a GPU is not waited for after each batch
    grouped = device.type == "cpu"
    for batch in epoch_batches(data, model.max_length, config.training.batch_size, generator, grouped):
        factor = rate(epoch - 1 + count / transitions_per_epoch)
        for group in optimiser.param_groups:
            group["lr"] = config.training.learning_rate * factor
        optimiser.zero_grad(set_to_none=True)
        here = [windows.to(device) for windows in batch]
        with mixed_precision(device):
            if config.loss == "full_softmax" and isinstance(model, StateModel):
                precisions = config.training.softmax_precision, config.training.encoder_precision
                loss = full_softmax_backward(model, here, *precisions)
            else:
                loss = bce_backward(model, here, config.training.negatives, generator)
        nn.utils.clip_grad_norm_(model.parameters(), _CLIP_NORM)
        optimiser.step()
        transitions = sum(len(windows.filled) for windows in batch)
        total, count = total + loss * transitions, count + transitions
        task.advance(transitions)
    mean = float(total) / count
    if not math.isfinite(mean):
        raise InputError("srm.training: the loss is no longer finite; lower srm.training.learning_rate")
    return mean


def rate_at(done: float) -> float:
    """The learning rate's factor when a share `done` of all epochs is behind: a short rise, then a straight fall."""
    return min(1.0, (done + 0.002) / _WARM_UP) * (1.0 - done)


def _parameter_groups(model: SmallModel, weight_decay: float) -> list[dict[str, Any]]:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _trained(config: SrmConfig, data: TrainingSet, folder: Path, device: str) -> TrainedSrm:
    weights = load_file(folder / "model.safetensors")
    with deterministic(0, torch.get_num_threads(), "cpu"):  # building draws weights, which are then replaced
        model = config.network(data.n_items, data.n_users)
    model.load_state_dict(weights)
    model.eval().requires_grad_(False)
    history: Mapping[str, Any] = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    trained_by = ("max_length", "loss", "epochs")
    form = [value for name, value in config.determinants().items() if name not in trained_by]
    architecture = [*form, model.max_length, data.n_items]
    return TrainedSrm(
        model=model.to(device),
        loss=config.loss,
        flops_encode=int(history["flops"]["encode"]),
        flops_per_candidate=float(history["flops"]["candidate"]),
        encoder_bytes=4 * model.encoder_numbers,
        item_bytes=4 * model.dim,
        validation=dict(history["validation"]),
        curve=curve_of(history, config.epochs),
        content_hash=content_hash(architecture, {name: tensor.numpy() for name, tensor in weights.items()}),
    )


@contextmanager
def deterministic(seed: int, threads: int, device: str) -> Iterator[None]:
    """PyTorch's generator seeded, its algorithms deterministic, its threads set; everything restored at the end."""
    threads_before, strict_before = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    fill_before = _FILLING.fill_uninitialized_memory
    cuda = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        torch.set_num_threads(threads)
        # "error" imports a compiler, which takes seconds; but with "warn", attention on CUDA is not deterministic.
        torch.set_deterministic_debug_mode("error" if cuda else "warn")
        _FILLING.fill_uninitialized_memory = False  # it costs a pass over every new tensor
        try:
            yield
        finally:
            torch.set_num_threads(threads_before)
            torch.set_deterministic_debug_mode(strict_before)
            _FILLING.fill_uninitialized_memory = fill_before
