"""A month of a bill, and how figures of a run become those of a month of the fleet that it represents."""

from typing import Any

MONTH_S = 30 * 86400.0


def times_a_month(devices: Any, represents: Any, seconds: Any) -> Any:
    """By how much a figure of `devices` over so many seconds is multiplied for a month of those that they represent."""
    return represents / devices * MONTH_S / seconds
