"""The cost-accuracy plot: one labelled point a policy, the Pareto front, and the baselines to beat."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator, SymmetricalLogLocator

from fleetrec.models.runtime.errors import InputError
from fleetrec.reports.data.quantities import money_tick, number_text
from fleetrec.reports.figures import style
from fleetrec.reports.figures.labels import Box, anchor, place_labels, spread
from fleetrec.simulator.core.money import currency
from fleetrec.simulator.core.notes import PREDICTION_TEXT

_WIDTH_PX, _HEIGHT_PX = 1200, 800
_LEFT, _RIGHT = 0.085, 0.80  # the labels of the baselines stand right of the axes
_LABEL_SIZE = 12.5
_WIDEST = 1.8  # of the dearest policy, how far the axis reaches for an interval
_COLOURS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.ORANGE, style.BLACK, style.SKY)


@dataclass(frozen=True)
class PolicyPoint:
    """One policy's cost and accuracy with their 95% intervals; a cost without one has ends of None."""

    name: str
    cost: float
    accuracy: float
    low: float
    high: float
    cost_low: float | None = None
    cost_high: float | None = None


def cost_accuracy(
    points: Sequence[PolicyPoint],
    baselines: Mapping[str, float],
    path: Path,
    x_label: str,
    y_label: str,
    *,
    front: Sequence[str] = (),
    title: str = "Cost and accuracy of request policies",
    subtitle: str = "",
    footer: Sequence[str] = (PREDICTION_TEXT,),
) -> Path:
    """Draw the plot as a PNG of 1200 x 800 pixels and return its path.

    points: costs at least 0, in the unit that `x_label` names; accuracies in the metric that `y_label` names.
    front: names of the policies on the front, cheapest first, as the comparison found them; none is found here.
    baselines: accuracy by name, drawn as horizontal lines. `footer`: sentences such as "quality of X, cost of Y", the
    split and the cost account. Costs that span more than
    a factor of eight get a logarithmic axis with a linear stretch down to zero, so that free policies stay in sight.
    """
    for point in points:
        values = (point.cost, point.accuracy, point.low, point.high)
        if not all(math.isfinite(value) for value in values) or point.cost < 0:
            raise InputError(f"cost-accuracy plot: policy '{point.name}' has cost, accuracy or interval {values}")
    with style.house_style():
        figure = style.new_figure(_WIDTH_PX, _HEIGHT_PX, layout=None)
        bottom, top = style.frame(figure, title, subtitle, footer)
        axes = figure.add_axes((_LEFT, bottom + 0.085, _RIGHT - _LEFT, top - bottom - 0.105))
        axes.set_ylabel(y_label)
        if points:
            places = {point.name: i for i, point in enumerate(points)}
            _draw(figure, axes, points, [places[name] for name in front if name in places], baselines, x_label)
        else:
            style.empty_panel(axes, "no policy to draw")
        return style.save(figure, path)


def _draw(
    figure: Figure,
    axes: Axes,
    points: Sequence[PolicyPoint],
    front: Sequence[int],
    baselines: Mapping[str, float],
    x_label: str,
) -> None:
    most = max(point.cost for point in points)
    ends = [min(p.cost_high, _WIDEST * most) for p in points if p.cost_high is not None]
    x_end = _cost_axis(axes, [point.cost for point in points], max([most, *ends]), x_label)
    y_low, y_high = _accuracy_range(points, baselines)
    axes.set_ylim(y_low, y_high)
    if front:
        costs = [*(points[i].cost for i in front), x_end]
        heights = [*(points[i].accuracy for i in front), points[front[-1]].accuracy]
        axes.plot(costs, heights, drawstyle="steps-post", color=style.GREY, alpha=0.7, zorder=2)
    for i, p in enumerate(points):
        colour = _COLOURS[i % len(_COLOURS)]
        # Policies of one budget cost about the same: colour and width of the caps tell their intervals apart.
        bar: dict[str, Any] = {
            "color": colour,
            "linewidth": 1.8,
            "capsize": _cap_size(i),
            "capthick": 1.8,
            "zorder": 3,
        }
        across: Any = None
        if p.cost_low is not None and p.cost_high is not None:
            across = [[max(p.cost - p.cost_low, 0.0)], [max(p.cost_high - p.cost, 0.0)]]
        up: Any = [[p.accuracy - p.low], [p.high - p.accuracy]]
        axes.errorbar([p.cost], [p.accuracy], fmt="none", **bar, xerr=across, yerr=up)
        face = colour if i in front or not front else "white"
        look: dict[str, Any] = {"markersize": 10, "markeredgewidth": 2.0, "linestyle": "none", "zorder": 4}
        axes.plot([p.cost], [p.accuracy], marker="o", color=colour, markerfacecolor=face, **look)
    _legend(axes, bool(front), 0 < len(front) < len(points), bool(baselines))
    _baselines(axes, baselines, y_low, y_high)
    figure.draw_without_rendering()
    _label_points(axes, points, front, baselines, x_end)


