"""DIN (Zhou et al., 2018) as LSC4Rec uses it: scaled-dot target attention over the window, then a small MLP.

The candidate attends to the window's items; their weighted mean (the interest) and the candidate's own embedding go
through an MLP of 2d - 4d - 2d - 1 (64-128-64-1 at the paper's d = 32). There is no user state and no position.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fleetrec.models.srm.base import PairModel


class Din(PairModel):
    """Scores of (window, candidate) pairs."""

    kind = "din"

    def __init__(self, n_items: int, dim: int, max_length: int, dropout: float):
        super().__init__(n_items, dim, max_length)
        self.hidden_1, self.hidden_2, self.out = (
            nn.Linear(2 * dim, 4 * dim),
            nn.Linear(4 * dim, 2 * dim),
            nn.Linear(2 * dim, 1),
        )
        self.dropout = dropout
        self.initialise()
        for layer in (self.hidden_1, self.hidden_2, self.out):
            nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")

    def position_logits(self, windows: Tensor, candidates: Tensor, users: Tensor) -> Tensor:
        batch, steps, count = candidates.shape
        past = torch.ones(steps, steps, dtype=torch.bool, device=windows.device).tril()
        visible = past.repeat_interleave(count, dim=0)[None] & (windows > 0)[:, None, :]
        targets = self.embedding(candidates + 1).view(batch, steps * count, self.dim)
        return self._logits(self.embedding(windows), visible, targets).view(batch, steps, count)

    def window_logits(self, windows: Tensor, candidates: Tensor, users: Tensor) -> Tensor:
        """See SmallModel. An empty window's interest is zero."""
        return self._logits(self.embedding(windows), (windows > 0)[:, None, :], self.embedding(candidates + 1))

    def exact_logits(self, windows: Tensor, candidates: Tensor, users: Tensor) -> Tensor:
        keys, targets = self.embedding(windows).double(), self.embedding(candidates + 1).double()
        return self._logits(keys, (windows > 0)[:, None, :], targets)

    def _logits(self, keys: Tensor, visible: Tensor, targets: Tensor) -> Tensor:
        # keys [B, T, d], visible [B, C or 1, T], targets [B, C, d] -> [B, C]
        similarity = targets @ keys.transpose(-1, -2) / math.sqrt(self.dim)
        weights = similarity.masked_fill(~visible, -math.inf).softmax(dim=-1)
        interest = weights.masked_fill(~visible, 0.0) @ keys
        hidden = F.relu(_apply(self.hidden_1, torch.cat((interest, targets), dim=-1)))
        hidden = F.relu(_apply(self.hidden_2, F.dropout(hidden, self.dropout, self.training)))
        return _apply(self.out, hidden).squeeze(-1)


def _apply(layer: nn.Linear, x: Tensor) -> Tensor:
    return F.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype))
