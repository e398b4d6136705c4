"""The epochs of a training: the best one on validation is kept, and a training that gets no better ends early."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleetrec.models.runtime.progress import Task

if TYPE_CHECKING:
    from torch import Tensor, nn

_SELECT = "ndcg@10"


@dataclass(frozen=True)
class TrainingCurve:
    """How a training went, by its validation NDCG@10."""

    values: tuple[float, ...]
    """one an epoch; empty where nothing was trained or nothing held out"""
    best_epoch: int
    """whose weights are kept; 0: those of before"""
    most_epochs: int
    """that it might have taken"""
    ended_early: bool
    """it ended because it got no better, not at its last epoch"""

    @property
    def converged(self) -> bool:
        """Whether training ended because validation got no better."""
        return bool(self.values) and self.ended_early

    @property
    def still_rising(self) -> bool:
        """Whether its best epoch was the last that it might take, so more of them may have helped."""
        return bool(self.values) and not self.ended_early and self.best_epoch == len(self.values)

    def gain_since(self, share: float) -> float:
        """What the best epoch has over the best of the first `share` of all epochs taken."""
        before = max(1, int(len(self.values) * share))
        return max(self.values) - max(self.values[:before]) if self.values else 0.0


UNTRAINED = TrainingCurve((), 0, 0, ended_early=False)


def curve_of(history: Mapping[str, Any], most_epochs: int) -> TrainingCurve:
    """The curve of a training that went as `train_epochs` says."""
    epochs: list[dict[str, float]] = history["epochs"]
    values = tuple(epoch[_SELECT] for epoch in epochs if _SELECT in epoch)
    return TrainingCurve(values, int(history["best_epoch"]), most_epochs, len(epochs) < most_epochs)


def train_epochs(
    model: nn.Module,
    epochs: int,
    patience: int,
    learn: Callable[[int, int], float],
    judge: Callable[[], dict[str, float]],
    task: Task,
    falls: int = 0,
) -> dict[str, Any]:
    """Trains `model` in place and leaves the weights of the epoch with the best validation NDCG@10, those of before
    being epoch 0; returns what happened, epoch by epoch (JSON-able).

    `learn`: takes an epoch of a number from 1 on, and how often the learning rate has fallen; its mean loss. `judge`:
    validation metrics; empty where nothing is held out, and then the last epoch is kept. After `patience` epochs that
    were no better the learning rate falls and the best weights so far go on, `falls` times; then the training ends.
    """
    best, best_weights, best_epoch = judge(), _copy(model), 0
    history: list[dict[str, float]] = []
    fallen, waited = 0, 0
    for epoch in range(1, epochs + 1):
        loss = learn(epoch, fallen)
        now = judge()
        history.append({"loss": loss, **now})
        better = not now or now[_SELECT] > best[_SELECT]
        if better:
            best, best_weights, best_epoch = now, _copy(model), epoch
        waited = 0 if better else waited + 1
        so_far = f", {_SELECT} {now[_SELECT]:.4f}, best {best[_SELECT]:.4f}" if now else ""
        task.advance(0, f"after epoch {epoch} of at most {epochs}: loss {loss:.3f}{so_far}")
        if waited < patience:
            continue
        if fallen == falls:
            break
        fallen, waited = fallen + 1, 0
        model.load_state_dict(best_weights)
    model.load_state_dict(best_weights)
    return {"validation": best, "best_epoch": best_epoch, "epochs": history}


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
