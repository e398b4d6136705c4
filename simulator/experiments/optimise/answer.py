"""What a search concluded: the front of the points that keep the limits, the base scenario's place beside it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from simulator.experiments.folders import SCHEMA_VERSION, Variant
from simulator.experiments.frontier import knee, nondominated, oriented
from simulator.experiments.optimise.goals import Goals


def answer(
    goals: Goals,
    variants: Sequence[Variant],
    figures: Mapping[str, Mapping[str, float]],
    failures: Mapping[str, str],
    asked: int,
) -> dict[str, Any]:
    """answer.json. `variants` begin with the base scenario; `figures` are those of the variants that did not fail."""
    metric = next(name for name, direction in goals.directions.items() if direction == "maximize")
    cost = next(name for name, direction in goals.directions.items() if direction == "minimize")
    base = variants[0].name
    kept = [v.name for v in variants if v.name in figures and max(goals.excess(figures[v.name]), default=0.0) <= 0]
    points = oriented(
        np.array([goals.values(figures[name]) for name in kept]).reshape(len(kept), len(goals.directions)),
        list(goals.directions.values()),
    )
    on_front = [name for name, on in zip(kept, nondominated(points), strict=True) if on] if kept else []
    on_front.sort(key=lambda name: (figures[name][cost], -figures[name][metric], name))
    plane = np.array([[figures[name][cost], -figures[name][metric]] for name in kept]).reshape(len(kept), 2)
    bend = knee(plane) if kept else None
    cheaper = _cheaper(figures, on_front, base, metric, cost)
    return {
        "schema_version": SCHEMA_VERSION,
        "question": f"Which policies give the most {metric} for the least {cost}?",
        "headline": _headline(figures, on_front, base, metric, cost, cheaper, len(kept)),
        "baseline": base,
        "metric": metric,
        "cost": cost,
        "winner": cheaper or (on_front[-1] if on_front else None),
        "saving": _saving(figures, base, cheaper, cost),
        "frontier": [
            {"variant": name, "x": figures[name][cost], "y": figures[name][metric], "probability_on_front": None}
            for name in on_front
        ],
        "knee": None if bend is None else kept[bend],
        "hypervolume": None,
        "sensitivity": [],
        "notes": _notes(variants, figures, failures, kept, asked),
    }


def _cheaper(
    figures: Mapping[str, Mapping[str, float]], on_front: Sequence[str], base: str, metric: str, cost: str
) -> str | None:
    """The cheapest point of the front that is at least as good as the base scenario and costs less."""
    if base not in figures:
        return None
    own = figures[base]
    able = [n for n in on_front if figures[n][metric] >= own[metric] and figures[n][cost] < own[cost]]
    return min(able, key=lambda name: figures[name][cost], default=None)


def _saving(
    figures: Mapping[str, Mapping[str, float]], base: str, cheaper: str | None, cost: str
) -> dict[str, Any] | None:
    if cheaper is None:
        return None
    before, after = figures[base][cost], figures[cheaper][cost]
    return {
        "variant": cheaper,
        "cost_baseline": before,
        "cost_variant": after,
        "share_saved": 1 - after / before if before else 0.0,
        "low": None,
        "high": None,
        "probability": None,
    }


def _headline(
    figures: Mapping[str, Mapping[str, float]],
    on_front: Sequence[str],
    base: str,
    metric: str,
    cost: str,
    cheaper: str | None,
    kept: int,
) -> str:
    if not on_front:
        return "no point keeps the limits; relax one, or search longer"
    best = on_front[-1]
    front = (
        f"the front has {len(on_front)} of {kept} points, from {_at(figures[on_front[0]], metric, cost)} to "
        f"{_at(figures[best], metric, cost)} ({best})"
    )
    if cheaper is None:
        return front[0].upper() + front[1:] + "."
    saved = 1 - figures[cheaper][cost] / figures[base][cost]
    return (
        f"'{cheaper}' is at least as accurate as the scenario as it stands and saves {saved:.0%} of its cost; {front}."
    )


def _at(point: Mapping[str, float], metric: str, cost: str) -> str:
    return f"{metric} {point[metric]:.4f} at {cost} {point[cost]:.4g}"


def _notes(
    variants: Sequence[Variant],
    figures: Mapping[str, Mapping[str, float]],
    failures: Mapping[str, str],
    kept: Sequence[str],
    asked: int,
) -> list[str]:
    notes = [
        "values are means over the seeds without intervals, and the best of many points looks better than it is: "
        "confirm a point of the front at other seeds"
    ]
    if len(variants) < asked:
        notes.append(f"the space has no more points that the sampler would find: {len(variants)} of {asked} were run")
    if len(kept) < len(figures):
        notes.append(f"{len(figures) - len(kept)} points pass a limit")
    for reason, count in Counter(failures.values()).most_common():
        first = next(name for name, why in failures.items() if why == reason)
        notes.append(f"failed: {first}{f' and {count - 1} more' if count > 1 else ''}: {reason}")
    return notes
