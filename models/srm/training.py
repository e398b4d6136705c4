"""Training of small models: mini-batches, until validation NDCG@10 gets no better.

Initial weights and dropout come from PyTorch's generator, forked and seeded for the training and then restored; all
other draws come from a generator of their own. So (configuration, data, threads, PyTorch version, device type)
determine the weights.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from fleetrec.models.early_stopping import train_epochs
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.precision import mixed_precision, narrow_products
from fleetrec.models.runtime.progress import Progress, Task
from fleetrec.models.sequences import TrainingSet, n_transitions
from fleetrec.models.srm.base import SmallModel, StateModel
from fleetrec.models.srm.batches import epoch_batches
from fleetrec.models.srm.configs import TrainingPlan
from fleetrec.models.srm.losses import bce_backward, full_softmax_backward
from fleetrec.models.srm.validation import validate

_CLIP_NORM = 5.0
_WARM_UP = 0.05  # share of all epochs
FALLS = 2
"""times that the learning rate of a small model falls, each time once validation no longer gets better"""
_FALL = 0.25
_RISE = 0.5  # epochs until the rate of a small model is what `learning_rate` says
_FILLING: Any = torch.utils.deterministic  # a module whose settings PyTorch's type stubs do not know


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
