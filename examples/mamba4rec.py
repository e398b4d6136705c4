"""An SRM of one's own: a selective state-space layer in the manner of Mamba, in plain PyTorch.

fleetrec simulate examples/mamba4rec.yaml
fleetrec sweep examples/mamba4rec_sweep.yaml
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Mamba4Rec(nn.Module):
    """A state after each item, whose memory keeps or forgets what the item itself decides."""

    def __init__(self, n_items: int, dim: int, dropout: float, memory: int = 8):
        super().__init__()
        self.embedding = nn.Embedding(n_items + 1, dim, padding_idx=0)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.norm_in, self.norm_out, self.dropout = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.Dropout(dropout)
        self.inward, self.select, self.outward = (
            nn.Linear(dim, 2 * dim),
            nn.Linear(dim, 2 * memory),
            nn.Linear(dim, dim),
        )
        self.step = nn.Linear(dim, dim)
        self.decay = nn.Parameter(torch.arange(1.0, memory + 1).log().repeat(dim, 1))

    def forward(self, windows: Tensor) -> Tensor:
        x = self.dropout(self.norm_in(self.embedding(windows)))
        value, gate = self.inward(x).chunk(2, dim=-1)
        write, read = self.select(x).chunk(2, dim=-1)
        step = F.softplus(self.step(x))
        state, states = x.new_zeros(len(x), x.shape[2], write.shape[2]), []
        for t in range(x.shape[1]):
            kept = torch.exp(-step[:, t, :, None] * self.decay.exp())
            state = kept * state + (step[:, t] * value[:, t])[..., None] * write[:, t, None]
            states.append((state * read[:, t, None]).sum(dim=-1))
        mixed: Tensor = self.norm_out(x + self.outward(torch.stack(states, dim=1) * F.silu(gate)))
        return mixed
