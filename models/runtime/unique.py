"""Which different values there are, and where each value is among them, without sorting where they lie close."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def different(values: Ints) -> tuple[Ints, Ints]:
    """The different ones of `values` [M] in order, and the place of each value among them [M].

    NumPy's `unique` with its inverse, by counting where the values lie close: sorting millions takes many times longer.
    """
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, -1)
    if high - low > 4 * len(values) + 1_000:
        found, places = np.unique(values, return_inverse=True)
        return found, places
    present = np.zeros(high - low + 1, dtype=bool)
    present[values - low] = True
    return np.flatnonzero(present) + low, (np.cumsum(present) - 1)[values - low]


def different_pairs(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """The different pairs [2, N] of `first` [M] and `second` [M] (at least 0), in order, and the place of each [M]."""
    width = int(second.max(initial=0)) + 1
    found, places = different(first * width + second)
    return np.stack([found // width, found % width]), places
