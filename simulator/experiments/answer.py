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
from simulator.experiments.savings import SURE, Plane, Saving, best_saving
from simulator.experiments.sensitivity import shares_of_variance
from simulator.experiments.statistics import N_DRAWS, joint_draws, over_seeds

Floats = NDArray[np.float64]

SCHEMA_VERSION = 1
_SEED = 0
_PAIRS_DRAWN = 1e8  # pairs of variants that are compared over all draws
_LEAST_DRAWS = 200
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
    plane, points, drawn = _plane(records, baseline, signs, metric, costs, measures, notes)
    found = best_saving(plane, families(records.variants))
    winner = found.variant if found is not None else _shown_better(plane, table[table["metric"] == metric])
    if len(records.seeds) == 1:
        notes.append("one seed: cost and latency have no interval, and probabilities are over users alone")
    rivals = _without_cloud(records, metric, plane, winner)
    if rivals and rivals[0]["difference"] > 0 and not rivals[0]["low"] > 0:
        first = rivals[0]
        notes.append(f"'{first['variant']}' is not shown to beat '{first['baseline']}' alone, which needs no request")
    on_front, chance = nondominated(points), nondominated(drawn).mean(axis=0)
    order = [int(v) for v in np.argsort(points[:, 0], kind="stable") if on_front[v]]
    places = points * -np.array([*signs[1:], signs[0]])  # as they are measured again
    bend = knee(points) if len(costs) == 1 else None
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
        "frontier": [
            {"variant": plane.names[v], "x": places[v, 0], "y": places[v, -1]}
            | ({"z": places[v, 1]} if len(costs) > 1 else {})
            | {"probability_on_front": chance[v]}
            for v in order
        ],
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
        over = ~(measures[records.check(name)].means <= most) & allowed
        if over.any():
            notes.append(f"not on the front, since over the limit {name} <= {most:g}: {_listed(names, over)}")
        allowed = allowed & ~over
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
    return ", ".join(name for name, there in zip(names, chosen, strict=True) if there)


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
        "share_saved": found.share,
        "low": found.low,
        "high": found.high,
        "probability": found.probability,
    }


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
            notes.append(f"sensitivity: {method}")
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
