"""Weights in fewer bytes: half precision, or 8 bits with a scale a row, as `srm.item_table.precision` has them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fleetrec.models.srm.deployment import Precision, row_scale


class NarrowWeights(nn.Module):
    """Weights [..., n] of which `forward` gives the float32 ones that are computed with."""

    def __init__(self, weights: Tensor, precision: Precision):
        """Vectors (biases, norms) are too few to be made int8."""
        super().__init__()
        numbers, scale = weights.detach(), torch.ones(1)
        self.scaled = precision == "int8" and weights.ndim > 1
        if precision == "float16":
            numbers = numbers.half()
        elif self.scaled:
            scale = row_scale(numbers)
            numbers = torch.round(numbers / scale).to(torch.int8)
        self.numbers, self.scale = nn.Buffer(numbers.clone()), nn.Buffer(scale)

    def forward(self) -> Tensor:
        """The whole of them."""
        wide = self.numbers.float()
        return wide * self.scale if self.scaled else wide


class NarrowTable(nn.Module):
    """An item table of which only the rows that are looked up are widened."""

    def __init__(self, table: Tensor, precision: Precision):
        super().__init__()
        self.rows = NarrowWeights(table, precision)

    def forward(self, rows: Tensor) -> Tensor:
        """Vectors [..., dim] of `rows`."""
        wide = F.embedding(rows, self.rows.numbers).float()
        return wide * F.embedding(rows, self.rows.scale) if self.rows.scaled else wide

    @property
    def weight(self) -> Tensor:
        """The whole table."""
        whole: Tensor = self.rows()
        return whole
