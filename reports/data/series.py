"""What a run's figures show, computed from its records: the numbers behind the pictures and behind the HTML report."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import update_wrapper
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.metrics import CONFIDENCE_Z, Gains, accuracy_per_query
from fleetrec.models.runtime.pieces import counts_by, pieces, sums_by
from fleetrec.reports.data.estimates import (
    Ecdf,
    Estimate,
    GroupedShares,
    binned_steps,
    bins_of,
    ecdf,
    grouped_shares,
    merged_bins,
    time_edges,
)
from fleetrec.reports.data.run_folder import RunRecords, setting
from fleetrec.simulator.scenario.objectives import Objective
from fleetrec.simulator.scenario.sections import Slo

Floats = NDArray[np.float64]
Keys = ParamSpec("Keys")
Found = TypeVar("Found")

SHORTEST_S = 1e-4
"""the least time that a logarithmic axis shows"""
REQUEST_TIMES = ("end to end", "network up", "queue", "service", "network down")
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


def once(
    compute: Callable[Concatenate[RunRecords, Keys], Found],
) -> Callable[Concatenate[RunRecords, Keys], Found]:
    """What is computed of a run for all that show it, once for the same keys."""

    def known(run: RunRecords, /, *keys: Keys.args, **named: Keys.kwargs) -> Found:
        place = compute.__name__, *keys
        if place not in run.known:
            run.known[place] = compute(run, *keys, **named)
        found: Found = run.known[place]
        return found

    return update_wrapper(known, compute)


@once
def accuracy_over_time(run: RunRecords) -> AccuracySeries | None:
    """HR@k and NDCG@k in bins that are joined until each holds enough; None where no interaction took place."""
    judged = run.judged
    n = len(judged.interactions)
    if n == 0:
        return None
    times = judged.interactions["t_s"]
    fine = time_edges(run.span_s, 40)
    groups = bins_of(times, fine)
    joined = merged_bins(counts_by(groups, len(fine) - 1), min(_LEAST_PER_BIN, max(n // 10, 20))).astype(np.int16)
    for piece in pieces(n):
        groups[piece] = joined[groups[piece]]
    n_groups = int(joined.max()) + 1
    sums_s = sums_by(groups, lambda piece: times[piece], n_groups)
    ranks = judged.interactions["rank"]
    gain_of = Gains(f"ndcg@{run.k}")
    gains = sums_by(groups, lambda piece: gain_of(ranks[piece]), n_groups)
    hr = grouped_shares(_hits(ranks, run.k), groups, judged.users, n_groups)
    with np.errstate(invalid="ignore"):
        return AccuracySeries(sums_s / hr.count, hr, gains / hr.count)


def _hits(ranks: NDArray[np.int32], k: int) -> NDArray[np.bool_]:
    """Whether the chosen item was among the first k of the slate, [interactions]."""
    return (ranks >= 0) & (ranks < k)


@once
def accuracy_intervals(run: RunRecords) -> dict[str, Estimate]:
    """Accuracy at every reported k with its 95% interval, users being clusters."""
    judged = run.judged
    ks = [int(k) for k in setting(run.scenario, "metrics", "k") or (run.k,)]
    ranks, users = judged.interactions["rank"], judged.users
    n, n_users, deepest = len(ranks), int(users.max(initial=-1)) + 1, max(ks)
    at_rank = np.zeros((n_users, deepest + 1), dtype=np.int64)  # of each user's, how many; all that miss in the last
    for piece in pieces(n):
        rank = ranks[piece]
        place = np.where(_hits(rank, deepest), rank, deepest)
        at_rank += np.bincount(users[piece] * np.int64(deepest + 1) + place, minlength=at_rank.size).reshape(
            at_rank.shape
        )
    at_rank = at_rank[at_rank.any(axis=1)]
    found: dict[str, Estimate] = {}
    for k in ks:
        hit = grouped_shares(_hits(ranks, k), np.zeros(n, dtype=np.int8), users, 1)
        found[f"hr@{k}"] = Estimate(float(hit.share[0]), float(hit.low[0]), float(hit.high[0]))
        of_rank = accuracy_per_query(np.append(np.arange(deepest), -1), (k,))
        for name in (f"ndcg@{k}", f"mrr@{k}"):
            mean, half = _mean_ofcounts_by(at_rank, of_rank[name])
            found[name] = Estimate(mean, max(mean - half, 0.0), min(mean + half, 1.0))
    return found


def _mean_ofcounts_by(at_rank: NDArray[np.int64], gains: Floats) -> tuple[float, float]:
    """Mean of the gains [K] that users [U] have had so often [U, K], and half its 95% interval, users being clusters
    (`clustered_mean`)."""
    each, of_user = at_rank.sum(axis=1), at_rank @ gains
    total, users = int(each.sum()), len(at_rank)
    if not total:
        return math.nan, math.nan
    mean = float(of_user.sum()) / total
    if users < 2:
        return mean, math.inf
    variance = users / (users - 1) * float(((of_user - mean * each) ** 2).sum()) / total**2
    return mean, CONFIDENCE_Z * math.sqrt(variance)


def load_over_time(run: RunRecords, edges_s: Floats) -> LoadSeries:
    """Rates by time bin; the last bin may reach beyond the end of the run and counts only up to it."""
    width_s = np.maximum(np.minimum(edges_s[1:], max(run.span_s, 1.0)) - edges_s[:-1], 1e-9)
    counted = [_counted(run, table, name, tuple(edges_s.tolist())) for table, name in _HAPPENED]
    return LoadSeries(*(counts / width_s for counts in counted))


_HAPPENED = (("interactions", "t_s"), ("requests", "t_issued_s"))


@once
def _counted(run: RunRecords, table: str, name: str, edges_s: tuple[float, ...]) -> NDArray[np.int64]:
    held = {"interactions": run.interactions, "requests": run.requests}[table]
    return counts_by(bins_of(held[name], np.array(edges_s)), len(edges_s) - 1)


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


@once
def request_times(run: RunRecords, name: str) -> Ecdf | None:
    """How long requests took from issue to delivery, where they were completed, or a part of that (`REQUEST_TIMES`);
    None where none came so far."""
    if name in ("end to end", "network down"):
        outcomes, which = run.requests.coded("outcome")
        done = which == (outcomes.index("completed") if "completed" in outcomes else -1)
        begun = run.requests["t_issued_s" if name == "end to end" else "t_finished_s"][done]
        return ecdf(run.requests["t_delivered_s"][done] - begun, SHORTEST_S)
    parts = {"network up": ("issued", "arrived"), "queue": ("arrived", "started"), "service": ("started", "finished")}
    begin, end = parts[name]
    return ecdf(run.requests[f"t_{end}_s"] - run.requests[f"t_{begin}_s"], SHORTEST_S)


@once
def slate_times(run: RunRecords) -> Ecdf | None:
    """How long it took until a new slate was on screen; None where none was renewed."""
    return ecdf(run.interactions["slate_latency_s"], SHORTEST_S)


@once
def outcomes(run: RunRecords) -> dict[str, int]:
    """How many requests had each outcome."""
    names, which = run.requests.coded("outcome")
    return dict(zip(names, counts_by(which, len(names)).tolist(), strict=True))


@once
def hr_of_all(run: RunRecords) -> float:
    """HR@k over all interactions."""
    return float(_hits(run.interactions["rank"], run.k).mean())


@once
def hr_by_staleness(run: RunRecords) -> StalenessGroups | None:
    """HR@k by the interactions that the list on screen had not seen; None where no interaction took place."""
    judged = run.judged
    if not len(judged.interactions):
        return None
    staleness = judged.interactions["staleness"]
    last = int(np.searchsorted(_STALENESS_FROM, staleness.max(), side="right"))
    starts = _STALENESS_FROM[:last]
    ends = [*(s - 1 for s in starts[1:]), None if last == len(_STALENESS_FROM) else int(staleness.max())]
    names = [f"{a}+" if b is None else str(a) if b <= a else f"{a}–{b}" for a, b in zip(starts, ends, strict=False)]
    no_list = len(names)
    groups = np.empty(len(staleness), dtype=np.int8)
    for piece in pieces(len(groups)):
        own = staleness[piece]
        groups[piece] = np.where(own >= 0, np.searchsorted(starts, own, side="right") - 1, no_list)
    hits = _hits(judged.interactions["rank"], run.k)
    return StalenessGroups([*names, "no list"], grouped_shares(hits, groups, judged.users, no_list + 1))


@once
def places(run: RunRecords) -> Places | None:
    """Where in its slate the chosen item stood; None where it never was in one."""
    ranks = run.judged.interactions["rank"]
    if not (ranks >= 0).any():
        return None
    deepest = max(int(ranks.max()) + 1, run.k, 10)
    at_place = counts_by(ranks + 1, deepest + 1)[1:] / len(ranks)
    starts = [s for s in _PLACES_FROM if s <= deepest]
    ends = [*(s - 1 for s in starts[1:]), deepest]
    names = [str(a) if a == b else f"{a}–{b}" for a, b in zip(starts, ends, strict=True)]
    shares = [float(at_place[a - 1 : b].sum()) for a, b in zip(starts, ends, strict=True)]
    return Places(np.cumsum(at_place), names, shares, float((ranks < 0).mean()))