def _cap_size(i: int) -> float:
    """Half the width of the caps of policy i's interval, in points."""
    return 4.0 + 3 * (i % 3)


def _cost_axis(axes: Axes, costs: Sequence[float], most: float, x_label: str) -> float:
    """Scale the axis of costs, which reaches to `most` and a little beyond; returns its end."""
    least = min((cost for cost in costs if cost > 0), default=0.0)
    priced = x_label.startswith((currency().code, currency().label))

    def text(value: float) -> str:
        return money_tick(value) if priced else number_text(value)

    ticks = FuncFormatter(lambda value, _: text(value))
    axes.xaxis.set_major_formatter(ticks)
    if not least:
        axes.set_xlim(-0.06, 1.0)
        axes.set_xticks([0.0])
        axes.set_xlabel(f"{x_label} (every policy costs nothing)")
        return 1.0
    axes.set_xlabel(x_label)
    if min(costs) > 0.7 * most:
        margin = max(0.3 * (most - least), 0.03 * most)
        axes.set_xlim(least - margin, most + margin)
        return most + margin
    if most <= 8 * least:
        axes.set_xlim(-0.06 * most if min(costs) == 0 else 0.0, most * 1.14)
        return most * 1.14
    # Under a hundredth of the dearest a policy is as good as free, and a longer axis would squeeze the others.
    threshold = math.pow(10.0, math.floor(math.log10(max(least * 0.999, most / 100))))
    axes.set_xscale("symlog", linthresh=threshold, linscale=0.5)
    axes.xaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=threshold))
    axes.xaxis.set_major_formatter(ticks)
    minor = SymmetricalLogLocator(base=10, linthresh=threshold, subs=[2, 3, 4, 5, 6, 7, 8, 9])
    axes.xaxis.set_minor_locator(minor if most > threshold else NullLocator())
    end = most * math.pow(most / threshold, 0.12)
    axes.set_xlim(-0.16 * threshold, end)
    axes.axvline(threshold, color=style.GREY, linewidth=1.0, linestyle=(0, (1, 3)), zorder=1)
    axes.set_xlabel(f"{x_label}\n(logarithmic from {text(threshold)} on, linear below)")
    return end


def _accuracy_range(points: Sequence[PolicyPoint], baselines: Mapping[str, float]) -> tuple[float, float]:
    """All policies and every better baseline; worse baselines where they do not squeeze the policies."""
    low, high = min(p.low for p in points), max([*(p.high for p in points), *baselines.values()])
    reach = high - 1.8 * max(high - low, 0.1 * high, 1e-3)
    low = min([low, *(value for value in baselines.values() if value >= reach)])
    margin = 0.08 * max(high - low, 0.02 * high, 1e-4)
    return max(0.0, low - margin), high + margin


def _legend(axes: Axes, front: bool, beaten: bool, baselines: bool) -> None:
    shown, names = [], []
    if front:
        shown.append(axes.plot([], [], color=style.GREY, marker="o", markersize=10)[0])
        names.append("Pareto front")
    if beaten:
        (hollow,) = axes.plot([], [], color=style.GREY, marker="o", markerfacecolor="white", linestyle="none")
        hollow.set(markersize=10, markeredgewidth=2.0)
        shown.append(hollow)
        names.append("another policy is as accurate and no dearer")
    shown.append(axes.plot([], [], color=style.GREY, marker="|", linestyle="none", markersize=14, markeredgewidth=2)[0])
    names.append("95% interval")
    if baselines:
        shown.append(axes.plot([], [], color=style.GREY, linewidth=1.2, linestyle=(0, (5, 4)))[0])
        names.append("baseline")
    axes.legend(shown, names, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, borderaxespad=0.1, fontsize=10.5)


