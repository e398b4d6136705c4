"""The cost figure of a run: money, joules and grams of CO2, and what a thousand interactions took."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fleetrec.models.runtime.wording import counted
from fleetrec.reports.data.months import of_fleet
from fleetrec.reports.data.quantities import number_text, told
from fleetrec.reports.data.run_folder import ACCOUNTS, RunRecords, on_api, setting, stated_cost
from fleetrec.reports.figures import style
from fleetrec.simulator.core.money import currency
from fleetrec.simulator.results.sentences import money

_TINY = 1e-12


def draw_cost(figure: Figure, run: RunRecords) -> None:
    """Four panels: money by account, device energy by class, bytes by class, totals beside per 1,000 interactions."""
    panels = figure.subplots(2, 2, height_ratios=[1, 1])
    _money_panel(panels[0][0], run)
    _energy(panels[0][1], run)
    _bytes(panels[1][0], run)
    _totals(panels[1][1], run)


def _cost(run: RunRecords, key: str) -> float:
    """NaN where nobody knows it."""
    value = setting(run.summary, "cost", key)
    return math.nan if value is None else float(value)


def _bars(
    axes: Axes,
    names: Sequence[str],
    values: Sequence[float],
    colours: Sequence[str],
    texts: Sequence[str],
    ends: Sequence[float] | None = None,
) -> None:
    """Horizontal bars, the first on top, each with its value in words at its end, or beyond its interval's `ends`."""
    y = np.arange(len(names))[::-1]
    axes.barh(y, values, color=list(colours), edgecolor=style.GREY, linewidth=0.6, height=0.62)
    most = max([*(ends or values), _TINY])
    for place, value, text in zip(y, ends or values, texts, strict=True):
        axes.text(value + most * 0.015, place, text, va="center", ha="left", fontsize=11)
    axes.set_yticks(y, list(names))
    axes.set_xlim(0.0, most * 1.42)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.grid(axis="y", visible=False)


def _money_panel(axes: Axes, run: RunRecords) -> None:
    """Each account a bar, as the summary states it, with its interval where it has one."""
    held = {account: stated_cost(run.summary, key) for account, key in ACCOUNTS.items()}
    number = setting(run.summary, "cost", "replicas_provisioned")
    axes.set_title(f"{currency().label} per 1,000 interactions, by account")
    known = {account: cost for account, cost in held.items() if math.isfinite(cost.mean)}
    if not any(cost.mean for cost in known.values()):
        style.empty_panel(axes, "this run cost nothing")
        return
    named = {"provisioned": f"provisioned\n({_servers(run, number)},\nrepresented fleet)", "marginal": "marginal"}
    thousands = len(run.interactions) / 1000 * of_fleet(run.summary)
    texts = [_with_month(cost.mean, cost.mean * thousands) for cost in known.values()]
    names, values = [named[account] for account in known], [told(cost.mean) for cost in known.values()]
    ends = [told(cost.high if math.isfinite(cost.high) else cost.mean) for cost in known.values()]
    _bars(axes, names, values, [style.BLUE] * len(names), texts, ends)
    for y, cost in zip(np.arange(len(names))[::-1], known.values(), strict=True):
        if math.isfinite(cost.low) and math.isfinite(cost.high):
            off = np.maximum([cost.mean - cost.low, cost.high - cost.mean], 0.0)  # last bits of one value
            bar = [[told(off[0])], [told(off[1])]]
            axes.errorbar([told(cost.mean)], [y], xerr=bar, color=style.BLACK, capsize=4, linewidth=1.4)
    lacks = "" if "provisioned" in known else "; provisioned: the objective cannot be met"
    axes.set_xlabel(f"{currency().label}; marginal: of the simulated phones{lacks}")


def _with_month(usd: float, month: float) -> str:
    return f"{money(usd)} ({money(month)} a month)" if math.isfinite(month) else money(usd)


def _by_class(run: RunRecords, column: str) -> tuple[list[str], list[float], list[int]]:
    """Sum of a column of devices.parquet and number of devices, by class in the scenario's order."""
    groups = run.devices.groupby("class", sort=True)[column]
    order = [section.get("name") for section in setting(run.scenario, "fleet", "classes") or ()]
    present = list(groups.groups)
    names = [name for name in order if name in present] + [name for name in present if name not in order]
    totals, counts = groups.sum().reindex(names), groups.size().reindex(names)
    return [str(name) for name in totals.index], [float(v) for v in totals], [int(n) for n in counts]


