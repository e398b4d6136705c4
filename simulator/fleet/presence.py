"""When each device can be reached: it joins, goes offline and comes back, and may leave for good.

One timeline a device, fixed before the run: the churn section's offline periods and its link's outages merged.
On-off churn is an alternating renewal process of exponential times in its stationary state from time 0 on; draws are
keyed by (device, n-th period), so a longer run only adds to a timeline.
"""

import math
from array import array
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.ragged import ragged
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.fleet.devices import FleetTable
from fleetrec.simulator.fleet.presence_trace import read_spans, timeline_of
from fleetrec.simulator.scenario import sections

MAX_PERIODS = 2e7  # of the whole fleet; building more would take over 3 GB


@dataclass(frozen=True)
class Intervals:
    """Half-open intervals [start_s, end_s) of each device, disjoint and in order: rows offsets[d]:offsets[d+1]."""

    offsets: NDArray[np.int64]  # [D+1]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]

    @staticmethod
    def of(n_devices: int, device: NDArray[np.int64], start_s: ArrayLike, end_s: ArrayLike) -> "Intervals":
        """From rows in any order of devices, in time order within each."""
        order = np.argsort(device, kind="stable")
        offsets = np.concatenate([[0], np.cumsum(np.bincount(device, minlength=n_devices))]).astype(np.int64)
        return Intervals(offsets, np.asarray(start_s)[order], np.asarray(end_s)[order])

    def part(self, first: int, end: int) -> "Intervals":
        """Those of the devices first .. end - 1, which are numbered from 0 then."""
        rows = slice(self.offsets[first], self.offsets[end])
        return Intervals(self.offsets[first : end + 1] - self.offsets[first], self.start_s[rows], self.end_s[rows])

    @property
    def device(self) -> NDArray[np.int64]:
        """The device of each row."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


class Presence:
    """The timelines of all devices. A device is reachable from its even edges on and not from its odd ones."""

    def __init__(self, joined_s: NDArray[np.float64], left_s: NDArray[np.float64], offline: Intervals):
        """joined_s, left_s: [D] (inf: never); offline: intervals of each device, disjoint and in order."""
        self.joined_s = joined_s
        self.left_s = left_s
        self.offsets, self.edges_s = _edges(joined_s, left_s, offline)

    @cached_property
    def _edges(self) -> "array[float]":
        """As quick to bisect as a list, at a quarter of the memory."""
        return array("d", self.edges_s.tobytes())

    @cached_property
    def _offsets(self) -> list[int]:
        return cast(list[int], self.offsets.tolist())

    def reachable(self, device: int, t_s: float) -> bool:
        """Whether the device can be reached at that moment (it can at the very end of an offline period)."""
        low = self._offsets[device]
        return (bisect_right(self._edges, t_s, low, self._offsets[device + 1]) - low) & 1 == 1

    def next_reachable(self, device: int, t_s: float) -> float:
        """The first moment from t_s on at which the device can be reached; inf: never again."""
        low, high = self._offsets[device], self._offsets[device + 1]
        edge = bisect_right(self._edges, t_s, low, high)
        if (edge - low) & 1:
            return t_s
        return self._edges[edge] if edge < high else math.inf

    def next_online(self, device: int, t_s: float) -> float:
        """The first moment after t_s at which the device comes back within reach; inf: never again."""
        low, high = self._offsets[device], self._offsets[device + 1]
        edge = bisect_right(self._edges, t_s, low, high)
        edge += (edge - low) & 1
        return self._edges[edge] if edge < high else math.inf

    def reachable_until(self, device: int, t_s: float) -> float:
        """The end of the reachable period that holds t_s (inf: no end); t_s itself where it is out of reach."""
        low, high = self._offsets[device], self._offsets[device + 1]
        edge = bisect_right(self._edges, t_s, low, high)
        if (edge - low) & 1 == 0:
            return t_s
        return self._edges[edge] if edge < high else math.inf

    def reachable_at(self, device: NDArray[np.int64], t_s: NDArray[np.float64]) -> NDArray[np.bool_]:
        """`reachable` for many pairs [M] at once."""
        low, high = self.offsets[device], self.offsets[device + 1]
        first = low
        while (searched := low < high).any():  # all of them halve what is left of their edges
            middle = (low + high) // 2
            passed = self.edges_s[np.where(searched, middle, 0)] <= t_s  # an edge comes before its moment
            low, high = np.where(searched & passed, middle + 1, low), np.where(searched & ~passed, middle, high)
        return np.asarray((low - first) % 2 == 1)


def _edges(
    joined_s: NDArray[np.float64], left_s: NDArray[np.float64], offline: Intervals
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(offsets, edges) of the alternating timeline: joined, offline, online, ..., left; empty periods dropped."""
    owner = offline.device
    start = np.maximum(offline.start_s, joined_s[owner])
    end = np.minimum(offline.end_s, left_s[owner])
    kept = start < end
    owner, start, end = owner[kept], start[kept], end[kept]
    comes = (joined_s < left_s) & np.isfinite(joined_s)
    goes = comes & np.isfinite(left_s)
    rows = np.bincount(owner, minlength=len(joined_s))
    offsets = np.concatenate([[0], np.cumsum(comes + 2 * rows + goes)])
    edges = np.empty(offsets[-1])
    edges[offsets[:-1][comes]] = joined_s[comes]
    edges[offsets[1:][goes] - 1] = left_s[goes]
    _, nth = ragged(rows)  # of its device's periods
    at = offsets[:-1][owner] + 1 + 2 * nth
    edges[at], edges[at + 1] = start, end
    # Two equal edges of a device bound an empty period (offline at the moment of joining or leaving): drop both.
    same = edges[1:] == edges[:-1]
    borders = offsets[1:-1]
    same[borders[(borders > 0) & (borders < len(edges))] - 1] = False
    drop = np.zeros(len(edges), dtype=np.bool_)
    drop[1:] |= same
    drop[:-1] |= same
    kept_before = np.concatenate([[0], np.cumsum(~drop)])
    return kept_before[offsets].astype(np.int64), edges[~drop]


