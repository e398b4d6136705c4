"""From which fleet on one way to serve costs less than another, with the interval that resampled users give."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.core.resampling import INTERVAL

Floats = NDArray[np.float64]


class Crossing(NamedTuple):
    """From `fleet` devices on, up to the largest that was looked at, it costs less than the other."""

    fleet: float
    low: float
    """the ends of the 95% interval; 0: it may cost less from the smallest fleet on"""
    high: float
    """infinite: it may not by the largest"""


def crossing(fleets: Floats, usd: Floats, other: Floats, draws: Floats, other_draws: Floats) -> Crossing | None:
    """Where what costs `usd` [F] comes to cost less than `other` [F] for good; None where it does not within `fleets`
    [F], rising, or does from the first. `draws` are [B, F]."""
    own = _last(fleets, usd - other)
    if not 0.0 < own < math.inf:
        return None
    found = np.array([_last(fleets, row) for row in draws - other_draws])
    low, high = np.quantile(found, INTERVAL, method="closest_observation").tolist()
    return Crossing(own, min(low, own), max(high, own))


def _last(fleets: Floats, difference: Floats) -> float:
    """Where a difference [F] is last above 0, between two fleets by a straight line over their logarithms; 0: it never
    is; infinite: at the end."""
    above = np.flatnonzero(difference > 0)
    if not len(above):
        return 0.0
    at = int(above[-1])
    if at == len(fleets) - 1:
        return math.inf
    before, after = difference[at], difference[at + 1]
    part = before / (before - after)
    return float(np.exp(np.log(fleets[at]) * (1 - part) + np.log(fleets[at + 1]) * part))
