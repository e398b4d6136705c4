"""The `updates` section of a summary: what was trained, what it cost, what travelled, and who had it when."""

from typing import Any

import numpy as np
import pandas as pd

from fleetrec.simulator.core.costs import Cost, rent_cost
from fleetrec.simulator.engine.retraining import Trainer
from fleetrec.simulator.records.update_log import UpdateLog
from fleetrec.simulator.scenario import sections

_MOMENTS = 24  # at which adoption is told in a summary


def training_cost(learning: Trainer | None, tariffs: sections.Tariffs) -> Cost:
    """What the GPU that retrains costs, by its time."""
    if learning is None:
        return Cost()
    busy_s = sum(release.training.gpu_seconds for release in learning.releases)
    return rent_cost(busy_s, learning.gpu.usd_per_hour(tariffs))


def update_section(
    kind: str, log: UpdateLog, table: pd.DataFrame, training: Cost, devices: int, horizon_s: float
) -> dict[str, Any]:
    """The `updates` section of a summary: what was trained, what travelled, who had it when."""
    released, installed = table[table["event"] == "released"], table[table["event"] == "installed"]
    adapted = table[table["event"] == "adapted"]
    return {
        "schedule": kind,
        "versions": [
            {
                "version": row["version"],
                "released_s": row["t_s"],
                **{name: row[name] for name in ("interactions", "new_interactions", "loss", "gpu_seconds")},
                "push_bytes": row["bytes"],
                "installs": int((installed["version"] == row["version"]).sum()),
            }
            for row in released.to_dict("records")
        ],
        "adoption": _adoption(installed, released, devices, horizon_s) if len(released) else [],
        "installs": len(installed),
        "bytes_pushed": float(np.sum(log.bytes_down)),
        "bytes_uploaded": float(np.sum(log.bytes_up)),
        "gpu_hours": training.gpu_seconds / 3600.0,
        "usd_training": training.usd,
        "adaptations": len(adapted),
        "adapted_devices": int(adapted["device"].nunique()),
        "device_joules": float(adapted["joules"].sum()),
    }


def _adoption(
    installed: pd.DataFrame, released: pd.DataFrame, devices: int, horizon_s: float
) -> list[dict[str, float]]:
    """Over time, the share of all devices that have a pushed version, and that have the newest one."""
    moments = np.linspace(0.0, horizon_s, _MOMENTS + 1)[1:]
    told = []
    for t_s in moments.tolist():
        newest_of = installed[installed["t_s"] <= t_s].groupby("device")["version"].max()
        out = released.loc[released["t_s"] <= t_s, "version"]
        newest = int(out.max()) if len(out) else 0
        have = int((newest_of == newest).sum()) if newest else devices
        told.append(
            {"t_s": t_s, "newest": newest, "share_newest": have / devices, "share_updated": len(newest_of) / devices}
        )
    return told
