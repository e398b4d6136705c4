"""Tables of an HTML report as plain values: cells with their text and what they are sorted by."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fleetrec.models.runtime.wording import counted
from fleetrec.reports.data.estimates import Estimate
from fleetrec.reports.data.experiment_folder import Experiment, base_value
from fleetrec.reports.data.metric_names import Metric, World, metric
from fleetrec.reports.data.run_folder import setting
from fleetrec.reports.data.settings_text import value_text
from fleetrec.simulator.results.summary import off_share

_WORLDS: Mapping[World, str] = {"": "", "simulated": "simulated phones", "represented": "represented fleet"}
_COSTS = (
    "cost.usd_provisioned_per_month",
    "cost.usd_provisioned_per_1k_interactions",
    "cost.usd_marginal_per_month",
    "cost.usd_marginal_per_1k_interactions",
    "cost.replicas_provisioned",
    "requests.ratio",
    "represented.latency_s.p95",
    "represented.utilization",
    "represented.headroom",
    "latency_s.request.p95",
    "cloud.utilization",
    "freshness.mean_staleness",
    "cost.device_joules",
    "cost.gco2",
)


@dataclass(frozen=True)
class Cell:
    """A text, a smaller one beside it (an interval), and the number that it is sorted by."""

    text: str
    small: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Head:
    """The head of a column; `small` says of which world its figures are."""

    text: str
    small: str = ""


@dataclass(frozen=True)
class Row:
    """Cells, the first being the row's head; `name`: the variant that the row is about."""

    cells: Sequence[Cell]
    name: str | None = None
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """A captioned table; a sortable one has a button in every head. `world`: of which world all its figures are."""

    id: str
    caption: str
    heads: Sequence[Head]
    rows: Sequence[Row] = field(default_factory=list)
    sortable: bool = False
    cells: Literal["number", "text"] = "number"
    world: World = ""


def heads_of(metrics: Sequence[Metric]) -> list[Head]:
    """Heads of columns of metrics."""
    return [Head(m.label, _WORLDS[m.world]) for m in metrics]


def estimate_cell(of: Metric, value: Estimate) -> Cell:
    """A mean with its interval below."""
    return Cell(of.text(value.mean), _interval(of, value), _sortable(value.mean))


def _interval(of: Metric, value: Estimate) -> str:
    if not (math.isfinite(value.low) and math.isfinite(value.high)):
        return ""
    return f"{of.text(value.low)} to {of.text(value.high)}"


def _sortable(value: float) -> float | None:
    return value if math.isfinite(value) else None


def roles(experiment: Experiment, name: str) -> str:
    """What a variant is in the conclusion: baseline, winner, knee, on the front with what probability."""
    answer = experiment.answer or {}
    held = [role for role, who in (("baseline", experiment.baseline), ("winner", answer.get("winner"))) if who == name]
    held += ["knee"] if answer.get("knee") == name else []
    if name in experiment.front:
        stated = {row["variant"]: row.get("probability_on_front") for row in answer.get("frontier") or ()}
        sure = stated.get(name)
        held.append("on the front" + (f" ({sure:.0%})" if isinstance(sure, int | float) else ""))
    held += [f"tied with {', '.join(experiment.ties[name])}"] if name in experiment.ties else []
    off = off_shares(experiment).get(name)
    held += [off] if off is not None else []
    return ", ".join(held)


def off_shares(experiment: Experiment) -> dict[str, str]:
    """What each variant asked beside what it was told, of those that did not ask at the share that they were told."""
    columns = [f"requests.{name}" for name in ("wanted_ratio", "realised_ratio", "decisions")]
    if any(column not in experiment.results for column in columns):
        return {}
    means = experiment.results.groupby("variant")[columns].mean()
    found = {}
    for name, (wanted, realised, decisions) in zip(means.index, means.to_numpy(), strict=True):
        known = {"wanted_ratio": wanted, "realised_ratio": realised, "decisions": decisions}
        off = None if math.isnan(wanted) else off_share(known)
        if off is not None:
            found[str(name)] = off
    return found


def variants_table(experiment: Experiment, keys: Sequence[str]) -> Table:
    """Every variant with the metrics of the question, their intervals, and the difference to the baseline."""
    metrics = [metric(key) for key in keys]
    known = experiment.comparisons
    compared = known is not None and experiment.baseline is not None and bool(known["difference"].notna().any())
    main = metric(experiment.accuracy)
    counts = experiment.results["variant"].value_counts()
    alike = counts.nunique() == 1
    heads = [Head("variant"), *([] if alike else [Head("seeds")]), *heads_of(metrics)]
    heads += [Head(f"{main.label} against the baseline"), Head("adjusted p")] if compared else []
    rows = _without_cloud_rows(experiment, metrics, len(heads))
    for variant in experiment.variants:
        name = variant.name
        n = int(counts[name])
        cells = [Cell(name, roles(experiment, name)), *([] if alike else [Cell(str(n), value=n)])]
        cells += [estimate_cell(m, experiment.estimate(name, m.key)) for m in metrics]
        if compared:
            cells += _difference_cells(experiment, name, main)
        rows.append(Row(cells, name, strong=name == experiment.baseline))
    seeds = f"over {counted(int(counts.iloc[0]), 'seed')}" if alike else "over seeds"
    caption = (
        f"{counted(len(experiment.variants), 'variant')}: means {seeds} with 95% intervals. A click on a head sorts."
    )
    return Table("variants", caption, heads, rows, sortable=True)


