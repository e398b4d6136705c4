"""Quantities as people read them, in figures, pages and on the terminal; draws nothing."""

from fleetrec.simulator.core.money import currency
from fleetrec.simulator.results.sentences import money


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


def money_text(usd: float) -> str:
    """An amount to three digits, as sentences say it; what is under a hundredth of a cent is said to be."""
    value, sign = usd * currency().per_usd, currency().sign
    if 0 < abs(value) < 1e-4:
        return f"under {sign}0.0001"
    if abs(value) >= 1000:
        return money(usd)
    return f"{sign}{number_text(value)}" if not value < 0 else f"−{sign}{number_text(-value)}"


def told(usd: float) -> float:
    """An amount on an axis, in the currency that is told."""
    return usd * currency().per_usd
