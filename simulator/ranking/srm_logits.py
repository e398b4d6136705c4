"""The SRM's logits as pure functions of (user, step, weights): exact, so that company and order never change a rank.

States and item vectors are multiples of 2^-16 (models/prefixes.py) and their products are summed exactly in float64.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

Adapt = Callable[[Tensor, Ints, Ints, Ints], Tensor]
"""(states float64 [M, d] on the CPU, users, steps, weights [M]) -> those of devices with parameters of their own"""


class SrmScores(Protocol):
    """The SRM's logits, exact whatever the company of a job. -inf for an item that the SRM has no vector of."""

    def of_lists(self, users: Ints, steps: Ints, items: Ints, weights: Ints) -> Floats:
        """Logits [G, W, N] of candidates [G, N] after the histories (users [G], steps [G, W]) by `weights` [G]."""

    def of_catalogue(self, users: Ints, steps: Ints, weights: Ints) -> Floats:
        """Logits [M, n_items] of every item after the histories (users [M], steps [M]) by `weights` [M]."""

    def similarity(self, users: Ints, steps: Ints, others: Ints, weights: Ints) -> Floats:
        """Cosine [M] of the user states after `steps` and after `others`, both by `weights` [M]; 1 for an SRM without
        a user state."""

    def ready(self, users: Ints, steps: Ints) -> None:
        """The logits of these queries [M] will be asked for. To be called by one thread where histories grow."""

    def plain(self) -> "StateScores | None":
        """Those from which all logits come, of one set of weights, whose user states are all there and on the CPU; None
        where others come in."""


class StateScores:
    """Logits of an SRM with a user state: dot products of states and item vectors, computed where these lie."""

    def __init__(
        self,
        states: Tensor,
        row_offsets: Ints,
        first: Ints,
        vectors: Tensor,
        known: NDArray[np.bool_],
        adapt: Adapt | None = None,
    ):
        """States [R, d] of users at positions from `first` [U] on, row_offsets [U+1]; vectors [n_items, d] of the
        items that are `known` [n_items]."""
        self._states, self._device = states, states.device
        self._row = row_offsets[:-1] - first
        self._singles, self._vectors = vectors, vectors.double()
        self._unknown = np.flatnonzero(~known)
        self.known = known
        self.adapt = adapt

    def ready(self, users: Ints, steps: Ints) -> None:
        """They are there."""

    def plain(self) -> "StateScores | None":
        return self if type(self) is StateScores and self.adapt is None and self._device.type == "cpu" else None

    def places(self, users: Ints, steps: Ints) -> Ints:
        """Rows [M] of the states."""
        return self._row[users] + steps

    def tables(self, rows: Ints) -> tuple[Any, Ints, Any, NDArray[np.bool_]]:
        """What compiled code reads: all states float32 [R, d], the rows that are asked for, item vectors float32
        [n_items, d], and which are known."""
        return self._states.numpy(), rows, self._singles.numpy(), self.known

    def states(self, users: Ints, steps: Ints) -> Tensor:
        """The encoder's states, float64 [M, d]."""
        return self._states.index_select(0, self._at(self._row[users] + steps)).double()

    def vectors(self, items: Ints) -> Tensor:
        """Item vectors, float64 [..., d], of items [...] >= 0."""
        return self._vectors.index_select(0, self._at(items.reshape(-1))).view(*items.shape, -1)

    def _at(self, places: Ints) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(places)).to(self._device)

    def _adapted(self, users: Ints, steps: Ints, weights: Ints) -> Tensor:
        states = self.states(users, steps)
        if self.adapt is None:
            return states
        return self.adapt(states.cpu(), users, steps, weights).to(self._device)

    def of_lists(self, users: Ints, steps: Ints, items: Ints, weights: Ints) -> Floats:
        groups, width = steps.shape
        each = np.repeat(users, width), steps.reshape(-1), np.repeat(weights, width)
        states = self._adapted(*each).view(groups, width, -1)
        logits: Floats = torch.bmm(states, self.vectors(np.maximum(items, 0)).transpose(1, 2)).cpu().numpy()
        if len(self._unknown):
            logits[np.broadcast_to(~self.known[items][:, None], logits.shape)] = -np.inf
        return logits

    def of_catalogue(self, users: Ints, steps: Ints, weights: Ints) -> Floats:
        logits: Floats = torch.matmul(self._adapted(users, steps, weights), self._vectors.T).cpu().numpy()
        logits[:, self._unknown] = -np.inf
        return logits

    def similarity(self, users: Ints, steps: Ints, others: Ints, weights: Ints) -> Floats:
        fresh = np.ones(len(users), dtype=bool)  # jobs of one list come one after the other
        fresh[1:] = (users[1:] != users[:-1]) | (others[1:] != others[:-1]) | (weights[1:] != weights[:-1])
        chosen, of = np.flatnonzero(fresh), np.cumsum(fresh) - 1
        one = self._adapted(users, steps, weights).cpu().numpy()
        other = self._adapted(users[chosen], others[chosen], weights[chosen]).cpu().numpy()
        lengths = np.einsum("md,md->m", one, one) * np.einsum("gd,gd->g", other, other)[of]
        return np.asarray(np.einsum("md,md->m", one, other[of]) / np.maximum(np.sqrt(lengths), 1e-9))


class WindowScores:
    """Logits of an SRM without a user state (DIN): every history meets every candidate."""

    def __init__(
        self,
        logits: Callable[[Ints, Ints, Ints], Floats],
        windows: Callable[[Ints, Ints], Ints],
        known: NDArray[np.bool_],
    ):
        self._logits, self._windows = logits, windows
        self.known = known
        self._catalogue = np.arange(len(known))

    def ready(self, users: Ints, steps: Ints) -> None:
        """Nothing is computed ahead of need."""

    def plain(self) -> StateScores | None:
        return None

    def of_lists(self, users: Ints, steps: Ints, items: Ints, weights: Ints) -> Floats:
        groups, width = steps.shape
        each = np.repeat(users, width)
        windows = self._windows(each, steps.reshape(-1))
        scores = self._logits(windows, np.repeat(np.maximum(items, 0), width, axis=0), each).reshape(groups, width, -1)
        return np.where(self.known[items][:, None], scores, -np.inf)

    def of_catalogue(self, users: Ints, steps: Ints, weights: Ints) -> Floats:
        windows = self._windows(users, steps)
        scores = self._logits(windows, np.broadcast_to(self._catalogue, (len(users), len(self._catalogue))), users)
        return np.where(self.known, scores, -np.inf)

    def similarity(self, users: Ints, steps: Ints, others: Ints, weights: Ints) -> Floats:
        return np.ones(len(users))
