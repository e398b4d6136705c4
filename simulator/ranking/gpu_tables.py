"""User states and item vectors on a GPU, and their products there (see state_tables.py)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class GpuTables:
    """See StateTables."""

    def __init__(self, states: Tensor, vectors: Tensor):
        self._states, self._vectors, self._device = states, vectors.double(), states.device

    def states(self, rows: Ints) -> Floats:
        return np.asarray(self._of(rows).cpu().numpy())

    def vectors(self, items: Ints) -> Floats:
        return np.asarray(self._vectors_of(items).cpu().numpy())

    def of_lists(self, rows: Ints, items: Ints, states: Floats | None = None) -> Floats:
        found = self._of(rows) if states is None else torch.from_numpy(states).to(self._device)
        by_list = found.view(len(items), -1, found.shape[1])
        return np.asarray(torch.bmm(by_list, self._vectors_of(items).transpose(1, 2)).cpu().numpy())

    def of_catalogue(self, rows: Ints, states: Floats | None = None) -> Floats:
        found = self._of(rows) if states is None else torch.from_numpy(states).to(self._device)
        return np.asarray(torch.matmul(found, self._vectors.T).cpu().numpy())

    def _of(self, rows: Ints) -> Tensor:
        return self._states.index_select(0, self._at(rows)).double()

    def _vectors_of(self, items: Ints) -> Tensor:
        return self._vectors.index_select(0, self._at(items.reshape(-1))).view(*items.shape, -1)

    def _at(self, places: Ints) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(places)).to(self._device)
