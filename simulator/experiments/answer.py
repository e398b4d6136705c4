"""What a comparison concludes: the front, the winner, its saving at equal accuracy, which key matters, in plain words.

How each is defined: docs/statistics.md.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.errors import InputError
from simulator.experiments.families import families
from simulator.experiments.frontier import Direction, hypervolume, knee, nondominated
from simulator.experiments.headline import headline
from simulator.experiments.measures import Measure
from simulator.experiments.records import ExperimentRecords
from simulator.experiments.savings import LEAST_SHARE, SURE, Plane, Saving, best_saving
from simulator.experiments.sensitivity import shares_of_variance
from simulator.experiments.statistics import N_DRAWS, joint_draws, over_seeds

Floats = NDArray[np.float64]

SCHEMA_VERSION = 1
_SEED = 0
_PAIRS_DRAWN = 1e8  # pairs of variants that are compared over all draws
_LEAST_DRAWS = 200
_MOST_LISTED = 4
_MORE_IS_BETTER = ("hr@", "ndcg@", "mrr@", "precision@", "devices_per_replica")


def higher_is_better(metric: str, directions: Mapping[str, Direction]) -> bool:
    """Whether more of a metric is better: as the manifest says, else for accuracies and devices a replica."""
    if metric in directions:
        return directions[metric] == "maximize"
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
    plane, points, drawn = _plane(records, baseline, signs, metric, costs, measures, notes)
    found = best_saving(plane, families(records.variants))
    if found is not None and found.below is not None:
        notes.append(_interpolation(plane, found, costs[0]))
    winner = found.variant if found is not None else _shown_better(plane, table[table["metric"] == metric])
    if len(records.seeds) == 1:
        notes.append("one seed: cost and latency have no interval, and probabilities are over users alone")
    rivals = _without_cloud(records, metric, plane, winner)
    if rivals and rivals[0]["difference"] > 0 and not rivals[0]["low"] > 0:
        first = rivals[0]
        notes.append(f"'{first['variant']}' is not shown to beat '{first['baseline']}' alone, which needs no request")
    bend = knee(points) if len(costs) == 1 else None
    if records.manifest.kind == "optimisation":
        notes.append(
            f"the best of {len(plane.names)} points looks better than it is, since the search chose it for the very "
            "runs that judge it: run the points that you mean to use at seeds that it has not seen"
        )
    sensitivity = _sensitivity(records, {name: measures[name] for name in (metric, *costs)}, notes)
    return {
        "schema_version": SCHEMA_VERSION,
        "question": records.manifest.question,
        "headline": headline(plane, metric, costs[0], signs[0], found, winner, rivals),
        "baseline": plane.names[baseline],
        "metric": metric,
        "cost": costs[0],
        "third": costs[1] if len(costs) > 1 else None,
        "winner": None if winner is None else plane.names[winner],
        "saving": None if found is None else _saving(plane, found),
        "cheapest_as_good": _cheapest_as_good(plane),
        "frontier": _front(plane, points, drawn, axes, table),
        "knee": None if bend is None else plane.names[bend],
        "hypervolume": _covered(points, drawn, signs),
        "sensitivity": sensitivity,
        "without_cloud": rivals,
        "notes": notes,
    }


def _plane(
    records: ExperimentRecords,
    baseline: int,
    signs: Sequence[float],
    metric: str,
    costs: Sequence[str],
    measures: Mapping[str, Measure],
    notes: list[str],
) -> tuple[Plane, Floats, Floats]:
    """The plane of cost and worth; all objectives as points [V, K] and draws [B, V, K] of which less is better."""
    worth, spent = measures[metric], [measures[name] for name in costs]
    names = [variant.name for variant in records.variants]
    allowed = np.asarray(np.isfinite(np.stack([measure.means for measure in (worth, *spent)])).all(axis=0))
    said = " or ".join((metric, *costs))
    if not allowed[baseline]:
        raise InputError(
            f"the baseline '{names[baseline]}' has no {said} at some seed; "
            "take another --baseline, --metric or --against-cost"
        )
    if not allowed.all():
        notes.append(f"not on the front, since {said} is not known at every seed: {_listed(names, ~allowed)}")
    for name, most in records.manifest.limits.items():
        held = measures[records.check(name)].means
        for fails, why in (
            (np.isnan(held), f"{name}, which is limited, is not known at every seed"),
            (held > most, f"over the limit {name} <= {most:g}"),
        ):
            if (fails & allowed).any():
                notes.append(f"not on the front, since {why}: {_listed(names, fails & allowed)}")
            allowed = allowed & ~fails
    by_run = np.nan_to_num(np.stack([measure.by_seed for measure in spent], axis=-1))
    n_draws = int(np.clip(_PAIRS_DRAWN / len(names) ** 2, _LEAST_DRAWS, N_DRAWS))
    worths, figures = joint_draws(
        np.nan_to_num(worth.sums), worth.counts, by_run, records.seeds, np.random.default_rng(_SEED), n_draws
    )
    turned = -np.array([*signs[1:], signs[0]])
    points = np.stack([*(measure.means for measure in spent), worth.means], axis=-1) * turned
    drawn = np.concatenate([figures, worths[..., None]], axis=-1) * turned
    plane = Plane(names, baseline, -points[:, -1], points[:, 0], -drawn[..., -1], drawn[..., 0], allowed)
    return plane, np.where(allowed[:, None], points, np.nan), np.where(allowed[:, None], drawn, np.nan)


def _listed(names: Sequence[str], chosen: NDArray[np.bool_]) -> str:
    """Those chosen, the first few by name."""
    held = [f"'{name}'" for name, there in zip(names, chosen, strict=True) if there]
    more = len(held) - _MOST_LISTED
    return ", ".join(held[:_MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


def _shown_better(plane: Plane, rows: pd.DataFrame) -> int | None:
    """The cheapest variant whose metric is shown to be better than the baseline's (adjusted p under 0.05)."""
    p = rows.set_index("variant")["p_adjusted"].loc[plane.names].to_numpy()
    better = plane.allowed & (plane.worth > plane.worth[plane.baseline]) & (p < 1 - SURE)
    return int(np.argmin(np.where(better, plane.cost, np.inf))) if better.any() else None


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
        "high": found.high,
        "probability": found.probability,
    }