def _without_cloud_rows(experiment: Experiment, metrics: Sequence[Metric], width: int) -> list[Row]:
    """What the user has without a cloud, first: its accuracy with its interval, no requests and no cost."""
    rows = []
    for held in (experiment.answer or {}).get("today") or ():
        own = Estimate(*(float(held[key]) for key in ("accuracy", "low", "high")))
        cells = [Cell(str(held["policy"]), "needs no cloud")]
        for m in metrics:
            if m.key == experiment.accuracy:
                cells.append(estimate_cell(m, own))
            else:
                free = m.key.startswith("cost.usd") or m.key == "requests.ratio"
                cells.append(Cell(m.text(0.0), value=0.0) if free else Cell(""))
        rows.append(Row([*cells, *[Cell("")] * (width - len(cells))]))
    return rows


def _difference_cells(experiment: Experiment, name: str, main: Metric) -> list[Cell]:
    if name == experiment.baseline:
        return [Cell("baseline"), Cell("")]
    found = experiment.difference(name, main.key)
    if found is None:
        return [Cell("n/a"), Cell("n/a")]
    difference, p = found
    interval = _interval(main, difference)
    p_text = "n/a" if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"
    return [
        Cell(main.change_text(difference.mean), interval, _sortable(difference.mean)),
        Cell(p_text, value=_sortable(p)),
    ]


def cost_table(experiment: Experiment) -> Table:
    """What the variants that are looked at closely cost, in every unit."""
    metrics = [metric(key) for key in _COSTS if key in experiment.results]
    rows = [
        Row(
            [
                Cell(name, roles(experiment, name)),
                *(estimate_cell(m, experiment.estimate(name, m.key)) for m in metrics),
            ]
        )
        for name in experiment.shown
    ]
    return Table("costs", "What they cost; means over seeds", [Head("variant"), *heads_of(metrics)], rows)


def differences_table(experiment: Experiment, scenario: Mapping[str, Any]) -> Table:
    """Per variant, every swept key with its value; those that are the baseline's are marked as such."""
    keys = list(dict.fromkeys(key for variant in experiment.variants for key in variant.settings))
    own = {variant.name: variant.settings for variant in experiment.variants}.get(experiment.baseline or "", {})
    base = {key: own.get(key, base_value(scenario, key)) for key in keys}
    rows = []
    for variant in experiment.variants:
        values = [variant.settings.get(key, base[key]) for key in keys]
        cells = [
            Cell(value_text(value), "" if value != base[key] or variant.name == experiment.baseline else "same")
            for key, value in zip(keys, values, strict=True)
        ]
        rows.append(Row([Cell(variant.name), *cells], variant.name, strong=variant.name == experiment.baseline))
    whom = f"“{experiment.baseline}”" if experiment.baseline else "the scenario below"
    heads = [Head("variant"), *map(Head, keys)]
    return Table("differences", f"Values that differ; “same” is as in {whom}", heads, rows, cells="text")


def failures_table(experiment: Experiment) -> Table | None:
    """Runs that failed, with the reason, and those that have not run yet."""
    rows = [Row([Cell(name), Cell(str(seed)), Cell(reason)]) for name, seed, reason in experiment.failures]
    rows += [Row([Cell(name), Cell(str(seed)), Cell("not run yet")]) for name, seed in experiment.missing]
    heads = [Head("variant"), Head("seed"), Head("reason")]
    return Table("failures", "They are in no figure above", heads, rows, cells="text") if rows else None


def run_accuracy_table(summary: Mapping[str, Any], intervals: Mapping[str, Estimate]) -> Table:
    """Accuracy of a run beside its baselines, for every reported metric; intervals where the records give them."""
    names = [name for name in summary.get("accuracy") or {} if "@" in name]
    metrics = [metric(f"accuracy.{name}") for name in names]
    own = [
        Cell(m.text(_of(summary, "accuracy", n)), _interval(m, intervals[n]) if n in intervals else "")
        for m, n in zip(metrics, names, strict=True)
    ]
    rows = [Row([Cell("this run"), *own], strong=True)]
    for baseline, held in (summary.get("baselines") or {}).items():
        rows.append(Row([Cell(baseline), *(Cell(m.text(_of(held, n))) for m, n in zip(metrics, names, strict=True))]))
    caption = "Accuracy of the run, with its 95% interval over users, beside baselines on the same interactions"
    return Table("accuracy-table", caption, [Head(""), *(Head(m.label) for m in metrics)], rows, world="simulated")


def run_groups_table(summary: Mapping[str, Any], k: int) -> Table:
    """Accuracy by the time since the last interaction, by popularity of the target, by device class."""
    kinds = {
        "gap": "time since the last interaction",
        "target": "popularity of the chosen item",
        "class": "device class",
    }
    names = [f"{name}@{k}" for name in ("hr", "ndcg", "mrr")]
    rows = []
    for kind, held in (summary.get("accuracy_by") or {}).items():
        for group, figures in (held or {}).items():
            texts = [Cell(metric(f"accuracy.{name}").text(_of(figures, name))) for name in names]
            rows.append(
                Row([Cell(f"{kinds.get(kind, kind)}: {group}"), Cell(f"{figures.get('interactions', 0):,}"), *texts])
            )
    heads = [Head("group"), Head("interactions"), *(Head(name.upper()) for name in names)]
    return Table("groups", "Whom it serves", heads, rows, world="simulated")


def pairs_table(
    id_: str, caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]], world: World = ""
) -> Table:
    """A table of plain texts."""
    return Table(id_, caption, [*map(Head, heads)], [Row([Cell(text) for text in row]) for row in rows], world=world)


def _of(held: Any, *keys: str) -> float | None:
    value = setting(held or {}, *keys)
    return float(value) if isinstance(value, int | float) else None
