"""Figures of a month of the fleet that runs represent: interactions, dollars, joules, grams, each a mean over runs."""

import math

import pandas as pd

from fleetrec.simulator.core.months import times_a_month
from fleetrec.simulator.results.account_names import ENERGY

MARGINAL_PER_MONTH = "cost.usd_marginal_per_month"
_DEVICES, _REPRESENTED, _SECONDS, _USED = "devices", "represented.devices", "simulated_seconds", "cost.usd_marginal"


def per_month(runs: pd.DataFrame) -> "pd.Series[float]":
    """By how much a figure of each run's simulated phones is multiplied for a month of the represented fleet."""
    phones = runs[_REPRESENTED].fillna(runs[_DEVICES]) if _REPRESENTED in runs else runs[_DEVICES]
    found: pd.Series[float] = times_a_month(runs[_DEVICES], phones, runs[_SECONDS])
    return found


def with_marginal_month(runs: pd.DataFrame) -> pd.DataFrame:
    """Figures of runs with the marginal account of a month of the fleet, where they tell what it needs."""
    if MARGINAL_PER_MONTH in runs or any(name not in runs for name in (_USED, _DEVICES, _SECONDS)):
        return runs
    return runs.assign(**{MARGINAL_PER_MONTH: runs[_USED] * per_month(runs)})


def interactions(runs: pd.DataFrame) -> float:
    """Interactions of the fleet in a month; NaN where the runs do not tell."""
    if not {_DEVICES, "interactions", _SECONDS} <= set(runs):
        return math.nan
    return float((runs["interactions"] * per_month(runs)).mean())


def energy(runs: pd.DataFrame) -> dict[str, float | None]:
    """Joules of phones, and of the provisioned GPUs that serve them, idle or not, and grams of CO2 of both, in a month
    of the fleet; None where that is unknown: a hosted API seldom tells its own."""

    def mean(name: str, times: "pd.Series[float] | float" = 1.0) -> float | None:
        found = float((runs[name] * times).mean(skipna=False)) if name in runs else math.nan
        return found if math.isfinite(found) else None

    gpu_joules, gco2 = (mean(f"cost.{name}") for name in ENERGY)
    return {
        "device_joules_per_month": mean("cost.device_joules", per_month(runs)),
        "gpu_joules_per_month": gpu_joules,
        "gco2_per_month": gco2,
    }
