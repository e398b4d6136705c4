"""User states of SASRec and GRU4Rec in machine code, with the bits of PyTorch's, where this machine is found to have
them.

The order of each sum, and what exponentials and the like give, follow the libraries that PyTorch calls on processors
with AVX-512 (`compiled`). Another processor or version may do otherwise, so before a network's states are first
computed so, some are compared with PyTorch's own; where one bit differs, PyTorch computes them all.
"""

import threading
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fleetrec.models.prefixes import STEP, QuickStates, Windows
from fleetrec.models.runtime.threads import for_each
from fleetrec.models.sequences import even_length
from fleetrec.models.srm.base import BoundedNorm, StateModel
from fleetrec.models.srm.gru4rec import Gru4Rec
from fleetrec.models.srm.sasrec import SasRec
from fleetrec.models.tiles import tile_of
from fleetrec.simulator.core.machine_code import Demand

Ints = NDArray[np.int64]
Singles = NDArray[np.float32]

_PACKAGE = "fleetrec.simulator.ranking.compiled"
_WITHOUT = "user states are computed without compiled code"
DEMANDS: dict[type[StateModel], Demand] = {
    SasRec: Demand(f"{_PACKAGE}.sasrec", _WITHOUT, 60_000, 250_000),
    Gru4Rec: Demand(f"{_PACKAGE}.gru4rec", _WITHOUT, 150_000, 300_000),
}
"""states that save as much as loading the compiler and the machine code takes, and half of what making it takes, which
is done once for a machine"""
_PANEL = 32
"""columns of a matrix that lie together, by which widths must divide"""
_SHORTEST, _LONGEST = 12, 192
"""columns of a window of SASRec: products of fewer terms are summed in another order, those of more in pieces"""
_FLOATS_AT_ONCE = 2**17
_SIDE_BY_SIDE = 32
_PER_CALL = 256
_GELU_ROWS = 64
"""rows by which GELU is taken: PyTorch keeps what it prepares for a number of rows"""
_UNROUNDED = 2.0**-100
"""a step of which every number of use is a multiple"""
_SEED = 21
_TRIED: dict[tuple[object, ...], bool] = {}


def quick_states(model: StateModel, states: int) -> QuickStates | None:
    """The way in machine code to so many states of a model on the CPU; None where there is none, it does not pay, or
    PyTorch's bits are others."""
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or not _is_known(model):
        return None
    code = DEMANDS[type(model)].code(states)
    if code is None:
        return None
    key = type(model), model.max_length, *(tuple(weights.shape) for weights in model.parameters())
    if key not in _TRIED:
        for_each(lambda tried: _TRIED.update({tried: _same_bits(model, code)}), [key])  # as pieces are computed
    return _way(model, code, STEP) if _TRIED[key] else None


def _way(model: StateModel, code: ModuleType, step: float) -> QuickStates:
    if isinstance(model, SasRec):
        return _QuickSasRec(code, model, np.float32(step))
    assert isinstance(model, Gru4Rec)
    return _QuickGru4Rec(code, model, np.float32(step))


def _is_known(model: StateModel) -> bool:
    if model.dim % _PANEL or model.embedding.weight.dtype != torch.float32:
        return False
    if type(model) is SasRec:
        of_head = model.dim // _blocks(model)[0].heads
        return of_head % _PANEL == 0 and _SHORTEST <= model.max_length <= _LONGEST
    return type(model) is Gru4Rec and not model.plain


def _blocks(model: SasRec) -> list[Any]:
    return list(model.blocks)


