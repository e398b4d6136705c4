"""The page of a sweep, an optimisation or a policy comparison: question, answer, frontier, tables, keys."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fleetrec.models.runtime.wording import counted
from fleetrec.reports.charts import run_charts
from fleetrec.reports.charts.experiment_charts import charted, experiment_charts, month_beside
from fleetrec.reports.data.experiment_folder import Experiment, read_experiment
from fleetrec.reports.data.metric_names import WORLDS, Metric, metric, worth_showing
from fleetrec.reports.data.months import PER_MONTH
from fleetrec.reports.data.notes import caveat_of, texts_but
from fleetrec.reports.data.run_folder import read_mapping
from fleetrec.reports.data.settings_text import value_text
from fleetrec.reports.html import words
from fleetrec.reports.html.decision import choices
from fleetrec.reports.html.render import write_page
from fleetrec.reports.html.tables import cost_table, differences_table, failures_table, off_shares, variants_table
from fleetrec.simulator.core.notes import ENGAGEMENT
from fleetrec.simulator.experiments.folders import full_metric

_KICKERS = {"sweep": "Sweep", "optimisation": "Optimisation", "comparison": "Policy comparison"}
_FURTHER = ("requests.realised_ratio", "requests.ratio", "latency_s.request.p95", "freshness.mean_staleness")
_MOST_GROUPS = 12
_MOST_OFF = 4
_OTHERS = "other variants"
_NO_SENSITIVITY = "answer.json states no sensitivity here; the picture below shows each key."
_NOTHING_EXPLAINED = (
    "No key by itself explains a percent of what varies, as far as these variants tell; the picture below shows each."
)


def write_experiment_page(folder: Path) -> Path:
    """Write report.html of an experiment's folder; InputError names what is missing or damaged."""
    experiment = read_experiment(folder)
    answer = experiment.answer or {}
    drawn = experiment_charts(experiment)
    metrics = [metric(key) for key in axis_keys(experiment)]
    main = main_keys(experiment)
    base = experiment.baseline if experiment.baseline in {v.name for v in experiment.variants} else experiment.shown[0]
    scenario = experiment.run_folder(base, experiment.first_seed(base)) / "scenario.yaml"
    every = [chart for chart in (drawn.sensitivity, *drawn.time, drawn.latency, drawn.cost) if chart]
    group_keys = _group_keys(experiment)
    page = {
        "title": experiment.manifest.question or experiment.manifest.name,
        "kicker": f"{_KICKERS[experiment.kind]} “{experiment.manifest.name}”",
        "headline": headline(experiment),
        "under_headline": [*_saving(answer), words.as_sentence(words.quality_and_cost(experiment.summary))],
        "warnings": _warnings(experiment),
        "choices": choices(experiment),
        "hangs_on": words.hangs_on(answer if answer.get("hangs_on") else experiment.summary),
        "cards": [{"title": "", "cards": _cards(experiment)}],
        "metrics": metrics,
        "axes": {"x": experiment.cost, "y": experiment.accuracy},
        "group_keys": list(group_keys),
        "frontier_note": "The line joins variants that no other beats on both axes; bars are 95% intervals, cut where "
        "they leave the picture; dashed lines are baselines that need no cloud, where they are near.",
        "keys": [] if experiment.kind == "comparison" else experiment.keys,  # whose one key is the policy itself
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
        "no_sensitivity": _NOTHING_EXPLAINED if (experiment.answer or {}).get("sensitivity") else _NO_SENSITIVITY,
        "scenario_of": base,
        "scenario": scenario.read_text(encoding="utf-8"),
        "reading": [
            ("Front", words.FRONT),
            ("Intervals", words.OVER_USERS if experiment.kind == "comparison" else words.OVER_SEEDS),
            ("Quality and cost", words.models_note(experiment.summary)),
            ("Cost account", words.account_note(experiment.summary)),
            ("Split", words.split_note(experiment.summary)),
            words.measured(experiment.summary),
        ],
        "notes": [*texts_but(answer, ENGAGEMENT), *words.other_notes(experiment.summary)],
        "reproduce": _reproduce(experiment),
        "caveat": caveat_of(experiment.summary),
    }
    data = {
        "charts": [chart.data for chart in every if chart.traces],
        "metrics": [
            {
                "key": m.key,
                "label": m.label,
                "beside": month_beside(experiment, m),
                "form": m.form,
                "higher_is_better": m.higher_is_better,
                "world": m.world,
            }
            for m in metrics
        ],
        "variants": _points(experiment, metrics, group_keys),
        "baselines": experiment.baselines,
        "main": main,
        "worlds": WORLDS,
        "looks": experiment.looks,
        "front": {"x": experiment.cost, "y": experiment.accuracy, "names": experiment.front}
        | {"joined": experiment.flat_front},
        **{role: answer.get(role) for role in ("winner", "knee")},
        "baseline": experiment.baseline,
    }
    return write_page(folder / "report.html", "experiment.html.j2", page, data)


