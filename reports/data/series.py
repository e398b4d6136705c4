"""What a run's figures show, computed from its records: the numbers behind the pictures and behind the HTML report."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.metrics import accuracy_per_query
from fleetrec.reports.data.estimates import GroupedShares, binned_steps, grouped_shares, merged_bins, time_edges
from fleetrec.reports.data.run_folder import RunRecords, setting
from fleetrec.simulator.scenario.objectives import Objective
from fleetrec.simulator.scenario.sections import Slo

Floats = NDArray[np.float64]

_LEAST_PER_BIN = 200
_STALENESS_FROM = (0, 1, 2, 3, 5, 9, 17, 33, 65)
_PLACES_FROM = (1, 2, 3, 4, 6, 11, 21, 51, 101, 201, 501)


@dataclass(frozen=True)
class AccuracySeries:
    """Accuracy by simulated time, each of shape [bins]; centre_s: the mean time of a bin's interactions."""

    centre_s: Floats
    hr: GroupedShares
    ndcg: Floats


@dataclass(frozen=True)
class LoadSeries:
    """Interactions and requests a second in each time bin, each of shape [bins]."""

    interactions_per_s: Floats
    requests_per_s: Floats


@dataclass(frozen=True)
class CloudSeries:
    """The cloud by time bin, each of shape [bins]: the longest queue, mean busy and mean available replicas."""

    queue: Floats
    busy: Floats
    up: Floats
    busy_in_the_mean: float


@dataclass(frozen=True)
class StalenessGroups:
    """HR@k by staleness of the list on screen: group names ("no list" the last) and their shares [groups]."""

    names: list[str]
    shares: GroupedShares


@dataclass(frozen=True)
class Places:
    """Where the chosen item stood: hr[k - 1] is HR@k; shares of the interactions by ranges of places."""

    hr: Floats
    names: list[str]
    shares: list[float]
    absent: float


def hits(run: RunRecords) -> NDArray[np.bool_]:
    """Whether the chosen item was among the first k of the slate, [interactions]."""
    ranks = run.interactions["rank"].to_numpy(np.int64)
    return (ranks >= 0) & (ranks < run.k)


