"""The best of many scores a row, by NumPy's partition."""

import numpy as np
from numpy.typing import NDArray


def best_columns(scores: NDArray[np.float64], kept: int) -> NDArray[np.int64]:
    """Columns [M, kept] of the highest scores [M, N] of each row, best first, ties to the lower column; -1 where the
    score is -inf."""
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
    best = np.take_along_axis(chosen, order, axis=1)
    best[np.take_along_axis(values, order, axis=1) == -np.inf] = -1
    return best
