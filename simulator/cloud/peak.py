"""The busiest stretch of a run: how many requests a second a fleet of such users makes in it, and which."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.resampling import Resampling

PEAK_S = 300.0
"""the busiest stretch of a run, for which it is provisioned"""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Peak:
    """What a run tells of its busiest stretch, for the fleet that was simulated."""

    per_s: float
    """requests a second"""
    rates_per_s: Floats
    """the same where users are resampled [B]"""
    rows: Ints
    """which of the run's requests it holds"""

    @classmethod
    def of(cls, arrival_s: Floats, device: Ints, span_s: float, users: Resampling) -> "Peak":
        """From requests [N] in order of arrival, over `span_s` from time 0; `users` are those of the devices.

        The first five minutes, in which all devices may join at once, do not count unless the run ends within ten or
        no request comes later.
        """
        later = int(np.searchsorted(arrival_s, PEAK_S))
        skipped = later if span_s > 2 * PEAK_S and later < len(arrival_s) else 0
        first, end = busiest(arrival_s[skipped:], PEAK_S)
        rows = np.arange(skipped + first, skipped + end)
        seconds = min(PEAK_S, span_s)
        counts = np.bincount(device[rows], minlength=len(users.cluster)).astype(np.float64)
        rates = users.means(counts) * len(counts) / seconds
        return cls(len(rows) / seconds, rates, rows)


def busiest(arrival_s: Floats, window_s: float) -> tuple[int, int]:
    """[first, end) of the requests of the window of that length that holds the most; the first of several."""
    if not len(arrival_s):
        return 0, 0
    ends = np.searchsorted(arrival_s, arrival_s + window_s, side="left")
    first = int(np.argmax(ends - np.arange(len(arrival_s))))
    return first, int(ends[first])