def _interpolation(plane: Plane, found: Saving, cost: str) -> str:
    """That no run has the price of a saving."""
    assert found.below is not None
    low, high = (f"'{plane.names[v]}' ({plane.cost[v]:.4g})" for v in (found.below, found.variant))
    return (
        f"the price of the saving, {cost} {found.price:.4g}, is interpolated between two runs of '{found.family}', "
        f"{low} and {high}: no run has it"
    )


def _cheapest_as_good(plane: Plane) -> dict[str, Any] | None:
    """The cheapest variant that is at least as good as the baseline at the estimates, and how often in the draws."""
    b = plane.baseline
    able = plane.allowed & (plane.worth >= plane.worth[b]) & (plane.cost < plane.cost[b] * (1 - LEAST_SHARE))
    if not able.any():
        return None
    v = int(np.argmin(np.where(able, plane.cost, np.inf)))
    sure = (plane.worths[:, v] >= plane.worths[:, b]) & (plane.costs[:, v] < plane.costs[:, b])
    return {
        "variant": plane.names[v],
        "cost_baseline": plane.cost[b],
        "cost_variant": plane.cost[v],
        "share_saved": 1 - plane.cost[v] / plane.cost[b],
        "probability": sure.mean(),
    }


def _front(
    plane: Plane, points: Floats, drawn: Floats, axes: Mapping[str, str], table: pd.DataFrame
) -> list[dict[str, Any]]:
    """The variants that no other beats at the estimates, cheapest first, with the intervals of `table` on every axis.

    probability_on_front: share of the draws in which none beats it either; probability_as_good: in which it is at
    least as good as the baseline.
    """
    held = table.set_index(["variant", "metric"])[["mean", "low", "high"]]
    on_front, chance = nondominated(points), nondominated(drawn).mean(axis=0)
    as_good = (plane.worths >= plane.worths[:, [plane.baseline]]).mean(axis=0)
    rows = []
    for v in np.argsort(points[:, 0], kind="stable"):
        if not on_front[v]:
            continue
        row: dict[str, Any] = {"variant": plane.names[v]}
        for axis, metric in axes.items():
            mean, low, high = held.loc[(plane.names[v], metric)]
            row |= {axis: mean, f"{axis}_low": low, f"{axis}_high": high}
        rows.append(row | {"probability_on_front": chance[v], "probability_as_good": as_good[v]})
    return rows


def _covered(points: Floats, drawn: Floats, signs: Sequence[float]) -> dict[str, Any] | None:
    """The hypervolume of the front under the worst of every objective that a variant reaches."""
    if np.isnan(points).all():
        return None
    reference = np.nanmax(points, axis=0)
    low, high = np.quantile(hypervolume(drawn, reference), [0.025, 0.975])
    stated = reference * -np.array([*signs[1:], signs[0]])
    return {"value": float(hypervolume(points, reference)), "low": low, "high": high, "reference": list(stated)}


def _sensitivity(records: ExperimentRecords, measures: Mapping[str, Measure], notes: list[str]) -> list[dict[str, Any]]:
    found = []
    for metric, measure in measures.items():
        shares, method = shares_of_variance(records.variants, measure.means)
        found += [{"key": key, "metric": metric, "share_of_variance": share} for key, share in shares.items()]
        if shares and not any(note.startswith("sensitivity:") for note in notes):
            chosen = "; of the points that the search chose, not of its whole space"
            notes.append(f"sensitivity: {method}{chosen if records.manifest.kind == 'optimisation' else ''}")
    return found


def _without_cloud(records: ExperimentRecords, metric: str, plane: Plane, winner: int | None) -> list[dict[str, Any]]:
    """What the runs' own baselines reach without a request, best first, and what a variant adds to each of them.

    The variant is the winner, else the best one. The baselines are known by run, so intervals are over seeds.
    """
    best = int(np.argmax(np.where(plane.allowed, plane.worth, -np.inf))) if winner is None else winner
    places = [(plane.names[best], seed) for seed in records.seeds]
    runs = records.results.set_index(["variant", "seed"]).loc[places]
    found: list[dict[str, Any]] = []
    for column in runs.columns:
        start, _, rest = str(column).partition(".")
        baseline, _, measured = rest.partition(".")
        if start != "baselines" or f"accuracy.{measured}" != metric:
            continue
        values = runs[column].to_numpy(dtype=np.float64)
        difference = over_seeds(runs[metric].to_numpy(dtype=np.float64) - values, records.seeds)
        found.append(
            {
                "baseline": baseline,
                "mean": float(values.mean()),
                "variant": plane.names[best],
                "difference": float(difference.mean),
                "low": float(difference.low),
                "high": float(difference.high),
            }
        )
    return sorted((row for row in found if np.isfinite(row["mean"])), key=lambda row: -float(row["mean"]))