def merged(first: Intervals, second: Intervals) -> Intervals:
    """The union of two sets of intervals of the same devices; overlapping and touching ones become one."""
    if not len(second.start_s):
        return first
    if not len(first.start_s):
        return second
    device = np.concatenate([first.device, second.device])
    start = np.concatenate([first.start_s, second.start_s])
    end = np.concatenate([first.end_s, second.end_s])
    order = np.lexsort((start, device))
    device, start, end = device[order], start[order], end[order]
    row = np.arange(len(order))
    covered_s = np.full(len(order), -np.inf)  # how far the device is covered by the rows up to each one
    for of_set in (order < len(first.start_s), order >= len(first.start_s)):
        newest = np.maximum.accumulate(np.where(of_set, row, -1))  # ends increase within a set
        same = (newest >= 0) & (device[newest] == device)
        covered_s[same] = np.maximum(covered_s[same], end[newest[same]])
    begins = np.ones(len(order), dtype=np.bool_)
    begins[1:] = (device[1:] != device[:-1]) | (start[1:] > covered_s[:-1])
    last = np.append(np.flatnonzero(begins)[1:] - 1, len(order) - 1)
    return Intervals.of(len(first.offsets) - 1, device[begins], start[begins], covered_s[last])


def alternating_offline(
    purpose: str, online_s: NDArray[np.float64], offline_s: NDArray[np.float64], horizon_s: float, draws: Draws
) -> Intervals:
    """Offline periods that begin in [0, horizon_s) of stationary on-off processes with the given means [D].

    A device with an infinite online_s or a zero offline_s has none. Exponential times have no memory, so the first
    period is a whole one, offline with probability offline / (online + offline).
    """
    n_devices = len(online_s)
    active = np.flatnonzero(np.isfinite(online_s) & (offline_s > 0))
    cycle_s = online_s[active] + offline_s[active]
    expected = float(np.sum(horizon_s / cycle_s))
    if expected > MAX_PERIODS:
        raise InputError(
            f"{purpose}: about {expected:.1e} offline periods in the run, more than {MAX_PERIODS:.0e}; "
            "lengthen the online and offline times, shorten the run or take fewer devices"
        )
    now_s = np.zeros(n_devices)
    offline_first = draws.uniform(f"{purpose}.first", active) < offline_s[active] / cycle_s
    rows: list[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]] = []
    period = 0
    while len(active):
        up_s = online_s[active] * draws.exponential(f"{purpose}.online", active, period)
        if period == 0:
            up_s[offline_first] = 0.0
        start_s = now_s[active] + up_s
        end_s = start_s + offline_s[active] * draws.exponential(f"{purpose}.offline", active, period)
        begun = start_s < horizon_s
        active, start_s, end_s = active[begun], start_s[begun], end_s[begun]
        rows.append((active, start_s, end_s))
        now_s[active] = end_s
        period += 1
    device, start, end = (np.concatenate([row[i] for row in rows]) if rows else np.empty(0) for i in range(3))
    return Intervals.of(n_devices, device.astype(np.int64), start, end)


