"""The decision as data: whom to name, what doing nothing reaches, what the choice costs a month, and how sure it is.

Two questions are asked, each answered with 95% for all variants at once: which policy (differences to the baseline in
metric and cost, on the band of `Plane`), and whether to call the cloud at all (gains over what needs no request).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.experiments.comparison.cost_plane import Plane, band_level
from fleetrec.simulator.experiments.comparison.metric_values import Measure
from fleetrec.simulator.experiments.comparison.records import WithoutCloud
from fleetrec.simulator.experiments.comparison.savings import LEAST_SHARE, Saving
from fleetrec.simulator.experiments.statistics import Estimates, seeds_to_show

Floats = NDArray[np.float64]

PER_MONTH = "cost.usd_provisioned_per_month"


def decide(
    plane: Plane,
    sign: float,
    measures: Mapping[str, Measure],
    metric: str,
    cost: str,
    alone: Sequence[WithoutCloud],
    saved: Sequence[Saving],
    month: Measure | None,
    asks: NDArray[np.bool_],
) -> dict[str, Any]:
    """What answer.json holds as `decision`. sign: -1 where less of the metric is better; saved: `savings`;
    month: dollars a month of the represented fleet; asks: [V], who makes requests.

    winner: who saves most of those that are shown to save, else the cheapest that is shown to be better, else none.
    call: `yes` where a policy is shown to beat all that needs no request, `no` where one of that is shown to be as good
    as every policy, else `not shown`.
    """
    shown = [saving for saving in saved if saving.shown]
    better = plane.shown_better()
    winner = shown[0].variant if shown else None
    by = "saving" if shown else None
    if winner is None and better.any():
        winner, by = int(np.argmin(np.where(better, plane.cost, np.inf))), "gain"
    rivals, call, policy = _against_nothing(plane, sign, alone, winner, plane.allowed & asks)
    second = _runner_up(plane, shown, better, winner)
    best = policy if winner is None else winner
    return {
        "call": call,
        "policy": None if policy is None else plane.names[policy],
        "winner": None if winner is None else plane.names[winner],
        "winner_by": by,
        "runner_up": None if second is None else plane.names[second],
        "difference": _differences(measures, metric, cost, month, best, plane.baseline if second is None else second),
        "policy_usd_per_month": None if month is None or policy is None else _stated(month, policy),
        "nothing": rivals,
        "ties": _ties(plane),
        "not_told_apart": _like(plane, winner),
        "cheaper": None if winner is not None else _cheaper(plane, sign, measures, metric, cost),
        "more_seeds": _more_seeds(plane, measures, metric, cost) if winner is None and policy is not None else None,
    }


def _against_nothing(
    plane: Plane, sign: float, alone: Sequence[WithoutCloud], winner: int | None, calls: NDArray[np.bool_]
) -> tuple[list[dict[str, Any]], str | None, int | None]:
    """What needs no request, best first, each with what the policy adds to it; whether to call; that policy."""
    able = np.flatnonzero(calls)
    if not len(able):
        return [], None, None
    winner = winner if winner is not None and calls[winner] else None  # who never asks says nothing of calling
    most = int(able[np.argmax(plane.reward[able])])
    if not alone:
        return [], None, most if winner is None else winner
    level = band_level(max(len(np.unique(plane.alike[able])), len(alone)))
    gains = [held.gain.own() for held in alone]
    bounds = [gain.bound(level) for gain in gains]
    beaten = np.all([sign * gain.mean > bound for gain, bound in zip(gains, bounds, strict=True)], axis=0)
    as_good = [bool((sign * g.mean + b <= 0)[able].all()) for g, b in zip(gains, bounds, strict=True)]
    wanted = [v for v in (winner, plane.baseline) if v is not None and calls[v] and beaten[v]]
    cheapest = able[np.argsort(plane.cost[able], kind="stable")]
    wanted += [int(v) for v in cheapest if beaten[v]]
    call = "yes" if wanted else "no" if any(as_good) else "not shown"
    policy = wanted[0] if wanted else most if winner is None else winner
    rows = []
    for held, gain, bound, good in zip(alone, gains, bounds, as_good, strict=True):
        added = _row(gain, policy) | {"bound": float(bound[policy])}
        shown = "adds" if sign * gain.mean[policy] > bound[policy] else "as good alone" if good else None
        more = None if shown is not None else hint(gain, policy, len(held.gain.replicates.worlds), level)
        rows.append(
            {
                "baseline": held.name,
                **_stated(held.own, policy),
                "variant": plane.names[policy],
                "gain": added,
                "shown": shown,
                "more_seeds": more,
            }
        )
    return sorted(rows, key=lambda row: -sign * float(row["mean"])), call, policy


def _runner_up(plane: Plane, shown: Sequence[Saving], better: NDArray[np.bool_], winner: int | None) -> int | None:
    """Who comes second by what made the winner; where nobody else does, the baseline."""
    if winner is None:
        return None
    others = [saving.variant for saving in shown]
    if not shown:
        others = [int(v) for v in np.argsort(plane.cost, kind="stable") if better[v]]
    return next((v for v in others if plane.alike[v] != plane.alike[winner]), plane.baseline)


def _differences(
    measures: Mapping[str, Measure], metric: str, cost: str, month: Measure | None, one: int | None, other: int
) -> dict[str, Any] | None:
    """The metric, the cost and dollars a month of the one less those of the other, with their own 95% intervals."""
    if one is None or one == other:
        return None
    held = {metric: measures[metric], cost: measures[cost]} | ({} if month is None else {PER_MONTH: month})
    return {name: _row(measure.difference(other), one) for name, measure in held.items()}


def _row(found: Estimates, v: int) -> dict[str, float]:
    return {"mean": float(found.mean[v]), "low": float(found.low[v]), "high": float(found.high[v])}


def _stated(held: Measure, v: int) -> dict[str, float]:
    """A mean with the interval that every table states of it."""
    low, high = held.interval()
    return {"mean": float(held.means[v]), "low": float(low[v]), "high": float(high[v])}


def _ties(plane: Plane) -> list[list[str]]:
    """Groups of variants that do not differ from each other in any run."""
    groups = [np.flatnonzero(plane.alike == first) for first in np.unique(plane.alike)]
    return [[plane.names[v] for v in group] for group in groups if len(group) > 1]


def _like(plane: Plane, winner: int | None) -> list[str]:
    """Where nobody wins: the variants that are not shown to differ from the baseline."""
    if winner is not None:
        return []
    open_ = plane.allowed & ~plane.shown_to_differ()
    return [plane.names[v] for v in np.flatnonzero(open_) if v != plane.baseline]


def _cheaper(
    plane: Plane, sign: float, measures: Mapping[str, Measure], metric: str, cost: str
) -> dict[str, Any] | None:
    """Where nobody wins: of the variants that are shown to cost less and whose interval does not say that they are
    worse, that which can have lost the least. It may be worse: that is no win, but worth knowing. A share saved under
    half a percent is none."""
    moved = measures[metric].difference(plane.baseline)
    least = LEAST_SHARE * plane.cost[plane.baseline]
    able = plane.allowed & (plane.extra < -np.maximum(plane.cost_band, least))
    able &= sign * moved.mean >= -moved.half_width()
    if not able.any():
        return None
    v = int(np.argmax(np.where(able, plane.gain - plane.reward_band, -np.inf)))
    share = float(-plane.extra[v] / plane.cost[plane.baseline])
    spent = _row(measures[cost].difference(plane.baseline), v)
    return {"variant": plane.names[v], "share_saved": share, metric: _row(moved, v), cost: spent}


def _more_seeds(plane: Plane, measures: Mapping[str, Measure], metric: str, cost: str) -> dict[str, Any] | None:
    """How many more seeds would show a difference as large as that seen, of the metric or the cost that needs fewest.

    Of each, the variant is that whose difference stands out most; None where no number up to 1,000 would do.
    """
    able = np.flatnonzero(plane.allowed & (plane.alike != plane.alike[plane.baseline]))
    found: list[tuple[int, str, str, float]] = []
    for name, band in ((metric, plane.reward_band), (cost, plane.cost_band)):
        difference = measures[name].difference(plane.baseline)
        stands_out = np.divide(np.abs(difference.mean), band, out=np.zeros_like(band), where=band > 0)[able]
        if not len(able) or not stands_out.any():
            continue
        v = int(able[np.argmax(stands_out)])
        more = hint(difference, v, len(measures[name].replicates.worlds), plane.level)
        if more:
            found.append((more, name, plane.names[v], float(difference.mean[v])))
    if not found:
        return None
    more, name, variant, effect = min(found)
    return {"seeds": more, "of": name, "variant": variant, "against": plane.names[plane.baseline], "effect": effect}


def hint(difference: Estimates, v: int, seeds: int, level: float) -> int | None:
    """How many more seeds would show the difference of variant v, as `seeds_to_show` says."""
    users = float(difference.users[v] + difference.trainings[v])
    # a few worlds may be alike by chance; what users add to each run is known better, and no spread of runs is below it
    each = difference.least[v] - difference.users[v] * (seeds - 1) / seeds
    deviation = float(np.sqrt(max(difference.worlds[v], each) * seeds))
    shown = bool(np.abs(difference.mean[v]) > difference.bound(level)[v])
    return seeds_to_show(float(difference.mean[v]), deviation, users, seeds, level, shown)
