"""User states and item vectors where they lie, and their products: in NumPy on the CPU, which loads no PyTorch.

Both are multiples of 2^-16 (models/prefixes.py), so sums of their products are exact in float64, in whatever order: the
same on a CPU and on a GPU.
"""

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_ROWS, _UNDIVIDED = 64, 2**18
"""states at once, and products at once: of more, NumPy's library (OpenBLAS) shares out the work over threads, which
wait for each other busily"""


class StateTables(Protocol):
    """States float32 [R, d] and item vectors float32 [n_items, d]."""

    def states(self, rows: Ints) -> Floats:
        """Those of rows [M], [M, d]."""

    def vectors(self, items: Ints) -> Floats:
        """Those of items [...] >= 0, [..., d]."""

    def of_lists(self, rows: Ints, items: Ints, states: Floats | None = None) -> Floats:
        """Products [G, W, N] of the states of rows [G * W], or of `states` [G * W, d] in their place, and the vectors
        of items [G, N] >= 0."""

    def of_catalogue(self, rows: Ints, states: Floats | None = None) -> Floats:
        """Products [M, n_items] of the states of rows [M], or of `states` [M, d], and all vectors."""


class CpuTables:
    """See StateTables."""

    def __init__(self, states: Singles, vectors: Singles):
        self.all_states, self.singles = states, vectors
        self._vectors = vectors.astype(np.float64)
        self._transposed = self._vectors.T

    def states(self, rows: Ints) -> Floats:
        return self.all_states.take(rows, axis=0).astype(np.float64)

    def vectors(self, items: Ints) -> Floats:
        return self._vectors.take(items, axis=0)

    def of_lists(self, rows: Ints, items: Ints, states: Floats | None = None) -> Floats:
        found = self.states(rows) if states is None else states
        by_list = found.reshape(len(items), -1, found.shape[1])
        return np.asarray(by_list @ self.vectors(items).transpose(0, 2, 1))

    def of_catalogue(self, rows: Ints, states: Floats | None = None) -> Floats:
        found = self.states(rows) if states is None else states
        n_items, dim = self._vectors.shape
        products, columns = np.empty((len(found), n_items)), max(_UNDIVIDED // (_ROWS * dim), 1)
        for row in range(0, len(found), _ROWS):
            for column in range(0, n_items, columns):
                at = slice(row, row + _ROWS), slice(column, column + columns)
                np.matmul(found[at[0]], self._transposed[:, at[1]], out=products[at])
        return products


def tables_of(states: "Singles | Tensor", vectors: "Singles | Tensor") -> "tuple[StateTables, CpuTables | None]":
    """Tables of arrays, or of tensors, which stay where they are; those on the CPU a second time, by their class."""
    if isinstance(states, np.ndarray) and isinstance(vectors, np.ndarray):
        cpu = CpuTables(states, vectors)
        return cpu, cpu
    tensors: Any = states, vectors
    if tensors[0].device.type == "cpu":
        return tables_of(tensors[0].numpy(), tensors[1].numpy())
    from fleetrec.simulator.ranking.gpu_tables import GpuTables

    return GpuTables(*tensors), None
