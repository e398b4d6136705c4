"""What a month costs the fleet that a run represents, beside what 1,000 interactions cost."""

import math
from collections.abc import Mapping
from typing import Any

from fleetrec.reports.data.quantities import told
from fleetrec.reports.data.run_folder import setting
from fleetrec.simulator.core.money import currency
from fleetrec.simulator.core.months import times_a_month
from fleetrec.simulator.experiments.comparison.months import MARGINAL_PER_MONTH
from fleetrec.simulator.results.sentences import money

PER_MONTH = {
    "cost.usd_provisioned_per_1k_interactions": "cost.usd_provisioned_per_month",
    "cost.usd_marginal_per_1k_interactions": MARGINAL_PER_MONTH,
}
"""the figure of a month beside each account of 1,000 interactions"""
_SIZE = ("devices", "represented.devices", "simulated_seconds")


def of_fleet(summary: Mapping[str, Any]) -> float:
    """By how much a figure of the simulated phones is multiplied for a month of the fleet that they stand for; NaN
    where the run does not say."""
    devices, fleet, seconds = (setting(summary, *key.split(".")) for key in _SIZE)
    if not devices or not seconds:
        return math.nan
    return float(times_a_month(devices, fleet or devices, seconds))


def month_text(summary: Mapping[str, Any], key: str) -> str:
    """What a figure of 1,000 interactions of the simulated phones is a month of the fleet, in words; empty where that
    is not known."""
    value, interactions = setting(summary, *key.split(".")), setting(summary, "interactions")
    usd = math.nan if value is None or not interactions else value * interactions / 1000 * of_fleet(summary)
    return f"{money(usd)} a month" if math.isfinite(usd) else ""


def cent_a_month(months: float) -> str:
    """What a hundredth of the unit of money over 1,000 interactions is a month, where that is `months` times as much:
    €0.01 is €9,000 a month."""
    return f"{currency().sign}0.01 is {money(0.01 * months / told(1.0))} a month"