def _baselines(axes: Axes, baselines: Mapping[str, float], y_low: float, y_high: float) -> None:
    names = sorted(baselines, key=lambda name: (baselines[name], name))
    height_px = axes.bbox.height
    seen = [min(max(baselines[name], y_low), y_high) for name in names]
    wanted = [(value - y_low) / (y_high - y_low) * height_px for value in seen]
    label_px = _LABEL_SIZE * style.DPI / 72 * 1.35
    places = spread(wanted, label_px, label_px / 2, height_px - label_px / 2)
    for name, value, start_px, place_px in zip(names, seen, wanted, places, strict=True):
        outside = baselines[name] < y_low
        if not outside:
            axes.axhline(value, color=style.GREY, linewidth=1.2, linestyle=(0, (5, 4)), zorder=1)
        axes.plot(
            [1.0, 1.018],
            [start_px / height_px, place_px / height_px],
            transform=axes.transAxes,
            color=style.GREY,
            linewidth=1.0,
            linestyle=":" if outside else "-",
            clip_on=False,
        )
        text = f"{name} {baselines[name]:.4f}" + (" (below)" if outside else "")
        axes.text(
            1.022, place_px / height_px, text, transform=axes.transAxes, va="center", fontsize=11.5, color="#333333"
        )


def _label_points(
    axes: Axes, points: Sequence[PolicyPoint], front: Sequence[int], baselines: Mapping[str, float], x_end: float
) -> None:
    def pixel(x: float, y: float) -> tuple[float, float]:
        place = axes.transData.transform((x, y))
        return float(place[0]), float(place[1])

    places = [pixel(p.cost, p.accuracy) for p in points]
    colours = [tuple(style.DARKER * part for part in to_rgb(_COLOURS[i % len(_COLOURS)])) for i in range(len(points))]
    look: dict[str, Any] = {"fontsize": _LABEL_SIZE, "zorder": 6, "va": "bottom", "ha": "left"}
    texts = [axes.text(0, 0, p.name, color=colour, **look) for p, colour in zip(points, colours, strict=True)]
    extents = [text.get_window_extent() for text in texts]
    markers = [Box(x - 7, y - 7, x + 7, y + 7) for x, y in places]
    caps = [_cap_size(i) * style.DPI / 72 + 3 for i in range(len(points))]
    bars = [
        Box(x - cap, pixel(p.cost, p.low)[1] - 2, x + cap, pixel(p.cost, p.high)[1] + 2)
        for (x, _), p, cap in zip(places, points, caps, strict=True)
    ]
    for (_, y), p, cap in zip(places, points, caps, strict=True):
        if p.cost_low is not None and p.cost_high is not None:
            bars.append(Box(pixel(p.cost_low, 0)[0] - 2, y - cap, pixel(p.cost_high, 0)[0] + 2, y + cap))
    corners = [places[i] for i in front] + [pixel(x_end, points[i].accuracy) for i in front[-1:]]
    steps = [
        box
        for (x0, y0), (x1, y1) in pairwise(corners)
        for box in (Box(x0, y0 - 2, x1, y0 + 2), Box(x1 - 2, min(y0, y1), x1 + 2, max(y0, y1)))
    ]
    left, right = axes.bbox.x0, axes.bbox.x1
    lines = [Box(left, y - 1, right, y + 1) for y in (pixel(0, value)[1] for value in baselines.values())]
    frame = Box(left + 4, axes.bbox.y0 + 4, right - 4, axes.bbox.y1 - 4)
    sizes = [(extent.width + 2.0, extent.height) for extent in extents]
    labels = place_labels(places, sizes, frame, [*markers, *bars, *steps], lines)
    back = axes.transData.inverted()
    for text, place, label in zip(texts, places, labels, strict=True):
        text.set_position(tuple(back.transform((label.box.x0 + 1, label.box.y0))))
        if label.leader:
            ends = back.transform([place, anchor(place, label.box)])
            axes.plot(ends[:, 0], ends[:, 1], color=style.GREY, linewidth=0.9, zorder=2.5)
