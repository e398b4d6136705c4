"""The page of a sweep, an optimisation or a policy comparison: question, answer, frontier, tables, knobs."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reports import series
from reports.experiment_folder import Experiment, read_experiment
from reports.html import charts, words
from reports.html.charts import Chart
from reports.html.render import write_page
from reports.html.tables import cost_table, differences_table, failures_table, value_text, variants_table
from reports.metric_names import Metric, metric, worth_showing
from reports.run_folder import PREDICTION_NOT_ENGAGEMENT, RunRecords, read_mapping, read_run
from simulator.experiments.folders import full_metric

_KICKERS = {"sweep": "Sweep", "optimisation": "Optimisation", "comparison": "Policy comparison"}
_FURTHER = ("requests.ratio", "latency_s.request.p95", "freshness.mean_staleness")
_MOST_GROUPS = 12


def write_experiment_page(folder: Path) -> Path:
    """Write report.html of an experiment's folder; InputError names what is missing or damaged."""
    experiment = read_experiment(folder)
    answer = experiment.answer or {}
    records = closer_runs(experiment)
    metrics = [metric(key) for key in axis_keys(experiment)]
    main = main_keys(experiment)
    base = experiment.baseline if experiment.baseline in {v.name for v in experiment.variants} else experiment.shown[0]
    scenario = experiment.run_folder(base, experiment.first_seed(base)) / "scenario.yaml"
    drawn: dict[str, Any] = {
        "sensitivity": _sensitivity(answer),
        "time": charts.over_time(records) if records else [],
        "latency": charts.latency(end_to_end(records), "latency-plot", "A request, from issue to delivery"),
        "cost": _cost_chart(experiment),
    }
    every: list[Chart] = [c for c in (drawn["sensitivity"], *drawn["time"], drawn["latency"], drawn["cost"]) if c]
    group_keys = _group_keys(experiment)
    page = {
        "title": experiment.manifest.question or experiment.manifest.name,
        "kicker": f"{_KICKERS[experiment.kind]} “{experiment.manifest.name}”",
        "headline": headline(experiment),
        "under_headline": [*_saving(answer), words.quality_and_cost(experiment.summary).capitalize() + "."],
        "warnings": _warnings(experiment),
        "cards": _cards(experiment),
        "metrics": metrics,
        "axes": {"x": experiment.cost, "y": experiment.accuracy},
        "group_keys": list(group_keys),
        "frontier_note": "The line joins variants that no other beats on both axes; bars are 95% intervals, cut where "
        "they leave the picture; dashed lines are baselines that need no cloud, where they are near.",
        "knobs": experiment.keys,
        "shown": experiment.shown,
        "closer_note": f"One run of each, at seed {experiment.first_seed(experiment.shown[0])}: "
        "the baseline, the winner and the knee where there are such, and the ends of the front.",
        "baseline": experiment.baseline,
        "charts": drawn,
        "tables": {
            "variants": variants_table(experiment, main),
            "cost": cost_table(experiment),
            "differences": differences_table(experiment, read_mapping(scenario)),
            "failures": failures_table(experiment),
        },
        "no_sensitivity": "answer.json states no sensitivity here; the picture below shows each knob.",
        "scenario_of": base,
        "scenario": scenario.read_text(encoding="utf-8"),
        "reading": [
            ("Front", words.FRONT),
            ("Intervals", words.OVER_USERS if experiment.kind == "comparison" else words.OVER_SEEDS),
            ("Quality and cost", words.models_note(experiment.summary)),
            ("Cost account", words.account_note(experiment.summary)),
            ("Split", words.split_note(experiment.summary)),
            ("Prediction, not engagement", words.PREDICTION),
        ],
        "notes": [*(str(note) for note in answer.get("notes") or ()), *words.other_notes(experiment.summary)],
        "reproduce": _reproduce(experiment),
        "caveat": PREDICTION_NOT_ENGAGEMENT,
    }
    data = {
        "charts": [chart.data for chart in every if chart.traces],
        "metrics": [
            {"key": m.key, "label": m.label, "form": m.form, "higher_is_better": m.higher_is_better} for m in metrics
        ],
        "variants": _points(experiment, metrics, group_keys),
        "baselines": experiment.baselines,
        "main": main,
        **{role: answer.get(role) for role in ("winner", "knee")},
        "baseline": experiment.baseline,
    }
    return write_page(folder / "report.html", "experiment.html.j2", page, data)


def closer_runs(experiment: Experiment) -> dict[str, RunRecords]:
    """The records of one run of each variant that is looked at closely."""
    return {name: read_run(experiment.run_folder(name, experiment.first_seed(name))) for name in experiment.shown}


def end_to_end(records: Mapping[str, RunRecords]) -> dict[str, Any]:
    """Seconds from issue to delivery by variant, for those with a completed request."""
    times = {name: series.request_times_s(run)["end to end"] for name, run in records.items()}
    return {name: sample for name, sample in times.items() if np.isfinite(sample).any()}