def main_keys(experiment: Experiment) -> list[str]:
    """The metrics of the question: accuracy and cost first, the experiment's own, then a few that explain them."""
    asked = [experiment.accuracy, experiment.cost, *map(full_metric, experiment.manifest.metrics), *_FURTHER]
    wanted = [key for name in asked for key in (name, PER_MONTH.get(name, name))]
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
    highest = f"Highest mean: “{best}”, {main.label} {main.text(means[best])}; {cost.label}: {spent}."
    return f"Not compared yet, so none is named better. {highest}"


def _saving(answer: Mapping[str, Any]) -> list[str]:
    saving = answer.get("saving")
    if not isinstance(saving, Mapping) or not isinstance(saving.get("share_saved"), int | float):
        return []
    cost = metric(str(answer.get("cost") or "cost"))
    who, some = f"“{saving.get('variant')}” saves", ""
    if saving.get("interpolated"):
        own = cost.text(saving.get("cost_of_run"))
        who = f"“{saving.get('family')}”, between two of its runs, would save"
        some = (
            f"Interpolated: no run has this price; it lies between those of “{saving.get('below')}” and of "
            f"“{saving.get('variant')}”, which itself costs {own}."
        )
    text = f"{who} {saving['share_saved']:.0%} of {cost.label}"
    if isinstance(saving.get("low"), int | float):
        text += f" (at least {saving['low']:.0%}, with 95% over all variants)"
    if isinstance(saving.get("cost_baseline"), int | float) and isinstance(saving.get("cost_variant"), int | float):
        text += f": {cost.text(saving['cost_variant'])} instead of {cost.text(saving['cost_baseline'])}"
    return [f"{text}.", *([some] if some else [])]


def _warnings(experiment: Experiment) -> list[str]:
    found = []
    if experiment.answer is None:
        found.append(
            "There is no answer.json here, so nothing is concluded: “fleetrec compare” on this folder does it."
        )
    if experiment.comparisons is None:
        found.append(
            "There is no comparisons.parquet here: intervals below are Student's t over seeds, none for one seed."
        )
    off = [f"“{name}” {text}" for name, text in off_shares(experiment).items()]
    if off:
        more = f" and {len(off) - _MOST_OFF} more" if len(off) > _MOST_OFF else ""
        found.append(f"Not asked at the share that they were told: {'; '.join(off[:_MOST_OFF])}{more}.")
    if experiment.failures:
        found.append(f"{counted(len(experiment.failures), 'run')} failed; the reasons are listed below.")
    if experiment.missing:
        found.append(f"{counted(len(experiment.missing), 'run')} not finished yet; “--resume” runs what is left.")
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
        if role and not (name == "winner" and answer.get("decision")):
            estimate = experiment.estimate(str(role), experiment.accuracy)
            of = metric(experiment.accuracy)
            note = f"{of.label} {of.text(estimate.mean)}"
            if name == "winner" and (answer.get("saving") or {}).get("interpolated"):
                note += "; the dearer end of the interpolated price"
            cards.append({"name": name, "value": str(role), "note": note})
    volume = answer.get("hypervolume")
    if isinstance(volume, Mapping) and isinstance(volume.get("value"), int | float):
        cards.append({"name": "hypervolume of the front", "value": f"{volume['value']:.4g}", "note": _range(volume)})
    return cards


