"""The four pictures of a run, drawn from its folder alone: accuracy over time, latency, freshness, cost.

How to read each of them is in docs/reference/figures.md.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from fleetrec.reports.charts.time_scale import TimeScale, common_scale
from fleetrec.reports.data import series
from fleetrec.reports.data.estimates import Ecdf, GroupedShares, time_edges
from fleetrec.reports.data.quantities import number_text, seconds_text, share_text
from fleetrec.reports.data.run_folder import RunRecords, figure_footer, read_run, setting
from fleetrec.reports.data.series import SHORTEST_S
from fleetrec.reports.figures import style
from fleetrec.reports.figures.cost_panels import draw_cost
from fleetrec.reports.figures.labels import spread

RUN_FIGURES = ("accuracy_over_time", "latency", "freshness_and_rank", "cost")

_FEW = 20  # groups of fewer interactions are drawn pale and do not set an axis


def draw_run(of: Path | RunRecords, svg: bool = False, names: Sequence[str] = RUN_FIGURES) -> list[Path]:
    """Draw a run's figures into `figures/` of its folder, PNG and, if asked, SVG. Paths: docs/reference/figures.md.

    `of`: the folder, or what was read of it. InputError where it is not a whole run. A run without interactions,
    requests or lists gives panels that say so.
    """
    run = read_run(of) if isinstance(of, Path) else of
    drawings: Mapping[str, tuple[str, int, Callable[[Figure, RunRecords], None]]] = {
        "accuracy_over_time": ("accuracy beside load and queue of the simulated phones", 1080, _accuracy_over_time),
        "latency": ("latency of the simulated phones", 800, _latency),
        "freshness_and_rank": ("freshness and rank of the simulated phones", 880, _freshness),
        "cost": ("cost, of the simulated phones but for the provisioned account", 860, draw_cost),
    }
    paths: list[Path] = []
    with style.house_style():
        for name in names:
            subject, height_px, draw = drawings[name]
            figure = style.new_figure(1200, height_px)
            headline = str(run.summary.get("headline") or "")
            style.frame(figure, f"{run.title}: {subject}", headline, figure_footer(run.summary))
            draw(figure, run)
            paths += style.save_as(
                figure, run.folder / "figures" / name, (".png", ".svg") if svg else (".png",), run.run
            )
    return paths


# ------------------------------------------------------------------------------------- accuracy, load and queue


def _accuracy_over_time(figure: Figure, run: RunRecords) -> None:
    panels = figure.subplots(4, 1, sharex=True, height_ratios=[2.3, 1.1, 1, 1])
    scale = common_scale([run.span_s], [run.summary])
    edges_s = time_edges(run.span_s, 60)
    _accuracy_panel(panels[0], run, scale)
    _load_panel(panels[1], run, edges_s, scale)
    _cloud_panels(panels[2], panels[3], run, edges_s, scale)
    for axes in panels:
        axes.set_xlim(*scale.places([0.0, max(run.span_s, 1.0)]))
        axes.tick_params(labelbottom=axes is panels[-1])
    scale.label_axis(panels[-1])


def _accuracy_panel(axes: Axes, run: RunRecords, scale: TimeScale) -> None:
    k, seen = run.k, series.accuracy_over_time(run)
    axes.set_title("accuracy of the slate")
    if seen is None:
        _note(axes, "no interaction took place")
        return
    hr, ndcg, centre, n_groups = seen.hr, seen.ndcg, scale.places(seen.centre_s), len(seen.ndcg)
    marker = "o" if n_groups <= 60 else ""
    if n_groups == 1:
        spread_bar = [hr.share - hr.low, hr.high - hr.share]
        axes.errorbar(centre, hr.share, yerr=spread_bar, color=style.BLUE, capsize=5, linestyle="none")
    axes.fill_between(centre, hr.low, hr.high, color=style.BLUE, alpha=0.18, linewidth=0)
    axes.plot(centre, hr.share, color=style.BLUE, marker=marker, markersize=4.5, label=f"HR@{k} with 95% band")
    axes.plot(centre, ndcg, color=style.ORANGE, marker=marker, markersize=4.5, linestyle="--", label=f"NDCG@{k}")
    baselines = run.baselines(f"hr@{k}")
    axes.set_ylim(0.0, _accuracy_top(hr, max(baselines.values(), default=0.0)))
    axes.set_ylabel(f"HR@{k}, NDCG@{k}")
    _baseline_lines(axes, baselines)
    label = f"baselines, HR@{k}, whole run"
    if baselines:
        axes.plot([], [], color=style.GREY, linewidth=1.1, linestyle=(0, (5, 4)), label=label)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, borderaxespad=0.2)


def _accuracy_top(estimates: GroupedShares, least: float) -> float:
    """The top of an accuracy axis: a group of few users has an interval from floor to ceiling, so others decide it."""
    if estimates.count.max() < _FEW:
        return 1.02
    steady = estimates.high[estimates.high - estimates.low <= 0.25]
    shares = estimates.share[estimates.count >= _FEW]
    return min(1.02, float(max([*steady, *shares, least, 0.01])) * 1.12)


def _baseline_lines(axes: Axes, baselines: Mapping[str, float]) -> None:
    """Dashed lines with their names in a column right of the axes."""
    names = sorted(baselines, key=lambda name: (baselines[name], name))
    top = axes.get_ylim()[1]
    places = spread([baselines[name] / top for name in names], 0.075, 0.03, 0.97)
    for name, place in zip(names, places, strict=True):
        value = baselines[name]
        axes.axhline(value, color=style.GREY, linewidth=1.1, linestyle=(0, (5, 4)), zorder=1)
        ends = [value / top, place]
        axes.plot([1.0, 1.012], ends, transform=axes.transAxes, color=style.GREY, linewidth=1, clip_on=False)
        text = f"{name} {value:.3f}"
        axes.text(1.015, place, text, transform=axes.transAxes, va="center", fontsize=10.5, color="#333333")


def _load_panel(axes: Axes, run: RunRecords, edges_s: NDArray[np.float64], scale: TimeScale) -> None:
    load = series.load_over_time(run, edges_s)
    per_s, per = series.rate_unit(load.interactions_per_s)
    axes.set_title("load on the fleet and on the cloud")
    axes.set_ylabel(f"per {per}")
    axes.stairs(
        load.interactions_per_s * per_s, scale.places(edges_s), color=style.SKY, fill=True, label="interactions"
    )
    if len(run.requests):
        rate = load.requests_per_s * per_s
        axes.stairs(rate, scale.places(edges_s), color=style.VERMILION, linewidth=2, label="requests")
    else:
        axes.plot([], [], color=style.VERMILION, label="requests: none were issued")
    axes.set_ylim(bottom=0.0)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.2)


def _cloud_panels(queue: Axes, busy: Axes, run: RunRecords, edges_s: NDArray[np.float64], scale: TimeScale) -> None:
    on_cpu = series.on_cpu(run)
    queue.set_title("longest queue at the cloud")
    queue.set_ylabel("waiting")
    busy.set_title("cloud CPU cores at work" if on_cpu else "replicas at work, and up")
    busy.set_ylabel("busy, mean")
    seen = series.cloud_over_time(run, edges_s)
    if seen is None:
        for axes in (queue, busy):
            _note(axes, "no request reached the cloud" if len(run.requests) else "no request was issued")
        return
    edges = scale.places(edges_s)
    queue.stairs(seen.queue, edges, color=style.ORANGE, fill=True)
    queue.set_ylim(0.0, max(1.0, float(np.nanmax(seen.queue)) * 1.1))
    queue.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    label = f"mean over the run: {number_text(seen.busy_in_the_mean)}"
    busy.stairs(seen.busy, edges, color=style.GREEN, fill=True, label=label)
    busy.set_ylim(0.0, max(float(np.nanmax(seen.busy)) * 1.15, 1e-9))
    busy.yaxis.set_major_locator(MaxNLocator(4))
    if not on_cpu and np.nanmax(seen.busy) > 0.3 * np.nanmax(seen.up):
        busy.stairs(seen.up, edges, color=style.BLACK, linewidth=1.2, linestyle=":", label="up", baseline=None)
        busy.set_ylim(0.0, float(np.nanmax(seen.up)) * 1.15)
    busy.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.2)


def _note(axes: Axes, reason: str) -> None:
    """A sentence inside axes that share their time axis with others, and so must stay."""
    axes.set_yticks([])
    axes.grid(False)
    axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", color=style.GREY, fontsize=13)


# ------------------------------------------------------------------------------------- latency


def _latency(figure: Figure, run: RunRecords) -> None:
    left, right = figure.subplots(1, 2)
    left.set_title("until a new slate is on screen")
    slates = series.slate_times(run)
    _distributions(left, {"slate": (slates, style.BLUE, "-")}, "no slate was renewed in this run")
    right.set_title("a request, from issue to delivery")
    looks: Mapping[str, tuple[str, Any]] = {
        "end to end": (style.BLACK, "-"),
        "network up": (style.SKY, "--"),
        "queue": (style.ORANGE, "-"),
        "service": (style.GREEN, "-."),
        "network down": (style.PURPLE, (0, (1, 1))),
    }
    parts = {name: (series.request_times(run, name), *looks[name]) for name in series.REQUEST_TIMES}
    nothing = "no request came to an answer" if len(run.requests) else "no request was issued"
    if _distributions(right, parts, nothing):
        for objective in series.latency_objectives(run):
            at_most_s, share = objective.at_most_s, objective.share
            label = f"objective: p{100 * share:g} of at most {seconds_text(at_most_s)}"
            right.axvline(at_most_s, color=style.VERMILION, linewidth=1.2, linestyle=":")
            right.plot([at_most_s], [share], "v:", color=style.VERMILION, linewidth=1.2, markersize=10, label=label)
        _percentile_legend(right)


def _distributions(axes: Axes, samples: Mapping[str, tuple[Ecdf | None, str, Any]], nothing: str) -> bool:
    """One distribution a sample with its percentiles marked and named; False where all samples are empty."""
    if not any(curve for curve, _, _ in samples.values()):
        style.empty_panel(axes, nothing)
        return False
    longest, shortest = SHORTEST_S * 10, math.inf
    for name, (curve, colour, line) in samples.items():
        if curve is None:
            continue
        value, share = np.concatenate([curve.value[:1], curve.value]), np.concatenate([[0.0], curve.share])
        named = " / ".join(seconds_text(q) for q in curve.quantiles.values())
        label = f"{name}: {named}  (n = {curve.count:,})"
        axes.plot(value, share, drawstyle="steps-post", color=colour, linestyle=line, label=label)
        marks = [max(q, SHORTEST_S) for q in curve.quantiles.values()]
        heights = [int(p[1:]) / 100 for p in curve.quantiles]
        axes.plot(marks, heights, marker="o", markersize=6, color=colour, linestyle="none", zorder=4)
        longest, shortest = max(longest, float(curve.value[-1])), min(shortest, float(curve.value[0]))
    cut = shortest <= SHORTEST_S
    axes.set_xscale("log")
    axes.set_xlim(SHORTEST_S * 0.8 if cut else shortest / 2, longest * 1.5)
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(10, (1, 2, 5) if high < 100 * low else (1,), numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: seconds_text(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", labelsize=11)
    axes.set_ylim(0.0, 1.02)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: share_text(value)))
    axes.set_yticks([0, 0.25, 0.5, 0.75, 0.95, 1.0])
    axes.set_ylabel("share that took at most so long")
    edge = f"; at the left edge: {seconds_text(SHORTEST_S)} or less" if cut else ""
    axes.set_xlabel(f"time (logarithmic{edge})")
    _percentile_legend(axes)
    return True


def _percentile_legend(axes: Axes) -> None:
    legend = axes.legend(
        title="p50 / p95 / p99, marked by dots", loc="upper left", bbox_to_anchor=(-0.02, -0.13), alignment="left"
    )
    legend.get_title().set_fontsize(11)


# ------------------------------------------------------------------------------------- freshness and rank


def _freshness(figure: Figure, run: RunRecords) -> None:
    panels = figure.subplots(2, 2, height_ratios=[1.5, 1])
    _staleness_panels(panels[0][0], panels[1][0], run)
    _rank_panels(panels[0][1], panels[1][1], run)


def _staleness_panels(above: Axes, below: Axes, run: RunRecords) -> None:
    above.set_title(f"HR@{run.k} by staleness of the list")
    below.set_title("how stale the lists on screen were")
    groups = series.hr_by_staleness(run)
    if groups is None:
        for axes in (above, below):
            style.empty_panel(axes, "no interaction took place")
        return
    overall = series.hr_of_all(run)
    above.set_title(f"HR@{run.k} by staleness of the list (dashed: all, {overall:.3f})")
    names, estimates, no_list = groups.names, groups.shares, len(groups.names) - 1
    x = np.arange(no_list + 1)
    for seen, alpha in ((estimates.count >= _FEW, 1.0), ((estimates.count > 0) & (estimates.count < _FEW), 0.35)):
        bars = np.stack([estimates.share - estimates.low, estimates.high - estimates.share])[:, seen]
        look: dict[str, Any] = {"color": style.BLUE, "capsize": 4, "markersize": 8, "alpha": alpha}
        above.errorbar(x[seen], estimates.share[seen], yerr=bars, fmt="o", **look)
    above.axhline(overall, color=style.GREY, linewidth=1.2, linestyle=(0, (5, 4)))
    above.set_ylim(0.0, _accuracy_top(estimates, overall))
    above.set_ylabel(f"HR@{run.k}, 95% interval")
    shares = estimates.count / len(run.interactions)
    below.bar(x, shares, color=[style.SKY] * no_list + [style.PALE], edgecolor=style.GREY, linewidth=0.6)
    for place_x, share, count in zip(range(no_list + 1), shares, estimates.count, strict=True):
        below.text(place_x, share, f"{count:,}", ha="center", va="bottom", fontsize=10)
    below.set_ylim(0.0, max(float(shares.max()) * 1.15, 0.01))
    below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: share_text(value)))
    below.set_ylabel("share of interactions")
    below.set_xlabel("interactions that the list on screen had not seen")
    for axes in (above, below):
        axes.set_xticks(x, names, fontsize=11)
        axes.set_xlim(-0.6, no_list + 0.6)
        axes.grid(axis="x", visible=False)


def _rank_panels(above: Axes, below: Axes, run: RunRecords) -> None:
    above.set_title("HR@k for every k")
    below.set_title("place of the chosen item in the slate")
    places = series.places(run)
    if places is None:
        reason = "the chosen item was in no slate" if len(run.interactions) else "no interaction took place"
        for axes in (above, below):
            style.empty_panel(axes, reason)
        return
    below.set_title(f"place of the chosen item in the slate (absent: {places.absent:.1%})")
    deepest = len(places.hr)
    depth = np.arange(1, deepest + 1)
    above.plot(depth, places.hr, color=style.BLUE, drawstyle="steps-post", label="this run")
    ks = [int(k) for k in setting(run.scenario, "metrics", "k") or (run.k,)]
    looks = (("o", style.ORANGE), ("s", style.GREEN), ("^", style.VERMILION), ("D", style.PURPLE), ("v", style.BLACK))
    for i, name in enumerate(sorted(run.summary.get("baselines") or {})):
        values = [(k, run.baselines(f"hr@{k}").get(name)) for k in ks]
        found = [(k, value) for k, value in values if value is not None]
        if not found:
            continue
        marker, colour = looks[i % len(looks)]
        above.plot(*zip(*found, strict=True), marker=marker, color=colour, markersize=7, linewidth=1, label=name)
    above.set_xscale("log")
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if tick <= deepest]
    above.set_xticks(ticks, [str(tick) for tick in ticks])
    above.xaxis.set_minor_formatter(NullFormatter())
    above.set_xlim(0.93, deepest * 1.05)
    above.set_ylim(bottom=0.0)
    above.set_xlabel("k (logarithmic)")
    above.set_ylabel("HR@k")
    above.legend(loc="upper left")
    names, shares = places.names, places.shares
    below.bar(range(len(names)), shares, color=style.SKY, edgecolor=style.GREY, linewidth=0.6)
    for place_x, share in enumerate(shares):
        below.text(place_x, share, f"{share:.1%}", ha="center", va="bottom", fontsize=10)
    below.set_ylim(0.0, max(shares) * 1.15)
    below.set_xticks(range(len(names)), names)
    below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: share_text(value)))
    below.set_ylabel("share of interactions")
    below.set_xlabel("place in the slate, from 1")
    below.grid(axis="x", visible=False)
