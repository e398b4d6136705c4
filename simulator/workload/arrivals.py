"""When each device's streamed interactions happen: the log's own times, or generated ones for the log's items.

The items of a device always keep the log's order. Every generated time is keyed by (device, position), so a
device's stream does not depend on the rest of the fleet, on the policy or on what was drawn before.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.ragged import ragged
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.core.signals import DAY_S, Diurnal
from fleetrec.simulator.scenario.sections import (
    Arrivals,
    DiurnalArrivals,
    EmpiricalArrivals,
    PoissonArrivals,
    ReplayArrivals,
    SessionArrivals,
)
from fleetrec.simulator.workload.splitting import SplitLog

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_GAP_SPREAD = 1.0  # log-normal sigma of gaps inside a session
_DONORS = 20  # users among whom one is drawn to take after
_DAY_GRID = 1440  # points at which the daily cycle's integral is tabulated


@dataclass(frozen=True)
class Stream:
    """Who interacts when. Rows of device d are device_offsets[d] .. device_offsets[d+1], in order of time."""

    device_offsets: Ints  # [D+1]
    step: NDArray[np.int32]  # [S] position of the interaction in its user's log
    t_s: Floats  # [S] seconds; equal times of a device are one group
    horizon_s: float  # end of the simulated time
    calendar: bool  # devices are in the order of the log's calendar
    dropped_after_horizon: int  # streamed interactions that would come after the horizon
    start_s: Floats  # [D] when the device's history is complete and it may join
    zero_s: float | None  # seconds since 1970 at simulated time 0, where simulated time is the log's own calendar

    @property
    def n_devices(self) -> int:
        return len(self.device_offsets) - 1


@dataclass(frozen=True)
class _Rows:
    """The streamed events of every device before they have times; flat arrays [S] in device order."""

    users: Ints  # [D]
    lengths: Ints  # [D]
    device: Ints  # [S]
    place: Ints  # [S] 0, 1, 2, ... within the device
    step: Ints  # [S] position in the user's log
    event: Ints  # [S] index into the log's flat arrays


def arrival_times(
    split: SplitLog,
    section: Arrivals,
    devices_users: Ints,
    horizon_s: float | None,
    draws: Draws,
    fleet_users: Ints | None = None,
) -> Stream:
    """The stream of devices that follow the users `devices_users` [D] (places in the log; repeats are clones).

    horizon_s None: until the last interaction. `fleet_users`: those of the whole fleet, where these are a part of it.
    InputError where the log has no times to replay.
    """
    users = np.asarray(devices_users, dtype=np.int64)
    lengths = split.log.lengths[users] - split.history[users]
    device, place = ragged(lengths)
    step = split.history[users][device] + place
    rows = _Rows(users, lengths, device, place, step, split.log.offsets[users][device] + step)
    start_s = np.zeros(len(users))
    calendar, zero_s = False, None
    if isinstance(section, ReplayArrivals):
        everyone = users if fleet_users is None else fleet_users
        times, start_s, calendar = _replay(split, section, rows, horizon_s, draws, everyone)
        zero_s = _calendar_zero_s(split, section, everyone)
    elif isinstance(section, PoissonArrivals):
        times = _running_sums(draws.exponential("arrival gap", device, place) * DAY_S / section.per_day, device)
    elif isinstance(section, DiurnalArrivals):
        arrived = _running_sums(draws.exponential("arrival gap", device, place), device)
        times = _daily_moments(arrived, section)
    elif isinstance(section, EmpiricalArrivals):
        times = empirical_times(split, section, users, np.flatnonzero(split.streamed), draws)
    else:
        times = _sessions(section, rows, draws)
    end_s = horizon_s if horizon_s is not None else float(times.max(initial=0.0))
    kept = times <= end_s
    offsets = np.concatenate([[0], np.cumsum(np.bincount(device[kept], minlength=len(users)))])
    dropped = int((~kept).sum())
    return Stream(offsets, step[kept].astype(np.int32), times[kept], end_s, calendar, dropped, start_s, zero_s)


def gaps_of(stream: Stream) -> Floats:
    """The gaps between a device's consecutive interactions, of all devices."""
    starts = np.zeros(len(stream.t_s), dtype=bool)
    starts[stream.device_offsets[:-1][np.diff(stream.device_offsets) > 0]] = True
    return np.asarray(np.diff(stream.t_s)[~starts[1:]])


def gap_summary(gaps: Floats) -> dict[str, float | None]:
    """Median, mean and 95th percentile of gaps, and the share of zero gaps; None where there are none."""
    if not len(gaps):
        return {"median_gap_s": None, "mean_gap_s": None, "p95_gap_s": None, "zero_gap_share": None}
    return {
        "median_gap_s": float(np.median(gaps)),
        "mean_gap_s": float(gaps.mean()),
        "p95_gap_s": float(np.percentile(gaps, 95)),
        "zero_gap_share": float((gaps == 0).mean()),
    }


