"""Small configurations and logs shared by the tests of the small models."""

from typing import Any

import numpy as np

from fleetrec.models.sequences import TrainingSet, training_set
from fleetrec.simulator.scenario.sections import Srm, SrmTraining


def Training(**keys: Any) -> SrmTraining:
    """A small one."""
    return SrmTraining(**{"batch_size": 16, "learning_rate": 5e-3, "dropout": 0.0} | keys)


def Config(kind: str = "sasrec", **keys: Any) -> Srm:
    """A small model's section."""
    small = {"dim": 16, "layers": 1, "heads": 2, "max_length": 8, "epochs": 1, "training": Training()}
    return Srm.of({"kind": kind} | small | keys)


def changed(config: Srm, **keys: Any) -> Srm:
    """The same with other keys."""
    return config.model_copy(update=keys)


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
