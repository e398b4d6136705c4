"""Charts as static pictures: what the HTML report draws with Plotly, drawn by Matplotlib for papers and slides."""

import html
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from fleetrec.reports.charts.run_charts import Chart
from fleetrec.reports.charts.time_scale import date_ticks
from fleetrec.reports.data.metric_names import WORLDS
from fleetrec.reports.data.quantities import money_tick, share_text
from fleetrec.reports.figures import style

_COLOURS = {
    "@ink": style.BLACK,
    "@grey": style.GREY,
    "@blue": style.BLUE,
    "@vermilion": style.VERMILION,
    "@green": style.GREEN,
    "@purple": style.PURPLE,
    "@orange": style.ORANGE,
    "@sky": style.SKY,
    "@pale": style.PALE,
    "@band": style.BLUE,
    "@area": style.PALE,
}
_DASHES: Mapping[str, Any] = {
    "solid": "-",
    "dash": (0, (5, 3)),
    "dot": (0, (1.2, 1.6)),
    "dashdot": (0, (5, 2, 1, 2)),
    "longdash": (0, (9, 3)),
    "longdashdot": (0, (9, 3, 1, 3)),
}
# Beyond so many letters the labels of the horizontal axis are turned, and the legend moves out of their way.
_TICK_LETTERS = 110
_LEGEND_BELOW_IN = {False: 0.62, True: 1.1}
_DAY_MS = 86_400_000.0
_MARKERS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-down": "v",
    "cross": "P",
    "x": "X",
    "star": "*",
}


