"""The decision of an experiment's folder: judged, tried in other circumstances, and written as decision.json."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fleetrec.models.runtime.artifacts import atomic_path
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.money import told_in
from fleetrec.simulator.core.notes import Note, data_of, note
from fleetrec.simulator.experiments.comparison.compare import MARGINAL, PROVISIONED, rounded
from fleetrec.simulator.experiments.comparison.matched_runs import read_records
from fleetrec.simulator.experiments.comparison.shares import missed_shares
from fleetrec.simulator.experiments.decision import sentence
from fleetrec.simulator.experiments.decision.circumstances import choices, elsewhere
from fleetrec.simulator.experiments.decision.judgement import Judged, judge, nothing
from fleetrec.simulator.experiments.decision.sensitivity import Axis, axes_of, priced
from fleetrec.simulator.experiments.decision.value import Value
from fleetrec.simulator.experiments.decision.ways import axis_of, ways_of
from fleetrec.simulator.experiments.folders import ExperimentFolder, currency_of, full_metric
from fleetrec.simulator.results.engagement import FIRST, PREFIX, metric_words

SCHEMA_VERSION = 1
FILE = "decision.json"
_FEW = 0.5
"""of the requests: where fewer are answered, it is said"""


def judged_of(folder: Path, value: Value, metric: str | None = None) -> Judged:
    """The choices of an experiment's folder, judged under the circumstances of its baseline."""
    manifest = ExperimentFolder(folder).manifest()
    baseline = manifest.baseline or manifest.variants[0].name
    names = {variant.name for variant in choices(manifest.variants, baseline)}
    records, _ = read_records(folder, baseline, names)
    named = [full_metric(name) for name in manifest.metrics]
    usual = FIRST if records.reacts else "ndcg@10"
    wanted = full_metric(metric or next((name for name in named if "@" in name or name.startswith(PREFIX)), usual))
    held = PROVISIONED in records.results and bool(np.isfinite(records.measure(PROVISIONED).by_run).all())
    if not held:
        said = "cost is that of the marginal account: some run has no provisioned one"
        records.notes.append(note("cost_marginal", said))
    return judge(records, value, wanted, PROVISIONED if held else MARGINAL)


def decide(
    folder: Path,
    value: Value,
    metric: str | None = None,
    marks: Mapping[str, float] | None = None,
    notes: Sequence[Note] = (),
) -> dict[str, Any]:
    """Decide from the finished runs of an experiment's folder, and write decision.json into it.

    metric: an accuracy or a figure of engagement; none: that of the manifest. marks: NDCG@10 of the lists of other
    LLMs, by name, to stand on the axis of quality. notes: what else is to be known. InputError where runs cannot be
    read or judged.
    """
    currency = currency_of(folder)
    with told_in(currency):
        found = _decided(folder, value, metric, marks, notes) | {"currency": currency.model_dump()}
    with atomic_path(folder / FILE) as path:
        path.write_text(json.dumps(found, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return found


def _decided(
    folder: Path, value: Value, metric: str | None, marks: Mapping[str, float] | None, notes: Sequence[Note]
) -> dict[str, Any]:
    judged = judged_of(folder, value, metric)
    manifest, records = ExperimentFolder(folder).manifest(), judged.records
    chosen = judged.chosen()
    if chosen is None:
        missed = missed_shares(records.results)
        why = f" ({'; '.join(f'{name}: {off}' for name, off in missed.items())})" if missed else ""
        raise InputError(
            f"{folder}: no policy asks the cloud at a cost that is known, so there is nothing to decide{why}"
        )
    done = _finished(folder, records.replicates.worlds)
    variants = [variant for variant in manifest.variants if variant.name in done]
    others = elsewhere(variants, records.variants[chosen], judged.rival)
    simulated = axes_of(folder, judged, chosen, others, records.represents())
    ways = ways_of(folder, judged, chosen)
    served = axis_of(judged, chosen, ways)
    axes = [*simulated, *priced(judged, chosen, [axis.name for axis in simulated]), *([served] if served else [])]
    axes.sort(key=lambda axis: -axis.swing)
    adds, first = judged.chances()
    pays = judged.pays_from()
    rows = [
        judged.row(v) | {"pays_from_usd": pays[v], "chance_adds": float(adds[v]), "chance_first": float(first[v])}
        for v in range(len(judged.names))
    ]
    found: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "sentence": "",  # below, of all the rest
        "call": judged.call(),
        "policy": judged.names[chosen],
        "run": judged.names[chosen] if judged.call() == "yes" else None,
        "metric": judged.metric,
        "cost": judged.cost_name,
        "value": {
            "worth_usd": value.worth_usd,
            "budget_usd": value.budget_usd,
            "taken": value.taken(metric_words(judged.metric), not judged.metric.startswith(PREFIX)),
        },
        "represents": records.represents(),
        "interactions_per_month": judged.interactions_per_month(chosen),
        "not_told_apart": judged.like(chosen),
        "more_seeds": judged.more_seeds(chosen) if judged.call() == "not shown" else None,
        "policies": rows,
        "ways": [one.row() for one in ways],
        "nothing": nothing(judged),
        "axes": [_axis(axis) for axis in axes],
        "marks": dict(marks or {}),
        "turns": _turning(axes),
        "replicated": records.replicated(),
        "notes": data_of(*records.notes, *_unanswered(judged, chosen), *notes),
    }
    found["sentence"] = sentence.of(found)
    told: dict[str, Any] = rounded(found)
    return told


def _unanswered(judged: Judged, v: int) -> list[Note]:
    """That hardly any request of the policy came to an answer, so that it is no judgement of its lists."""
    runs, asked = judged.runs(v), "requests.sent"
    if "requests.answered" not in runs or not runs[asked].sum() > 0:
        return []
    share = float(runs["requests.answered"].sum() / runs[asked].sum())
    if share >= _FEW:
        return []
    said = (
        "of the requests of '{policy}' {share:.0%} were answered, so its lists were hardly seen: look at cloud, "
        "cloud.request_timeout and links, or at how the requests of a run ended"
    )
    return [note("hardly_answered", said, policy=judged.names[v], share=share)]


def _finished(folder: Path, seeds: Collection[int]) -> set[str]:
    """Variants that finished every run at these seeds."""
    finished: dict[str, bool] = {}
    for place in ExperimentFolder(folder).runs():
        if place.seed in seeds:
            finished[place.variant.name] = finished.get(place.variant.name, True) and place.finished
    return {name for name, whole in finished.items() if whole}


def _axis(axis: Axis) -> dict[str, Any]:
    turn = axis.turns()
    return {
        "axis": axis.name,
        "how": axis.how,
        "swing": axis.swing,
        "turns_at": None if turn is None else turn[1],
        "base": axis.base.name,
        "points": [point.row() for point in axis.points],
    }


def _turning(axes: Sequence[Axis]) -> list[dict[str, Any]]:
    """The assumptions that would turn the answer, the nearest first: by the share of the way to what was tried."""
    found = [(turn[0], axis.name, turn[1], axis.how) for axis in axes if (turn := axis.turns()) is not None]
    return [{"axis": name, "at": at, "how": how} for _, name, at, how in sorted(found)]
