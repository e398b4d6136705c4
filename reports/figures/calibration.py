"""Measured against simulated times of a calibrated server: distributions of each, and latencies by request."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from fleetrec.models.runtime.wording import counted
from fleetrec.reports.figures.style import BLACK, BLUE, GREY, ORANGE, frame, house_style, new_figure, save
from fleetrec.simulator.cloud.calibration.fitting import Calibration
from fleetrec.simulator.cloud.calibration.outcomes import Times, measured
from fleetrec.simulator.results.sentences import signed_share

_WIDTH_PX, _HEIGHT_PX = 1000, 760


def draw_calibration(found: Calibration, path: Path) -> Path:
    """Draw the figure of a calibration to a PNG file.

    Empirical distributions of time to first token, time per output token and latency, and simulated over measured
    latency by request. Where only the first part of the log was fitted, the panels show the held-out rest.
    """
    judged = slice(0, found.fitted) if found.held_out is None else slice(found.fitted, None)
    errors = found.in_sample if found.held_out is None else found.held_out
    theirs, ours = (Times.of(found.log, times, judged) for times in (measured(found.log), found.simulated))
    with house_style():
        figure = new_figure(_WIDTH_PX, _HEIGHT_PX)
        axes = figure.subplots(2, 2)
        _distributions(axes[0, 0], (theirs.ttft_s, ours.ttft_s), "Time to first token", "seconds")
        _distributions(axes[0, 1], (1e3 * theirs.tpot_s, 1e3 * ours.tpot_s), "Time per output token", "milliseconds")
        _distributions(axes[1, 0], (theirs.latency_s, ours.latency_s), "Latency", "seconds")
        one = Times.of(found.log, found.simulated.one, judged)
        _scatter(axes[1, 1], theirs.latency_s, one.latency_s)
        axes[0, 0].legend(loc="lower right")
        held_out = (
            ""
            if found.held_out is None
            else f", fitted to the first {counted(found.fitted, 'request')} and judged on the rest"
        )
        frame(
            figure,
            f"{found.server.name}: measured and simulated",
            f"{counted(len(theirs.latency_s), 'request')} of {found.log.name}{held_out}. "
            f"Mean errors: {_percentages(errors, 'mean')}; 99th percentile: {_percentages(errors, 'p99')}",
            [],
        )
        return save(figure, path)


def _percentages(errors: dict[str, float], kind: str) -> str:
    names = {"ttft": "first token", "tpot": "per token", "latency": "latency"}
    return ", ".join(f"{title} {signed_share(errors[f'{name}_{kind}'])}" for name, title in names.items())


def _distributions(axes: Axes, samples: Sequence[NDArray[np.float64]], title: str, unit: str) -> None:
    for sample, label, colour, style in zip(
        samples, ("measured", "simulated"), (BLACK, ORANGE), ("-", "--"), strict=True
    ):
        axes.ecdf(sample, label=label, color=colour, linestyle=style)
    axes.set_title(title)
    axes.set_xlabel(unit)
    axes.set_ylabel("share of requests")
    axes.set_xlim(left=0.0)


def _scatter(axes: Axes, measured_s: NDArray[np.float64], simulated_s: NDArray[np.float64]) -> None:
    highest = 1.05 * max(measured_s.max(), simulated_s.max())
    axes.plot([0.0, highest], [0.0, highest], color=GREY, linewidth=1.0)
    axes.scatter(measured_s, simulated_s, s=12, color=BLUE, alpha=0.5, linewidths=0)
    axes.set_title("Latency of each request")
    axes.set_xlabel("measured, seconds")
    axes.set_ylabel("simulated, seconds")
    axes.set_xlim(0.0, highest)
    axes.set_ylim(0.0, highest)
