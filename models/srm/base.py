"""One small interface for the small recommendation models (SRMs) that run on devices.

A window is a row of item code + 1, left-aligned, 0 as padding (models/sequences.py). A model with user states (SASRec,
GRU4Rec) gives one after every item of a window and scores an item by a dot product; one without (DIN) scores pairs of
a history and a candidate.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fleetrec.models.runtime import pytorch
from fleetrec.models.sequences import TrainingSet, even_length
from fleetrec.models.srm.rows import Rows
from fleetrec.models.tile_sizes import TILE

pytorch.load()  # which sets it up


class SmallModel(nn.Module, ABC):
    """A sequential recommender over items 0..n_items-1 with one embedding table (row 0 is padding)."""

    kind: str
    has_user_state: bool
    fit: Callable[[TrainingSet], None] | None = None
    """trains it in its own way; None: mini-batches do"""
    embedding: nn.Embedding
    user_table: Tensor | None = None
    """a row of weights for each user, where it has them: a phone holds its own user's"""

    def __init__(self, n_items: int, dim: int, max_length: int):
        super().__init__()
        self.n_items, self.dim, self.max_length = n_items, dim, even_length(max_length)
        self.embedding = nn.Embedding(n_items + 1, dim, padding_idx=0)

    def initialise(self, std: float = 0.02) -> None:
        """Normal weights of deviation `std`, zero biases; layer norms keep ones. Draws from PyTorch's current RNG."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=std)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        with torch.no_grad():
            self.embedding.weight[0] = 0.0

    @abstractmethod
    def position_logits(self, windows: Tensor, candidates: Tensor, users: Tensor) -> Tensor:
        """Scores [B, T, C] of `candidates` [B, T, C] (item codes) after each item of `windows` [B, T] of `users`
        [B]."""

    @abstractmethod
    def window_logits(self, windows: Tensor, candidates: Tensor, users: Tensor) -> Tensor:
        """Scores [B, N] of `candidates` [B, N] (item codes) after the last item of each of `windows` [B, T] of `users`
        [B]."""

    @property
    def encoder_numbers(self) -> int:
        """Weights that a phone holds beside the item table."""
        others = 0 if self.user_table is None else self.user_table.numel() - self.user_table.shape[1]
        return sum(p.numel() for p in self.parameters()) - self.embedding.weight.numel() - others

    def weights(self) -> dict[str, Tensor]:
        """All that is learnt, by name, on the CPU, each in memory of its own."""
        return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in self.state_dict().items()}

    def item_vectors(self) -> Tensor:
        """[n_items, dim]: what states are multiplied with (for DIN: its embeddings)."""
        return self.embedding.weight[1:]


class BoundedNorm(nn.Module):
    """Layer norm whose outputs stay below 16 in magnitude, whatever the input: states are rounded to multiples of 2^-16
    of that range (models/prefixes.py). A normalised component is at most sqrt(dim); gain times that is held to 14, the
    shift to 1.9."""

    def __init__(self, dim: int):
        super().__init__()
        self.gain, self.shift = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))
        self.dim = dim

    def bounded(self) -> tuple[Tensor, Tensor]:
        """Gain and shift as they are used."""
        limit = 14.0 / math.sqrt(self.dim)
        return self.gain.clamp(-limit, limit), self.shift.clamp(-1.9, 1.9)

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, (self.dim,), *self.bounded())


class StateModel(SmallModel):
    """A small model with a user state; an item's score is the dot product of state and item vector."""

    has_user_state = True
    tile = TILE
    """windows that are encoded at once on a processor: as many as its cache holds"""

    carried = 0
    """numbers for each dimension that it carries from one item of a window to the next, from which the state after it
    follows; 0: the whole window is looked at anew"""

    def carry(self, items: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """States [B, dim] after the next items [B, T] of each window (item code + 1), and what is carried on from there
        [B, carried, dim], which is zero before the first; equal to `states`. Of a model that carries something."""
        raise NotImplementedError

    @abstractmethod
    def states(self, windows: Tensor, since: int = 0) -> Tensor:
        """[B, T - since, dim]: the state after each item of `windows` [B, T] from column `since` on; columns of padding
        hold nothing of use."""

    by_rows = False
    """whether it has `row_states`"""

    def row_states(self, rows: Rows) -> Tensor:
        """States float32 [count, dim] of a mini-batch's rows, in training: `states` in fewer passes, products in the
        format of the rows."""
        raise NotImplementedError

    def written_out(self) -> None:
        """From now on, compute in operations that torch.func knows."""

    def position_logits(self, windows: Tensor, candidates: Tensor, users: Tensor) -> Tensor:
        vectors: Tensor = self.embedding(candidates + 1)
        return (vectors @ self.states(windows)[..., None]).squeeze(-1)

    def window_logits(self, windows: Tensor, candidates: Tensor, users: Tensor) -> Tensor:
        last = ((windows > 0).sum(dim=1) - 1).clamp(min=0)
        state = self.states(windows)[torch.arange(len(windows), device=windows.device), last]
        vectors: Tensor = self.embedding(candidates + 1)
        return (vectors @ state[..., None]).squeeze(-1)


class PairModel(SmallModel):
    """A small model without a user state, which scores each pair of a history and a candidate."""

    has_user_state = False

    @abstractmethod
    def exact_logits(self, windows: Tensor, candidates: Tensor, users: Tensor) -> Tensor:
        """`window_logits` in float64, where sums in another order differ by about 1e-15."""
