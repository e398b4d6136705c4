"""Training windows and mini-batches of small models, drawn from one torch.Generator.

A user whose learning part fits one window gives one window from position 0. A longer one is cut, anew in every epoch,
into consecutive windows at a random offset, so each transition is learnt once an epoch and, as with the anchored
windows of inference, with contexts of many lengths.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fleetrec.models.runtime.ragged import ragged
from fleetrec.models.sequences import TrainingSet

_SHORT = 8  # windows up to this length form one group; each further group holds lengths up to twice as long


@dataclass(frozen=True)
class Windows:
    """Left-aligned inputs [B, T] (item code + 1, 0 padding) and, where inputs > 0, next items [B, T] (item code)."""

    inputs: Tensor
    targets: Tensor
    filled: Tensor  # int64 [K]: where inputs > 0, in the flattened windows
    users: Tensor  # [B]: whose windows they are

    def to(self, device: torch.device) -> "Windows":
        if device.type == "cpu":
            return self
        columns = (self.inputs, self.targets, self.filled, self.users)  # pinned, so that nobody waits for the copy
        return Windows(*(column.pin_memory().to(device, non_blocking=True) for column in columns))

    def of_filled(self, values: Tensor) -> Tensor:
        """Of `values` [B, T, ...], those at filled places, [K, ...]."""
        return values.flatten(0, 1).index_select(0, self.filled)


Batch = list[Windows]  # one mini-batch, in groups of similar length so that little is padded


def training_windows(
    data: TrainingSet, max_length: int, generator: torch.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Where each window of inputs begins in `data.items`, its length (1..max_length) and its user; targets lie one
    further."""
    inputs = np.maximum(data.fit_end - 1, 0)  # the last event of the learning part is only a target
    drawn = torch.randint(1, max_length + 1, (data.n_users,), generator=generator).numpy()
    first = np.where(inputs <= max_length, inputs, drawn)  # length of a user's first window
    counts = np.where(inputs > 0, 1 + -(-(inputs - first) // max_length), 0)
    user, nth = ragged(counts)
    begin = np.where(nth == 0, 0, first[user] + (nth - 1) * max_length)
    length = np.where(nth == 0, first[user], np.minimum(max_length, inputs[user] - begin))
    return data.offsets[:-1][user] + begin, length, user


def epoch_batches(
    data: TrainingSet, max_length: int, batch_size: int, generator: torch.Generator, grouped: bool = True
) -> Iterator[Batch]:
    """The mini-batches of one epoch: `batch_size` windows each, in random order whatever their length.

    Not `grouped`, a batch is one group: on a GPU, work comes dearer in small pieces than padded.
    """
    starts, lengths, users = training_windows(data, max_length, generator)
    size = np.ceil(np.log2(np.maximum(lengths, _SHORT) / _SHORT)).astype(np.int64)
    order = torch.randperm(len(starts), generator=generator).numpy()
    for at in range(0, len(order), batch_size):
        chosen = order[at : at + batch_size]
        groups = [chosen[size[chosen] == one] for one in np.unique(size[chosen])] if grouped else [chosen]
        yield [_windows(data.items, starts[group], lengths[group], users[group]) for group in groups]


def _windows(
    items: NDArray[np.int32], starts: NDArray[np.int64], lengths: NDArray[np.int64], users: NDArray[np.int64]
) -> Windows:
    column = np.arange(lengths.max())
    inside = column[None, :] < lengths[:, None]
    flat = np.where(inside, starts[:, None] + column[None, :], 0)
    inputs = np.where(inside, items[flat].astype(np.int64) + 1, 0)
    targets = np.where(inside, items[np.where(inside, flat + 1, 0)].astype(np.int64), 0)
    return Windows(*(torch.from_numpy(values) for values in (inputs, targets, np.flatnonzero(inside), users)))
