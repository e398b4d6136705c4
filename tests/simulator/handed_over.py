"""Classes that tests hand over in Python. They import nothing of this repository, all of which would be read for what
their results are known by: two seconds a class."""

from typing import Any

import numpy as np
import torch
from torch import nn


class Handed(nn.Module):
    """A small model."""

    def __init__(self, n_items: int, dim: int, gain: float = 1.0):
        super().__init__()
        self.embedding, self.gain = nn.Embedding(n_items + 1, dim, padding_idx=0), gain

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.gain * self.embedding(windows)
        return states


class Backward:
    """The same list for every history."""

    def __init__(self, first: int = 3):
        self.first = first

    def candidates(self, histories: Any) -> Any:
        return [np.arange(30)[::-1] for _ in histories]


class Formula:
    """Lists that hang on the whole history."""

    def candidates(self, histories: Any) -> Any:
        """Different items, in an order that every item of the history has a part in."""
        n = histories.n_items
        return [(int(h.sum()) * 7 + len(h) + 11 * np.arange(histories.list_length)) % n for h in histories]
