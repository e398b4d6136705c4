"""Bar charts: shares by cause in greys, and what policies cost, each account as its table states it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fleetrec.reports.charts.run_charts import COLOURS, Chart, named_rows, numbers, plain, rows_height
from fleetrec.reports.data.estimates import Estimate
from fleetrec.reports.data.quantities import number_text, told
from fleetrec.simulator.core.money import currency
from fleetrec.simulator.results.sentences import money

ACCOUNTS_NOTE = (
    "Provisioned: of the represented fleet, on the replicas that it needs. Marginal: of the simulated phones, what "
    "their requests used. Each is drawn as its table states it; small fleets use GPUs badly, so marginal can be dearer."
)
_GREYS = ("@grey", "@pale", "@ink")  # parts are no policies, so they have no policy's colour
_SHADES = (1.0, 0.45)


def grouped(id_: str, title: str, names: Sequence[str], parts: Mapping[str, Sequence[float]], unit: str) -> Chart:
    """Horizontal bars side by side: a group a name, the first on top, a grey a part."""
    traces = []
    for i, (part, values) in enumerate(parts.items()):
        trace = {"type": "bar", "orientation": "h", "name": plain(part), "x": numbers(values)}
        look = {"marker": {"color": _GREYS[i % len(_GREYS)]}, "textposition": "none"}
        hover = {"text": [number_text(value) for value in values], "hovertemplate": "%{text}<extra></extra>"}
        traces.append(trace | {"y": list(range(len(names)))} | look | hover)
    layout = {
        "barmode": "group",
        "xaxis": {"title": {"text": unit}, "rangemode": "tozero"},
        "yaxis": named_rows(names),
    }
    height = 150 + 26 * len(names) * len(parts)
    return Chart(id_, title, f"{title}, in {unit}.", traces, layout, height=height)


def accounts(
    names: Sequence[str],
    held: Mapping[str, Sequence[Estimate]],
    looks: Sequence[int],
    note: str,
    months: Mapping[str, Sequence[float]],
) -> Chart:
    """What each policy costs by account, drawn as stated: nothing is taken off one account to show the other.

    held: an account's estimates, one a name; NaN where it has none. looks: the number of each policy's colour. The
    first account has the full colour, the next a paler one; each bar says its value, and
    the dollars a month of the fleet beside it (`months`, likewise).
    """
    traces: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    most = 0.0
    for i, ((account, estimates), shade) in enumerate(zip(held.items(), _SHADES, strict=False)):
        for place, e in enumerate(estimates):
            month = months[account][place]
            text = money(e.mean) if math.isfinite(e.mean) else "none"
            text += f" ({money(month)} a month)" if math.isfinite(month) else ""
            end = max((told(value) for value in (e.mean, e.high) if math.isfinite(value)), default=0.0)
            most = max(most, end)
            spot = {"x": float(f"{end:.5g}"), "y": place + 0.4 * i - 0.2 * (len(held) - 1)}
            labels.append({**spot, "text": text, "xanchor": "left", "xshift": 8, "showarrow": False})
        up = [told(e.high - e.mean) for e in estimates]
        down = [told(e.mean - e.low) for e in estimates]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": account,
                "showlegend": False,
                "x": numbers([0.0 if math.isnan(e.mean) else told(e.mean) for e in estimates]),
                "y": list(range(len(names))),
                "marker": {"color": [COLOURS[place % len(COLOURS)] for place in looks], "opacity": shade},
                "error_x": {"type": "data", "symmetric": False, "array": _lengths(up), "arrayminus": _lengths(down)}
                | {"color": "@ink", "thickness": 1.4, "width": 4},
                "text": [
                    f"{plain(name)}, {account}: {money(e.mean)}" for name, e in zip(names, estimates, strict=True)
                ],
                "textposition": "none",
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    unit = f"{currency().label} per 1,000 interactions"
    layout = {
        "barmode": "group",
        "xaxis": {"title": {"text": unit}, "range": [0.0, 2.1 * (most or 1.0)]},
        "yaxis": named_rows(names),
        "annotations": labels,
    }
    title = f"What it costs: {' and '.join(f'{a} ({s})' for a, s in zip(held, ('full colour', 'pale'), strict=False))}"
    alt = f"{title}, in {unit}; the table below has the figures."
    return Chart("cost", title, alt, traces, layout, note, rows_height(names, 34 * len(held)))


def _lengths(values: Sequence[float]) -> list[float | None]:
    """Lengths of error bars; 0 where there is no interval."""
    return numbers([0.0 if math.isnan(value) else max(value, 0.0) for value in values])
