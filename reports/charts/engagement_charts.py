"""Charts of users who react: what they did over time, how what they took moved, how fitted ones compare with others."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fleetrec.reports.charts.run_charts import Chart, numbers, steps
from fleetrec.reports.charts.time_scale import common_scale
from fleetrec.reports.data.estimates import time_edges
from fleetrec.reports.data.metric_names import FIT
from fleetrec.reports.data.run_folder import RunRecords, setting

_DID = {
    "slate": ("taken from the slate", "@blue", "solid"),
    "organic": ("found alone", "@green", "dash"),
    "skip": ("skipped", "@vermilion", "dot"),
    "wait": ("waited", "@orange", "dashdot"),
    "away": ("sessions not come to", "@grey", "longdash"),
}
_MOVES = {
    "gini": ("Gini of choices over the catalogue", "@blue", "solid"),
    "coverage": ("share of the catalogue taken", "@vermilion", "dash"),
    "popularity": ("popularity (1: the most popular)", "@green", "dot"),
    "own_taste": ("closeness to the user's earlier taste", "@purple", "dashdot"),
}
_WHOSE = (("held-out users", "held_out", "@grey", "solid"), ("fitted users", "model", "@blue", "dash"))
_BINS = 48


def engagement_charts(run: RunRecords) -> list[Chart]:
    """Of a run whose users react; none of another."""
    if run.opportunities.empty:
        return []
    moved = [_moved(run)] if setting(run.summary, "feedback", "over_time") else []
    return [_did(run), *moved, *_fit(run)]


def _did(run: RunRecords) -> Chart:
    scale = common_scale([run.span_s], [run.summary])
    edges_s = time_edges(run.span_s, _BINS)
    edges, told = scale.numbers(edges_s), run.opportunities
    hours = np.maximum(np.minimum(edges_s[1:], max(run.span_s, 1.0)) - edges_s[:-1], 1e-9) / 3600
    traces = []
    for outcome, (name, colour, dash) in _DID.items():
        times = told.loc[told["outcome"] == outcome, "t_s"].to_numpy(np.float64)
        if len(times):
            x, y = steps(edges, np.histogram(times, edges_s)[0] / hours)
            traces.append(_line(name, x, y, {"color": colour, "dash": dash, "shape": "hv"}))
    layout = {"xaxis": scale.axis(), "yaxis": {"title": {"text": "an hour"}, "rangemode": "tozero"}}
    alt = "What users did an hour, by simulated time; the table below has the totals."
    return Chart("choices-over-time", "What users did", alt, traces, layout, world="simulated")


def _moved(run: RunRecords) -> Chart:
    held: Mapping[str, Any] = run.summary["feedback"]["over_time"]
    scale = common_scale([run.span_s], [run.summary])
    edges = scale.numbers(np.array([*held["from_s"], run.span_s]))
    traces = [
        _line(name, *steps(edges, held[key]), {"color": colour, "dash": dash, "shape": "hv"})
        for key, (name, colour, dash) in _MOVES.items()
        if any(value is not None for value in numbers(held[key]))
    ]
    layout = {"xaxis": scale.axis(), "yaxis": {"title": {"text": "from 0 to 1"}, "rangemode": "tozero"}}
    note = f"Each step is of {held['choices']:,} choices, since Gini and coverage hang on how many they are of."
    alt = "Gini, coverage, popularity and closeness to earlier taste of what users took, by eighths of its choices."
    return Chart("feedback", "How choices moved", alt, traces, layout, note, world="simulated")


def _fit(run: RunRecords) -> list[Chart]:
    """What fitted users did in place of held-out ones: pauses where those of the run are of the log, too."""
    compared = {row["what"]: row for row in setting(run.summary, "users_fit", "compared") or ()}
    arrivals = setting(run.scenario, "workload", "arrivals") or {}
    after = f"_after_{arrivals.get('after')}" if arrivals.get("kind") == "empirical" else " of no run"
    charts = []
    for what, row in compared.items():
        if what == "popularity" or what.endswith(after):
            charts.append(_compared(what, row))
    return charts


def _compared(what: str, row: Mapping[str, Any]) -> Chart:
    curve, counts, label = row["curve"], what.startswith("session"), FIT[what]
    axis = label if counts else f"{label} (1: the most popular)" if what == "popularity" else f"{label}, plus 1"
    x = numbers(np.array(curve["at"]) + (0 if counts else 1))  # on a logarithmic axis
    traces = [
        _line(name, x, numbers(curve[key]), {"color": colour, "dash": dash, "shape": "hv"})
        for name, key, colour, dash in _WHOSE
    ]
    layout = {
        "xaxis": {"type": "log", "title": {"text": axis}},
        "yaxis": {"title": {"text": "share that is not above"}, "range": [0, 1.02]},
    }
    note = f"KS distance {row['ks']:.3f}; that of other users {row['between_users']:.3f}."
    return Chart(
        f"fit-{what}", f"Fitted users: {label}", f"{label}, of fitted and of held-out users.", traces, layout, note
    )


def _line(name: str, x: Any, y: Any, line: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "name": name, "x": x, "y": y, "line": dict(line)}
