"""Quantities as people read them, in figures, pages and on the terminal; draws nothing."""

from fleetrec.simulator.core.money import currency


def time_unit(span_s: float) -> tuple[float, str]:
    """The unit an axis of that many seconds is best read in: (seconds in one unit, its name)."""
    for limit_s, unit_s, name in (
        (180.0, 1.0, "seconds"),
        (3 * 3600.0, 60.0, "minutes"),
        (4 * 86400.0, 3600.0, "hours"),
    ):
        if span_s <= limit_s:
            return unit_s, name
    return 86400.0, "days"


def share_text(value: float) -> str:
    """A share as a percentage for a tick: 20%, 2.5%."""
    return f"{100 * value:.3g}%"


def seconds_text(value_s: float) -> str:
    """A duration to about three digits, in the unit that suits it: 340 µs, 12 ms, 1.25 s, 4.5 min, 3.2 h."""
    if value_s != value_s:
        return "n/a"
    magnitude = abs(value_s)
    if magnitude == 0:
        return "0 s"
    for limit, scale, unit in ((1e-3, 1e-6, "µs"), (1.0, 1e-3, "ms"), (120.0, 1.0, "s"), (7200.0, 60.0, "min")):
        if magnitude < limit:
            return f"{value_s / scale:.3g} {unit}"
    return f"{value_s / 3600.0:.3g} h" if magnitude < 172800.0 else f"{value_s / 86400.0:.3g} days"


def number_text(value: float) -> str:
    """A quantity to three digits or more, thousands apart: 0.0123, 4.57, 12,345."""
    if value != value:
        return "n/a"
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def told(usd: float) -> float:
    """An amount on an axis, in the currency that is told."""
    return usd * currency().per_usd


def money_tick(amount: float) -> str:
    """A tick of such an axis, short enough to stand beside others: $250k, −€1.5M, $0.02."""
    scale, unit = next(((s, u) for s, u in ((1e9, "B"), (1e6, "M"), (1e3, "k")) if abs(amount) >= s), (1.0, ""))
    return f"{'−' if amount < 0 else ''}{currency().sign}{abs(amount) / scale:.4g}{unit}"


def money_ticks(most: float) -> dict[str, str]:
    """How the browser writes them, on an axis that goes so far from zero: its SI prefixes are those of money between a
    thousand and a billion."""
    return {"tickformat": "$.4~s" if 1e3 <= most < 1e9 else "$,.4~r"}
