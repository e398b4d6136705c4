"""Which different values there are, and where each value is among them, without sorting where they lie close."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.pieces import pieces

Ints = NDArray[np.int64]


def different(values: NDArray[np.integer[Any]]) -> tuple[Ints, NDArray[np.integer[Any]]]:
    """The different ones of `values` [M] in order, and the place of each value among them [M].

    NumPy's `unique` with its inverse, by counting where the values lie close: sorting millions takes many times longer.
    """
    low, high = (int(values.min()), int(values.max())) if len(values) else (0, -1)
    if high - low > 4 * len(values) + 1_000:
        found, where = np.unique(values, return_inverse=True)
        return found.astype(np.int64), where
    present = np.zeros(high - low + 1, dtype=bool)
    for piece in pieces(len(values)):
        present[values[piece] - low] = True
    place_of = np.cumsum(present, dtype=np.int32) - 1
    places = np.empty(len(values), dtype=np.int32)
    for piece in pieces(len(values)):
        places[piece] = place_of[values[piece] - low]
    return np.flatnonzero(present) + low, places


def different_pairs(
    first: NDArray[np.integer[Any]], second: NDArray[np.integer[Any]]
) -> tuple[Ints, NDArray[np.integer[Any]]]:
    """The different pairs [2, N] of `first` [M] and `second` [M] (at least 0), in order, and the place of each [M]."""
    width = int(second.max(initial=0)) + 1
    keys = np.empty(len(first), dtype=np.int64)
    for piece in pieces(len(keys)):
        keys[piece] = first[piece].astype(np.int64) * width + second[piece]
    found, places = different(keys)
    return np.stack([found // width, found % width]), places
