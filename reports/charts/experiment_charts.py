"""The charts of an experiment: its frontier, what each key does, and a closer look at a few of its variants."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fleetrec.reports.charts import bar_charts, run_charts
from fleetrec.reports.charts.bar_charts import ACCOUNTS_NOTE
from fleetrec.reports.charts.run_charts import Chart
from fleetrec.reports.data import series
from fleetrec.reports.data.estimates import Ecdf, Estimate
from fleetrec.reports.data.experiment_folder import COSTS, Experiment
from fleetrec.reports.data.metric_names import Metric, metric
from fleetrec.reports.data.months import PER_MONTH, cent_a_month
from fleetrec.reports.data.quantities import money_ticks
from fleetrec.reports.data.run_folder import RunRecords, read_run
from fleetrec.reports.data.settings_text import is_number, value_text
from fleetrec.simulator.experiments.comparison.sensitivity import LEAST_TOLD
from fleetrec.simulator.experiments.folders import full_metric

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
_BRIEFLY = {"": "", "simulated": " (simulated phones)", "represented": " (represented fleet)"}
_MOST_NAMED = 10
_MOST_LEVELS = 12


@dataclass(frozen=True)
class ExperimentCharts:
    """What a report of an experiment draws besides the interactive frontier and keys."""

    sensitivity: Chart | None
    time: Sequence[Chart]
    latency: Chart
    cost: Chart


def experiment_charts(experiment: Experiment) -> ExperimentCharts:
    """Sensitivity as stated, and time series, latencies and costs of the variants that are looked at closely."""
    records = {name: read_run(experiment.run_folder(name, experiment.first_seed(name))) for name in experiment.shown}
    return ExperimentCharts(
        sensitivity=_sensitivity(experiment.answer or {}),
        time=run_charts.over_time(records, experiment.looks),
        latency=run_charts.latency(
            _end_to_end(records), "latency", "A request, from issue to delivery", looks=experiment.looks
        ),
        cost=_cost_chart(experiment),
    )


def frontier_chart(experiment: Experiment) -> Chart:
    """Every variant by cost and accuracy with intervals; those on the front and those that have a colour are named."""
    x, y = metric(experiment.cost), metric(experiment.accuracy)
    places = {v.name: (charted(experiment, v.name, x), charted(experiment, v.name, y)) for v in experiment.variants}
    front = sorted((name for name in experiment.front if name in places), key=lambda name: places[name][0].mean)
    special = [name for name in (experiment.baseline, (experiment.answer or {}).get("winner")) if name in places]
    named = list(dict.fromkeys([*special, *front, *experiment.looks]))[:_MOST_NAMED]
    rest = [name for name in places if name not in named]
    line = {"color": "@grey", "shape": "hv", "width": 1.5}
    corners = [places[name] for name in front]
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines" if experiment.flat_front else "markers",
            "name": "front",
            "line": line,
            "marker": {"color": "@grey", "symbol": "circle", "size": 18, "opacity": 0.35},
            "x": run_charts.numbers([c[0].mean for c in corners]),
            "y": run_charts.numbers([c[1].mean for c in corners]),
        },
        _dots("other variants", [places[name] for name in rest], {"color": "@grey", "symbol": "circle", "size": 6}),
    ]
    for i, name in enumerate(sorted(named, key=lambda name: places[name][0].mean)):
        role = [
            part
            for part, who in (("baseline", experiment.baseline), ("winner", (experiment.answer or {}).get("winner")))
            if who == name
        ]
        label = run_charts.plain(name) + (f" ({', '.join(role)})" if role else "")
        place = experiment.looks.get(name)
        colour = "@grey" if place is None else run_charts.COLOURS[place % len(run_charts.COLOURS)]
        marker = {"color": colour, "symbol": _SYMBOLS[i % len(_SYMBOLS)], "size": 10}
        traces.append(_dots(label, [places[name]], marker))
    titles = [f"{m.label}{_BRIEFLY[m.world]}" for m in (x, y)]
    titles[0] += month_beside(experiment, x)
    layout: dict[str, Any] = {"xaxis": {"title": {"text": titles[0]}}, "yaxis": {"title": {"text": titles[1]}}}
    for axis, part in (("xaxis", 0), ("yaxis", 1)):
        found = [place[part] for place in places.values() if math.isfinite(place[part].mean)]
        if found:
            layout[axis]["range"] = _range(found)
    if x.form == "money":
        layout["xaxis"] |= money_ticks(max((abs(end) for end in layout["xaxis"].get("range", ())), default=0.0))
    return Chart(
        "frontier", "What accuracy costs", "Accuracy by cost.", [t for t in traces if t["x"]], layout, height=520
    )


def month_beside(experiment: Experiment, of: Metric) -> str:
    """What a cent of 1,000 interactions is a month, for an axis of those; else nothing."""
    if of.key not in PER_MONTH:
        return ""
    held = [[experiment.estimate(v.name, key).mean for key in (PER_MONTH[of.key], of.key)] for v in experiment.variants]
    rates = [month / each for month, each in held if each > 0 and math.isfinite(month)]
    return f"; {cent_a_month(rates[0])}" if rates else ""


def charted(experiment: Experiment, name: str, of: Metric) -> Estimate:
    """A figure of a variant as charts have it."""
    held = experiment.estimate(name, of.key)
    return Estimate(*(of.drawn(end) for end in (held.mean, held.low, held.high)))


def _range(estimates: Sequence[Estimate]) -> list[float]:
    """Means decide an axis; intervals widen it by a good half at most, and reach below zero only where a mean does."""
    means = [e.mean for e in estimates]
    ends = [end for e in estimates for end in (e.mean, e.low, e.high) if math.isfinite(end)]
    span = max(max(means) - min(means), 0.1 * abs(max(means)), 1e-9)
    low = max(min(ends), min(means) - 0.6 * span) - 0.07 * span
    high = min(max(ends), max(means) + 0.6 * span) + 0.07 * span
    return [max(low, -0.07 * span) if min(means) >= 0 else low, high]


def _dots(name: str, places: Sequence[tuple[Estimate, Estimate]], marker: Mapping[str, Any]) -> dict[str, Any]:
    found = [place for place in places if all(math.isfinite(e.mean) for e in place)]
    bars = {}
    for part, key in ((0, "error_x"), (1, "error_y")):
        up = [place[part].high - place[part].mean for place in found]
        down = [place[part].mean - place[part].low for place in found]
        ends = {"array": run_charts.numbers(np.nan_to_num(up)), "arrayminus": run_charts.numbers(np.nan_to_num(down))}
        bars[key] = {"type": "data", "symmetric": False, **ends}
    x, y = (run_charts.numbers([place[part].mean for place in found]) for part in (0, 1))
    return {"type": "scatter", "mode": "markers", "name": name, "x": x, "y": y, "marker": dict(marker), **bars}


def key_charts(experiment: Experiment) -> list[Chart]:
    """The metric of the question by the value of each swept key: a dot a variant, a line through the means."""
    return [_key_chart(experiment, key, metric(experiment.accuracy), i) for i, key in enumerate(experiment.keys)]


def _key_chart(experiment: Experiment, key: str, of: Metric, number: int) -> Chart:
    values = {v.name: experiment.estimate(v.name, of.key).mean for v in experiment.variants}
    held = [v for v in experiment.variants if math.isfinite(values[v.name])]
    texts = {v.name: value_text(v.settings[key]) if key in v.settings else "(not set)" for v in held}
    levels = list(dict.fromkeys(texts.values()))
    numeric = all(is_number(v.settings.get(key)) for v in held)
    x = [float(v.settings[key]) if numeric else levels.index(texts[v.name]) for v in held]
    y = run_charts.numbers([values[v.name] for v in held])
    dots = {"type": "scatter", "mode": "markers", "name": "variants", "x": run_charts.numbers(x), "y": y}
    traces: list[dict[str, Any]] = [dots | {"marker": {"color": "@grey", "size": 7}}]
    xaxis: dict[str, Any] = {"title": {"text": run_charts.plain(key)}}
    if len(levels) <= _MOST_LEVELS:
        # Values of a quantity have an order and a distance, so a line may join their means; kinds have neither.
        places = sorted(set(x))
        means = [
            float(np.mean([values[v.name] for v, at in zip(held, x, strict=True) if at == place])) for place in places
        ]
        look = {"line": {"color": "@ink"}, "marker": {"color": "@ink", "symbol": "diamond", "size": 9}}
        mode = "lines+markers" if numeric else "markers"
        mean = {"type": "scatter", "mode": mode, "name": "mean at this value", "x": run_charts.numbers(places)}
        traces.append(mean | look | {"y": run_charts.numbers(means)})
    if not numeric:
        ticks = [run_charts.plain(run_charts.short(level, 26)) for level in levels]
        xaxis |= {"tickvals": list(range(len(levels))), "ticktext": ticks}
    layout = {"xaxis": xaxis, "yaxis": {"title": {"text": of.label}}}
    title = f"{of.label} by {key}"
    return Chart(f"key_{number + 1}", title, f"{title}.", traces, layout, height=400)


def _end_to_end(records: Mapping[str, RunRecords]) -> dict[str, Ecdf]:
    """Seconds from issue to delivery by variant, for those with a completed request."""
    times = {name: series.request_times(run, "end to end") for name, run in records.items()}
    return {name: curve for name, curve in times.items() if curve is not None}


def _sensitivity(answer: Mapping[str, Any]) -> Chart | None:
    """None where no key explains a percent of anything; else the keys that do."""
    rows = [row for row in answer.get("sensitivity") or () if isinstance(row.get("share_of_variance"), int | float)]
    parts: dict[str, dict[str, float]] = {}
    for row in rows:
        parts.setdefault(metric(full_metric(str(row["metric"]))).label, {})[str(row["key"])] = float(
            row["share_of_variance"]
        )
    keys = list(dict.fromkeys(str(row["key"]) for row in rows if row["share_of_variance"] >= LEAST_TOLD))
    if not keys:
        return None
    values = {label: [held.get(key, 0.0) for key in keys] for label, held in parts.items()}
    title = "Share of the variance that each key explains"
    chart = bar_charts.grouped("sensitivity", title, keys, values, "share of variance")
    note = "Of the differences between variants in the mean; keys that act together share what they explain."
    return replace(chart, note=note)


def _cost_chart(experiment: Experiment) -> Chart:
    """Dollars per 1,000 interactions on both accounts, of the variants that are looked at closely."""
    names = experiment.shown
    held = {account: [experiment.estimate(name, key) for name in names] for account, key in COSTS.items()}
    looks = [experiment.looks[name] for name in names]
    months = {
        account: [experiment.estimate(name, PER_MONTH[key]).mean for name in names] for account, key in COSTS.items()
    }
    return bar_charts.accounts(names, held, looks, ACCOUNTS_NOTE, months)
