"""The break-even figure: dollars a month and per 1,000 interactions against the fleet, a line a way to serve."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from fleetrec.models.runtime.errors import InputError
from fleetrec.reports.data.quantities import money_tick, told
from fleetrec.reports.data.run_folder import read_mapping
from fleetrec.reports.figures import style
from fleetrec.simulator.core.money import told_in
from fleetrec.simulator.results.sentences import money
from fleetrec.simulator.scenario.sections import Currency
from fleetrec.simulator.scenario.units import COUNT

_WIDTH_PX, _ROW_PX, _AROUND_PX = 1400, 440, 190
_BELOW = 3.0  # times below the cheapest way at which the axis ends
_LOOKS = {
    "gpus": (style.BLUE, "-"),
    "autoscaled": (style.SKY, "--"),
    "spot": (style.GREEN, "-"),
    "api": (style.VERMILION, "-"),
    "overflow": (style.PURPLE, "-."),
    "none": (style.GREY, ":"),
}


def draw_breakeven(folder: Path) -> list[Path]:
    """Draw `figures/breakeven.png` and `.svg` from a folder's `breakeven.json`; InputError where that is not whole."""
    path = folder / "breakeven.json"
    found = read_mapping(path)
    try:
        currency, policies, ways = Currency(**found["currency"]), found["policies"], found["ways"]
        subtitle = "; ".join(f"{one['policy']}: {one['sentence']}" for one in policies)
        with style.house_style(), told_in(currency):
            figure = style.new_figure(_WIDTH_PX, _ROW_PX * len(policies) + _AROUND_PX)
            title = f"{found['scenario']}, seed {found['seed']}: what each way to serve costs"
            footer = [f"own GPUs: the fewest replicas with {found['objective']}", "bands: 95%, over users"]
            style.frame(figure, title, subtitle, [*footer, found["api"] or ""])
            panels = figure.subplots(len(policies), 2, squeeze=False)
            for row, policy in zip(panels, policies, strict=True):
                _money(row[0], policy, ways, "usd_per_month", f"{currency.label} a month")
                _money(row[1], policy, ways, "usd_per_1k_interactions", f"{currency.label} per 1,000 interactions")
            panels[0][0].legend(loc="upper left", fontsize=9.5)
            return style.save_as(figure, folder / "figures" / "breakeven", run=found["run"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a whole comparison ({error!r}); run breakeven again") from error


def _money(axes: Axes, policy: Mapping[str, Any], ways: Mapping[str, str], key: str, label: str) -> None:
    """A panel on two logarithmic axes; the month has bands. What the SRM alone costs is said where it is far below."""
    axes.set_title(f"policy {policy['policy']}")
    served = [one[key] for way, rows in policy["ways"].items() if way != "none" for one in rows if one[key]]
    floor = min(served, default=1.0) / _BELOW
    for way, name in ways.items():
        rows = [one for one in policy["ways"].get(way, []) if one[key]]
        colour, dashes = _LOOKS[way]
        fleets, values = [one["fleet"] for one in rows], [one[key] for one in rows]
        ends = ""
        if values and min(values) < floor:
            ends = f", {money(values[0])} to {money(values[-1])}"
            fleets, values = [], []
        axes.plot(fleets, [told(usd) for usd in values], color=colour, linestyle=dashes, label=f"{name}{ends}")
        if fleets and f"{key}_low" in rows[0]:
            low, high = ([told(one[f"{key}_{end}"]) for one in rows] for end in ("low", "high"))
            axes.fill_between(fleets, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(bottom=told(floor))
    axes.set_xlabel("devices in the fleet")
    axes.set_ylabel(label)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: COUNT.show(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: money_tick(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
