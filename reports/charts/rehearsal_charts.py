"""Charts of a rehearsal: measured beside simulated times as distributions, over time, and quantile against quantile."""

from typing import Any

import numpy as np

from fleetrec.reports.charts.run_charts import Chart, latency, line_look, numbers
from fleetrec.reports.data.estimates import ecdf
from fleetrec.reports.data.rehearsal_folder import SOURCES, RehearsalRecords
from fleetrec.reports.data.series import SHORTEST_S

_QUANTILES = np.linspace(0.01, 0.99, 99)
_AROUND = 15
"""requests over which a line over time is the median"""
_LOOKS = {"measured": 5, "guess": 1, "profile": 0}
_WORDS = {"ttft": "Time to first token", "latency": "Latency"}


def rehearsal_charts(records: RehearsalRecords) -> dict[str, list[Chart]]:
    """Charts by what they show: distributions, over_time, quantiles."""
    return {
        "distributions": [_distribution(records, what) for what in _WORDS],
        "over_time": [_over_time(records, what) for what in _WORDS],
        "quantiles": [_quantiles(records, what) for what in _WORDS],
    }


def _distribution(records: RehearsalRecords, what: str) -> Chart:
    rows = records.judged
    curves = {SOURCES[name]: ecdf(records.times_s(name, what)[rows], SHORTEST_S) for name in records.sources()}
    looks = {SOURCES[name]: look for name, look in _LOOKS.items()}
    chart = latency(curves, f"distribution-{what}", f"{_WORDS[what]} of the requests that judge", looks=looks)
    return Chart(chart.id, chart.title, chart.alt, chart.traces, chart.layout, chart.note, chart.height)


def _over_time(records: RehearsalRecords, what: str) -> Chart:
    sent_s = records.answered["sent_s"].to_numpy(np.float64)
    traces: list[dict[str, Any]] = []
    for name in records.sources():
        times = records.times_s(name, what)
        look = line_look(_LOOKS[name])
        if name == "measured":
            marker = {"color": "@pale", "size": 5}
            dots = {"type": "scatter", "mode": "markers", "name": "each request, measured", "marker": marker}
            traces.append(dots | {"x": numbers(sent_s), "y": numbers(times)})
        line = {"type": "scatter", "mode": "lines", "name": SOURCES[name], "line": look}
        traces.append(line | {"x": numbers(sent_s), "y": numbers(_running_median(times))})
    if records.answered["fitted"].any() and records.judged.any():
        at = float(sent_s[records.judged][0])
        ends = [0.0, float(np.nanmax(records.times_s("measured", what)))]
        look = {"color": "@grey", "dash": "dot"}
        name = "the profile is fitted to what is left of this"
        traces.append(
            {"type": "scatter", "mode": "lines", "name": name, "x": numbers([at, at]), "y": numbers(ends), "line": look}
        )
    return Chart(
        f"over-time-{what}",
        f"{_WORDS[what]} over time",
        f"{_WORDS[what]} of each request by when it was sent, with running medians of measured and simulated times.",
        traces,
        {
            "xaxis": {"title": {"text": "sent, in seconds"}},
            "yaxis": {"title": {"text": "seconds"}, "rangemode": "tozero"},
        },
        note=f"Lines are medians of {_AROUND} requests.",
        height=380,
    )


def _running_median(values: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    half = _AROUND // 2
    return [float(np.nanmedian(values[max(i - half, 0) : i + half + 1])) for i in range(len(values))]


def _quantiles(records: RehearsalRecords, what: str) -> Chart:
    rows = records.judged
    x = np.nanquantile(records.times_s("measured", what)[rows], _QUANTILES)
    look = {"color": "@grey", "dash": "dot"}
    ends = numbers([0.0, x[-1]])
    traces: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "lines", "name": "as measured", "x": ends, "y": ends, "line": look}
    ]
    for name in records.sources()[1:]:
        y = np.nanquantile(records.times_s(name, what)[rows], _QUANTILES)
        line = {"type": "scatter", "mode": "lines", "name": SOURCES[name], "line": line_look(_LOOKS[name])}
        traces.append(line | {"x": numbers(x), "y": numbers(y)})
    return Chart(
        f"quantiles-{what}",
        f"{_WORDS[what]}: quantile against quantile",
        f"Quantiles of simulated {_WORDS[what].lower()} against those of measured; on the dotted line they are equal.",
        traces,
        {
            "xaxis": {"title": {"text": "measured, seconds"}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": "simulated, seconds"}, "rangemode": "tozero"},
        },
        note="Above the dotted line simulated requests take longer than measured ones.",
        height=380,
    )
