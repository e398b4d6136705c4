"""Rows of tiles: a window's own, or the next one that is free where this machine treats all alike."""

import numpy as np
import pytest
import torch
from torch import Tensor

from fleetrec.models import tiles
from fleetrec.models.srm.gru4rec import Gru4Rec
from fleetrec.models.srm.sasrec import SasRec
from fleetrec.models.tiles import Tiles, tiles_of

NUMBERS, SEGMENTS = np.arange(300) % 41, np.arange(300) // 41
GROUPS = np.arange(300) % 3 // 2


@pytest.mark.parametrize("alike", [False, True])
def test_no_two_windows_share_a_row_and_groups_share_no_tile(alike: bool) -> None:
    tile, row = Tiles(16, alike).places(NUMBERS, SEGMENTS, GROUPS)
    assert len(set(zip(tile.tolist(), row.tolist(), strict=True))) == 300
    assert all(len(set(GROUPS[tile == one].tolist())) == 1 for one in set(tile.tolist()))
    assert row.max() < 16


def test_a_window_has_the_same_row_whoever_comes_with_it() -> None:
    _, row = Tiles(16).places(NUMBERS, SEGMENTS, GROUPS)
    some = np.array([250, 7, 8, 131])
    assert Tiles(16).places(NUMBERS[some], SEGMENTS[some], GROUPS[some])[1].tolist() == row[some].tolist()
    assert Tiles(16).height(3) == 16


def test_rows_that_are_alike_are_filled_and_no_tile_is_much_larger_than_it_need_be() -> None:
    packed = Tiles(16, alike=True)
    tile, row = packed.places(NUMBERS, SEGMENTS, GROUPS)
    filled = np.bincount(tile)
    assert sorted(filled[filled > 0].tolist()) == [4, 8, *[16] * 18]
    assert all(sorted(row[tile == one].tolist()) == list(range(n)) for one, n in enumerate(filled.tolist()))
    assert [packed.height(n) for n in (1, 8, 9, 16)] == [8, 8, 16, 16]


class _ByRow(SasRec):
    """A network of whose states the last bit hangs on the row, from row 40 on."""

    def states(self, windows: Tensor, since: int = 0) -> Tensor:
        """Not those of SASRec in some rows."""
        states = super().states(windows, since)
        states[40:] *= 1 + 2.0**-23
        return states


class _ByHeight(Gru4Rec):
    """A network that carries on otherwise where few do."""

    def carry(self, items: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Not those of the GRU in small tiles."""
        states, after = super().carry(items, hidden)
        return states, after * (1 + 2.0**-23 * (len(items) < 16))


def test_rows_are_tried_out_and_not_believed_to_be_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "_TRIED", {})
    torch.manual_seed(1)
    for model in (_ByRow(30, 8, 8, 1, 1, 0.0), _ByHeight(30, 8, 8, 1, 0.0)):
        assert [one.alike for one in tiles_of(model.eval())] == [False, False]
        assert [one.rows for one in tiles_of(model)] == [type(model).tile] * 2