def _energy(axes: Axes, run: RunRecords) -> None:
    axes.set_title("energy of the devices, by class")
    names, totals, counts = _by_class(run, "joules")
    if not any(totals):
        style.empty_panel(axes, "the devices used no energy")
        return
    pairs = zip(totals, counts, strict=True)
    texts = [f"{_si(total, 'J')}  ({_si(total / max(n, 1), 'J')} a device)" for total, n in pairs]
    factor, prefix = _prefix(max(totals))
    labels = [f"{name}\n({n:,})" for name, n in zip(names, counts, strict=True)]
    _bars(axes, labels, [total / factor for total in totals], [style.GREEN] * len(names), texts)
    axes.set_xlim(0.0, max(totals) / factor * 1.95)
    axes.set_xlabel(f"{prefix}J over the run, computing and radio")


def _bytes(axes: Axes, run: RunRecords) -> None:
    axes.set_title("bytes sent, by class")
    names, up, counts = _by_class(run, "bytes_up")
    _, down, _ = _by_class(run, "bytes_down")
    if not any(up) and not any(down):
        style.empty_panel(axes, "nothing was sent")
        return
    factor, prefix = _prefix(max([*up, *down]))
    y = np.arange(len(names))[::-1]
    most = max([*up, *down]) / factor
    for values, shift, colour, way in ((up, 0.2, style.VERMILION, "up"), (down, -0.2, style.SKY, "down")):
        scaled = [value / factor for value in values]
        axes.barh(y + shift, scaled, height=0.36, color=colour, edgecolor=style.GREY, linewidth=0.6, label=way)
        for place, value, raw in zip(y + shift, scaled, values, strict=True):
            axes.text(value + most * 0.015, place, _si(raw, "B"), va="center", fontsize=11)
    axes.set_yticks(y, [f"{name}\n({n:,})" for name, n in zip(names, counts, strict=True)])
    axes.set_xlim(0.0, most * 1.3)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlabel(f"{prefix}B over the run, install and preloaded lists included")
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.2)


def _servers(run: RunRecords, number: int | None = None) -> str:
    """What the cloud of a run consists of; with its number where that is given."""
    if on_api(run.summary):
        return "a hosted API"
    kind = "replica" if setting(run.summary, "cloud", "cpu_seconds") is None else "core"
    return f"{kind}s" if number is None else counted(number, kind)


def _totals(axes: Axes, run: RunRecords) -> None:
    """A small table: the whole run, a thousand interactions, a month of the represented fleet."""
    axes.set_title("totals")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    n = len(run.interactions)
    gpu_s = float(setting(run.summary, "cloud", "gpu_seconds") or 0.0)
    rows = (
        ("marginal cost", _cost(run, "usd_marginal"), ""),
        (f"{'' if on_api(run.summary) else 'configured '}{_servers(run)}", _cost(run, "usd_replicas"), ""),
        ("network", _cost(run, "usd_network"), ""),
        ("GPU time used", gpu_s, "s"),
        ("energy of the cloud", _cost(run, "gpu_joules"), "J"),
        ("energy of the devices", _cost(run, "device_joules"), "J"),
        ("sent up", _cost(run, "bytes_up"), "B"),
        ("sent down", _cost(run, "bytes_down"), "B"),
        ("carbon", _cost(run, "gco2"), "gCO2"),
    )
    heads = (
        (-0.42, "", "left"),  # where panels with bars have their names
        (0.3, "whole run", "right"),
        (0.68, "per 1,000\ninteractions", "right"),
        (1.08, "a month,\nthe fleet", "right"),
    )
    times = of_fleet(run.summary)
    for x, head, side in heads:
        axes.text(x, 0.88, head, transform=axes.transAxes, ha=side, va="bottom", weight="bold", fontsize=10)
    for i, (name, total, unit) in enumerate(rows):
        y = 0.80 - i * 0.098
        each = _quantity(total * 1000 / n, unit) if n else "n/a"
        known = math.isfinite(times) and "configured" not in name
        month = _quantity(total * times, unit) if known else "n/a"
        for (x, _, side), text in zip(heads, (name, _quantity(total, unit), each, month), strict=True):
            axes.text(x, y, text, transform=axes.transAxes, ha=side, va="center", fontsize=10)


def _quantity(value: float, unit: str) -> str:
    if math.isnan(value):
        return "unknown"
    if not unit:
        return money(value)
    return _si(value, unit) if unit in ("J", "B") else f"{number_text(value)} {unit}"


def _prefix(value: float) -> tuple[float, str]:
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return factor, prefix
    return 1.0, ""


def _si(value: float, unit: str) -> str:
    """3.21 MB, 980 J."""
    factor, prefix = _prefix(value)
    return f"{number_text(value / factor)} {prefix}{unit}"
