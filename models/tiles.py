"""Shapes and rows in which windows are encoded, so that no state hangs on who else is asked for.

The last bits of a float sum may depend on the shape of a batch and on the row in it. Where they do, a window has a row
of its own in tiles of one shape. Where this machine's library treats all rows of some shapes alike, which is tried out
and not believed, rows are filled as they come and a tile is no larger than it need be: the same bits, sooner.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fleetrec.models.runtime.threads import for_each
from fleetrec.models.srm.base import StateModel
from fleetrec.models.tile_sizes import tile_on

Ints = NDArray[np.int64]

_STRIDE = 37  # rows between a user's consecutive segments: spreads long users over a tile
_FEWEST = 8
"""rows of a tile, where rows are alike"""
_CARRIED = 512
"""rows of a tile that one item is carried on in: what a call takes for itself is shared by as many"""
_SEED = 20
_TRIED: dict[tuple[object, ...], bool] = {}


def tile_of(kind: type[StateModel], device: str | torch.device) -> int:
    """Windows that models of a kind encode at once on `device`."""
    return tile_on(kind.tile, str(device))


@dataclass(frozen=True)
class Tiles:
    """Tiles of `rows` rows; `alike`: whether it matters to no bit which row, and of how many."""

    rows: int
    alike: bool = False

    def places(self, numbers: Ints, segments: Ints, groups: Ints | None = None) -> tuple[Ints, Ints]:
        """The tile [M] and the row in it [M] of the `segments` [M] of the users of these `numbers` [M]; those of other
        `groups` [M] go to other tiles."""
        group = np.zeros(len(numbers), dtype=np.int64) if groups is None else groups
        row = np.zeros(len(numbers), dtype=np.int64) if self.alike else (numbers + segments * _STRIDE) % self.rows
        place = row + self.rows * group
        order = np.argsort(place, kind="stable")
        nth = np.empty(len(order), dtype=np.int64)
        nth[order] = np.arange(len(order)) - np.searchsorted(place[order], place[order])
        if self.alike:
            nth, row = np.divmod(nth, self.rows)
        return nth * (int(group.max(initial=0)) + 1) + group, row

    def height(self, filled: int) -> int:
        """Rows of a tile of which the first `filled` ones are in use."""
        return min(max(1 << (filled - 1).bit_length(), _FEWEST), self.rows) if self.alike else self.rows


def tiles_of(model: StateModel) -> tuple[Tiles, Tiles]:
    """In which windows of a model are encoded, and in which it carries on, where nobody knows who comes together."""
    device = model.embedding.weight.device
    rows = tile_of(type(model), device)
    if device.type == "cuda":
        return Tiles(rows), Tiles(rows)
    key = type(model), model.max_length, *(tuple(weights.shape) for weights in model.parameters())
    if key not in _TRIED:
        for_each(lambda tried: _TRIED.update({tried: _rows_are_alike(model, rows)}), [key])  # as pieces are computed
    alike = _TRIED[key]
    return Tiles(rows, alike), Tiles(_CARRIED if alike else rows, alike)


@torch.no_grad()
def _rows_are_alike(model: StateModel, rows: int) -> bool:
    """Whether windows come out the same to the last bit in tiles of fewer rows, of more, and in other rows."""
    drawn = torch.Generator().manual_seed(_SEED)
    items, length = model.n_items + 1, model.max_length
    windows = torch.randint(1, items, (rows, length), generator=drawn)
    tried = [_same(lambda at: model.states(windows[at]), rows, rows, drawn)]
    tried.append(_same(lambda at: model.states(windows[at], length // 2), rows, rows, drawn))
    if model.carried:
        hidden = torch.randn((_CARRIED, model.carried, model.dim), generator=drawn) / 4
        for count in (1, 8):
            codes = torch.randint(1, items, (_CARRIED, count), generator=drawn)
            tried.append(_same(lambda at: model.carry(codes[at], hidden[at])[0], _CARRIED, rows, drawn))  # noqa: B023
            tried.append(_same(lambda at: model.carry(codes[at], hidden[at])[1], _CARRIED, rows, drawn))  # noqa: B023
    return all(tried)


def _same(compute: Callable[[Tensor], Tensor], most: int, rows: int, drawn: torch.Generator) -> bool:
    """Whether `compute` of some of `most` windows gives what it gives in tiles of `rows`, whatever their number."""
    whole = torch.cat([compute(torch.arange(at, at + rows)) for at in range(0, most, rows)])
    some = (torch.randperm(most, generator=drawn)[:size] for size in _sizes(most))
    return all(torch.equal(compute(at), whole[at]) for at in some)


def _sizes(most: int) -> Iterator[int]:
    size = _FEWEST
    while size < most:
        yield size
        size *= 2
    yield most
