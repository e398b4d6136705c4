"""SASRec (Kang and McAuley, 2018): causal self-attention over the window, learned left-aligned positions.

Pre-norm blocks with GELU as in later re-implementations; tied item embeddings. The gain of the last layer norm
matters: without it, validation NDCG@10 rose markedly more slowly.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.srm.base import BoundedNorm, StateModel
from fleetrec.models.srm.rows import Rows, attended, dropped, multiplied
from fleetrec.models.tile_sizes import SMALL_TILE


class _Block(nn.Module):
    def __init__(self, dim: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm_attention, self.norm_feed = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query_key_value, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.feed_in, self.feed_out = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor, since: int = 0) -> Tensor:
        """What comes out in the columns from `since` on; they look at all columns up to their own."""
        steps, dim = x.shape[1:]
        rate = self.dropout if self.training else 0.0
        read = self.norm_attention(x)
        if since:
            weights, shifts = self.query_key_value.weight, self.query_key_value.bias
            query = self._by_head(F.linear(read[:, since:], weights[:dim], shifts[:dim]), 1)[0]
            key, value = self._by_head(F.linear(read, weights[dim:], shifts[dim:]), 2)
            seen = torch.ones(steps - since, steps, dtype=torch.bool, device=x.device).tril(since)
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=rate)
            x = x[:, since:]
        else:
            query, key, value = self._by_head(self.query_key_value(read), 3)
            mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=rate, is_causal=True)
        x = x + self._drop(self.out(mixed.transpose(1, 2).reshape(x.shape)))
        return x + self._drop(self.feed_out(F.gelu(self.feed_in(self.norm_feed(x)))))

    def over_rows(self, x: Tensor, rows: Rows) -> Tensor:
        """The same of rows [K, d] without padding, in training."""
        read = self.norm_attention(x).to(rows.number)
        mixed = multiplied(read, self.query_key_value.weight, self.query_key_value.bias)
        query, key, value = mixed.view(len(x), 3, self.heads, -1).unbind(1)
        mixed = attended(query, key, value, rows, self.dropout)
        x = x + dropped(multiplied(mixed, self.out.weight, self.out.bias), self.dropout)
        read = self.norm_feed(x).to(rows.number)
        fed = F.gelu(multiplied(read, self.feed_in.weight, self.feed_in.bias))
        return x + dropped(multiplied(fed, self.feed_out.weight, self.feed_out.bias), self.dropout)

    def _by_head(self, x: Tensor, parts: int) -> Tensor:
        """x [B, T, parts * d] as [parts, B, heads, T, d / heads]."""
        return x.view(*x.shape[:2], parts, self.heads, -1).permute(2, 0, 3, 1, 4)

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


class SasRec(StateModel):
    """States of a causal Transformer encoder. Raises InputError where `heads` does not divide `dim`."""

    kind = "sasrec"
    tile = SMALL_TILE
    by_rows = True

    def __init__(self, n_items: int, dim: int, max_length: int, layers: int, heads: int, dropout: float):
        super().__init__(n_items, dim, max_length)
        if dim % heads:
            raise InputError(f"srm.heads: {heads} heads do not divide srm.dim {dim}; choose a divisor of {dim}")
        self.positions = nn.Embedding(self.max_length, dim)
        self.norm_in = nn.LayerNorm(dim)
        self.norm_out = BoundedNorm(dim)
        self.blocks = nn.ModuleList(_Block(dim, heads, dropout) for _ in range(layers))
        self.dropout = dropout
        self.initialise()

    def states(self, windows: Tensor, since: int = 0) -> Tensor:
        # Left-aligned and causal: padding comes after every item, so it needs no mask of its own.
        places = torch.arange(windows.shape[1], device=windows.device)
        x = self.embedding(windows) * math.sqrt(self.dim) + self.positions(places)
        x = F.dropout(self.norm_in(x), self.dropout, self.training)
        *lower, last = self.blocks
        for block in lower:
            x = block(x)
        x = last(x, since)
        return torch.as_tensor(self.norm_out(x))

    def row_states(self, rows: Rows) -> Tensor:
        x = self.embedding(rows.items) * math.sqrt(self.dim) + self.positions(rows.columns)
        x = dropped(self.norm_in(x), self.dropout)
        for block in self.blocks:
            assert isinstance(block, _Block)
            x = block.over_rows(x, rows)
        return torch.as_tensor(self.norm_out(x[: rows.count]))
