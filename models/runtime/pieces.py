"""Long arrays a piece at a time, so that intermediate results stay in the processor's cache and fill no memory."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PIECE = 1 << 18


def pieces(n: int) -> Iterator[slice]:
    """Parts of `n` elements, one after the other."""
    return (slice(start, start + _PIECE) for start in range(0, n, _PIECE))


def counts_by(groups: NDArray[np.integer[Any]], n_groups: int) -> NDArray[np.int64]:
    """How many there are of each group [n_groups], of groups [M] at least 0."""
    found = np.zeros(n_groups, dtype=np.int64)
    for piece in pieces(len(groups)):
        found += np.bincount(groups[piece], minlength=n_groups)
    return found


def sums_by(
    groups: NDArray[np.integer[Any]], values: Callable[[slice], NDArray[Any]], n_groups: int
) -> NDArray[np.float64]:
    """Sums [n_groups] by group [M] of the `values` of each piece, added one after the other as if in one piece."""
    total: NDArray[Any] = np.zeros(n_groups)
    each = np.arange(n_groups)
    for piece in pieces(len(groups)):
        total = np.bincount(np.append(each, groups[piece]), np.append(total, values(piece)), n_groups)
    return total


def at_shares(ordered: NDArray[np.floating[Any]], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantiles of values [N] that are in order, to the last bit those of `np.quantile`, which would copy and look for
    their places anew."""
    place = (len(ordered) - 1) * shares
    below = np.floor(place).astype(np.int64)
    part = place - below
    low, high = (ordered[np.minimum(at, len(ordered) - 1)].astype(np.float64) for at in (below, below + 1))
    step = high - low
    return np.where(part >= 0.5, high - step * (1 - part), low + step * part)
