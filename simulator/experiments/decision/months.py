"""Figures of a month of the fleet that runs represent: interactions, dollars, joules, grams, each a mean over runs."""

import math

import pandas as pd

from fleetrec.simulator.core.months import times_a_month

_DEVICES, _REPRESENTED = "devices", "represented.devices"


def per_month(runs: pd.DataFrame) -> "pd.Series[float]":
    """By how much a figure of each run's simulated phones is multiplied for a month of the represented fleet."""
    phones = runs[_REPRESENTED].fillna(runs[_DEVICES]) if _REPRESENTED in runs else runs[_DEVICES]
    found: pd.Series[float] = times_a_month(runs[_DEVICES], phones, runs["simulated_seconds"])
    return found


def interactions(runs: pd.DataFrame) -> float:
    """Interactions of the fleet in a month."""
    return float((runs["interactions"] * per_month(runs)).mean())


def energy(runs: pd.DataFrame) -> dict[str, float | None]:
    """Joules of phones and of the GPUs that serve them, and grams of CO2, in a month of the fleet.

    GPUs are charged for the time in which they serve: idle ones are not, whoever owns them.
    """
    times = per_month(runs)

    def mean(name: str) -> float | None:
        found = float((runs[name] * times).mean()) if name in runs else math.nan
        return found if math.isfinite(found) else None

    return {
        "device_joules_per_month": mean("cost.device_joules"),
        "gpu_joules_per_month": mean("cost.gpu_joules"),
        "gco2_per_month": mean("cost.gco2"),
    }