def _range(held: Mapping[str, Any]) -> str:
    ends = [held.get("low"), held.get("high")]
    return f"{ends[0]:.4g} to {ends[1]:.4g}" if all(isinstance(end, int | float) for end in ends) else ""


def _seeds(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds)) if len(seeds) <= 8 else f"{seeds[0]} to {seeds[-1]} ({len(seeds)})"


def _group_keys(experiment: Experiment) -> dict[str, list[str]]:
    """What the frontier can be coloured by, each with a text a variant: variants, as elsewhere, or swept keys."""
    looks = experiment.looks
    by_variant = {"variant": [v.name if v.name in looks else _OTHERS for v in experiment.variants]}
    found: dict[str, list[str]] = {}
    for key in experiment.keys:
        values = [variant.settings.get(key) for variant in experiment.variants]
        kinds = [value.get("kind") if isinstance(value, Mapping) else value for value in values]
        if any(isinstance(value, Mapping) and "kind" in value for value in values):
            found[f"{key}.kind"] = [value_text(kind) for kind in kinds]
        found[key] = [value_text(value) for value in values]
    few = {key: texts for key, texts in found.items() if 1 < len(set(texts)) <= _MOST_GROUPS}
    return by_variant | few


def _points(
    experiment: Experiment, metrics: Sequence[Metric], groups: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    frontier = (experiment.answer or {}).get("frontier") or ()
    on_front = {str(row["variant"]): row.get("probability_on_front") for row in frontier}
    counts = experiment.results["variant"].value_counts()
    points = []
    for i, variant in enumerate(experiment.variants):
        estimates = [charted(experiment, variant.name, m) for m in metrics]
        points.append(
            {
                "name": variant.name,
                "settings": {key: value_text(value) for key, value in variant.settings.items()},
                "groups": [texts[i] for texts in groups.values()],
                "seeds": int(counts[variant.name]),
                "front": on_front.get(variant.name),
                "values": [run_charts.numbers([e.mean, e.low, e.high], 6) for e in estimates],
            }
        )
    return points


def _reproduce(experiment: Experiment) -> dict[str, Any]:
    manifest = experiment.manifest
    text = "With the file of this folder and the scenario that it names; the same versions give the same bytes."
    command = "fleetrec sweep experiment.yaml --out again"
    if experiment.kind == "optimisation":
        command = _search_command(experiment)
        text = "With space.yaml of this folder. The search is seeded: the same versions try the same points."
    if experiment.kind == "comparison":
        first = experiment.variants[0]
        command = f"fleetrec compare-policies {first.folder}/scenario.yaml --out again"
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


def _search_command(experiment: Experiment) -> str:
    """The whole command of an optimisation, from what its experiment.yaml says was asked."""
    given = read_mapping(experiment.path / "experiment.yaml")
    words = ["fleetrec optimize", str(given.get("base")), *(f"--set '{text}'" for text in given.get("set") or ())]
    words += [f"--{way} {name}" for name, way in experiment.manifest.directions.items()]
    words += [f"--limit {name}={value:g}" for name, value in experiment.manifest.limits.items()]
    words.append(f"--seeds {','.join(map(str, experiment.manifest.seeds))}")
    words += [
        f"--{name.replace('_', '-')} {given.get(name)}" for name in ("trials", "sampler", "sampler_seed", "batch")
    ]
    return " ".join([*words, "--space space.yaml --out again"])