def _replay(
    split: SplitLog, section: ReplayArrivals, rows: _Rows, horizon_s: float | None, draws: Draws, fleet: Ints
) -> tuple[Floats, Floats, bool]:
    """Times [S], starts [D] and whether devices stay in calendar order.

    In calendar order time 0 is the cut, or the first streamed interaction of the fleet under a per-user split, and a
    device starts with its newest known event. Without a common clock each device starts at 0, at that event. Shifted
    devices all start at 0, and their first interactions come at a keyed uniform moment.
    """
    log, users = split.log, rows.users
    if log.clock == "none":
        raise InputError(
            f"{log.source} has no times to replay; set workload.arrivals={{kind: sessions}} (or poisson, or diurnal)"
        )
    newest_known = log.times[log.offsets[users] + split.history[users] - 1]
    if not log.common_clock:
        anchor = origin = newest_known
    else:
        origin = np.full(len(users), _zero_s(split, fleet))
        anchor = np.maximum(newest_known, origin)
    start_s = _scaled(anchor - origin, section)
    if section.time_scale == 1 or section.scale == "all":
        times = (log.times[rows.event] - origin[rows.device]) * section.time_scale
    else:
        earlier = np.where(rows.place == 0, anchor[rows.device], log.times[rows.event - 1])
        gaps = _scaled(log.times[rows.event] - earlier, section)
        gaps[rows.place == 0] += start_s[rows.device[rows.place == 0]]
        times = _running_sums(gaps, rows.device)
    if section.shift == "none":
        uniform_scale = section.time_scale == 1 or section.scale == "all"
        return times, start_s, log.common_clock and uniform_scale
    return _shifted(times, rows, horizon_s, draws), np.zeros(len(users)), False


def _calendar_zero_s(split: SplitLog, section: ReplayArrivals, fleet: Ints) -> float | None:
    """The date of simulated time 0, seconds since 1970; None where the log has no dates or is not replayed on them."""
    dated = split.log.clock == "absolute" and section.time_scale == 1 and section.shift == "none"
    zero_s = _zero_s(split, fleet) if dated else np.inf
    return float(zero_s) if np.isfinite(zero_s) else None


def _zero_s(split: SplitLog, fleet: Ints) -> float:
    """The log's time at simulated time 0: the cut, or the fleet's first streamed interaction."""
    return split.cut_time if split.cut_time is not None else _first_streamed_s(split, fleet)


def _first_streamed_s(split: SplitLog, users: Ints) -> float:
    """When the first streamed interaction of any of these users was; infinite where they have none."""
    streaming = users[split.log.lengths[users] > split.history[users]]
    return float(split.log.times[split.log.offsets[streaming] + split.history[streaming]].min(initial=np.inf))


def _scaled(gaps: Floats, section: ReplayArrivals) -> Floats:
    """Scaled pauses: what exceeds `pause` is scaled, so that a longer pause never becomes the shorter one."""
    if section.scale == "all":
        return gaps * section.time_scale
    return np.minimum(gaps, section.pause) + np.maximum(gaps - section.pause, 0.0) * section.time_scale


def _shifted(times: Floats, rows: _Rows, horizon_s: float | None, draws: Draws) -> Floats:
    """Each device's stream moved to begin at a uniform moment that lets it end before the horizon, if it can."""
    present = rows.lengths > 0
    ends = np.cumsum(rows.lengths)
    first, last = np.zeros(len(present)), np.zeros(len(present))
    first[present], last[present] = times[(ends - rows.lengths)[present]], times[ends[present] - 1]
    spans = last - first
    room = (horizon_s if horizon_s is not None else float(spans.max(initial=0.0))) - spans
    begin = draws.uniform("replay shift", np.arange(len(present))) * np.maximum(room, 0.0)
    return times - first[rows.device] + begin[rows.device]


def empirical_times(split: SplitLog, section: EmpiricalArrivals, users: Ints, others: Ints, draws: Draws) -> Floats:
    """When devices of these users [D] come, by the pauses of one of `others` each, or by their own."""
    log, lengths = split.log, split.log.lengths[users] - split.history[users]
    if log.clock == "none":
        raise InputError(f"{log.source} has no times to take pauses from; set workload.arrivals={{kind: sessions}}")
    gaps = _donated_gaps(split, _donors(split, others, lengths, draws), lengths)
    device, place = ragged(lengths)
    if section.after == "self":
        own = (split.history[users] > lengths)[device]
        newest = (log.offsets[users] + split.history[users] - lengths)[device[own]] + place[own]
        gaps[own] = log.times[newest] - log.times[newest - 1]
        long = np.flatnonzero(own & (gaps > DAY_S))
        if len(pauses := _long_pauses(split, others)):
            drawn = draws.uniform("arrival long pause", device[long], place[long])
            gaps[long] = pauses[(drawn * len(pauses)).astype(np.int64)] // DAY_S * DAY_S + gaps[long] % DAY_S
        first = own & (place == 0)  # of a pause that began before the run
        gaps[first] *= draws.uniform("arrival begin", device[first])
    return _running_sums(gaps, device)


