"""States from the cache are those that the model computes, and what is told of PyTorch without it is what it says."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fleetrec.models.kept_states import states_and_vectors
from fleetrec.models.prefixes import prefix_states, rounded_item_vectors
from fleetrec.models.runtime import processor, pytorch
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.srm.base import SmallModel
from fleetrec.models.srm.deployment import MasterWeights, deploy
from fleetrec.models.srm.trained import KeptModel, ModelShape
from tests.models.srm_cases import Config

OFFSETS, ITEMS = np.array([0, 9, 9, 30]), (np.arange(30, dtype=np.int32) * 7) % 20
FIRST, USERS = np.array([2, 0, 11]), np.array([0, 2])


def test_states_from_the_cache_are_those_that_were_computed_and_no_weights_are_read(tmp_path: Path) -> None:
    model = Config("gru4rec").network(20, 3).eval().requires_grad_(False)
    whole, shape, store = np.ones(20, dtype=np.bool_), ModelShape.of(model), ArtifactStore(tmp_path)
    reads = []

    def read() -> SmallModel:
        reads.append(1)
        return model

    found = []
    for _ in range(2):
        srm = deploy(MasterWeights(KeptModel(read, shape), "these weights"), whole)
        found.append(states_and_vectors(srm, OFFSETS, ITEMS, FIRST, USERS, store))
    assert len(reads) == 1
    states, row_offsets = prefix_states(model, OFFSETS, ITEMS, FIRST, USERS)
    for one in found:
        for value, expected in zip(one, (states, row_offsets, rounded_item_vectors(model)), strict=True):
            assert np.array_equal(np.asarray(value), np.asarray(expected))
    other = deploy(MasterWeights(KeptModel(read, shape), "other weights"), whole)
    states_and_vectors(other, OFFSETS, ITEMS, FIRST, USERS, store)
    assert len(reads) == 2


def test_the_version_of_pytorch_is_known_without_loading_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytorch, "is_loaded", lambda: False)
    assert pytorch.torch_version.__wrapped__() == torch.__version__


@pytest.mark.skipif(not processor._flags(), reason="this system does not tell what its processor knows")
def test_the_vector_instructions_are_those_that_pytorch_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATEN_CPU_CAPABILITY", raising=False)
    monkeypatch.setattr(processor, "is_loaded", lambda: False)
    assert processor.vector_instructions.__wrapped__() == torch.backends.cpu.get_cpu_capability()
