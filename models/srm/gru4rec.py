"""GRU4Rec (Hidasi et al., 2016): a gated recurrent unit over the window, one state a step, tied item embeddings."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.srm.base import BoundedNorm, StateModel


class Gru4Rec(StateModel):
    """States of a GRU whose hidden size is `dim`, through one linear layer."""

    kind = "gru4rec"

    def __init__(self, n_items: int, dim: int, max_length: int, layers: int, dropout: float):
        super().__init__(n_items, dim, max_length)
        self.gru = nn.GRU(dim, dim, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.out = nn.Linear(dim, dim)
        self.norm_in = nn.LayerNorm(dim)
        self.norm_out = BoundedNorm(dim)
        self.dropout = dropout
        self.initialise()
        nn.init.eye_(self.out.weight)
        for name, weight in self.gru.named_parameters():
            if "weight" in name:
                for gate in weight.chunk(3):
                    (nn.init.orthogonal_ if "hh" in name else nn.init.xavier_uniform_)(gate)
            else:
                nn.init.zeros_(weight)

    def states(self, windows: Tensor) -> Tensor:
        x = F.dropout(self.norm_in(self.embedding(windows)), self.dropout, self.training)
        hidden, _ = self.gru(x)
        hidden = F.dropout(hidden, self.dropout, self.training)
        return torch.as_tensor(self.norm_out(self.out(hidden)))
