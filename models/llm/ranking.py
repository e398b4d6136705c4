"""The best items of a catalogue for many user states at once, exact in float64 and with ties in order of item id."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

_SCORES_AT_ONCE = 2_000_000

Excluded = Callable[[NDArray[np.int64]], tuple[NDArray[np.int64], NDArray[np.int64]]]


def best_items(
    states: NDArray[np.float32],
    item_vectors: NDArray[np.float64],
    length: int,
    excluded: Excluded | None = None,
) -> NDArray[np.int32]:
    """The `length` items [M, length] of highest dot product with each state [M, d], best first, ties by item id.

    `excluded(rows)` gives pairs (place in rows, item) that no list may hold; -1 fills what the catalogue cannot.
    Exact whatever the batch where states and vectors [I, d] are rounded as `models.prefixes.rounded` does.
    """
    n_items, kept = len(item_vectors), min(length, len(item_vectors))
    result = np.full((len(states), length), -1, dtype=np.int32)
    transposed = torch.from_numpy(item_vectors).T
    rows_at_once = max(1, _SCORES_AT_ONCE // n_items)
    for at in range(0, len(states), rows_at_once):
        rows = np.arange(at, min(at + rows_at_once, len(states)))
        scores = (torch.from_numpy(states[rows].astype(np.float64)) @ transposed).numpy()
        if excluded is not None:
            scores[excluded(rows)] = -np.inf
        result[rows, :kept] = best_columns(scores, kept)
    return result


def best_columns(scores: NDArray[np.float64], kept: int) -> NDArray[np.int32]:
    """Columns [M, kept] of the highest scores of each row, ties to the lower column; -1 where the score is -inf."""
    n_rows, n_items = scores.shape
    bar = np.partition(scores, n_items - kept, axis=1)[:, n_items - kept]
    row, column = np.nonzero(scores >= bar[:, None])  # in order of row, then column
    counts = np.bincount(row, minlength=n_rows)
    if (counts > kept).any():  # ties at the bar: the lower columns stay
        level = scores[row, column] == bar[row]
        above = counts - np.bincount(row[level], minlength=n_rows)
        before = np.cumsum(level) - level  # of entries at the bar, over all rows
        nth_level = before - before[(np.cumsum(counts) - counts)[row]]
        stays = ~level | (nth_level < (kept - above)[row])
        row, column = row[stays], column[stays]
    chosen = column.reshape(n_rows, kept)
    values = np.take_along_axis(scores, chosen, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    best = np.take_along_axis(chosen, order, axis=1).astype(np.int32)
    best[np.take_along_axis(values, order, axis=1) == -np.inf] = -1
    return best