def draw_chart(chart: Chart, folder: Path, title: str, subtitle: str, footer: Sequence[str]) -> list[Path]:
    """Draw a chart as `<id>.png` and `<id>.svg` of `folder`; their paths."""
    with style.house_style():
        labels = [label for trace in chart.traces if (label := _label(trace))]
        rows = -(-len(labels) // _columns(labels)) if labels else 0
        figure = style.new_figure(1200, chart.height * 6 // 5 + 210 + 26 * rows)
        style.frame(figure, title, subtitle, footer)
        axes = figure.subplots()
        world = WORLDS[chart.world]
        axes.set_title(html.unescape(chart.title) + (f", {world}" if world else ""))
        if chart.traces:
            _draw(axes, chart)
        else:
            style.empty_panel(axes, "no run here has such records")
        return style.save_as(figure, folder / chart.id.replace("-", "_"))


def _draw(axes: Axes, chart: Chart) -> None:
    bars = [trace for trace in chart.traces if trace["type"] == "bar"]
    traces, layout = _dated(chart)
    for i, trace in enumerate(traces):
        if trace["type"] == "bar":
            _bars(axes, trace, bars.index(chart.traces[i]), len(bars))
        elif trace.get("fill") == "tonexty":
            _, low = _points(traces[i - 1])
            x, high = _points(trace)
            axes.fill_between(x, low, high, color=_COLOURS[trace["fillcolor"]], alpha=0.18, linewidth=0)
        elif "lines" in trace.get("mode", "") and trace["line"].get("width") != 0:
            _line(axes, trace)
        elif "markers" in trace.get("mode", ""):
            _markers(axes, trace)
    for name in ("x", "y"):
        _axis(axes, name, layout.get(f"{name}axis") or {})
    for label in layout.get("annotations") or ():
        at, right = (label["x"], label["y"]), (label.get("xshift", 0), 0)
        text = html.unescape(label["text"])
        axes.annotate(text, at, xytext=right, textcoords="offset points", va="center", ha="left", fontsize=11)
    crowded = sum(len(label.get_text()) for label in axes.get_xticklabels()) > _TICK_LETTERS
    if crowded:
        axes.tick_params(axis="x", labelrotation=18)
        for label in axes.get_xticklabels():
            label.set_horizontalalignment("right")
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        columns = _columns(labels)
        below = axes.transAxes + ScaledTranslation(0.0, -_LEGEND_BELOW_IN[crowded], axes.figure.dpi_scale_trans)
        axes.legend(handles, labels, loc="upper left", bbox_to_anchor=(0.0, 0.0), bbox_transform=below, ncols=columns)


def _columns(labels: Sequence[str]) -> int:
    """How many columns of a legend fit the figure's width."""
    longest = max(map(len, labels))
    return 4 if longest <= 24 else 2 if longest <= 58 else 1


def _dated(chart: Chart) -> tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]:
    """Traces and layout with Plotly's milliseconds of a calendar as Matplotlib's days."""
    axis = chart.layout.get("xaxis") or {}
    if axis.get("type") != "date":
        return chart.traces, chart.layout
    traces = [{**trace, "x": [x / _DAY_MS for x in trace["x"]]} for trace in chart.traces]
    return traces, {**chart.layout, "xaxis": axis | {"range": [end / _DAY_MS for end in axis["range"]]}}


def _points(trace: Mapping[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and y, NaN where there is none."""
    x, y = (np.array([np.nan if value is None else value for value in trace[name]], np.float64) for name in ("x", "y"))
    return x, y


def _label(trace: Mapping[str, Any]) -> str | None:
    if not trace.get("showlegend", True) or not trace.get("name"):
        return None
    name = html.unescape(trace["name"])
    return f" {name}" if name.startswith("_") else name  # Matplotlib leaves a label that starts with "_" out


def _line(axes: Axes, trace: Mapping[str, Any]) -> None:
    x, y = _points(trace)
    line = trace["line"]
    steps = "steps-post" if line.get("shape") == "hv" else "default"
    look: dict[str, Any] = {"color": _COLOURS[line["color"]], "linestyle": _DASHES[line.get("dash", "solid")]}
    if trace.get("fill") == "tozeroy":
        step: Any = "post" if steps == "steps-post" else None
        axes.fill_between(x, 0.0, y, step=step, color=_COLOURS[trace["fillcolor"]], alpha=0.45, linewidth=0)
    if "markers" in trace["mode"]:
        look |= {"marker": _MARKERS[trace["marker"].get("symbol", "circle")], "markersize": 8}
    axes.plot(x, y, drawstyle=steps, linewidth=line.get("width", 2), label=_label(trace), **look)


def _markers(axes: Axes, trace: Mapping[str, Any]) -> None:
    x, y = _points(trace)
    marker = trace["marker"]
    look = {"color": _COLOURS[marker["color"]], "markersize": 0.8 * marker.get("size", 8)}
    look |= {"alpha": marker.get("opacity")}
    errors: dict[str, Any] = {}
    for name in ("x", "y"):
        bar = trace.get(f"error_{name}")
        errors[f"{name}err"] = [bar["arrayminus"], bar["array"]] if bar else None
    many = len(x) > 40
    axes.errorbar(
        x,
        y,
        fmt=_MARKERS[marker.get("symbol", "circle")],
        label=_label(trace),
        linestyle="none",
        elinewidth=0.6 if many else 1.4,
        capsize=0 if many else 3,
        **errors,
        **look,
    )


def _bars(axes: Axes, trace: Mapping[str, Any], place: int, of: int) -> None:
    """Horizontal bars, the trace's own place among those that stand side by side."""
    x, y = _points(trace)
    marker, errors = trace["marker"], trace.get("error_x")
    colours = [marker["color"]] * len(x) if isinstance(marker["color"], str) else marker["color"]
    look: dict[str, Any] = {"color": [_COLOURS[name] for name in colours], "edgecolor": style.GREY, "linewidth": 0.6}
    if errors:
        bars = {"elinewidth": 1.4, "capsize": 4, "ecolor": style.BLACK}
        look |= {"xerr": [errors["arrayminus"], errors["array"]], "error_kw": bars}
    at = y + 0.8 * ((place + 0.5) / of - 0.5)
    axes.barh(at, x, height=0.8 / of, alpha=marker.get("opacity"), label=_label(trace), **look)


def _axis(axes: Axes, name: str, held: Mapping[str, Any]) -> None:
    axis = axes.xaxis if name == "x" else axes.yaxis
    if held.get("type") == "date":
        date_ticks(axes)
    axis.set_label_text(html.unescape((held.get("title") or {}).get("text", "")))
    limits = axes.set_xlim if name == "x" else axes.set_ylim
    if held.get("type") == "log":
        (axes.set_xscale if name == "x" else axes.set_yscale)("log")
        axis.set_minor_formatter(NullFormatter())
    if held.get("tickvals"):
        texts = [html.unescape(str(text)) for text in held.get("ticktext") or held["tickvals"]]
        axis.set_ticks(
            held["tickvals"], ["\n".join(textwrap.wrap(text, 38)) for text in texts] if name == "y" else texts
        )
        axis.set_minor_locator(NullLocator())
    if held.get("tickformat") == ".0%":
        axis.set_major_formatter(FuncFormatter(lambda value, _: share_text(value)))
    if str(held.get("tickformat")).startswith("$"):
        axis.set_major_formatter(FuncFormatter(lambda value, _: money_tick(value)))
    if held.get("range"):
        limits(*(10.0 ** np.array(held["range"]) if held.get("type") == "log" else held["range"]))
    elif held.get("rangemode") == "tozero":
        limits(0.0)
    if held.get("autorange") == "reversed":
        axis.set_inverted(True)
        axes.grid(axis="y", visible=False)
