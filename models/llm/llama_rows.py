"""A Llama's states over rows without padding, in training (models/srm/rows.py): what its modules give, in fewer passes.

The gain of a norm is multiplied into the weights that read it. Rows of the query's and the key's weights are taken in
another order, first halves of all heads before second halves, so that a rotation is a few passes over whole rows.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fleetrec.models.srm.rows import Rows, attended, multiplied


def llama_states(base: Any, embedded: Tensor, rows: Rows) -> Tensor:
    """[K, d] float32 of rows [K, d] that are embedded. `base`: a LlamaModel without biases, with as many heads for keys
    as for queries, as `new_llama` makes it."""
    heads, eps = base.config.num_attention_heads, base.config.rms_norm_eps
    turn = _turns(base, rows, heads)
    x = embedded
    for layer in base.layers:
        attention, feed = layer.self_attn, layer.mlp
        read = _normed(x, eps, rows.number)
        weights = _by_halves(attention, heads) * layer.input_layernorm.weight
        query, key, value = _turned(multiplied(read, weights), *turn, heads)
        x = x + multiplied(attended(query, key, value, rows, 0.0), attention.o_proj.weight)
        read = _normed(x, eps, rows.number)
        weights = torch.cat([feed.gate_proj.weight, feed.up_proj.weight]) * layer.post_attention_layernorm.weight
        x = x + multiplied(_gated(multiplied(read, weights)), feed.down_proj.weight)
    gain: Tensor = base.norm.weight
    return _normed(x, eps, torch.float32) * gain


def _turns(base: Any, rows: Rows, heads: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine [K, d] of each row's place, for the half of all heads of query and key."""
    angles = torch.arange(int(rows.columns.max()) + 1, device=rows.columns.device)[:, None] * base.rotary_emb.inv_freq
    by_place = (angles.cos().tile(2 * heads), angles.sin().tile(2 * heads))
    cosine, sine = (of.to(rows.number).index_select(0, rows.columns) for of in by_place)
    return cosine, sine


def _by_halves(attention: Any, heads: int) -> Tensor:
    """Weights [3 d, d]: first halves of heads of query and key, second halves of both, the value's."""
    both: Tensor = torch.stack([attention.q_proj.weight, attention.k_proj.weight])
    dim = both.shape[-1]
    halves = both.view(2, heads, 2, -1, dim).permute(2, 0, 1, 3, 4)
    return torch.cat([halves.reshape(2 * both.shape[1], dim), attention.v_proj.weight])


def _normed(x: Tensor, eps: float, number: torch.dtype) -> Tensor:
    """x [K, d] over its root mean square, without a gain, as `number`."""
    out: Tensor = _Norm.apply(x, eps, number)  # type: ignore[no-untyped-call]
    return out


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float, number: torch.dtype) -> Tensor:
        size: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        inverse = size.square_().div_(x.shape[1]).add_(eps).rsqrt_()
        out = (x * inverse).to(number)
        ctx.save_for_backward(out, inverse)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        out, inverse = ctx.saved_tensors
        wide, given = out.float(), gradient.float()
        along = (wide * given).sum(dim=1, keepdim=True).div_(-out.shape[1])
        return torch.addcmul(given, wide, along).mul_(inverse), None, None


def _turned(mixed: Tensor, cosine: Tensor, sine: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value [K, heads, d / heads], the first two turned, of [K, 3 d] in the order of `_by_halves`."""
    query, key, value = _Turned.apply(mixed, cosine, sine, heads)  # type: ignore[no-untyped-call]
    return query, key, value


class _Turned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, mixed: Tensor, cosine: Tensor, sine: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(cosine, sine)
        count, dim = len(mixed), mixed.shape[1] // 3
        first, second, value = mixed[:, :dim], mixed[:, dim : 2 * dim], mixed[:, 2 * dim :]
        both = mixed.new_empty((count, 2, heads, 2, dim // heads // 2))
        halves = (count, 2, heads, -1)
        both[..., 0, :] = (first * cosine).addcmul_(second, sine, value=-1).view(halves)
        both[..., 1, :] = (second * cosine).addcmul_(first, sine).view(halves)
        query, key = both.flatten(3).unbind(1)
        return query, key, value.view(count, heads, -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        of_query, of_key, of_value = gradients
        cosine, sine = ctx.saved_tensors
        count, heads, dim = of_query.shape
        mixed = of_query.new_empty((count, 3 * heads * dim))
        by_half = torch.stack([of_query, of_key], dim=1).view(count, 2, heads, 2, dim // 2)
        first, second = (by_half[..., half, :].reshape(count, -1) for half in range(2))
        width = heads * dim
        torch.mul(first, cosine, out=mixed[:, :width]).addcmul_(second, sine)
        torch.mul(second, cosine, out=mixed[:, width : 2 * width]).addcmul_(first, sine, value=-1)
        mixed[:, 2 * width :] = of_value.reshape(count, -1)
        return mixed, None, None, None


def _gated(both: Tensor) -> Tensor:
    """SiLU of the first half of [K, 2 m] times the second."""
    out: Tensor = _Gated.apply(both)  # type: ignore[no-untyped-call]
    return out


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        gate, up = both.chunk(2, dim=1)
        opened = F.silu(gate)
        ctx.save_for_backward(both, opened)
        return opened * up

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        both, opened = ctx.saved_tensors
        gate, up = both.chunk(2, dim=1)
        out = torch.empty_like(both)
        of_gate, of_up = out.chunk(2, dim=1)
        torch.mul(gradient, opened, out=of_up)
        of_gate.copy_(torch.ops.aten.silu_backward(gradient * up, gate))
        return out
