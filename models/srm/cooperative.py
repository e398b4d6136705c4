"""The cooperative step of LSC4Rec: the small model learns to rank inside the LLM's candidate lists.

It starts from the independently trained model. The LLM answers for training users at training prefixes; the item that
came next is the positive, put at the list's end where the LLM missed it (or such a list is skipped), and the others are
hard negatives. The epoch kept orders the lists of held-out interactions best; the independent model is epoch 0.
"""

import copy
import json
import math
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fleetrec.models.candidates import CandidateSource
from fleetrec.models.metrics import accuracy
from fleetrec.models.runtime.artifacts import ArtifactStore, content_hash
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.precision import computed_with, mixed_precision
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.runtime.ragged import ragged
from fleetrec.models.sequences import TrainingSet, windows_at
from fleetrec.models.srm.base import SmallModel
from fleetrec.models.srm.configs import SrmConfig, TrainingConfig
from fleetrec.models.srm.trained import KeptModel, TrainedSrm
from fleetrec.models.srm.training import deterministic

FORMAT = 1  # of the artifact and of the procedure: raise it when either changes
_ARTIFACT = "srm_cooperative"
_CLIP_NORM = 5.0
_LISTS_AT_ONCE = 1024

Ints = NDArray[np.int64]


class CooperativeConfig(TrainingConfig, Protocol):
    """How the step is taken; the `srm.training` section of a scenario has these fields."""

    @property
    def lists(self) -> int: ...
    @property
    def list_epochs(self) -> int: ...
    @property
    def list_learning_rate(self) -> float | None: ...
    @property
    def missed(self) -> Literal["add", "skip"]: ...


@dataclass(frozen=True)
class RankingTasks:
    """M lists to order: a history, candidates, and which of them came next (-1: none of them)."""

    windows: Tensor  # [M, L] item code + 1
    candidates: Tensor  # [M, N], -1 for none
    right: Tensor  # [M]
    users: Tensor  # [M]

    def take(self, rows: Tensor) -> "RankingTasks":
        """Those of `rows`."""
        return RankingTasks(self.windows[rows], self.candidates[rows], self.right[rows], self.users[rows])


def cooperate_or_load(
    independent: TrainedSrm,
    config: SrmConfig,
    training: CooperativeConfig,
    data: TrainingSet,
    source: CandidateSource,
    store: ArtifactStore,
    threads: int,
    device: str,
    progress: Progress,
) -> TrainedSrm:
    """`independent` after the cooperative step on lists of `source`, which has seen nothing beyond `data`; from the
    cache where it has been taken. Raises InputError where the source has no lists of training prefixes."""
    names = (
        "seed",
        "batch_size",
        "learning_rate",
        "weight_decay",
        "dropout",
        "negatives",
        "lists",
        "list_epochs",
        "missed",
    )
    key = {
        "format": FORMAT,
        "independent": independent.content_hash,
        "lists": source.content_hash,
        "data": data.content_hash,
        "loss": config.loss,
        "training": {name: getattr(training, name) for name in names},
        **computed_with(threads, device),
    }
    folder = store.open(_ARTIFACT, key)
    if folder is None:
        store.check_writable()
        model = copy.deepcopy(independent.model).requires_grad_(True)
        learning, held_out = ranking_tasks(data, source, training, model.max_length)
        with deterministic(training.seed, threads, device):
            history = _train(model, config.loss, training, learning, held_out, progress)
        with store.creating(_ARTIFACT, key) as temporary:
            save_file(model.weights(), temporary / "model.safetensors")
            (temporary / "history.json").write_text(json.dumps(history), encoding="utf-8")
        folder = store.folder(_ARTIFACT, key)
    weights = folder / "model.safetensors"

    def read() -> SmallModel:
        model = copy.deepcopy(independent.model)
        model.load_state_dict(load_file(weights))
        return model.eval().requires_grad_(False)

    return replace(independent, kept=KeptModel(read, independent.kept.shape), content_hash=content_hash(key))


def ranking_tasks(
    data: TrainingSet, source: CandidateSource, training: CooperativeConfig, max_length: int
) -> tuple[RankingTasks, RankingTasks]:
    """Tasks to learn from, at most `lists` a user at prefixes drawn by `seed`, and those of held-out interactions."""
    users, positions = ragged(np.maximum(data.fit_end - 1, 0))
    drawn = np.random.default_rng(training.seed).random(len(users))
    order = np.lexsort((drawn, users))  # each user has as many places in it as positions
    chosen = np.sort(order[positions < training.lists])
    learning = _tasks(data, source, users[chosen], positions[chosen], max_length, training.missed == "add")
    if training.missed == "skip":
        learning = learning.take((learning.right >= 0).nonzero()[:, 0])
    if not len(learning.right):
        raise InputError(
            "srm.training: the LLM has no candidate list of a training prefix, so the SRM cannot learn from any; "
            "give llm.candidates lists of interactions before the cut, or set srm.training: independent"
        )
    users, nth = ragged(data.valid_end - data.fit_end)
    positions = data.fit_end[users] - 1 + nth
    usable = positions >= 0
    return learning, _tasks(data, source, users[usable], positions[usable], max_length, False)


