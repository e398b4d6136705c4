"""Parameters of each device's own on top of a shared small model: stacked, trained and applied for many at once.

torch.func does it: `vmap` over `functional_call`, and `grad`. Parameters after the encoder change its states only, so
the shared states stay valid; those of a sub-module inside it need its states anew. Trained parameters are multiples of
2^-16, and so are adapted states. A device's row of a tile depends on the device alone, so company changes no bit.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.threads import for_each
from fleetrec.models.srm.base import SmallModel, StateModel

Ints = NDArray[np.int64]
Parameters = dict[str, Tensor]
"""by name; stacked ones have the devices as their first axis"""

TILE = 64  # devices that are trained in one call
_GRID = 2.0**16
_LIMIT = 16.0
_INNER_LIMIT = 256.0  # of the low-rank map's inner values: products of three factors stay exact in float64


class AfterEncoder(nn.Module):
    """A map of user states [..., d] to adapted ones, the identity at first."""

    @staticmethod
    def exactly(own: Parameters, states: Tensor) -> Tensor:
        """Adapted states [M, d] by parameters [M, ...], all float64 and multiples of 2^-16: products that are summed
        have two such factors."""
        raise NotImplementedError


class LowRankMap(AfterEncoder):
    """h + up (down h)."""

    def __init__(self, dim: int, rank: int):
        super().__init__()
        waves = torch.cos(torch.arange(rank)[:, None] * (torch.arange(dim)[None, :] + 0.5) * torch.pi / dim)
        self.down = nn.Parameter(waves / dim**0.5)  # rows of a cosine basis: nothing is drawn
        self.up = nn.Parameter(torch.zeros(dim, rank))

    def forward(self, states: Tensor) -> Tensor:
        return states + states @ self.down.T @ self.up.T

    @staticmethod
    def exactly(own: Parameters, states: Tensor) -> Tensor:
        inner = on_grid(own["down"] @ states[..., None], _INNER_LIMIT)
        return states + (own["up"] @ inner).squeeze(-1)


class Shift(AfterEncoder):
    """h + shift."""

    def __init__(self, dim: int):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(dim))

    def forward(self, states: Tensor) -> Tensor:
        return states + self.shift

    @staticmethod
    def exactly(own: Parameters, states: Tensor) -> Tensor:
        return states + own["shift"]


class OutputLayer(AfterEncoder):
    """weight h, where weight is the identity at first."""

    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(dim))

    def forward(self, states: Tensor) -> Tensor:
        return states @ self.weight.T

    @staticmethod
    def exactly(own: Parameters, states: Tensor) -> Tensor:
        return (own["weight"] @ states[..., None]).squeeze(-1)


class InsideEncoder(nn.Module):
    """The encoder itself, windows [B, L] to states [B, L, d], in operations that `vmap` knows."""

    def __init__(self, model: StateModel):
        super().__init__()
        self.model = copy.deepcopy(model).cpu().eval()
        self.model.written_out()

    def forward(self, windows: Tensor) -> Tensor:
        return self.model.states(windows[None])[0]


class AdapterSettings(Protocol):
    """What an adapter is and how it learns; `policy.update` sections have these fields."""

    @property
    def adapter(self) -> Any: ...
    @property
    def window(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def negatives(self) -> int: ...


@dataclass(frozen=True)
class AdapterForm:
    """A kind of adapter for one shared model: a module and which of its parameters a device has of its own."""

    module: nn.Module
    initial: Parameters  # of a device that has not learnt
    inside: bool  # the encoder: its input are windows, not states

    @property
    def size(self) -> int:
        """Numbers that a device has of its own."""
        return sum(tensor.numel() for tensor in self.initial.values())


def adapter_form(settings: AdapterSettings, model: SmallModel) -> AdapterForm:
    """The form that `settings` name, for `model`, on the CPU. InputError for a sub-module that it does not have."""
    if not isinstance(model, StateModel):
        raise InputError(
            f"policy.update: an SRM of kind {model.kind} has no user state to adapt; set srm.kind to "
            "sasrec or gru4rec, or update by kind fleet"
        )
    form: AdapterForm = settings.adapter.on_top_of(model)
    return form


def after_encoder(module: AfterEncoder) -> AdapterForm:
    """The form of a module all of whose parameters each device has of its own."""
    return _form(module, "", False)


def inside_encoder(model: StateModel, name: str) -> AdapterForm:
    """The form of a sub-module of `model`. InputError where it has none of this name."""
    parts = {name: part for name, part in model.named_modules() if name and part is not model.embedding}
    names = [name for name, part in parts.items() if any(True for _ in part.parameters())]
    if name not in names:
        raise InputError(
            f"policy.update.adapter.name: an SRM of kind {model.kind} has no sub-module {name!r} to adapt; "
            f"it has {', '.join(names)}"
        )
    return _form(InsideEncoder(model), f"model.{name}.", True)


def _form(module: nn.Module, prefix: str, inside: bool) -> AdapterForm:
    module.requires_grad_(False)
    chosen = {name: p.detach().clone() for name, p in module.named_parameters() if name.startswith(prefix)}
    return AdapterForm(module, chosen, inside)


@dataclass(frozen=True)
class TrainingExamples:
    """What T devices learn from; arrays padded to the longest."""

    inputs: Tensor  # [T, W, d] states, or windows [T, W] of item code + 1
    positive: Tensor  # [T, W, d] vectors of the items that came next
    negative: Tensor  # [T, K, d] vectors of items to compare with
    clash: Tensor  # [T, W, K] where such an item is the next one itself
    trained: Tensor  # [T, W] positions that count

    def take(self, rows: Tensor) -> "TrainingExamples":
        """Those of `rows`."""
        names = ("inputs", "positive", "negative", "clash", "trained")
        return TrainingExamples(*(getattr(self, name)[rows] for name in names))


Columns = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def _loss(form: AdapterForm, softmax: bool) -> Callable[[Parameters, Columns], Tensor]:
    def of(own: Parameters, example: Columns) -> Tensor:
        inputs, positive, negative, clash, trained = example
        states = functional_call(form.module, own, (inputs,))
        right = (states * positive).sum(dim=-1)  # [W]
        wrong = (states @ negative.T).masked_fill(clash, -1e4)  # [W, K]
        if softmax:
            each = torch.logsumexp(torch.cat((right[:, None], wrong), dim=1), dim=1) - right
        else:
            each = (F.softplus(-right) + F.softplus(wrong).sum(dim=1)) / (1 + wrong.shape[1])
        return torch.as_tensor((each * trained).sum() / trained.sum().clamp_min(1))

    return of


def train_together(
    form: AdapterForm, own: Parameters, examples: TrainingExamples, steps: int, learning_rate: float, softmax: bool
) -> Parameters:
    """`own` [T, ...] after so many steps of gradient descent, each device on its own examples."""
    columns = (examples.inputs, examples.positive, examples.negative, examples.clash, examples.trained)
    gradient = vmap(grad(_loss(form, softmax)))
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        for _ in range(steps):
            slopes = gradient(own, columns)
            own = {name: tensor - learning_rate * slopes[name] for name, tensor in own.items()}
    return {name: on_grid(tensor) for name, tensor in own.items()}


def _for_each_tile(
    form: AdapterForm, tiles: list[tuple[Ints, Ints]], work: Callable[[AdapterForm, tuple[Ints, Ints]], None]
) -> None:
    """`work` for every tile. functional_call puts parameters into its module meanwhile, so each thread has a copy."""
    threads = min(torch.get_num_threads(), len(tiles))

    def share(which: int) -> None:
        own = replace(form, module=copy.deepcopy(form.module)) if threads > 1 else form
        for tile in tiles[which::threads]:
            work(own, tile)

    with sdpa_kernel(SDPBackend.MATH):  # of all threads: one that entered and left by itself would leave it to others
        for_each(share, list(range(threads)))


def train_in_tiles(
    form: AdapterForm,
    own: Parameters,
    examples: Callable[[Ints], TrainingExamples],
    devices: Ints,
    steps: int,
    learning_rate: float,
    softmax: bool,
) -> Parameters:
    """`train_together` for the devices [M], TILE at a time in rows that each device's number decides. `examples` gives
    those of places in `devices`."""
    tiles = _tiles(devices)
    trained = {name: torch.empty_like(tensor) for name, tensor in own.items()}

    def compute(form: AdapterForm, tile: tuple[Ints, Ints]) -> None:
        places, rows = tile
        spread = np.full(TILE, places[0])
        spread[rows] = places
        some = {name: tensor[torch.from_numpy(spread)] for name, tensor in own.items()}
        after = train_together(form, some, examples(spread), steps, learning_rate, softmax)
        for name, tensor in after.items():
            trained[name][torch.from_numpy(places)] = tensor[torch.from_numpy(rows)]

    _for_each_tile(form, tiles, compute)
    return trained


def _tiles(devices: Ints) -> list[tuple[Ints, Ints]]:
    """Places in `devices` and rows of a tile for each tile; a device's row is its number modulo TILE."""
    row = devices % TILE
    order = np.argsort(row, kind="stable")
    sorted_rows = row[order]
    first = np.searchsorted(sorted_rows, sorted_rows)
    tile = np.arange(len(order)) - first  # the n-th device of a row goes to the n-th tile
    return [(order[tile == t], sorted_rows[tile == t]) for t in range(int(tile.max(initial=-1)) + 1)]


