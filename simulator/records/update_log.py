"""What an update schedule did: releases, installs and adaptations as rows, and bytes by device."""

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from fleetrec.simulator.core.costs import Cost, rent_cost
from fleetrec.simulator.scenario import sections

if TYPE_CHECKING:
    from fleetrec.simulator.engine.retraining import Release, Trainer

EVENTS = ("released", "installed", "adapted")
UPDATE_SCHEMA = pa.schema(
    [
        ("t_s", pa.float64()),
        ("event", pa.string()),
        ("device", pa.int32()),
        ("version", pa.int32()),
        ("interactions", pa.int64()),
        ("new_interactions", pa.int64()),
        ("gpu_seconds", pa.float64()),
        ("bytes", pa.float64()),
        ("joules", pa.float64()),
        ("loss", pa.float64()),
    ]
)
_MOMENTS = 24  # at which adoption is told in a summary


class UpdateLog:
    """Filled as the run goes; devices tell some of it late, so rows are put in order of time at the end."""

    def __init__(self, devices: int):
        self._rows: list[tuple[Any, ...]] = []
        self.bytes_down, self.bytes_up = array("d", [0.0]) * devices, array("d", [0.0]) * devices

    def released(self, release: "Release") -> None:
        """A version is there for devices to fetch; its bytes are those of one push."""
        known = (release.interactions, release.new, release.gpu_seconds, release.srm.push_bytes, 0.0, release.loss)
        self._rows.append((release.released_s, "released", -1, release.version, *known))

    def pushed(self, device: int, nbytes: float) -> None:
        """Bytes of weights have travelled to a device."""
        self.bytes_down[device] += nbytes

    def uploaded(self, device: int, nbytes: float) -> None:
        """A device has sent interactions for the cloud to learn from."""
        self.bytes_up[device] += nbytes

    def installed(self, t_s: float, device: int, version: int) -> None:
        """A device ranks with a version from now on."""
        self._rows.append((t_s, "installed", device, version, 0, 0, 0.0, 0.0, 0.0, np.nan))

    def adapted(self, t_s: float, device: int, version: int, joules: float) -> None:
        """A device ranks with parameters of its own, trained for so many joules, from now on."""
        self._rows.append((t_s, "adapted", device, version, 0, 0, 0.0, 0.0, joules, np.nan))

    def table(self) -> pd.DataFrame:
        """One row an event, in order of time."""
        types = {field.name: field.type.to_pandas_dtype() for field in UPDATE_SCHEMA}
        frame = pd.DataFrame(self._rows, columns=list(types)).astype(types)
        return frame.sort_values(["t_s", "event", "device"], ignore_index=True)


def training_cost(learning: "Trainer | None", tariffs: sections.Tariffs) -> Cost:
    """What the GPU that retrains costs, by its time."""
    if learning is None:
        return Cost()
    return rent_cost(sum(release.gpu_seconds for release in learning.releases), learning.gpu.usd_per_hour, tariffs)


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
