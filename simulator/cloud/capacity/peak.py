"""The busiest half hour of a fleet, estimated from the requests of some of its phones: how many a second, and which.

The maximum of a noisy count is too high, by 40% for a thousand phones. So the rate is smoothed over time first, by
local quadratics as wide as the data allow (Fan and Gijbels 1996), and what the maximum still gains by noise is measured
by resampling users and taken off. See docs/how-to/provisioning.md.
"""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fleetrec.models.runtime.pieces import pieces
from fleetrec.simulator.core.resampling import Resampling

PEAK_S = 1800.0
"""how long the peak lasts for which a fleet is provisioned"""
WIDTHS_S = (12_600.0, 3600.0, 1800.0)
"""half the width of the windows that the rate is smoothed by: the widest, unless a narrower one is sure of more"""
DAY_S = 86_400.0
_OF_A_DAY = (144, 72, 48, 24)  # bins of a day that requests are counted by; the finest that keeps to `_BINS`
_BINS = 4320
_SURE = 4.0  # standard errors by which a narrower window's peak must be higher to be believed
# What taking off the gain of noise adds to the spread of draws; where noise raises a maximum by more than a fiftieth,
# resampled maxima, which hold twice that noise, are already spread too far (fitted to benchmarks/peak_estimate.py).
_WIDER, _LEAST_WIDER, _NOISY, _OF_NOISE = 1.06, 0.9, 0.02, 2.5

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
    """which of the run's requests are like those of the peak"""
    by_time_per_s: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    """the smoothed rate over the run, at most that of the peak, and the same where users are resampled [1 + B, T]"""
    bin_s: float = DAY_S
    """how long each of those rates holds"""

    def times(self, surge: float) -> "Peak":
        """A load so many times as high."""
        return replace(
            self,
            per_s=self.per_s * surge,
            rates_per_s=self.rates_per_s * surge,
            by_time_per_s=self.by_time_per_s * surge,
        )

    @classmethod
    def of(cls, asked_s: Floats, device: NDArray[np.integer[Any]], span_s: float, users: Resampling) -> "Peak":
        """From requests [N], over `span_s` from time 0; `users` are those of the devices.

        Requests of time 0 are made by devices because the run begins: no fleet joins at one moment. They do not count;
        where there are no others, they are spread evenly over the run.
        """
        fleet = len(users.cluster)
        rows = np.flatnonzero(asked_s > 0)
        if not len(rows):
            each = np.bincount(device, minlength=fleet).astype(np.float64)
            per_s, rates = len(asked_s) / span_s, users.means(each) * fleet / span_s
            return cls(per_s, rates, np.arange(len(asked_s)), np.append(per_s, rates)[:, None], span_s)
        bins, bin_s = _bins(span_s)
        shape = users.weights.shape[1], bins
        by_cluster: Any = csr_array(shape)
        for piece in pieces(len(rows)):
            part = rows[piece]
            place = np.minimum((asked_s[part] / bin_s).astype(np.int64), bins - 1)
            by_cluster += csr_array((np.ones(len(part)), (users.cluster[device[part]], place)), shape)
        weights = users.weights.astype(np.float64)
        taken = weights @ np.bincount(users.cluster, minlength=shape[0])
        drawn = np.asarray((by_cluster.T @ weights.T).T) * (fleet / taken)[:, None]
        own: Floats = np.asarray(by_cluster.sum(axis=0))
        counts = np.concatenate([own[None, :], drawn]) / bin_s  # the first row is what was seen

        day = round(DAY_S / bin_s)
        found = [(*_highest(counts, bin_s, width_s), width_s) for width_s in WIDTHS_S]
        if bins >= 2 * day:
            found.insert(0, (*_highest_of_days(counts, day, bin_s), WIDTHS_S[0]))
        per_s, rates, top_s, width_s = found[0]
        for narrower in found[1:]:
            if narrower[0] - per_s > _SURE * float(np.std(narrower[1] - rates)):
                per_s, rates, top_s, width_s = narrower
        away = np.abs(asked_s[rows] - top_s)
        if bins >= 2 * day:
            away = np.abs((away + DAY_S / 2) % DAY_S - DAY_S / 2)
        near = rows[away <= WIDTHS_S[0] / 2]
        mean = counts.mean(axis=1)  # no peak is below the mean, whatever is taken off a maximum of few requests
        highest = np.maximum(np.append(per_s, rates), mean)
        by_time = np.clip(counts @ local_quadratic(bins, width_s / bin_s).T, 0.0, highest[:, None])
        return cls(float(highest[0]), highest[1:], near if len(near) else rows, by_time, bin_s)