def states_inside(form: AdapterForm, own: Parameters, windows: Tensor, keys: Ints) -> Tensor:
    """States [M, d] after the last item of each of `windows` [M, L] by parameters `own` [M, ...], on the grid; a row's
    place in a tile is that of its key."""
    last = ((windows > 0).sum(dim=1) - 1).clamp(min=0)
    states: list[Tensor | None] = [None] * len(keys)

    def compute(form: AdapterForm, tile: tuple[Ints, Ints]) -> None:
        places, rows = tile
        spread = np.full(TILE, places[0])
        spread[rows] = places
        chosen = torch.from_numpy(spread)
        some = {name: tensor[chosen] for name, tensor in own.items()}
        with torch.no_grad():
            out = vmap(lambda p, w: functional_call(form.module, p, (w,)))(some, windows[chosen])
        for place, row in zip(places.tolist(), rows.tolist(), strict=True):
            states[place] = out[row, last[place]]

    _for_each_tile(form, _tiles(keys), compute)
    return on_grid(torch.stack([state for state in states if state is not None]))


def apply_exactly(form: AdapterForm, own: Parameters, states: Tensor) -> Tensor:
    """Adapted states [M, d] of `states` float64 [M, d] by parameters `own` [M, ...] after the encoder.

    All factors are multiples of 2^-16, so sums are exact in float64, whatever the company.
    """
    assert isinstance(form.module, AfterEncoder)
    return on_grid(form.module.exactly({name: tensor.double() for name, tensor in own.items()}, states))


def on_grid(values: Tensor, limit: float = _LIMIT) -> Tensor:
    """The nearest multiples of 2^-16 below `limit` in magnitude, where larger ones end."""
    return (torch.round(values.double() * _GRID) / _GRID).clamp(-limit + 1 / _GRID, limit - 1 / _GRID).to(values.dtype)
