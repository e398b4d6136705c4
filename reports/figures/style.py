"""How every figure looks: one page size, Okabe-Ito colours, bundled fonts, and bytes that depend on nothing else.

Colours: Okabe and Ito, "Color Universal Design" (2008), told apart with every common kind of colour blindness.
"""

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fleetrec.models.runtime.artifacts import atomic_path

BLACK = "#000000"
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
VERMILION = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#666666"
PALE = "#D9D9D9"

# Text over white in a policy's colour needs it darker than a marker does.
DARKER = 0.62

DPI = 100
MARGIN_PX = 16

_RC = {
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "axes.labelsize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "legend.fontsize": 11,
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "svg.hashsalt": "fleetrec",
    "text.usetex": False,
    # A note may hold a dollar or an underscore: text is text, never mathematics.
    "text.parse_math": False,
    "axes.unicode_minus": True,
}


@contextmanager
def house_style() -> Iterator[None]:
    """The style of this module on top of Matplotlib's defaults, whatever the user's own matplotlibrc says.

    A letter that the bundled font lacks (names may be in any script) is drawn as a box, and labels that leave no room
    (of numbers with twenty digits) are drawn all the same: neither is worth a warning.
    """
    with matplotlib.style.context(["default", _RC]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font|constrained_layout not applied")
        yield


def new_figure(width_px: int, height_px: int, layout: str | None = "constrained") -> Figure:
    """An empty figure of that many pixels, drawn by Agg, unknown to pyplot (so nothing has to be closed)."""
    figure = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI, layout=layout)  # type: ignore[arg-type]
    FigureCanvasAgg(figure)
    return figure


def lay_out(figure: Figure) -> None:
    """Done once, before it is written: savefig would draw the whole figure one more time for it."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


def save(figure: Figure, path: Path, run: str | None = None) -> Path:
    """Write a PNG or an SVG, as the path ends, whose bytes hold no date and no version, but its run's id."""
    lay_out(figure)
    metadata: dict[str, str | None] = {"Software": None}
    if path.suffix == ".svg":
        metadata = {"Date": None, "Creator": None}
    if run is not None:
        metadata["Description"] = f"run {run}"
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], metadata=metadata)
    return path


def save_as(
    figure: Figure, path: Path, suffixes: Sequence[str] = (".png", ".svg"), run: str | None = None
) -> list[Path]:
    """Write the figure in each of these formats; `path` names them and has no suffix of its own."""
    return [save(figure, path.with_name(path.name + suffix), run) for suffix in suffixes]


def _lines(text: str, width_px: float, font_size: float) -> list[str]:
    # DejaVu Sans averages 0.5 em a character in running English text, and more where figures abound.
    characters = max(20, int(width_px / (0.58 * font_size * DPI / 72)))
    return textwrap.wrap(text, characters)


def frame(figure: Figure, title: str, subtitle: str, footer: Sequence[str]) -> tuple[float, float]:
    """Put title and subtitle on top and the footer's sentences below; returns the free range (bottom, top) in [0, 1].

    A constrained layout is told to keep to that range.
    """
    height_px = figure.get_figheight() * DPI
    width_px = figure.get_figwidth() * DPI - 2 * MARGIN_PX
    x = MARGIN_PX / (width_px + 2 * MARGIN_PX)
    top_px = height_px - 10.0
    blocks = [(line, 16.0, BLACK, "bold") for line in _lines(title, width_px, 18)]
    blocks += [(line, 12.0, "#333333", "normal") for line in _lines(subtitle, width_px, 12)]
    for line, size, colour, weight in blocks:
        figure.text(x, top_px / height_px, line, fontsize=size, color=colour, weight=weight, va="top", ha="left")
        top_px -= size * 1.4 * DPI / 72
    bottom_px = 10.0
    for line in reversed(_lines("  ·  ".join(part.rstrip(".") for part in footer if part), width_px, 10.5)):
        figure.text(x, bottom_px / height_px, line, fontsize=10.5, color=GREY, va="bottom", ha="left")
        bottom_px += 10.5 * 1.35 * DPI / 72
    bottom, top = (bottom_px + 8) / height_px, (top_px - 6) / height_px
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0.008, bottom, 0.984, top - bottom))  # type: ignore[call-arg]
    return bottom, top


def empty_panel(axes: Axes, reason: str) -> None:
    """A panel with nothing to draw says why in place of blank axes."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_facecolor("#F5F5F5")
    axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center", color=GREY, fontsize=13, wrap=True)