def _bins(span_s: float) -> tuple[int, float]:
    """How many bins a run is counted by, and their length; of runs of days a whole number makes a day."""
    if span_s < 2 * DAY_S:
        return _OF_A_DAY[0], span_s / _OF_A_DAY[0]
    days = span_s / DAY_S
    of_a_day = next((n for n in _OF_A_DAY if n * days <= _BINS), _OF_A_DAY[-1])
    return int(days * of_a_day), DAY_S / of_a_day


def _highest(rates: Floats, bin_s: float, width_s: float) -> tuple[float, Floats, float]:
    """The highest of smoothed rates [1 + B, T], of which the first was seen and the others are resampled: see
    `_unbiased`; and when it is."""
    smooth = rates @ local_quadratic(rates.shape[1], width_s / bin_s).T
    return *_unbiased(smooth.max(axis=1)), (float(smooth[0].argmax()) + 0.5) * bin_s


def _highest_of_days(rates: Floats, day: int, bin_s: float) -> tuple[float, Floats, float]:
    """The same where days differ by a factor alone: the highest rate of a mean day of `day` bins, on the busiest."""
    rows, bins = rates.shape
    days = -(-bins // day)
    padded = np.zeros((rows, days * day))
    padded[:, :bins] = rates
    there = (np.arange(days * day) < bins).reshape(days, day)
    of_days = padded.reshape(rows, days, day)
    mean_day = of_days.sum(axis=1) / there.sum(axis=0)
    expected = mean_day @ there.T  # [1 + B, days]
    whole = there.mean(axis=1) >= 0.5
    busiest = (of_days.sum(axis=2)[:, whole] / np.maximum(expected[:, whole], 1e-300)).max(axis=1)
    circle = np.tile(mean_day, 3) @ local_quadratic(3 * day, WIDTHS_S[0] / bin_s).T
    smooth = circle[:, day : 2 * day]
    return *_unbiased(smooth.max(axis=1) * busiest), (float(smooth[0].argmax()) + 0.5) * bin_s


def _unbiased(highest: Floats) -> tuple[float, Floats]:
    """A maximum that was seen, without what noise has added to it, and its draws [B]; from it and resampled maxima.

    What noise adds to a maximum is what resampling, which adds as much noise again, adds to that.
    """
    seen, draws = float(highest[0]), highest[1:]
    mean = float(draws.mean())
    unbiased = max(2 * seen - mean, 0.0)
    gain = (mean - seen) / seen if seen > 0 else 0.0
    wider = max(_WIDER - _OF_NOISE * max(gain - _NOISY, 0.0), _LEAST_WIDER)
    return unbiased, np.maximum(unbiased + wider * (draws - mean), 0.0)


@lru_cache(16)
def local_quadratic(bins: int, width: float) -> csr_array:
    """The matrix [T, T] that smooths counts by least squares: at each bin a quadratic is fitted to the counts up to
    `width` bins away, weighted by a biweight."""
    reach = max(int(np.ceil(width)) - 1, 1)
    rows, columns, values = [], [], []
    inside = None
    for at in range(bins):
        first, end = max(at - reach, 0), min(at + reach + 1, bins)
        whole = end - first == 2 * reach + 1
        if not whole or inside is None:
            distance = (np.arange(first, end) - at) / max(width, 1.5)
            powers = np.stack([np.ones(len(distance)), distance, distance**2])
            weighted = powers * (1 - distance**2) ** 2
            kernel = np.linalg.lstsq(weighted @ powers.T, weighted, rcond=None)[0][0]
            if whole:
                inside = kernel
        else:
            kernel = inside
        rows.append(np.full(end - first, at))
        columns.append(np.arange(first, end))
        values.append(kernel)
    return csr_array((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), (bins, bins))
