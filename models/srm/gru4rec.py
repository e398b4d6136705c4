"""GRU4Rec (Hidasi et al., 2016): a gated recurrent unit over the window, one state a step, tied item embeddings."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fleetrec.models.srm.base import BoundedNorm, StateModel


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
        self.plain, self.carried = False, layers
        self.initialise()
        nn.init.eye_(self.out.weight)
        for name, weight in self.gru.named_parameters():
            if "weight" in name:
                for gate in weight.chunk(3):
                    (nn.init.orthogonal_ if "hh" in name else nn.init.xavier_uniform_)(gate)
            else:
                nn.init.zeros_(weight)

    def written_out(self) -> None:
        self.plain = True  # the same recurrence, gate by gate: PyTorch's own has no rule for torch.func

    def states(self, windows: Tensor, since: int = 0) -> Tensor:
        x = F.dropout(self.norm_in(self.embedding(windows)), self.dropout, self.training)
        hidden = plain_gru(self.gru, x) if self.plain else self.gru(x)[0]
        hidden = F.dropout(hidden[:, since:], self.dropout, self.training)
        return torch.as_tensor(self.norm_out(self.out(hidden)))

    def carry(self, items: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        x = self.norm_in(self.embedding(items))
        top, after = self.gru(x, hidden.transpose(0, 1).contiguous())
        return torch.as_tensor(self.norm_out(self.out(top[:, -1:]))[:, 0]), after.transpose(0, 1)


def plain_gru(gru: nn.GRU, x: Tensor) -> Tensor:
    """What `gru` makes of x [B, T, d], without dropout, gate by gate as PyTorch's documentation has it."""
    for layer in range(gru.num_layers):
        weight_in, weight_hidden, bias_in, bias_hidden = (
            getattr(gru, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        inputs = F.linear(x, weight_in, bias_in)
        hidden, steps = torch.zeros_like(x[:, 0]), []
        for step in range(x.shape[1]):
            reset_in, update_in, new_in = inputs[:, step].chunk(3, dim=-1)
            reset_by, update_by, new_by = F.linear(hidden, weight_hidden, bias_hidden).chunk(3, dim=-1)
            reset, update = torch.sigmoid(reset_in + reset_by), torch.sigmoid(update_in + update_by)
            new = torch.tanh(new_in + reset * new_by)
            hidden = (1 - update) * new + update * hidden
            steps.append(hidden)
        x = torch.stack(steps, dim=1)
    return x