def build_presence(
    section: sections.Churn,
    fleet: FleetTable,
    horizon_s: float,
    start_s: NDArray[np.float64],
    draws: Draws,
    outages: Intervals,
    part: tuple[int, int] | None = None,
    zero_s: float | None = None,
) -> Presence:
    """The presence of a fleet over [0, horizon_s].

    start_s [D]: when a device's history is complete; it never joins before. outages: from Network.outages.
    part: (first, size) where these are the devices from number `first` on of a fleet of that size. zero_s: the date of
    time 0, for a trace on the calendar.
    All join over `join_over`, late joiners over what remains of the run then, leavers leave after they joined; each
    uniformly.
    """
    n_devices = fleet.n_devices
    device = np.arange(n_devices)
    joined_s = np.array(start_s, dtype=np.float64)
    left_s = np.full(n_devices, np.inf)
    offline = Intervals.of(n_devices, np.empty(0, dtype=np.int64), np.empty(0), np.empty(0))
    if isinstance(section, sections.PresenceTrace):
        first, size = part or (0, n_devices)
        earliest_s = np.zeros(size)
        earliest_s[first : first + n_devices] = joined_s
        own = slice(first, first + n_devices)
        spans = read_spans(section, size).on_run(zero_s, horizon_s)
        joined_s, left_s, gaps = timeline_of(spans, earliest_s)
        offline = Intervals.of(size, gaps[:, 0].astype(np.int64), gaps[:, 1], gaps[:, 2])
        joined_s, left_s, offline = joined_s[own], left_s[own], offline.part(first, first + n_devices)
    elif section.join_over > 0:
        joined_s = joined_s + section.join_over * draws.uniform("churn.joins_over", device)
    if isinstance(section, sections.OnOff):
        late = draws.uniform("churn.late", device) < section.late_joiners
        leaves = draws.uniform("churn.leaves", device) < section.leavers
        rest_s = np.maximum(horizon_s - joined_s, 0.0)
        joined_s = joined_s + np.where(late, rest_s * draws.uniform("churn.joins_at", device), 0.0)
        rest_s = np.maximum(horizon_s - joined_s, 0.0)
        left_s = np.where(leaves, joined_s + rest_s * draws.uniform("churn.leaves_at", device), np.inf)
        online_s, offline_s = np.full(n_devices, section.online), np.full(n_devices, section.offline)
        offline = alternating_offline("fleet.churn", online_s, offline_s, horizon_s, draws)
    return Presence(joined_s, left_s, merged(offline, outages))
