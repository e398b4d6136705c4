"""Figures of a month of the fleet that runs represent: interactions, dollars, joules, grams, each a mean over runs."""

import math

import pandas as pd

from fleetrec.simulator.core.months import times_a_month
from fleetrec.simulator.results.account_names import ENERGY

_DEVICES, _REPRESENTED = "devices", "represented.devices"


def per_month(runs: pd.DataFrame) -> "pd.Series[float]":
    """By how much a figure of each run's simulated phones is multiplied for a month of the represented fleet."""
    phones = runs[_REPRESENTED].fillna(runs[_DEVICES]) if _REPRESENTED in runs else runs[_DEVICES]
    found: pd.Series[float] = times_a_month(runs[_DEVICES], phones, runs["simulated_seconds"])
    return found


def interactions(runs: pd.DataFrame) -> float:
    """Interactions of the fleet in a month; NaN where the runs do not tell."""
    if not {_DEVICES, "interactions", "simulated_seconds"} <= set(runs):
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