def accuracy_over_time(run: RunRecords) -> AccuracySeries | None:
    """HR@k and NDCG@k in bins that are joined until each holds enough; None where no interaction took place."""
    run = run.judged
    n = len(run.interactions)
    if n == 0:
        return None
    times = run.interactions["t_s"].to_numpy(np.float64)
    fine = time_edges(run.span_s, 40)
    place = np.clip(np.searchsorted(fine, times, side="right") - 1, 0, len(fine) - 2)
    joined = merged_bins(np.bincount(place, minlength=len(fine) - 1), min(_LEAST_PER_BIN, max(n // 10, 20)))
    groups = joined[place]
    n_groups = int(joined.max()) + 1
    hr = grouped_shares(hits(run), groups, run.users, n_groups)
    gains = accuracy_per_query(run.interactions["rank"], (run.k,))[f"ndcg@{run.k}"]
    with np.errstate(invalid="ignore"):
        centre_s = np.bincount(groups, times, n_groups) / hr.count
        ndcg = np.bincount(groups, gains, n_groups) / hr.count
    return AccuracySeries(centre_s, hr, ndcg)


def load_over_time(run: RunRecords, edges_s: Floats) -> LoadSeries:
    """Rates by time bin; the last bin may reach beyond the end of the run and counts only up to it."""
    width_s = np.maximum(np.minimum(edges_s[1:], max(run.span_s, 1.0)) - edges_s[:-1], 1e-9)
    interactions = np.histogram(run.interactions["t_s"].to_numpy(np.float64), edges_s)[0]
    requests = np.histogram(run.requests["t_issued_s"].to_numpy(np.float64), edges_s)[0]
    return LoadSeries(interactions / width_s, requests / width_s)


def rate_unit(rates_per_s: Floats) -> tuple[float, str]:
    """The unit in which the highest of these rates is at least 1: (seconds in it, its name)."""
    peak = float(rates_per_s.max())
    return next((p for p in ((1.0, "s"), (60.0, "min"), (3600.0, "h")) if peak * p[0] >= 1.0), (86400.0, "day"))


def cloud_over_time(run: RunRecords, edges_s: Floats) -> CloudSeries | None:
    """None where no request reached the cloud.

    Rows of cloud.parquet hold the longest queue and the mean numbers of busy replicas and of those that are up; each
    holds until the next row.
    """
    if not len(run.requests) or not len(run.cloud):
        return None
    rows = run.cloud.sort_values("t_s", kind="stable")
    times, end_s = rows["t_s"].to_numpy(np.float64), max(run.span_s, 1.0)
    queue, busy, up = (
        binned_steps(times, rows[name].to_numpy(np.float64), edges_s, end_s) for name in ("queue", "busy", "up")
    )
    whole = float(np.nansum(busy.mean * np.diff(np.minimum(edges_s, end_s)))) / end_s
    return CloudSeries(queue.peak, busy.mean, up.mean, whole)


def on_cpu(run: RunRecords) -> bool:
    """Whether the cloud of this run ranks on processors instead of GPUs."""
    return bool(setting(run.scenario, "policy", "slate") == "cloud_srm")


def latency_objectives(run: RunRecords) -> list[Objective]:
    """What the run's `cloud.slo` asks of latencies."""
    slo = Slo.model_validate(setting(run.scenario, "cloud", "slo") or {})
    return [part for part in slo.parts if part.measure == "latency"]


def request_times_s(run: RunRecords) -> Mapping[str, Floats]:
    """Seconds from issue to delivery of completed requests, and its parts, each [requests]; NaN where not reached."""
    r = {name: run.requests[name].to_numpy(np.float64) for name in run.requests.columns if name.startswith("t_")}
    completed = (run.requests["outcome"] == "completed").to_numpy()
    delivered = np.where(completed, r["t_delivered_s"], np.nan)
    return {
        "end to end": delivered - r["t_issued_s"],
        "network up": r["t_arrived_s"] - r["t_issued_s"],
        "queue": r["t_started_s"] - r["t_arrived_s"],
        "service": r["t_finished_s"] - r["t_started_s"],
        "network down": delivered - r["t_finished_s"],
    }


def hr_by_staleness(run: RunRecords) -> StalenessGroups | None:
    """HR@k by the interactions that the list on screen had not seen; None where no interaction took place."""
    run = run.judged
    if not len(run.interactions):
        return None
    staleness = run.interactions["staleness"].to_numpy(np.int64)
    last = int(np.searchsorted(_STALENESS_FROM, staleness.max(), side="right"))
    starts = _STALENESS_FROM[:last]
    ends = [*(s - 1 for s in starts[1:]), None if last == len(_STALENESS_FROM) else int(staleness.max())]
    names = [f"{a}+" if b is None else str(a) if b <= a else f"{a}–{b}" for a, b in zip(starts, ends, strict=False)]
    no_list = len(names)
    groups = np.where(staleness >= 0, np.searchsorted(starts, staleness, side="right") - 1, no_list)
    return StalenessGroups([*names, "no list"], grouped_shares(hits(run), groups, run.users, no_list + 1))


def places(run: RunRecords) -> Places | None:
    """Where in its slate the chosen item stood; None where it never was in one."""
    run = run.judged
    ranks = run.interactions["rank"].to_numpy(np.int64)
    if not (ranks >= 0).any():
        return None
    deepest = max(int(ranks.max()) + 1, run.k, 10)
    at_place = np.bincount(ranks[ranks >= 0], minlength=deepest) / len(ranks)
    starts = [s for s in _PLACES_FROM if s <= deepest]
    ends = [*(s - 1 for s in starts[1:]), deepest]
    names = [str(a) if a == b else f"{a}–{b}" for a, b in zip(starts, ends, strict=True)]
    shares = [float(at_place[a - 1 : b].sum()) for a, b in zip(starts, ends, strict=True)]
    return Places(np.cumsum(at_place), names, shares, float((ranks < 0).mean()))
