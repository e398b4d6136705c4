"""The pictures of a decision: what it hangs on (a tornado), what policies add and cost, from which quality it pays."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fleetrec.reports.charts.run_charts import COLOURS, Chart, named_rows, numbers, plain
from fleetrec.reports.data.quantities import money_ticks, told
from fleetrec.simulator.core.money import currency
from fleetrec.simulator.results.engagement import metric_words
from fleetrec.simulator.results.sentences import money, signed

_Rows = Sequence[Mapping[str, Any]]

QUALITY = "LLM quality"


def decision_charts(decision: Mapping[str, Any]) -> list[Chart]:
    """The tornado first, where the chosen policy was simulated in other circumstances; then policies, then quality."""
    axes = decision["axes"]
    quality = next((axis for axis in axes if axis["axis"] == QUALITY), None)
    held = [_tornado(decision, axes) if axes else None, _policies(decision)]
    held += [_quality(decision, quality)] if quality else []
    return [chart for chart in held if chart is not None]


def value_text(decision: Mapping[str, Any], value: float) -> str:
    """A value of a policy: dollars a month, or accuracy where no worth of it is known."""
    if decision["value"]["worth_usd"] is None:
        return signed(value)
    return f"{money(value)} a month"


def value_label(decision: Mapping[str, Any]) -> str:
    """What the value of a policy is."""
    metric = metric_words(decision["metric"])
    if decision["value"]["worth_usd"] is None:
        return f"{metric} added to the best that needs no cloud"
    return f"{currency().label} left a month"


def _value_axis(decision: Mapping[str, Any], values: Sequence[float]) -> dict[str, Any]:
    ticks = {} if decision["value"]["worth_usd"] is None else money_ticks(max(map(abs, values)))
    return {"title": {"text": value_label(decision)}, **ticks}


def _on_axis(decision: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    """A value of a policy with its interval, as its axis has it."""
    return value if decision["value"]["worth_usd"] is None else _money(value)


def _money(spent: Mapping[str, Any]) -> dict[str, Any]:
    return {end: None if usd is None else told(usd) for end, usd in spent.items()}


def _tornado(decision: Mapping[str, Any], axes: _Rows) -> Chart:
    traces: list[dict[str, Any]] = []
    every: list[float] = []
    base = next(point for point in axes[0]["points"] if point["name"] == axes[0]["base"])
    for place, axis in enumerate(axes):
        values = [_on_axis(decision, point["value"])["mean"] for point in axis["points"]]
        every += values
        ends = numbers([min(values), max(values)])
        traces.append(
            _line(plain(axis["axis"]), ends, [place, place], {"color": COLOURS[place % 7], "width": 14}, False)
        )
        texts = [f"{plain(point['name'])}: {value_text(decision, point['value']['mean'])}" for point in axis["points"]]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "a circumstance that was simulated",
                "showlegend": place == 0,
                "x": numbers(values),
                "y": [place] * len(values),
                "marker": {"color": "@ink", "symbol": "circle", "size": 7},
                "text": texts,
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    ends_y = [-0.6, len(axes) - 0.4]
    at = numbers([_on_axis(decision, base["value"])["mean"]] * 2)
    traces.append(_line("as the scenario has it", at, ends_y, {"color": "@ink", "width": 1.5, "dash": "dash"}))
    traces.append(_line("nothing gained by calling", [0.0, 0.0], ends_y, {"color": "@grey", "width": 2}))
    title = f"What the decision on “{plain(decision['policy'])}” hangs on"
    layout = {"xaxis": _value_axis(decision, every), "yaxis": named_rows([_tried(axis) for axis in axes])}
    note = (
        "A bar spans what is left, or added, over the circumstances tried on one axis, all else as in the scenario; "
        "where it crosses the grey line, the answer turns. The table below has each point with its interval."
    )
    return Chart(
        "decision", title, f"{title}; the table below has the figures.", traces, layout, note, 170 + 44 * len(axes)
    )


def _tried(axis: Mapping[str, Any]) -> str:
    """An axis with what was tried on it."""
    base = axis["base"]
    names = [p["name"].removeprefix(f"{base}, ").split(": ", 1)[-1] for p in axis["points"] if p["name"] != base]
    if axis["how"] == "accounted anew":
        return str(axis["axis"])
    return f"{axis['axis']}: {names[0]} to {names[-1]}" if len(names) > 1 else f"{axis['axis']}: {names[0]}"


def _policies(decision: Mapping[str, Any]) -> Chart:
    metric = metric_words(decision["metric"])
    traces = []
    for place, row in enumerate(decision["policies"]):
        name = plain(row["policy"]) + ("" if row["calls"] else " (does not count as calling)")
        spent, gain = _money(row["usd_per_month"]), row["gain_over_best"]
        marker = {"color": COLOURS[place % len(COLOURS)], "symbol": "circle", "size": 11}
        hover = f"{name}: {money(row['usd_per_month']['mean'])} a month, {signed(gain['mean'])}"
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": numbers([spent["mean"]]),
                "y": numbers([gain["mean"]]),
                "error_x": _ends([spent]),
                "error_y": _ends([gain]),
                "marker": marker,
                "text": [hover],
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    months = [_money(row["usd_per_month"]) for row in decision["policies"]]
    most = max(_or(month["high"], month["mean"]) for month in months)
    worth, count = decision["value"]["worth_usd"], decision["interactions_per_month"]
    if worth is not None and most > 0:
        at = most / (count / 1000) / told(worth) * 0.01
        line = {"color": "@grey", "width": 1.5, "dash": "dash"}
        traces.append(
            _line("worth what it costs: above this line it pays", numbers([0.0, most]), numbers([0.0, at]), line)
        )
    traces.append(
        _line("the best that needs no cloud", numbers([0.0, most]), [0.0, 0.0], {"color": "@ink", "width": 1.5})
    )
    layout = {
        "xaxis": {
            "title": {"text": f"{currency().label} a month of the represented fleet"},
            "rangemode": "tozero",
            **money_ticks(most),
        },
        "yaxis": {"title": {"text": f"{metric} added"}},
    }
    title = f"What each policy adds, in {metric}, and costs a month"
    note = "Bars are each policy's own 95% intervals."
    return Chart("policies", title, f"{title}; the table has the figures.", traces, layout, note, 420)


def _quality(decision: Mapping[str, Any], axis: Mapping[str, Any]) -> Chart | None:
    points = sorted((p for p in axis["points"] if p["list_ndcg"] is not None), key=lambda point: point["list_ndcg"])
    if len(points) < 2:
        return None
    x = numbers([point["list_ndcg"] for point in points])
    values = [_on_axis(decision, point["value"]) for point in points]
    texts = [f"{plain(p['name'])}: {value_text(decision, p['value']['mean'])}" for p in points]
    y = numbers([value["mean"] for value in values])
    traces: list[dict[str, Any]] = [
        _line("by the quality of lists", x, y, {"color": "@blue", "width": 2}),
        {
            "type": "scatter",
            "mode": "markers",
            "name": "simulated, with its 95% interval",
            "x": x,
            "y": y,
            "error_y": _ends(values),
            "marker": {"color": "@blue", "symbol": "circle", "size": 9},
            "text": texts,
            "hovertemplate": "%{text}<extra></extra>",
        },
    ]
    own = next((point for point in points if point["name"] == axis["base"]), None)
    low = min(_or(value["low"], value["mean"]) for value in values)
    high = max(_or(value["high"], value["mean"]) for value in values)
    marked = {} if own is None else {"the scenario's own LLM": own["list_ndcg"]}
    for place, (name, at) in enumerate([*marked.items(), *decision["marks"].items()]):
        look = {"color": COLOURS[(place + 1) % len(COLOURS)], "width": 2, "dash": "dot"}
        traces.append(_line(f"{plain(name)}: {at:.4f}", numbers([at, at]), numbers([low, high]), look))
    traces.append(_line("nothing gained by calling", [x[0], x[-1]], [0.0, 0.0], {"color": "@grey", "width": 2}))
    layout = {
        "xaxis": {"title": {"text": "NDCG@10 of fresh lists in the LLM's own order"}},
        "yaxis": _value_axis(decision, [value["mean"] for value in values]),
    }
    title = "From which quality of the LLM on calling pays"
    note = (
        "Lists are the scenario's own, blended with popular items or knowing the next item with a given chance "
        "(llm.quality); each point is simulated, and between points the line is drawn straight."
    )
    return Chart("quality", title, f"{title}; the table has the figures.", traces, layout, note, 420)


def _line(
    name: str, x: Sequence[float | None], y: Sequence[float | None], look: Mapping[str, Any], legend: bool = True
) -> dict[str, Any]:
    trace = {"type": "scatter", "mode": "lines", "name": name, "x": list(x), "y": list(y), "line": dict(look)}
    return trace | {"hoverinfo": "skip", "showlegend": legend}


def _ends(values: _Rows) -> dict[str, Any]:
    up = [max(_or(value["high"], value["mean"]) - value["mean"], 0.0) for value in values]
    down = [max(value["mean"] - _or(value["low"], value["mean"]), 0.0) for value in values]
    return {"type": "data", "symmetric": False, "array": numbers(up), "arrayminus": numbers(down)}


def _or(value: float | None, otherwise: float) -> float:
    return value if value is not None and math.isfinite(value) else otherwise
