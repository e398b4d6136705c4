"""An SRM as it is on a phone: weights at the precision in which they travelled, and the items that it has vectors of.

Half-precision, 8-bit and delta weights are really rounded, so that what a phone computes with is what it was sent.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.models.runtime.pytorch import torch
from fleetrec.models.srm.trained import KeptModel

if TYPE_CHECKING:
    from torch import Tensor

    from fleetrec.models.srm.base import SmallModel

Precision = Literal["float32", "float16", "int8"]
_BYTES = {"float32": 4, "float16": 2, "int8": 1}
_SCALE_BYTES = 4  # of each row of 8-bit numbers
_STILL = 1e-6  # a row whose largest change is below this does not travel in a delta
_ROW_NUMBER_BYTES = 4


@dataclass(frozen=True)
class MasterWeights:
    """A small model as the cloud has it, and the hash of its weights."""

    kept: KeptModel
    content_hash: str

    @property
    def model(self) -> SmallModel:
        """With its weights."""
        return self.kept.model


@dataclass(frozen=True)
class Deployed:
    """A small model on a phone."""

    kept: KeptModel
    known: NDArray[np.bool_]  # [n_items]: items that it has a vector of
    encoder_bytes: float  # of what is installed
    item_bytes: float  # of one item's vector
    push_bytes: float  # of what brings it: the whole, or the change since the version before
    content_hash: str

    @property
    def model(self) -> SmallModel:
        """With its weights."""
        return self.kept.model

    @property
    def table_bytes(self) -> float:
        """Bytes of its vectors of all the items that it knows."""
        return self.item_bytes * float(self.known.sum())


def item_bytes(dim: int, precision: Precision) -> float:
    """Bytes of one item's vector."""
    return float(dim * _BYTES[precision] + (_SCALE_BYTES if precision == "int8" else 0))


def most_popular(counts: NDArray[np.int64], top: int | None) -> NDArray[np.bool_]:
    """Which items a table holds that has the `top` most frequent ones (None: all) of those that somebody has had."""
    known = counts > 0
    if top is not None and top < known.sum():
        order = np.argsort(-counts, kind="stable")[:top]
        known = np.zeros(len(counts), dtype=np.bool_)
        known[order] = True
    return known


def deploy(
    master: MasterWeights,
    known: NDArray[np.bool_],
    precision: Precision = "float32",
    pushed: Literal["full", "half", "delta"] = "full",
    before: Deployed | None = None,
    table_travels: bool = True,
) -> Deployed:
    """The cloud's model as a phone has it once it was `pushed`; a delta is the change since `before`.

    Of the item table the rows that are `known` travel, if it does: else its vectors come with candidate lists.
    """
    kept = master.kept
    as_it_is = pushed == "full" and precision == "float32"
    if as_it_is and not kept.shape.has_user_table:  # no weights are looked at
        encoder, table = 4.0 * kept.shape.encoder_numbers, item_bytes(kept.shape.dim, precision) * float(known.sum())
    else:
        model = master.model if as_it_is else copy.deepcopy(master.model).requires_grad_(False)
        encoder, table = _push(model, known, precision, pushed, before)
        kept = KeptModel.of(model)
    form = [precision, pushed, before.content_hash if pushed == "delta" and before is not None else ""]
    whole = as_it_is and bool(known.all())
    return Deployed(
        kept=kept,
        known=known,
        encoder_bytes=kept.shape.encoder_numbers * (2.0 if pushed == "half" else 4.0),
        item_bytes=item_bytes(kept.shape.dim, precision),
        push_bytes=encoder + (table if table_travels else 0.0),
        content_hash=master.content_hash if whole else content_hash(master.content_hash, known, form),
    )


def _push(
    model: SmallModel,
    known: NDArray[np.bool_],
    precision: Precision,
    pushed: Literal["full", "half", "delta"],
    before: Deployed | None,
) -> tuple[float, float]:
    """Changes the weights of `model` to what arrives; returns the bytes of its encoder and of its item table."""
    rows = torch.from_numpy(np.flatnonzero(known) + 1).to(model.embedding.weight.device)
    encoder = table = 0.0
    with torch.no_grad():
        for name, weights in model.named_parameters():
            share = 1.0 if weights is not model.user_table else 1.0 / len(weights)  # of users, a phone has its own
            if weights is model.embedding.weight:
                table = _push_table(weights, rows, precision, pushed, before)
            elif pushed == "delta" and before is not None:
                encoder += share * _apply_delta(weights, before.model.get_parameter(name))
            elif pushed == "half":
                weights.copy_(weights.half().float())
                encoder += 2.0 * share * weights.numel()
            else:
                encoder += 4.0 * share * weights.numel()
    return encoder, table


def _push_table(
    table: Tensor, rows: Tensor, precision: Precision, pushed: Literal["full", "half", "delta"], before: Deployed | None
) -> float:
    """The item table [n_items + 1, d] as it arrives, of which `rows` are sent; returns its bytes."""
    if pushed == "delta" and before is not None:
        sent = torch.zeros(len(table), dtype=torch.bool, device=table.device)
        sent[rows] = True
        total = _apply_delta(table, before.model.embedding.weight, sent)
    else:
        smallest: Precision = "float16" if pushed == "half" and precision == "float32" else precision
        total = item_bytes(table.shape[1], smallest) * len(rows)
        if pushed == "half":
            table.copy_(table.half().float())
    if precision == "float16":
        table.copy_(table.half().float())
    elif precision == "int8":
        table.copy_(_as_int8(table))
    return total


def _as_int8(rows: Tensor) -> Tensor:
    """To the nearest of 255 levels, whose size is the row's own."""
    scale = row_scale(rows)
    return torch.round(rows / scale) * scale


def row_scale(rows: Tensor) -> Tensor:
    """The size of a level of each row's 8-bit numbers."""
    return rows.abs().amax(dim=-1, keepdim=True).clamp_min(1e-30) / 127


def _apply_delta(weights: Tensor, before: Tensor, sent: Tensor | None = None) -> float:
    """Replaces `weights` by those `before` plus their change as it travels, of the rows `sent`; returns its bytes."""
    change = weights - before
    matrix = change.view(1, -1) if change.ndim == 1 else change.flatten(1)
    moved = matrix.abs().amax(dim=-1) > _STILL
    if sent is not None:
        moved &= sent
    weights.copy_(before + torch.where(moved[:, None], _as_int8(matrix), 0.0).view_as(weights))
    return float(moved.sum()) * (matrix.shape[1] + _SCALE_BYTES + _ROW_NUMBER_BYTES)