def _tasks(
    data: TrainingSet, source: CandidateSource, users: Ints, positions: Ints, max_length: int, add_missed: bool
) -> RankingTasks:
    answers = [
        source.lists(users[at : at + _LISTS_AT_ONCE], positions[at : at + _LISTS_AT_ONCE])
        for at in range(0, len(users), _LISTS_AT_ONCE)
    ]
    length = source.list_length
    items = np.concatenate([answer.items for answer in answers]) if answers else np.empty((0, length), dtype=np.int32)
    found = np.concatenate([answer.found for answer in answers]) if answers else np.empty(0, dtype=np.bool_)
    users, positions, items = users[found], positions[found], items[found].astype(np.int64)
    target = data.items[data.offsets[users] + positions + 1].astype(np.int64)
    match = items == target[:, None]
    right = np.where(match.any(axis=1), match.argmax(axis=1), -1)
    if add_missed:
        missed = np.flatnonzero(right < 0)
        items[missed, -1], right[missed] = target[missed], length - 1
    windows = windows_at(data.offsets, data.items, users, positions, max_length)
    return RankingTasks(*(torch.from_numpy(values) for values in (windows, items, right, users)))


def _train(
    model: SmallModel,
    loss: str,
    training: CooperativeConfig,
    learning: RankingTasks,
    held_out: RankingTasks,
    progress: Progress,
) -> dict[str, list[float]]:
    """Trains in place and leaves the best epoch's weights; the mean loss and held-out NDCG@10 of each epoch."""
    generator = torch.Generator().manual_seed(training.seed)
    rate = training.learning_rate / 10 if training.list_learning_rate is None else training.list_learning_rate
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=training.weight_decay)
    best, kept = order_quality(model, held_out), copy.deepcopy(model.state_dict())
    history: dict[str, list[float]] = {"ndcg@10": [best], "loss": []}
    with progress.task("training inside lists", training.list_epochs * len(learning.right)) as task:
        for _ in range(training.list_epochs):
            model.train()
            total = 0.0
            order = torch.randperm(len(learning.right), generator=generator)
            for rows in torch.split(order, training.batch_size):
                optimiser.zero_grad(set_to_none=True)
                with mixed_precision(model.embedding.weight.device):
                    value = _list_loss(model, loss, learning.take(rows), training.negatives, generator)
                amount = float(value.item())
                if not math.isfinite(amount):
                    raise InputError("srm.training: the loss is no longer finite; lower srm.training.learning_rate")
                torch.autograd.backward(value)
                nn.utils.clip_grad_norm_(model.parameters(), _CLIP_NORM)
                optimiser.step()
                total += amount * len(rows)
                task.advance(len(rows))
            now = order_quality(model, held_out)
            history["loss"].append(total / len(order))
            history["ndcg@10"].append(now)
            if now > best or not len(held_out.right):
                best, kept = now, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return history


def _logits(model: SmallModel, tasks: RankingTasks) -> Tensor:
    device = model.embedding.weight.device
    columns = (tasks.windows, tasks.candidates.clamp(min=0), tasks.users)
    return model.window_logits(*(column.to(device) for column in columns))


def _list_loss(model: SmallModel, loss: str, tasks: RankingTasks, negatives: int, generator: torch.Generator) -> Tensor:
    """Mean cross-entropy within the list, or binary cross-entropy of the positive and `negatives` drawn from it."""
    device = model.embedding.weight.device
    logits = _logits(model, tasks)
    logits = logits.masked_fill((tasks.candidates < 0).to(device), -1e4)
    right = tasks.right.to(device)
    if loss == "full_softmax":
        return F.cross_entropy(logits, right)
    weights = (tasks.candidates >= 0).float()
    weights[torch.arange(len(weights)), tasks.right] = 0.0
    weights[weights.sum(dim=1) == 0] = 1.0  # a list of the positive alone: it is its own negative, and cancels out
    drawn = torch.multinomial(weights, negatives, replacement=True, generator=generator).to(device)
    chosen = torch.cat((right[:, None], drawn), dim=1)
    picked = logits.gather(1, chosen)
    labels = torch.zeros_like(picked)
    labels[:, 0] = 1.0
    return F.binary_cross_entropy_with_logits(picked, labels)


@torch.no_grad()
def order_quality(model: SmallModel, tasks: RankingTasks) -> float:
    """NDCG@10 of the model's order of the lists; 0 for an item that is not in its list, NaN without lists."""
    if not len(tasks.right):
        return math.nan
    model.eval()
    ranks = []
    for rows in torch.split(torch.arange(len(tasks.right)), _LISTS_AT_ONCE):
        some = tasks.take(rows)
        logits = _logits(model, some).cpu()
        logits = logits.masked_fill(some.candidates < 0, -torch.inf)
        place = some.right.clamp(min=0)[:, None]
        own = logits.gather(1, place)
        earlier = torch.arange(logits.shape[1])[None, :] < place
        rank = (logits > own).sum(dim=1) + ((logits == own) & earlier).sum(dim=1)
        ranks.append(torch.where(some.right >= 0, rank, -1))
    return accuracy(torch.cat(ranks).numpy(), (10,))["ndcg@10"]