def _long_pauses(split: SplitLog, users: Ints) -> Floats:
    """Pauses of a day or more in what these users stream, in order.

    No pause is longer than the part of the log that it is in: what is streamed of a log may be too short for the pauses
    before it, or have room for such as there could not be before.
    """
    log, history = split.log, split.history[users]
    device, place = ragged(log.lengths[users] - history)
    at = (log.offsets[users] + history)[device] + place
    gaps = (log.times[at] - log.times[at - 1])[place > 0]
    return np.asarray(gaps[gaps >= DAY_S])


def _donors(split: SplitLog, users: Ints, lengths: Ints, draws: Draws) -> Ints:
    """Whom each device [D] that comes `lengths` times takes after: one of the streamed `users`, drawn among those who
    came as often or little more, so that lengths of sessions, pauses and hours of the day belong together."""
    has = (split.log.lengths - split.history)[users]
    order = np.argsort(has, kind="stable")
    first = np.searchsorted(has[order], lengths, side="left").clip(0, max(len(users) - _DONORS, 0))
    drawn = draws.uniform("arrival donor", np.arange(len(lengths)))
    place = first + (drawn * np.minimum(_DONORS, len(users) - first)).astype(np.int64)
    return np.asarray(users[order[place]])


def _donated_gaps(split: SplitLog, donors: Ints, lengths: Ints) -> Floats:
    """The donors' pauses [S]. The first is that since the cut, where the log has one clock, else none. Where a donor
    came less often, its pauses come again."""
    log, history = split.log, split.history[donors]
    has, begin = log.lengths[donors] - history, log.offsets[donors] + history
    device, place = ragged(lengths)
    again = 1 + (place - 1) % np.maximum(has - 1, 1)[device]
    inside = np.where(place < has[device], place, np.minimum(again, has[device] - 1))
    at = begin[device] + inside
    gaps = np.where(inside > 0, log.times[at] - log.times[np.maximum(at - 1, 0)], DAY_S)
    since = log.times[begin] - split.cut_time if split.cut_time is not None else np.zeros(len(donors))
    gaps[place == 0] = since[lengths > 0]
    return np.asarray(gaps)


def _running_sums(values: Floats, group: Ints) -> Floats:
    """Running sums within each run of equal `group`, each in its own arithmetic: other groups do not change a bit.

    A plain sum on purpose: a compensated one may move by a last bit where a zero is added, and so break ties.
    """
    sums = np.empty_like(values)
    bounds = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), len(group)]
    for begin, end in pairwise(bounds):
        np.cumsum(values[begin:end], out=sums[begin:end])
    return sums


def _daily_moments(arrived: Floats, section: DiurnalArrivals | SessionArrivals) -> Floats:
    """Moments of a Poisson process whose rate follows the daily cycle, from a unit-rate process, by inversion.

    `arrived`: increasing arrival times of the unit-rate process. Time 0 is midnight.
    """
    cycle = Diurnal(1.0, section.peak_hour, section.peak_to_mean)
    clock = np.linspace(0.0, DAY_S, _DAY_GRID + 1)
    share = np.array([t * cycle.mean(0.0, t) / DAY_S for t in clock])  # of a day's arrivals, until t
    days, rest = np.divmod(arrived / section.per_day, 1.0)
    return days * DAY_S + np.interp(rest, share, clock)


def _sessions(section: SessionArrivals, rows: _Rows, draws: Draws) -> Floats:
    """Sessions start by the daily cycle and hold a geometric number of interactions with log-normal gaps.

    A session that would start before the device's previous one has ended starts one median gap after its end.
    """
    device, place = rows.device, rows.place
    opens = (place == 0) | (draws.uniform("session opens", device, place) < 1 / section.events)
    gaps: Floats = section.gap * np.exp(_GAP_SPREAD * draws.normal("session gap", device, place))
    gaps[opens] = 0.0
    owner = device[opens]
    number = np.cumsum(opens) - 1  # of the session, over all devices
    arrived = _running_sums(draws.exponential("session moment", owner, place[opens]), owner)
    moments = _daily_moments(arrived, section)
    # start_i = max(moment_i, start_{i-1} + taken_{i-1}): with busy_i the sum of what earlier sessions of the device
    # take, start_i - busy_i is the running maximum of moment_i - busy_i.
    lasts = np.asarray(np.bincount(number, weights=gaps, minlength=len(owner)) + section.gap, dtype=np.float64)
    busy = _running_sums(lasts, owner) - lasts
    begun: Floats = pd.Series(moments - busy).groupby(owner).cummax().to_numpy(dtype=np.float64) + busy
    return np.asarray(begun[number] + _running_sums(gaps, number))
