"""Loads what draws and draws once, so that processes which are copies of one that has imported this need not: the first
figure of a process finds fonts and fills caches, which takes it a fifth of its time."""

import gc
from io import BytesIO

gc.set_threshold(500_000, 20, 100)  # what imports make stays

from fleetrec.reports.figures import draw_worker, style  # noqa: E402
from fleetrec.reports.html.render import prepare  # noqa: E402

__all__ = ["draw_worker"]


def _draw_once() -> None:
    """A figure with one of all that figures of a run are made of."""
    with style.house_style():
        figure = style.new_figure(300, 200)
        style.frame(figure, "title", "subtitle", ["footer"])
        linear, logarithmic = figure.subplots(1, 2)
        for axes in (linear, logarithmic):
            axes.set_title("title")
            axes.set_xlabel("x")
            axes.plot([1, 2], [1, 2], marker="o", label="line")
            axes.fill_between([1, 2], [1, 2], [2, 3])
            axes.errorbar([1, 2], [1, 2], yerr=[1, 1], fmt="o", capsize=4)
            axes.bar([1, 2], [1, 2])
            axes.legend(title="legend")
        logarithmic.set_xscale("log")
        style.lay_out(figure)
        figure.savefig(BytesIO(), format="png")


_draw_once()
prepare("run.html.j2")
gc.freeze()  # copies look through none of it for cycles
