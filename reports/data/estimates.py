"""Estimates with their uncertainty, from a run's records: clustered intervals, time bins, step functions, ECDFs.

Interactions of one user are not independent, and clones of a user are the same user: every interval here counts
users as clusters. It is Wilson's interval (1927) at the effective sample size that the linearised variance of a
cluster mean gives, with Student's t for few clusters; so it stays in [0, 1] and is not empty at 0 or 1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # loads special where it is used: most runs need none of it
from numpy.typing import NDArray

from fleetrec.models.runtime.pieces import at_shares, pieces
from fleetrec.models.runtime.unique import different_pairs

Ints = NDArray[np.int64]

PERCENTILES = (50, 95, 99)
QUANTILES = np.concatenate([np.linspace(0, 0.99, 100), [0.992, 0.994, 0.996, 0.998, 1.0]])
"""shares at which a distribution is drawn on a page"""
_ROUND_WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95% interval; NaN where there is none."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class GroupedShares:
    """Shares of hits by group, each of shape [groups]; NaN where a group is empty."""

    share: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    count: NDArray[np.int64]


def grouped_shares(
    hits: NDArray[np.bool_], groups: NDArray[np.integer[Any]], clusters: NDArray[np.integer[Any]], n_groups: int
) -> GroupedShares:
    """Share of hits in each group with its 95% interval.

    hits, groups and clusters: [M], one element an interaction; groups are 0 .. n_groups - 1, -1 is left out; clusters
    are at least 0.
    """
    cell_group, cell_count, cell_hits = _cells(hits, groups, clusters, n_groups)
    count = np.bincount(cell_group, cell_count, n_groups).astype(np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.bincount(cell_group, cell_hits, n_groups) / count
        residual = cell_hits - share[cell_group] * cell_count
        n_clusters = np.bincount(cell_group, minlength=n_groups)
        variance = np.bincount(cell_group, residual**2, n_groups) / count**2 * n_clusters / (n_clusters - 1)
        effective = share * (1 - share) / variance
        # No variance seen (all hit, all missed): each cluster has told one thing. More than all of them is luck.
        effective = np.where(variance > 0, np.minimum(effective, count), n_clusters)
        effective = np.where(n_clusters > 1, np.maximum(effective, 1.0), 1.0)
        t = scipy.special.stdtrit(np.maximum(n_clusters - 1, 1), 0.975)
        z2n = t**2 / effective
        centre = (share + z2n / 2) / (1 + z2n)
        half = t * np.sqrt(share * (1 - share) / effective + z2n / (4 * effective)) / (1 + z2n)
    empty = count == 0
    low = np.where(empty, np.nan, np.minimum(np.maximum(centre - half, 0.0), share))
    high = np.where(empty, np.nan, np.maximum(np.minimum(centre + half, 1.0), share))
    return GroupedShares(np.where(empty, np.nan, share), low, high, count)


def _cells(
    hits: NDArray[np.bool_], groups: NDArray[np.integer[Any]], clusters: NDArray[np.integer[Any]], n_groups: int
) -> tuple[Ints, Ints, Ints]:
    """What each cluster has in each group where it has anything, by group and then by cluster: the group, how many, and
    how many hits."""
    width = int(clusters.max(initial=0)) + 1
    if (n_groups + 1) * width > 4 * len(hits) + 1_000:
        kept = groups >= 0
        (cell_group, _), cell = different_pairs(groups[kept].astype(np.int64), clusters[kept].astype(np.int64))
        return (
            cell_group,
            np.bincount(cell, minlength=len(cell_group)),
            np.bincount(cell[hits[kept]], minlength=len(cell_group)),
        )
    count = np.zeros((2, (n_groups + 1) * width), dtype=np.int64)  # the first group is of those that are left out
    for piece in pieces(len(hits)):
        place = (groups[piece].astype(np.int64) + 1) * width + clusters[piece]
        for of, rows in zip(count, (place, place[hits[piece]]), strict=True):
            of += np.bincount(rows, minlength=len(of))
    cell = np.flatnonzero(count[0, width:]) + width
    return cell // width - 1, count[0, cell], count[1, cell]


def bins_of(times_s: NDArray[np.float64], edges_s: NDArray[np.float64]) -> NDArray[np.int16]:
    """The bin of `time_edges` [T + 1] that each time [M] falls into, those beyond the ends into the outermost."""
    found = np.empty(len(times_s), dtype=np.int16)
    inner = edges_s[1:-1]
    for piece in pieces(len(times_s)):
        found[piece] = np.searchsorted(inner, times_s[piece], side="right")
    return found


def time_edges(span_s: float, most_bins: int) -> NDArray[np.float64]:
    """Edges of at most `most_bins` equal bins over [0, span_s], as wide as a clock's or calendar's round times."""
    wanted = max(span_s, 1.0) / max(most_bins, 1)
    width = next((float(w) for w in _ROUND_WIDTHS_S if w >= wanted), 86400.0 * float(np.ceil(wanted / 86400.0)))
    return np.arange(0.0, np.ceil(max(span_s, 1.0) / width) + 1) * width


def merged_bins(counts: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    """Join neighbouring bins until each holds `least`: the joined bin of every bin; a poor rest joins the last one."""
    joined = np.zeros(len(counts), dtype=np.int64)
    current, held = 0, 0
    for i, count in enumerate(counts):
        joined[i] = current
        held += int(count)
        if held >= least:
            current, held = current + 1, 0
    if held < least and current > 0:
        joined[joined == current] = current - 1
    return joined


@dataclass(frozen=True)
class BinnedSteps:
    """A step function over time bins, each of shape [bins]."""

    mean: NDArray[np.float64]
    peak: NDArray[np.float64]


def binned_steps(
    times_s: NDArray[np.float64], values: NDArray[np.float64], edges_s: NDArray[np.float64], end_s: float
) -> BinnedSteps:
    """Time-weighted mean and peak by bin of a function that is 0 at first and takes values[i] from times_s[i] on.

    times_s ascend. Beyond `end_s` nothing is counted, so the last bin's mean is over the part before it.
    """
    t = np.concatenate([[min(0.0, float(edges_s[0]))], times_s])
    v = np.concatenate([[0.0], values])
    edges = np.minimum(edges_s, max(end_s, float(edges_s[0])))
    area = np.concatenate([[0.0], np.cumsum(v[:-1] * np.diff(t))])
    place = np.searchsorted(t, edges, side="right") - 1
    at_edge = area[place] + v[place] * (edges - t[place])
    width = np.diff(edges)
    mean = np.divide(np.diff(at_edge), width, out=np.full(len(width), np.nan), where=width > 0)
    peak = v[place[:-1]].copy()
    inside = np.searchsorted(edges, t, side="right") - 1
    kept = (inside >= 0) & (inside < len(peak))
    np.maximum.at(peak, inside[kept], v[kept])
    return BinnedSteps(mean, np.where(width > 0, peak, np.nan))


@dataclass(frozen=True)
class Ecdf:
    """An empirical distribution: share[i] of the sample is at most value[i]; quantiles by name (p50, p95, p99), and
    those at the shares `QUANTILES`."""

    value: NDArray[np.float64]
    share: NDArray[np.float64]
    quantiles: dict[str, float]
    at_shares: NDArray[np.float64]
    count: int


def ecdf(sample: NDArray[np.floating[Any]], floor: float) -> Ecdf | None:
    """The distribution of the finite values of `sample`, in at most 2,000 steps; None where there is no value.

    Values under `floor` are drawn at `floor` (a logarithmic axis has no zero); the quantiles are of the true values.
    """
    ordered = sample[np.isfinite(sample)]
    ordered.sort()
    n = len(ordered)
    if n == 0:
        return None
    places = np.unique(np.linspace(0, n - 1, min(n, 2000)).astype(np.int64))
    quantiles = at_shares(ordered, np.array(PERCENTILES) / 100).tolist()
    named = {f"p{p}": value for p, value in zip(PERCENTILES, quantiles, strict=True)}
    value = np.maximum(ordered[places].astype(np.float64), floor)
    return Ecdf(value, (places + 1) / n, named, at_shares(ordered, QUANTILES), n)
