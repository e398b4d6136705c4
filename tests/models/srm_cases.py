"""Small configurations and logs shared by the tests of the small models."""

from dataclasses import dataclass, field

import numpy as np

from fleetrec.models.sequences import TrainingSet, training_set


@dataclass(frozen=True)
class Training:
    seed: int = 1
    batch_size: int = 16
    learning_rate: float = 5e-3
    weight_decay: float = 0.0
    dropout: float = 0.0
    negatives: int = 4
    patience: int = 3


@dataclass(frozen=True)
class Config:
    kind: str = "sasrec"
    dim: int = 16
    layers: int = 1
    heads: int = 2
    max_length: int = 8
    loss: str = "full_softmax"
    epochs: int = 1
    training: Training = field(default_factory=Training)


KINDS = [Config("sasrec"), Config("gru4rec"), Config("din", loss="bce")]


def random_log(users: int, n_items: int, longest: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Offsets [U+1] and uniformly random items; lengths from 1 to `longest`."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate(([0], np.cumsum(rng.integers(1, longest + 1, users))))
    return offsets, rng.integers(0, n_items, offsets[-1]).astype(np.int32)


def cycle_log(users: int, n_items: int, length: int, held_out: int = 2, seed: int = 0) -> TrainingSet:
    """Users who walk round the catalogue: the next item is always the last one plus 1."""
    begin = np.random.default_rng(seed).integers(0, n_items, users)
    items = (begin[:, None] + np.arange(length)) % n_items
    ends = np.full(users, length)
    return training_set(np.arange(users + 1) * length, items.ravel(), n_items, ends - held_out, ends)
