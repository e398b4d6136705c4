"""Training of P5 networks: every (history, next item) pair of the learning part is a prompt with its answer.

Early stopping on validation NDCG@10, of beam searches, as for the other models.
"""

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fleetrec.models.early_stopping import train_epochs
from fleetrec.models.llm.item_ids import ItemIds
from fleetrec.models.llm.p5_network import P5Network
from fleetrec.models.llm.p5_search import BeamSearch, newest_windows
from fleetrec.models.metrics import accuracy
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.precision import mixed_precision
from fleetrec.models.runtime.progress import Progress, Task
from fleetrec.models.runtime.ragged import ragged
from fleetrec.models.sequences import TrainingSet
from fleetrec.models.srm.configs import TrainingConfig
from fleetrec.models.srm.training import rate_at

_JUDGED = 512  # validation prompts at most: each is a beam search
_SORTED = 64  # batches whose prompts are sorted by length together
_CLIP_NORM = 1.0

Ints = NDArray[np.int64]


class P5Training(Protocol):
    """How a P5 network is trained."""

    @property
    def max_length(self) -> int: ...
    @property
    def epochs(self) -> int: ...
    @property
    def prompts_per_epoch(self) -> int | None: ...
    @property
    def training(self) -> TrainingConfig: ...


def training_prompts(data: TrainingSet) -> tuple[Ints, Ints]:
    """Users [M] and positions [M] >= 1 of the learning part: the item there is learnt from those before it."""
    users, before = ragged(np.maximum(data.fit_end - 1, 0))
    return users, 1 + before


def train_p5(
    network: P5Network, ids: ItemIds, config: P5Training, data: TrainingSet, progress: Progress
) -> dict[str, Any]:
    """Trains in place and leaves the best epoch's weights; returns what happened, epoch by epoch (JSON-able)."""
    training = config.training
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=training.learning_rate, betas=(0.9, 0.98), weight_decay=training.weight_decay
    )
    generator = np.random.default_rng(training.seed)
    users, positions = training_prompts(data)
    per_epoch = min(len(users), config.prompts_per_epoch or len(users))
    with progress.task("training p5", config.epochs * per_epoch, training.patience < config.epochs) as task:

        def learn(epoch: int, _: int) -> float:
            chosen = generator.permutation(len(users))[:per_epoch]
            return _epoch(network, data, config, users[chosen], positions[chosen], optimiser, generator, epoch, task)

        return train_epochs(
            network, config.epochs, training.patience, learn, lambda: _validate(network, ids, data, config), task
        )


def _epoch(
    network: P5Network,
    data: TrainingSet,
    config: P5Training,
    users: Ints,
    positions: Ints,
    optimiser: torch.optim.Optimizer,
    generator: np.random.Generator,
    epoch: int,
    task: Task,
) -> float:
    """One pass over the prompts; the mean loss of a target, in nats."""
    network.train()
    device = network.item_tokens.device
    size, total, done = config.training.batch_size, 0.0, 0
    for batch in _batches(np.minimum(positions, config.max_length), size, generator):
        length = int(np.minimum(positions[batch], config.max_length).max())
        windows = newest_windows(data.offsets, data.items, users[batch], positions[batch], length)
        targets = data.items[data.offsets[users[batch]] + positions[batch]].astype(np.int64)
        codes = network.item_tokens[torch.from_numpy(targets).to(device)] - network.offset
        codes = codes - torch.arange(network.depth, device=device) * network.width
        with mixed_precision(device):
            encoded, counts = network.encode(network.prompts(torch.from_numpy(windows).to(device)))
            likely = network.log_probabilities(encoded, counts, codes[:, None, :-1])
        loss = -likely[:, 0].gather(2, codes[:, :, None]).sum() / len(batch)
        if not math.isfinite(loss.item()):
            raise InputError("llm.candidates.training: the loss is no longer finite; lower its learning_rate")
        for group in optimiser.param_groups:
            group["lr"] = config.training.learning_rate * rate_at((epoch - 1 + done / len(users)) / config.epochs)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), _CLIP_NORM)
        optimiser.step()
        total, done = total + loss.item() * len(batch), done + len(batch)
        task.advance(len(batch))
    return total / done


def _batches(lengths: Ints, size: int, generator: np.random.Generator) -> Iterator[Ints]:
    """Batches of prompts of similar length, in random order; the prompts came in random order."""
    batches = []
    for at in range(0, len(lengths), size * _SORTED):
        part = at + np.argsort(lengths[at : at + size * _SORTED], kind="stable")
        batches += [part[i : i + size] for i in range(0, len(part), size)]
    for place in generator.permutation(len(batches)).tolist():
        yield batches[place]


def _validate(network: P5Network, ids: ItemIds, data: TrainingSet, config: P5Training) -> dict[str, float]:
    """Metrics of lists of 10 over held-out items, evenly thinned; empty where nothing is held out."""
    users, nth = ragged(data.valid_end - data.fit_end)
    positions = data.fit_end[users] + nth
    users, positions = users[positions > 0], positions[positions > 0]
    if len(users) == 0:
        return {}
    thinned = np.unique(np.linspace(0, len(users) - 1, _JUDGED).astype(np.int64))
    users, positions = users[thinned], positions[thinned]
    search = BeamSearch(network.eval(), ids, data.offsets, data.items, config.max_length, 10, 20, False)
    hit = search.lists(users, positions - 1) == data.items[data.offsets[users] + positions][:, None]
    return accuracy(np.where(hit.any(axis=1), hit.argmax(axis=1), -1), (10,))