def main_keys(experiment: Experiment) -> list[str]:
    """The metrics of the question: accuracy and cost first, the experiment's own, then a few that explain them."""
    wanted = [experiment.accuracy, experiment.cost, *map(full_metric, experiment.manifest.metrics), *_FURTHER]
    return [key for key in dict.fromkeys(wanted) if key in experiment.results]


def axis_keys(experiment: Experiment) -> list[str]:
    """What a reader can put on an axis: the metrics of the question first, then all others that vary or are known."""
    numbers = experiment.results.select_dtypes("number")
    swept = {key for variant in experiment.manifest.variants for key in variant.settings}
    held = [str(key) for key in numbers if key not in swept and numbers[key].notna().any()]
    return list(dict.fromkeys([*main_keys(experiment), *worth_showing(held)]))


def headline(experiment: Experiment) -> str:
    """The answer's headline; without one, what the means say and that nothing was compared yet."""
    stated = (experiment.answer or {}).get("headline")
    if stated:
        return str(stated)
    main = metric(experiment.accuracy)
    sign = 1 if main.higher_is_better else -1
    means = {v.name: experiment.estimate(v.name, main.key).mean for v in experiment.variants}
    best = max(
        (name for name in means if math.isfinite(means[name])), key=lambda name: sign * means[name], default=None
    )
    if best is None:
        return f"No finished run has {main.label}."
    cost = metric(experiment.cost)
    spent = cost.text(experiment.estimate(best, cost.key).mean)
    return f"Not compared yet. Best mean: “{best}”, {main.label} {main.text(means[best])}; {cost.label}: {spent}."


def _saving(answer: Mapping[str, Any]) -> list[str]:
    saving = answer.get("saving")
    if not isinstance(saving, Mapping) or not isinstance(saving.get("share_saved"), int | float):
        return []
    cost = metric(str(answer.get("cost") or "cost"))
    text = f"“{saving.get('variant')}” saves {saving['share_saved']:.0%} of {cost.label}"
    if isinstance(saving.get("low"), int | float) and isinstance(saving.get("high"), int | float):
        text += f" (95% interval {saving['low']:.0%} to {saving['high']:.0%})"
    if isinstance(saving.get("cost_baseline"), int | float) and isinstance(saving.get("cost_variant"), int | float):
        text += f": {cost.text(saving['cost_variant'])} instead of {cost.text(saving['cost_baseline'])}"
    if isinstance(saving.get("probability"), int | float):
        text += f"; probability {saving['probability']:.0%}"
    return [f"{text}."]


def _warnings(experiment: Experiment) -> list[str]:
    found = []
    if experiment.answer is None:
        found.append(
            "There is no answer.json here, so nothing is concluded: “python cli.py compare” on this folder does it."
        )
    if experiment.comparisons is None:
        found.append(
            "There is no comparisons.parquet here: intervals below are Student's t over seeds, none for one seed."
        )
    if experiment.failures:
        found.append(f"{len(experiment.failures)} runs failed; the reasons are listed below.")
    if experiment.missing:
        found.append(f"{len(experiment.missing)} planned runs have not finished; “--resume” runs them.")
    return found


def _cards(experiment: Experiment) -> list[dict[str, str]]:
    answer, manifest = experiment.answer or {}, experiment.manifest
    cards = [
        {"name": "variants", "value": f"{len(experiment.variants):,}", "note": ""},
        {"name": "finished runs", "value": f"{len(experiment.results):,}", "note": f"seeds {_seeds(manifest.seeds)}"},
    ]
    for name, role in (
        ("baseline", experiment.baseline),
        ("winner", answer.get("winner")),
        ("knee", answer.get("knee")),
    ):
        if role:
            estimate = experiment.estimate(str(role), experiment.accuracy)
            of = metric(experiment.accuracy)
            cards.append({"name": name, "value": str(role), "note": f"{of.label} {of.text(estimate.mean)}"})
    volume = answer.get("hypervolume")
    if isinstance(volume, Mapping) and isinstance(volume.get("value"), int | float):
        cards.append({"name": "hypervolume of the front", "value": f"{volume['value']:.4g}", "note": _range(volume)})
    return cards


def _range(held: Mapping[str, Any]) -> str:
    ends = [held.get("low"), held.get("high")]
    return f"{ends[0]:.4g} to {ends[1]:.4g}" if all(isinstance(end, int | float) for end in ends) else ""


def _seeds(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds)) if len(seeds) <= 8 else f"{seeds[0]} to {seeds[-1]} ({len(seeds)})"


