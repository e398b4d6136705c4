"""Encoders in training, in half the bits: a mini-batch is laid row after row without its padding, products are in
bfloat16, and what is added up over layers stays in float32.

Only attention looks at windows, a group of like lengths at a time. Dropout takes a byte of randomness a number, so its
rate is a multiple of 1/256; what is kept is scaled by what that comes to. A product in bfloat16 of a new shape is
compiled first, so there are few: rows are filled up to a multiple of 64, windows to one of 8 columns, groups to one of
4.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fleetrec.models.srm.batches import Batch, Windows

_BYTES = 256
_ROWS, _COLUMNS, _WINDOWS = 64, 8, 4


@dataclass(frozen=True)
class Group:
    """Windows of a batch that attention takes at once, filled up."""

    count: int
    width: int
    rows: slice
    """of the batch, which are theirs"""
    filled: Tensor
    """int64 [K]: the place of each in the flattened windows"""
    row: Tensor
    """int64 [count * width]: of each place; 0 where nothing is filled"""
    empty: Tensor
    """int64: where that is"""


@dataclass(frozen=True)
class Rows:
    """The items of a mini-batch, those of one window after those of another, and some more that stand for nothing."""

    count: int
    items: Tensor
    """int64 [K], item code + 1; `count` of them are in windows"""
    columns: Tensor
    """int64 [K], from 0 in their windows"""
    groups: tuple[Group, ...]
    number: torch.dtype
    """of what is multiplied: bfloat16, or another to compare with"""


def rows_of(batch: Batch, number: torch.dtype = torch.bfloat16) -> Rows:
    """The rows of a batch, in the order in which `Windows.of_filled` has them group by group."""
    groups: list[Group] = []
    for windows in batch:
        groups.append(_group(windows, groups[-1].rows.stop if groups else 0))
    count = groups[-1].rows.stop
    more = _up_to(count, _ROWS) - count
    items = torch.cat([windows.of_filled(windows.inputs) for windows in batch])
    columns = torch.cat([windows.filled % windows.inputs.shape[1] for windows in batch])
    return Rows(count, F.pad(items, (0, more), value=1), F.pad(columns, (0, more)), tuple(groups), number)


def _group(windows: Windows, begin: int) -> Group:
    count, width = windows.inputs.shape
    more = (0, _up_to(width, _COLUMNS) - width, 0, _up_to(count, _WINDOWS) - count)
    inside = F.pad(windows.inputs, more) > 0
    flat = inside.flatten()
    filled = flat.nonzero()[:, 0]
    row = (flat.cumsum(0) - 1) * flat
    return Group(len(inside), inside.shape[1], slice(begin, begin + len(filled)), filled, row, (~flat).nonzero()[:, 0])


def _up_to(number: int, step: int) -> int:
    return -(-number // step) * step


def dropped(x: Tensor, rate: float) -> Tensor:
    """Dropout. Draws from PyTorch's current generator."""
    drop = round(rate * _BYTES)
    return x * _kept(x, drop) if drop else x


def _kept(x: Tensor, drop: int) -> Tensor:
    """Like `x`: 0 where a byte is below `drop`, else what makes up for that."""
    drawn = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device).random_(-(2**63), None)
    kept = drawn.view(torch.uint8)[: x.numel()].view(x.shape) >= drop
    return kept.to(x.dtype).mul_(_BYTES / (_BYTES - drop))


def multiplied(x: Tensor, weights: Tensor, shifts: Tensor | None = None) -> Tensor:
    """x [K, i] times `weights` [o, i], and `shifts` [o] more, in the format of x."""
    return F.linear(x, weights.to(x.dtype), None if shifts is None else shifts.to(x.dtype))


def attended(query: Tensor, key: Tensor, value: Tensor, rows: Rows, rate: float) -> Tensor:
    """Causal attention [K, heads * d] of query, key and value [K, heads, d] within each window; 0 in rows that stand
    for nothing. `rate`: of dropout."""
    out: Tensor = _Attention.apply(query, key, value, rows.groups, rate)  # type: ignore[no-untyped-call]
    return out


class _Attention(torch.autograd.Function):
    """Weights are kept for the way back, which is quicker than making them again where windows are short."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, groups: tuple[Group, ...], rate: float) -> Tensor:
        heads, drop = query.shape[1], round(rate * _BYTES)
        scale = 1.0 / math.sqrt(query.shape[2])
        out = torch.zeros(value.shape, dtype=value.dtype, device=value.device)
        ctx.groups, ctx.heads, ctx.scale, kept_for_back = groups, heads, scale, []
        for group in groups:
            q, k, v = (_by_head(x, group) for x in (query, key, value))
            future = torch.full((group.width, group.width), -math.inf, dtype=q.dtype, device=q.device).triu_(1)
            scores = torch.baddbmm(future.expand(len(q), -1, -1), q, k.transpose(1, 2), alpha=scale)
            weights = torch.softmax(scores, dim=-1, out=scores)
            kept = _kept(weights, drop) if drop else None
            out[group.rows] = _by_row(torch.bmm(weights if kept is None else weights * kept, v), group, heads)
            kept_for_back.append((q, k, v, weights, kept))
        ctx.kept_for_back = kept_for_back
        return out.flatten(1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        given = gradient.view((len(gradient), ctx.heads, -1))
        of_query, of_key, of_value = (torch.zeros_like(given) for _ in range(3))
        for group, (q, k, v, weights, kept) in zip(ctx.groups, ctx.kept_for_back, strict=True):
            g = _by_head(given, group, zeroed=True)
            of_weights = torch.bmm(g, v.transpose(1, 2))
            used = weights
            if kept is not None:
                of_weights, used = of_weights.mul_(kept), weights * kept
            of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype).mul_(ctx.scale)
            of_query[group.rows] = _by_row(torch.bmm(of_scores, k), group, ctx.heads)
            of_key[group.rows] = _by_row(torch.bmm(of_scores.transpose(1, 2), q), group, ctx.heads)
            of_value[group.rows] = _by_row(torch.bmm(used.transpose(1, 2), g), group, ctx.heads)
        return of_query, of_key, of_value, None, None


def _by_head(x: Tensor, group: Group, zeroed: bool = False) -> Tensor:
    """Rows [K, heads, d] of a group as [windows * heads, width, d]. What lies where nothing is filled comes after all
    that does, so causal attention never looks at it; gradients have to be `zeroed` there."""
    own = x[group.rows].index_select(0, group.row)
    if zeroed:
        own.index_fill_(0, group.empty, 0.0)
    heads, dim = own.shape[1:]
    by_window = own.view(group.count, group.width, heads, dim).transpose(1, 2)
    return by_window.reshape(group.count * heads, group.width, dim)


def _by_row(x: Tensor, group: Group, heads: int) -> Tensor:
    """The way back from `_by_head`."""
    dim = x.shape[2]
    flat = x.view(group.count, heads, group.width, dim).transpose(1, 2).reshape(-1, heads, dim)
    return flat.index_select(0, group.filled)
