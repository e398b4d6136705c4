"""Where a run's start is no longer felt: MSER-5 (White 1997), on a series of the run in order of time."""

import numpy as np
from numpy.typing import NDArray

_BATCH = 5


def mser5(series: NDArray[np.float64]) -> int | None:
    """How many leading values of series [M] to cut: that which makes the standard error of the rest the least.

    Over means of 5 values each. None where the best cut is beyond half the series: the run is then too short, or has
    no steady part, and no cut can be trusted.
    """
    batches = len(series) // _BATCH
    if batches < 4:
        return None
    means = series[: batches * _BATCH].reshape(batches, _BATCH).mean(axis=1)
    means = means - means.mean()  # sums of squares lose no digits
    left = batches - np.arange(batches)  # batches kept after cutting 0, 1, ...
    total = np.cumsum(means[::-1])[::-1]
    squares = np.cumsum((means**2)[::-1])[::-1]
    statistic = np.maximum(squares - total**2 / left, 0.0) / left**2
    cut = int(np.argmin(statistic[: max(batches - _BATCH, 1)]))  # the last few batches are near each other by chance
    return cut * _BATCH if cut <= batches // 2 else None