def _sensitivity(answer: Mapping[str, Any]) -> Chart | None:
    rows = [row for row in answer.get("sensitivity") or () if isinstance(row.get("share_of_variance"), int | float)]
    if not rows:
        return None
    parts: dict[str, dict[str, float]] = {}
    for row in rows:
        parts.setdefault(metric(full_metric(str(row["metric"]))).label, {})[str(row["key"])] = float(
            row["share_of_variance"]
        )
    keys = list(dict.fromkeys(str(row["key"]) for row in rows))
    values = {label: [held.get(key, 0.0) for key in keys] for label, held in parts.items()}
    chart = charts.bars(
        "sensitivity",
        "Share of the variance that each knob explains",
        keys,
        values,
        "share of variance",
        "Of the differences between variants in the mean; knobs that act together share what they explain.",
    )
    return Chart(
        **{**vars(chart), "layout": {**chart.layout, "barmode": "group"}, "height": 150 + 26 * len(keys) * len(values)}
    )


def _cost_chart(experiment: Experiment) -> Chart:
    """Marginal dollars by part and provisioned dollars per 1,000 interactions of the variants looked at closely."""
    names = experiment.shown

    def mean(name: str, key: str) -> float:
        value = experiment.estimate(name, key).mean
        return value if math.isfinite(value) else 0.0

    each = {name: 1000 / max(mean(name, "interactions"), 1.0) for name in names}
    marginal = {name: mean(name, "cost.usd_marginal_per_1k_interactions") for name in names}
    network = {name: mean(name, "cost.usd_network") * each[name] for name in names}
    parts = {
        "computing, used by requests": [max(marginal[n] - network[n], 0.0) for n in names],
        "network": [network[n] for n in names],
        "computing, idle for the peak": [
            max(mean(n, "cost.usd_provisioned_per_1k_interactions") - marginal[n], 0.0) for n in names
        ],
    }
    note = "The first two parts are the marginal account, all three the provisioned one; means over seeds."
    return charts.bars("cost-chart", "Dollars per 1,000 interactions", names, parts, "US dollars", note)


def _group_keys(experiment: Experiment) -> dict[str, list[str]]:
    """What the frontier can be coloured by: every swept key, and kinds inside it, each with a text a variant."""
    found: dict[str, list[str]] = {}
    for key in experiment.keys:
        values = [variant.settings.get(key) for variant in experiment.variants]
        kinds = [value["kind"] if isinstance(value, Mapping) and "kind" in value else None for value in values]
        if any(kinds):
            found[f"{key}.kind"] = [str(kind or "not set") for kind in kinds]
        found[key] = [value_text(value) for value in values]
    found["variant"] = [variant.name for variant in experiment.variants]
    few = {key: texts for key, texts in found.items() if 1 < len(set(texts)) <= _MOST_GROUPS}
    return few or {"all together": ["all variants"] * len(experiment.variants)}


def _points(
    experiment: Experiment, metrics: Sequence[Metric], groups: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    frontier = (experiment.answer or {}).get("frontier") or ()
    on_front = {str(row["variant"]): row.get("probability_on_front") for row in frontier}
    counts = experiment.results["variant"].value_counts()
    points = []
    for i, variant in enumerate(experiment.variants):
        estimates = [experiment.estimate(variant.name, m.key) for m in metrics]
        points.append(
            {
                "name": variant.name,
                "settings": {key: value_text(value) for key, value in variant.settings.items()},
                "groups": [texts[i] for texts in groups.values()],
                "seeds": int(counts[variant.name]),
                "front": on_front.get(variant.name),
                "values": [charts.numbers([e.mean, e.low, e.high], 6) for e in estimates],
            }
        )
    return points


def _reproduce(experiment: Experiment) -> dict[str, Any]:
    manifest = experiment.manifest
    text = "With the file of this folder and the scenario that it names; the same versions give the same bytes."
    command = "python cli.py sweep experiment.yaml --out again"
    if experiment.kind == "optimisation":
        goals = [f"--{way} {name}" for name, way in manifest.directions.items()]
        limits = [f"--limit {name}={value:g}" for name, value in manifest.limits.items()]
        command = " ".join(
            ["python cli.py optimize", manifest.base, *goals, *limits, f"--trials {len(manifest.variants)}"]
        )
        text = "The search is seeded: the same versions ask for the same trials."
    if experiment.kind == "comparison":
        first = experiment.variants[0]
        command = f"python cli.py compare-policies {first.folder}/scenario.yaml --out again"
        text = "With the scenario of any of the runs; its request policy is replaced by each of those compared."
    facts = [("base scenario", manifest.base), ("hash of the base", manifest.base_hash)]
    facts += [
        ("seeds", _seeds(manifest.seeds)),
        ("baseline", experiment.baseline or "none"),
        *words.versions(manifest.versions),
    ]
    if manifest.warm_up is not None:
        facts.append(("warm-up cut", str(manifest.warm_up)))
    facts += [(f"limit on {name}", f"{value:g}") for name, value in manifest.limits.items()]
    return {"words": text, "command": command, "facts": [(name, value) for name, value in facts if value]}
