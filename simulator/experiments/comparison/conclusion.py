"""What a comparison concludes: the front, the winner, its saving at equal accuracy, which key matters, in plain words.

How each is defined: docs/background/statistics.md.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.core.notes import Note, data_of, note
from fleetrec.simulator.core.resampling import DRAWS
from fleetrec.simulator.experiments.comparison.cost_plane import Plane, plane_of
from fleetrec.simulator.experiments.comparison.decision import PER_MONTH, decide
from fleetrec.simulator.experiments.comparison.families import families
from fleetrec.simulator.experiments.comparison.metric_values import Measure, kept_without_requests
from fleetrec.simulator.experiments.comparison.months import interactions
from fleetrec.simulator.experiments.comparison.pareto import Direction, hypervolume, knee, nondominated
from fleetrec.simulator.experiments.comparison.records import ExperimentRecords
from fleetrec.simulator.experiments.comparison.savings import LEAST_SHARE, Saving, savings
from fleetrec.simulator.experiments.comparison.sensitivity import shares_of_variance
from fleetrec.simulator.experiments.comparison.sentence import headline
from fleetrec.simulator.experiments.comparison.shares import missed_shares
from fleetrec.simulator.experiments.statistics import N_DRAWS, joint_draws
from fleetrec.simulator.results.engagement import LESS_IS_BETTER, PREFIX

Floats = NDArray[np.float64]

SCHEMA_VERSION = 2
_SEED = 0
_PAIRS_DRAWN = 1e8  # pairs of variants that are compared over all draws
_MORE_IS_BETTER = ("hr@", "ndcg@", "mrr@", "precision@", "devices_per_replica", "feedback.coverage")


def higher_is_better(metric: str, directions: Mapping[str, Direction]) -> bool:
    """Whether more of a metric is better: as the manifest says, else for accuracies, devices a replica, and most that
    users do who react."""
    if metric in directions:
        return directions[metric] == "maximize"
    if metric.startswith(PREFIX):
        return metric.removeprefix(PREFIX) not in LESS_IS_BETTER
    return any(word in metric for word in _MORE_IS_BETTER)


def conclude(
    records: ExperimentRecords,
    baseline: int,
    metric: str,
    costs: Sequence[str],
    measures: Mapping[str, Measure],
    table: pd.DataFrame,
) -> dict[str, Any]:
    """What answer.json holds. costs: one or two metrics; the winner is chosen on the first, the front is over all."""
    notes = list(records.notes)
    signs = [1.0 if higher_is_better(name, records.manifest.directions) else -1.0 for name in (metric, *costs)]
    axes = {"x": costs[0], "y": metric} | ({"z": costs[1]} if len(costs) > 1 else {})
    held = [measures[name] for name in (*costs, metric)]
    names = [variant.name for variant in records.variants]
    allowed = _allowed(records, baseline, held, (metric, *costs), notes)
    turned = -np.array([*signs[1:], signs[0]])
    points = np.where(allowed[:, None], np.stack([measure.means for measure in held], axis=-1) * turned, np.nan)
    drawn = np.where(allowed[:, None], _draws(records, held) * turned, np.nan)
    groups = families(records.variants)
    plane = plane_of(names, baseline, measures[metric], measures[costs[0]], signs[0], allowed, groups.values())
    saved = savings(plane, groups)
    alone, month = records.without_cloud(metric), _per_month(records)
    asks = np.broadcast_to(~records.without_requests().all(axis=1), (len(names),))
    decision = decide(plane, signs[0], measures, metric, costs[0], alone, saved, month, asks)
    decision |= {"replicated": records.replicated(), "represents": records.represents()}
    decision["interactions_per_month"] = interactions(records.results[records.results["variant"] == names[baseline]])
    notes.insert(0, _replicated(decision["replicated"]))
    found = saved[0] if decision["winner_by"] == "saving" else None
    if found is not None:
        found = next(saving for saving in saved if plane.names[saving.variant] == decision["winner"])
    if found is not None and found.below is not None:
        notes.append(_interpolation(plane, found, costs[0]))
    if not np.isfinite(plane.cost_band).all():
        said = "{cost} has no interval with one run of each variant, so no saving can be shown"
        notes.append(note("cost_without_interval", said, cost=costs[0]))
    bend = knee(points) if len(costs) == 1 else None
    if records.manifest.kind == "optimisation":
        said = (
            "the best of the points ({points:,}) looks better than it is, since the search chose it for the very runs "
            "that judge it: run the points that you mean to use at seeds that it has not seen"
        )
        notes.append(note("chosen_by_search", said, points=len(plane.names)))
    sensitivity = _sensitivity(records, {name: measures[name] for name in (metric, *costs)}, notes)
    return {
        "schema_version": SCHEMA_VERSION,
        "question": records.manifest.question,
        "headline": headline(decision, plane, metric, costs[0], signs[0], found, records.represents()),
        "decision": decision,
        "baseline": plane.names[baseline],
        "metric": metric,
        "cost": costs[0],
        "third": costs[1] if len(costs) > 1 else None,
        "winner": decision["winner"],
        "saving": None if found is None else _saving(plane, found),
        "cheapest_as_good": _cheapest_as_good(plane, drawn),
        "frontier": _front(plane, points, drawn, axes, table),
        "knee": None if bend is None else plane.names[bend],
        "hypervolume": _covered(points, drawn, signs),
        "sensitivity": sensitivity,
        "notes": data_of(*notes),
    }


def _allowed(
    records: ExperimentRecords, baseline: int, held: Sequence[Measure], objectives: Sequence[str], notes: list[Note]
) -> NDArray[np.bool_]:
    """The variants [V] that are known in all objectives at every seed, keep the limits and did ask at the share that
    they were told; why others are not."""
    names = [variant.name for variant in records.variants]
    allowed = np.asarray(np.isfinite(np.stack([measure.means for measure in held])).all(axis=0))
    said = " or ".join(objectives)
    if not allowed[baseline]:
        raise InputError(
            f"the baseline '{names[baseline]}' has no {said} at some seed; "
            "take another --baseline, --metric or --against-cost"
        )
    if not allowed.all():
        notes.append(_off_front("front_unknown", f"{said} is not known at every seed", names, ~allowed))
    silent = records.without_requests()
    for name, most in records.manifest.limits.items():
        values = kept_without_requests(name, records.measure(records.check(name)).by_run, silent)
        for key, fails, why in (
            ("front_unknown", np.isnan(values).any(axis=1), f"{name}, which is limited, is not known at every seed"),
            ("front_over_limit", values.mean(axis=1) > most, f"over the limit {name} <= {most:g}"),
        ):
            if (fails & allowed).any():
                notes.append(_off_front(key, why, names, fails & allowed))
            allowed = allowed & ~fails
    missed = missed_shares(records.results)
    if missed:
        off = np.array([name in missed for name in names])
        named = [f"{name} ({missed[name]})" if name in missed else name for name in names]
        notes.append(_off_front("front_share_missed", "they did not ask at the share that their names say", named, off))
        allowed = allowed & ~(off & (np.arange(len(names)) != baseline))
    return allowed


def _draws(records: ExperimentRecords, held: Sequence[Measure]) -> Floats:
    """Joint draws [B, V, K] of the means of measures."""
    shape = len(records.variants), len(held)
    values = np.stack([np.nan_to_num(measure.by_run) for measure in held], axis=-1)  # [V, R, K]
    weights = records.weights()
    by_users = np.stack([np.nan_to_num(measure.resampled(weights)) for measure in held], axis=-1)  # [V, R, B, K]
    n_draws = int(np.clip(_PAIRS_DRAWN / shape[0] ** 2, DRAWS, N_DRAWS))
    drawn = joint_draws(
        values.transpose(1, 0, 2).reshape(len(records.replicates), -1),
        by_users.transpose(2, 1, 0, 3).reshape(DRAWS, len(records.replicates), -1),
        records.replicates,
        np.random.default_rng(_SEED),
        n_draws,
    )
    return drawn.reshape(len(drawn), *shape)


def _off_front(key: str, why: str, names: Sequence[str], which: NDArray[np.bool_]) -> Note:
    """Why some variants are not on the front."""
    held = [name for name, there in zip(names, which, strict=True) if there]
    return note(key, "not on the front, since {why}: {variants!r}", why=why, variants=held)


def _replicated(held: Mapping[str, Any]) -> Note:
    """What was run anew, and what was not."""
    worlds, trainings = held["worlds"], held["trainings"]
    said = f"1 world (seed {worlds[0]})" if len(worlds) == 1 else f"{len(worlds)} worlds"
    said += f", {counted(held['users'], 'user')}"
    if trainings is None:
        said += "; models were trained once, so nothing is said of models trained anew (training.seed)"
    else:
        said += f", {counted(len(trainings), 'training')}"
    return Note("replicated", f"replicated: {said}", held)


def _per_month(records: ExperimentRecords) -> Measure | None:
    """Dollars a month of the represented fleet, where every run knows them."""
    found = records.measure(PER_MONTH) if PER_MONTH in records.results else None
    return found if found is not None and bool(np.isfinite(found.by_run).all()) else None


def _saving(plane: Plane, found: Saving) -> dict[str, Any]:
    return {
        "variant": plane.names[found.variant],
        "family": found.family,
        "below": None if found.below is None else plane.names[found.below],
        "cost_baseline": plane.cost[plane.baseline],
        "cost_variant": found.price,
        "interpolated": found.below is not None,
        "cost_of_run": plane.cost[found.variant],
        "share_saved": found.share,
        "low": found.low,
    }


def _interpolation(plane: Plane, found: Saving, cost: str) -> Note:
    """That no run has the price of a saving."""
    assert found.below is not None
    return note(
        "price_interpolated",
        "the price of the saving, {cost} {price:.4g}, is interpolated between two runs of '{family}', "
        "'{below}' ({below_cost:.4g}) and '{above}' ({above_cost:.4g}): no run has it",
        cost=cost,
        price=found.price,
        family=found.family,
        below=plane.names[found.below],
        below_cost=plane.cost[found.below],
        above=plane.names[found.variant],
        above_cost=plane.cost[found.variant],
    )


def _cheapest_as_good(plane: Plane, drawn: Floats) -> dict[str, Any] | None:
    """The cheapest variant that is at least as good as the baseline at the estimates; how often in the draws, and
    whether at every point of the band."""
    b = plane.baseline
    able = plane.allowed & (plane.gain >= 0) & (plane.cost < plane.cost[b] * (1 - LEAST_SHARE))
    if not able.any():
        return None
    v = int(np.argmin(np.where(able, plane.cost, np.inf)))
    sure = (drawn[:, v, -1] <= drawn[:, b, -1]) & (drawn[:, v, 0] < drawn[:, b, 0])
    return {
        "variant": plane.names[v],
        "cost_baseline": plane.cost[b],
        "cost_variant": plane.cost[v],
        "share_saved": 1 - plane.cost[v] / plane.cost[b],
        "probability": sure.mean(),
        "shown": bool(plane.gain[v] >= plane.reward_band[v] and -plane.extra[v] > plane.cost_band[v]),
    }


def _front(
    plane: Plane, points: Floats, drawn: Floats, axes: Mapping[str, str], table: pd.DataFrame
) -> list[dict[str, Any]]:
    """The variants that no other beats at the estimates, cheapest first, with the intervals of `table` on every axis.

    probability_on_front: share of the draws in which none beats it either; probability_as_good: in which it is at
    least as good as the baseline. ties: the variants that do not differ from it in any run.
    """
    held = table.set_index(["variant", "metric"])[["mean", "low", "high"]]
    on_front, chance = nondominated(points), nondominated(drawn).mean(axis=0)
    as_good = (drawn[..., -1] <= drawn[:, [plane.baseline], -1]).mean(axis=0)
    rows = []
    for v in np.argsort(points[:, 0], kind="stable"):
        if not on_front[v]:
            continue
        row: dict[str, Any] = {"variant": plane.names[v]}
        for axis, metric in axes.items():
            mean, low, high = held.loc[(plane.names[v], metric)]
            row |= {axis: mean, f"{axis}_low": low, f"{axis}_high": high}
        tied = [plane.names[w] for w in np.flatnonzero(plane.alike == plane.alike[v]) if w != v]
        rows.append(row | {"probability_on_front": chance[v], "probability_as_good": as_good[v], "ties": tied})
    return rows


def _covered(points: Floats, drawn: Floats, signs: Sequence[float]) -> dict[str, Any] | None:
    """The hypervolume of the front under the worst of every objective that a variant reaches."""
    if np.isnan(points).all():
        return None
    reference = np.nanmax(points, axis=0)
    low, high = np.quantile(hypervolume(drawn, reference), [0.025, 0.975])
    stated = reference * -np.array([*signs[1:], signs[0]])
    return {"value": float(hypervolume(points, reference)), "low": low, "high": high, "reference": list(stated)}


def _sensitivity(
    records: ExperimentRecords, measures: Mapping[str, Measure], notes: list[Note]
) -> list[dict[str, Any]]:
    found, methods = [], []
    for metric, measure in measures.items():
        shares, method = shares_of_variance(records.variants, measure.means)
        found += [{"key": key, "metric": metric, "share_of_variance": share} for key, share in shares.items()]
        methods += [method] if shares else []
    if methods:
        searched = records.manifest.kind == "optimisation"
        chosen = "; of the points that the search chose, not of its whole space" if searched else ""
        notes.append(note("sensitivity", f"sensitivity: {{method}}{chosen}", method=methods[0]))
    return found
