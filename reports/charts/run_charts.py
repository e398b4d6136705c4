"""Charts as Plotly figures in plain JSON, which an HTML page and Matplotlib draw alike.

Colours are names ("@blue") that get a shade for light and one for dark; names from a scenario are escaped, for Plotly
reads tags in its texts.
"""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fleetrec.reports.charts.time_scale import TimeScale, common_scale
from fleetrec.reports.data import series
from fleetrec.reports.data.estimates import QUANTILES, Ecdf, time_edges
from fleetrec.reports.data.metric_names import World
from fleetrec.reports.data.quantities import seconds_text
from fleetrec.reports.data.run_folder import RunRecords, setting
from fleetrec.reports.data.series import SHORTEST_S
from fleetrec.simulator.scenario.objectives import Objective

COLOURS = ("@blue", "@vermilion", "@green", "@purple", "@orange", "@ink", "@sky")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "solid", "dash")
_FEW = 20  # a group of fewer interactions has an interval from floor to ceiling


@dataclass(frozen=True)
class Chart:
    """One picture: where it goes, what it is called, what it shows in a sentence (for those who do not see it)."""

    id: str
    title: str
    alt: str
    traces: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    height: int = 340
    world: World = ""

    @property
    def data(self) -> dict[str, Any]:
        """What the page's script draws it from."""
        return {"id": self.id, "traces": self.traces, "layout": self.layout, "height": self.height}


def plain(text: object) -> str:
    """Text that Plotly shows as it is."""
    return html.escape(str(text), quote=False)


def numbers(values: Any, digits: int = 5) -> list[float | None]:
    """Values to so many significant digits; None where there is none."""
    return [float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in np.asarray(values, np.float64)]


def steps(edges: Sequence[float], values: Any) -> tuple[Sequence[float], list[float | None]]:
    """Corners of a step function: values [bins] over edges [bins + 1], for a line of shape "hv"."""
    held = numbers(values)
    return edges, [*held, held[-1]] if held else []


def line_look(place: int) -> dict[str, Any]:
    """Colour and dashes of the policy with that number, the same in every picture of a page."""
    return {"color": COLOURS[place % len(COLOURS)], "dash": DASHES[place % len(DASHES)]}


def over_time(runs: Mapping[str, RunRecords], looks: Mapping[str, int] | None = None) -> list[Chart]:
    """Accuracy, load and the cloud by simulated time, a line a run; a single run has its band and its NDCG too.

    looks: the number of each run's colour and dashes; by default they are numbered as they come.
    """
    scale = common_scale([run.span_s for run in runs.values()], [run.summary for run in runs.values()])
    held = looks or {name: place for place, name in enumerate(runs)}
    return [_accuracy(runs, scale, held), _load(runs, scale, held), *_cloud(runs, scale, held)]


def _accuracy(runs: Mapping[str, RunRecords], scale: TimeScale, looks: Mapping[str, int]) -> Chart:
    alone = len(runs) == 1
    first = next(iter(runs.values()))
    traces: list[dict[str, Any]] = []
    for name, run in runs.items():
        seen = series.accuracy_over_time(run)
        if seen is None:
            continue
        x = scale.numbers(seen.centre_s)
        if alone:
            low, high = numbers(seen.hr.low), numbers(seen.hr.high)
            band = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
            traces.append({**band, "x": x, "y": low})
            traces.append({**band, "x": x, "y": high, "fill": "tonexty", "fillcolor": "@band"})
        label = f"HR@{run.k} with 95% band" if alone else plain(name)
        traces.append(_line(label, x, numbers(seen.hr.share), line_look(looks[name])))
        if alone:
            traces.append(_line(f"NDCG@{run.k}", x, numbers(seen.ndcg), {"color": "@orange", "dash": "dash"}))
    baselines = sorted(first.baselines(f"hr@{first.k}").items(), key=lambda item: -item[1])
    ends = scale.axis()["range"]
    for (name, value), dash in zip(baselines, ("dot", "dashdot", "longdash", "longdashdot", "dash"), strict=False):
        if value > 0:
            label = f"{plain(name)}, whole run: {value:.3f}"
            traces.append(_line(label, ends, numbers([value, value]), {"color": "@grey", "dash": dash, "width": 1.5}))
    return Chart(
        "accuracy-over-time",
        "Accuracy of the slate on screen",
        f"HR@{first.k} by simulated time, beside the baselines over the whole run; the tables have the means.",
        traces,
        {"xaxis": scale.axis(), "yaxis": {"title": {"text": f"HR@{first.k}"}, "rangemode": "tozero"}},
        note="Bins are joined until they hold enough interactions; baselines need no cloud.",
        height=420,
        world="simulated",
    )


