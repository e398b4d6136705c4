"""The epochs of a training: the best one on validation is kept, and a training that gets no better ends early."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from models.progress import Task

_SELECT = "ndcg@10"


def train_epochs(
    model: nn.Module,
    epochs: int,
    patience: int,
    learn: Callable[[int], float],
    judge: Callable[[], dict[str, float]],
    task: Task,
) -> dict[str, Any]:
    """Trains `model` in place and leaves the weights of the epoch with the best validation NDCG@10, those of before
    being epoch 0; returns what happened, epoch by epoch (JSON-able).

    `learn`: takes an epoch of a number from 1 on; its mean loss. `judge`: validation metrics; empty where nothing is
    held out, and then the last epoch is kept. Ends after `patience` epochs that were no better.
    """
    best, best_weights, best_epoch = judge(), _copy(model), 0
    history: list[dict[str, float]] = []
    for epoch in range(1, epochs + 1):
        loss = learn(epoch)
        now = judge()
        history.append({"loss": loss, **now})
        task.advance(0, f"epoch {epoch}, loss {loss:.3f}" + (f", {_SELECT} {now[_SELECT]:.4f}" if now else ""))
        if not now or now[_SELECT] > best[_SELECT]:
            best, best_weights, best_epoch = now, _copy(model), epoch
        elif epoch - best_epoch >= patience:
            break
    model.load_state_dict(best_weights)
    return {"validation": best, "best_epoch": best_epoch, "epochs": history}


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
