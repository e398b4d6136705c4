"""The figure of the speed suite: time and memory by the size of the fleet, throughput and ratios of every case."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from fleetrec.reports.data.quantities import number_text
from fleetrec.reports.figures import style
from fleetrec.simulator.benchmark.record import FILE, Measured, read_record


def draw_bench(folder: Path) -> list[Path]:
    """Draw `figures/bench.png` and `.svg` from the folder's bench.json; InputError where that is missing or foreign."""
    record = read_record(folder / FILE)
    with style.house_style():
        figure = style.new_figure(1200, 980)
        footer = [
            "every case in a process of its own; those of shards: four regions, all of `simulate`",
            "naive: a loop that ranks one interaction at a time",
            "floor: the run's events without model work, plus its tensor work without events",
            *map(str, record.left_out),
        ]
        style.frame(figure, "The engine's speed", str(record.machine), footer)
        panels = figure.subplots(2, 2, height_ratios=[1, 1.2])
        sizes = sorted(
            (found for found in record.measured if found.case.name.startswith("devices-")),
            key=lambda found: found.case.devices,
        )
        _by_size(panels[0][0], panels[0][1], sizes)
        _throughput(panels[1][0], record.measured)
        _ratios(panels[1][1], record.measured)
        return style.save_as(figure, folder / "figures" / "bench")


def _by_size(time: Axes, memory: Axes, sizes: list[Measured]) -> None:
    time.set_title("time an interaction, by devices")
    memory.set_title("peak memory, by devices")
    if not sizes:
        for axes in (time, memory):
            style.empty_panel(axes, "no case of another size was measured")
        return
    devices = [found.case.devices for found in sizes]
    wall = [found.figures.us for found in sizes]
    busy = [found.figures.cpu_us for found in sizes]
    time.plot(devices, wall, "o-", color=style.BLUE, label="wall")
    time.plot(devices, busy, "s--", color=style.ORANGE, label="processor, all cores")
    time.set_ylim(0.0, max(*wall, *busy) * 1.25)
    time.set_ylabel("microseconds")
    time.legend(loc="upper right")
    held = [found.figures.peak_rss_bytes / 1e9 for found in sizes]
    memory.plot(devices, held, "o-", color=style.GREEN)
    memory.set_yscale("log")
    memory.set_ylim(min(held) / 2, max(held) * 2)
    memory.yaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
    memory.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    memory.yaxis.set_minor_formatter(NullFormatter())
    memory.set_ylabel("GB")
    for axes, values, above_pt in ((time, wall, -18), (memory, held, 9)):
        axes.set_xscale("log")
        axes.set_xticks(devices, [f"{n:,}" for n in devices])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(devices[0] / 2, devices[-1] * 2)
        axes.set_xlabel("devices (logarithmic)")
        for n, value in zip(devices, values, strict=True):
            place = {"xytext": (0, above_pt), "textcoords": "offset points"}
            axes.annotate(number_text(value), (n, value), ha="center", fontsize=10.5, **place)  # type: ignore[arg-type]


def _throughput(axes: Axes, measured: tuple[Measured, ...]) -> None:
    axes.set_title("interactions a second")
    values = [found.figures.per_s for found in measured]
    _bars(axes, measured, values, [f"{value:,.0f}" for value in values], style.SKY)


def _ratios(axes: Axes, measured: tuple[Measured, ...]) -> None:
    axes.set_title("times naive (time over floor)")
    values = [found.figures.times_naive or 0.0 for found in measured]
    texts = []
    for found in measured:
        naive, floor = found.figures.times_naive, found.figures.times_floor
        text = "not measured" if naive is None else number_text(naive)
        texts.append(text + ("" if floor is None else f"  ({floor:.2f})"))
    _bars(axes, measured, values, texts, style.YELLOW)


def _bars(axes: Axes, measured: tuple[Measured, ...], values: list[float], texts: list[str], colour: str) -> None:
    if not measured:
        style.empty_panel(axes, "no case was measured")
        return
    places = np.arange(len(measured))
    axes.barh(places, values, color=colour, edgecolor=style.GREY, linewidth=0.6)
    for place, value, text in zip(places, values, texts, strict=True):
        axes.annotate(text, (value, place), (5, 0), textcoords="offset points", va="center", fontsize=10.5)
    axes.set_yticks(places, [found.case.name for found in measured])
    axes.invert_yaxis()
    axes.set_xlim(0.0, max([*values, 1e-9]) * 1.3)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number_text(value)))