@torch.no_grad()
def _same_bits(model: StateModel, code: ModuleType) -> bool:
    """Whether windows of all lengths, most of them full, have the states that PyTorch gives them in tiles, before these
    are rounded."""
    drawn, length, rows = np.random.default_rng(_SEED), even_length(model.max_length), tile_of(type(model), "cpu")
    way, begins = _way(model, code, _UNROUNDED), np.arange(rows) * length
    columns = np.arange(length)
    for since in (0, 0, length // 2, length // 2):
        codes = drawn.integers(model.n_items, size=(rows, length)).astype(np.int32)
        filled = np.minimum(drawn.integers(since + 1, 2 * length, size=rows), length)
        inside = columns < filled[:, None]
        expected = model.states(torch.from_numpy(np.where(inside, codes.astype(np.int64) + 1, 0)), since).numpy()
        found = np.zeros((rows, length, model.dim), dtype=np.float32)
        windows = Windows(begins, filled, np.full(rows, since), begins)
        for at in range(0, rows, way.at_once):
            way(codes.reshape(-1), windows.take(slice(at, at + way.at_once)), found.reshape(-1))
        if not np.array_equal(found[inside & (columns >= since)], expected[inside[:, since:]]):
            return False
    return True


def _panels(weights: Tensor) -> Tensor:
    """A layer's weights [out, in] as products read them: by panels of columns, and in each row by row."""
    columns, terms = weights.shape
    return weights.t().reshape(terms, columns // _PANEL, _PANEL).transpose(0, 1)


def _of_norm(norm: Any) -> list[Tensor]:
    if isinstance(norm, BoundedNorm):
        return list(norm.bounded())
    return [norm.weight, norm.bias]


def _of_linear(layer: Any) -> list[Tensor]:
    return [_panels(layer.weight), layer.bias]


def _flat(parts: list[Tensor]) -> Singles:
    return np.asarray(torch.cat([part.detach().reshape(-1) for part in parts]).numpy(), dtype=np.float32)


@dataclass(frozen=True)
class _QuickGru4Rec:
    """GRU4Rec's states: a call of machine code."""

    code: ModuleType
    model: Gru4Rec
    step: np.float32
    at_once = _PER_CALL

    @cached_property
    def _weights(self) -> Singles:
        gru, model = self.model.gru, self.model
        parts: list[Tensor] = []
        for layer in range(gru.num_layers):
            parts += [_panels(getattr(gru, f"weight_{name}_l{layer}")) for name in ("ih", "hh")]
            parts += [getattr(gru, f"bias_{name}_l{layer}") for name in ("ih", "hh")]
        return _flat([*parts, *_of_norm(model.norm_in), *_of_linear(model.out), *_of_norm(model.norm_out)])

    def __call__(self, codes: NDArray[np.int32], windows: Windows, states: Singles) -> bool:
        """See QuickStates."""
        table = self.model.embedding.weight.detach().view(-1).numpy()
        of = windows.begins, windows.filled, windows.since, windows.to
        size = self.model.gru.num_layers, self.model.dim, _SIDE_BY_SIDE
        return bool(self.code.encode(self._weights, table, codes, *of, *size, states, self.step))


@dataclass(frozen=True)
class _QuickSasRec:
    """SASRec's states: calls of machine code, and PyTorch's GELU between them."""

    code: ModuleType
    model: SasRec
    step: np.float32
    rooms: threading.local = field(default_factory=threading.local)

    @cached_property
    def _weights(self) -> Singles:
        parts: list[Tensor] = []
        for block in _blocks(self.model):
            parts += [*_of_norm(block.norm_attention), *_of_linear(block.query_key_value), *_of_linear(block.out)]
            parts += [*_of_norm(block.norm_feed), *_of_linear(block.feed_in), *_of_linear(block.feed_out)]
        return _flat([*parts, *_of_norm(self.model.norm_in), *_of_norm(self.model.norm_out)])

    @property
    def at_once(self) -> int:
        """See QuickStates: as many as stay in a cache."""
        return max(_FLOATS_AT_ONCE // (self.model.dim * even_length(self.model.max_length)), 1)

    def _room(self) -> tuple[Singles, Tensor, Singles]:
        """To work in, of this thread: x, what GELU is taken of, and the rest. New memory costs as much as some of the
        work in it."""
        if not hasattr(self.rooms, "x"):
            dim, length = self.model.dim, even_length(self.model.max_length)
            rows = self.at_once * length
            wide = -(-length // _PANEL) * _PANEL
            self.rooms.x = np.zeros(rows * dim, dtype=np.float32)
            self.rooms.feed = torch.zeros((rows + _GELU_ROWS, 4 * dim))
            more = 5 * length * dim + dim * wide + 8 * wide + 16 + _PANEL
            self.rooms.work = np.zeros(max(rows * dim, more), dtype=np.float32)
        return self.rooms.x, self.rooms.feed, self.rooms.work

    def __call__(self, codes: NDArray[np.int32], windows: Windows, states: Singles) -> bool:
        """See QuickStates."""
        model, code, weights = self.model, self.code, self._weights
        x, feed, work = self._room()
        dim, layers, flat = model.dim, len(_blocks(model)), feed.view(-1).numpy()
        table, places = (part.weight.detach().view(-1).numpy() for part in (model.embedding, model.positions))
        last = (12 * dim + 13) * dim * layers
        code.enter(weights, table, places, codes, windows.begins, windows.filled, dim, last, x)
        for layer in range(layers):
            since = windows.since if layer == layers - 1 else np.zeros_like(windows.since)
            length, heads = even_length(model.max_length), _blocks(model)[layer].heads
            code.until_feed(weights, layer, windows.filled, since, dim, heads, length, x, flat, work)
            rows = int((windows.filled - since).sum())
            whole = -(-rows // _GELU_ROWS) * _GELU_ROWS
            feed[rows:whole].zero_()
            torch.ops.aten.gelu_(feed[:whole])
            code.after_feed(weights, layer, rows, dim, x, flat, work)
        of = windows.filled, windows.since, windows.to
        return bool(code.leave(weights, last + 2 * dim, *of, dim, x, work, states, self.step))
