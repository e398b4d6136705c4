"""The SRM's logits as pure functions of (user, step, weights): exact, so that company and order never change a rank.

States and item vectors are multiples of 2^-16 (models/prefixes.py) and their products are summed exactly in float64.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.ranking.state_tables import Singles, tables_of

if TYPE_CHECKING:
    from torch import Tensor

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

Adapt = Callable[[Floats, Ints, Ints, Ints], Floats]
"""(states [M, d], users, steps, weights [M]) -> those of devices with parameters of their own"""


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

    def rewind(self, users: Ints, lengths: Ints) -> None:
        """Of histories that grow: what these users [M] had beyond their first `lengths` [M] did not happen."""

    def plain(self) -> "StateScores | None":
        """Those from which all logits come, of one set of weights, whose user states are all there and on the CPU; None
        where others come in."""


class StateScores:
    """Logits of an SRM with a user state: dot products of states and item vectors, computed where these lie."""

    def __init__(
        self,
        states: "Singles | Tensor",
        row_offsets: Ints,
        first: Ints,
        vectors: "Singles | Tensor",
        known: NDArray[np.bool_],
        adapt: Adapt | None = None,
    ):
        """States float32 [R, d] of users at positions from `first` [U] on, row_offsets [U+1]; vectors float32 [n_items,
        d] of the items that are `known` [n_items]."""
        self._tables, self._cpu = tables_of(states, vectors)
        self._row = row_offsets[:-1] - first
        self._unknown = np.flatnonzero(~known)
        self.known = known
        self.adapt = adapt

    def ready(self, users: Ints, steps: Ints) -> None:
        """They are there."""

    def rewind(self, users: Ints, lengths: Ints) -> None:
        """They are of histories that are known from the beginning."""

    def plain(self) -> "StateScores | None":
        return self if type(self) is StateScores and self.adapt is None and self._cpu is not None else None

    def places(self, users: Ints, steps: Ints) -> Ints:
        """Rows [M] of the states."""
        return self._row[users] + steps

    def tables(self, rows: Ints) -> tuple[Any, Ints, Any, NDArray[np.bool_]]:
        """What compiled code reads: all states float32 [R, d], the rows that are asked for, item vectors float32
        [n_items, d], and which are known. Of scores that are `plain`."""
        assert self._cpu is not None
        return self._cpu.all_states, rows, self._cpu.singles, self.known

    def states(self, users: Ints, steps: Ints) -> Floats:
        """The encoder's states [M, d]."""
        return self._tables.states(self._row[users] + steps)

    def vectors(self, items: Ints) -> Floats:
        """Item vectors [..., d] of items [...] >= 0."""
        return self._tables.vectors(items)

    def _adapted(self, users: Ints, steps: Ints, weights: Ints) -> Floats | None:
        """States [M, d] that are not the encoder's alone; None where they are."""
        return None if self.adapt is None else self.adapt(self.states(users, steps), users, steps, weights)

    def of_lists(self, users: Ints, steps: Ints, items: Ints, weights: Ints) -> Floats:
        who, when = np.repeat(users, steps.shape[1]), steps.reshape(-1)
        adapted = self._adapted(who, when, np.repeat(weights, steps.shape[1]))
        logits = self._tables.of_lists(self._row[who] + when, np.maximum(items, 0), adapted)
        if len(self._unknown):
            logits[np.broadcast_to(~self.known[items][:, None], logits.shape)] = -np.inf
        return logits

    def of_catalogue(self, users: Ints, steps: Ints, weights: Ints) -> Floats:
        logits = self._tables.of_catalogue(self._row[users] + steps, self._adapted(users, steps, weights))
        logits[:, self._unknown] = -np.inf
        return logits

    def similarity(self, users: Ints, steps: Ints, others: Ints, weights: Ints) -> Floats:
        fresh = np.ones(len(users), dtype=bool)  # jobs of one list come one after the other
        fresh[1:] = (users[1:] != users[:-1]) | (others[1:] != others[:-1]) | (weights[1:] != weights[:-1])
        chosen, of = np.flatnonzero(fresh), np.cumsum(fresh) - 1
        one = self._its_states(users, steps, weights)
        other = self._its_states(users[chosen], others[chosen], weights[chosen])
        lengths = np.einsum("md,md->m", one, one) * np.einsum("gd,gd->g", other, other)[of]
        return np.asarray(np.einsum("md,md->m", one, other[of]) / np.maximum(np.sqrt(lengths), 1e-9))

    def _its_states(self, users: Ints, steps: Ints, weights: Ints) -> Floats:
        adapted = self._adapted(users, steps, weights)
        return self.states(users, steps) if adapted is None else adapted


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

    def rewind(self, users: Ints, lengths: Ints) -> None:
        """Nothing was kept."""

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
