"""What an update schedule did: releases, installs and adaptations as rows, and bytes by device."""

from array import array
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

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


class UpdateLog:
    """Filled as the run goes; devices tell some of it late, so rows are put in order of time at the end."""

    def __init__(self, devices: int):
        self._rows: list[tuple[Any, ...]] = []
        self.bytes_down, self.bytes_up = array("d", [0.0]) * devices, array("d", [0.0]) * devices

    def released(
        self, t_s: float, version: int, known: int, new: int, gpu_seconds: float, push_bytes: float, loss: float
    ) -> None:
        """A version is there for devices to fetch, trained on `known` interactions of which `new` are new; its bytes
        are those of one push."""
        self._rows.append((t_s, "released", -1, version, known, new, gpu_seconds, push_bytes, 0.0, loss))

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