def _line(name: str, x: Any, y: Any, line: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": dict(line), **more}


def _load(runs: Mapping[str, RunRecords], scale: TimeScale, looks: Mapping[str, int]) -> Chart:
    edges_s = time_edges(scale.span_s, 60)
    edges = scale.numbers(edges_s)
    loads = {name: series.load_over_time(run, edges_s) for name, run in runs.items()}
    per_s, per = series.rate_unit(next(iter(loads.values())).interactions_per_s)
    traces = []
    for i, (name, load) in enumerate(loads.items()):
        x, requests = steps(edges, load.requests_per_s * per_s)
        if i == 0:
            _, y = steps(edges, load.interactions_per_s * per_s)
            look = {"color": "@pale", "shape": "hv", "width": 1}
            label = "interactions" if len(runs) == 1 else "interactions (of every variant)"
            traces.append(_line(label, x, y, look, fill="tozeroy", fillcolor="@area"))
        label = "requests" if len(runs) == 1 else f"requests, {plain(name)}"
        traces.append(_line(label, x, requests, line_look(looks[name]) | {"shape": "hv"}))
    layout = {"xaxis": scale.axis(), "yaxis": {"title": {"text": f"per {per}"}, "rangemode": "tozero"}}
    alt = f"Interactions and requests per {per} by simulated time."
    return Chart("load", "Load", alt, traces, layout, world="simulated")


def _cloud(runs: Mapping[str, RunRecords], scale: TimeScale, looks: Mapping[str, int]) -> list[Chart]:
    edges_s = time_edges(scale.span_s, 60)
    edges = scale.numbers(edges_s)
    queue, busy = [], []
    for name, run in runs.items():
        seen = series.cloud_over_time(run, edges_s)
        if seen is None:
            continue
        look = line_look(looks[name]) | {"shape": "hv"}
        queue.append(_line(plain(name), *steps(edges, seen.queue), look, showlegend=len(runs) > 1))
        label = "at work" if len(runs) == 1 else plain(name)
        busy.append(_line(label, *steps(edges, seen.busy), look))
        if len(runs) == 1 and not series.on_cpu(run) and np.nanmax(seen.busy) > 0.3 * np.nanmax(seen.up):
            busy.append(_line("up", *steps(edges, seen.up), {"color": "@grey", "dash": "dot", "shape": "hv"}))
    where = "cloud CPU cores" if series.on_cpu(next(iter(runs.values()))) else "replicas"
    charts = []
    for id_, title, unit, traces in (
        ("queue", "Longest queue at the cloud", "waiting", queue),
        ("busy", f"{where[0].upper()}{where[1:]} at work", "busy, mean", busy),
    ):
        layout = {"xaxis": scale.axis(), "yaxis": {"title": {"text": unit}, "rangemode": "tozero"}}
        charts.append(Chart(id_, title, f"{title} by simulated time.", traces, layout, world="simulated"))
    return charts


def latency(
    curves: Mapping[str, Ecdf | None],
    id_: str,
    title: str,
    objectives: Sequence[Objective] = (),
    looks: Mapping[str, int] | None = None,
) -> Chart:
    """Distributions of times by name (in seconds; None where there is none) on a logarithmic axis, with p50, p95, p99.

    looks: the number of each curve's colour and dashes; by default they are numbered as they come.
    """
    traces, longest, shortest = [], SHORTEST_S * 10, math.inf
    for i, (name, curve) in enumerate(curves.items()):
        if curve is None:
            continue
        value = np.maximum(curve.at_shares, SHORTEST_S)
        longest, shortest = max(longest, float(value[-1])), min(shortest, float(value[0]))
        named = " / ".join(map(seconds_text, curve.quantiles.values()))
        hover = [
            f"{share:.1%} took at most {seconds_text(float(v))}" for share, v in zip(QUANTILES, value, strict=True)
        ]
        look = line_look(looks[name] if looks else i)
        label = f"{plain(name)}: {named}"
        traces.append(_line(label, numbers(value), numbers(QUANTILES), look, text=hover, hovertemplate="%{text}"))
    marks = _log_marks(min(shortest, longest), longest)
    ticks = {"tickvals": marks, "ticktext": [seconds_text(mark) for mark in marks]}
    layout: dict[str, Any] = {
        "xaxis": {
            "range": [math.log10(marks[0]), math.log10(marks[-1])],
            "type": "log",
            "title": {"text": "time (logarithmic)"},
            **ticks,
        },
        "yaxis": {"title": {"text": "share that took at most so long"}, "range": [0, 1.02], "tickformat": ".0%"},
    }
    note = f"In the legend: p50 / p95 / p99. What took {seconds_text(SHORTEST_S)} or less stands there."
    for objective in objectives if traces else ():
        label = f"objective: p{100 * objective.share:g} of at most {seconds_text(objective.at_most_s)}"
        marker = {"symbol": "triangle-down", "size": 12, "color": "@vermilion"}
        at = {"x": [objective.at_most_s], "y": [objective.share]}
        traces.append({"type": "scatter", "mode": "markers", "name": label, **at, "marker": marker})
    return Chart(id_, title, f"{title}: cumulative distributions.", traces, layout, note, 420, "simulated")


def _log_marks(low: float, high: float) -> list[float]:
    """Round numbers from one at most `low` to one at least `high`: powers of ten, with 2 and 5 where these are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = [float(f"{part}e{d}") for d in decades for part in ((1,) if len(decades) > 3 else (1, 2, 5))]
    first = max(i for i, mark in enumerate(marks) if mark <= low)
    last = min(i for i, mark in enumerate(marks) if mark >= high and i > first)
    return marks[first : last + 1]


def staleness(run: RunRecords) -> Chart | None:
    """HR@k by staleness of the list on screen, with intervals."""
    groups = series.hr_by_staleness(run)
    if groups is None:
        return None
    kept = groups.shares.count >= _FEW
    share, low, high = groups.shares.share[kept], groups.shares.low[kept], groups.shares.high[kept]
    names = [name for name, there in zip(groups.names, kept, strict=True) if there]
    counts = [f"{n:,} interactions" for n in groups.shares.count[kept]]
    bars = {"type": "data", "symmetric": False, "array": numbers(high - share), "arrayminus": numbers(share - low)}
    trace = {"type": "scatter", "mode": "markers", "x": names, "y": numbers(share), "error_y": bars, "text": counts}
    look = {"marker": {"color": "@blue", "size": 10}, "hovertemplate": "%{y:.4f}<br>%{text}<extra></extra>"}
    layout = {
        "xaxis": {"title": {"text": "interactions that the list had not seen"}, "type": "category"},
        "yaxis": {"title": {"text": f"HR@{run.k}"}, "rangemode": "tozero"},
    }
    note = "Not an experiment: lists are stale where users are quick, offline or far along. "
    note += f"Groups of fewer than {_FEW} interactions are left out."
    return Chart(
        "staleness", f"HR@{run.k} by staleness of the list", "Hit ratio by staleness.", [trace | look], layout, note
    )


def places(run: RunRecords) -> Chart | None:
    """HR@k for every k, beside the baselines at the reported k."""
    found = series.places(run)
    if found is None:
        return None
    k = list(range(1, len(found.hr) + 1))
    traces = [_line("this run", k, numbers(found.hr), {"color": "@blue", "shape": "hv"})]
    ks = [int(k) for k in setting(run.scenario, "metrics", "k") or (run.k,)]
    for i, name in enumerate(sorted(run.summary.get("baselines") or {})):
        values = [(k, run.baselines(f"hr@{k}").get(name)) for k in ks]
        held = [(k, v) for k, v in values if v is not None]
        marker = {"color": COLOURS[(i + 1) % len(COLOURS)], "symbol": i, "size": 9}
        x, y = [k for k, _ in held], numbers([v for _, v in held])
        traces.append({"type": "scatter", "mode": "markers", "name": plain(name), "x": x, "y": y, "marker": marker})
    layout = {
        "xaxis": {
            "title": {"text": "k (logarithmic)"},
            "type": "log",
            "tickvals": [1, 2, 5, 10, 20, 50, 100, 200, 500],
        },
        "yaxis": {"title": {"text": "HR@k"}, "rangemode": "tozero"},
    }
    note = f"The chosen item was absent from {found.absent:.1%} of slates."
    return Chart("places", "HR@k for every k", "Hit ratio by k, beside the baselines.", traces, layout, note)


def named_rows(names: Sequence[str]) -> dict[str, Any]:
    """A vertical axis with a name a row, the first on top."""
    texts = [plain(short(name)) for name in names]
    return {"tickvals": list(range(len(names))), "ticktext": texts, "autorange": "reversed"}


def rows_height(names: Sequence[str], each: int = 30) -> int:
    """Pixels of a chart with a name a row; long names take two lines."""
    return 150 + max(each, 30 if max(map(len, names), default=0) <= 34 else 56) * len(names)


def short(name: str, most: int = 72) -> str:
    """A name cut to fit beside an axis, in two or three lines."""
    return name if len(name) <= most else f"{name[: most - 1]}…"
