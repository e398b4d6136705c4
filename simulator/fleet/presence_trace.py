"""When devices are there, from a CSV of device,start_s,end_s: on the run's clock, or on the calendar of the log."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.signals import seconds_of
from fleetrec.simulator.scenario.sections import PresenceTrace
from fleetrec.simulator.scenario.text_files import number, read_rows

HEADER = ["device", "start_s", "end_s"]
_DATES_S = 1e9  # of the run's clock 31 years, since 1970 the year 2001


@dataclass(frozen=True)
class Spans:
    """Rows of a trace, those of a device in order of time: device, start and end in seconds, row of the file."""

    rows: list[tuple[int, float, float, int]]
    path: str
    clock: str

    def on_run(self, zero_s: float | None, horizon_s: float) -> list[tuple[int, float, float]]:
        """The spans of the run, in its time; `zero_s` is the date of that, where it has one. InputError
        where no device is there in the run."""
        where = f"presence trace {self.path}"
        shift_s = 0.0
        if self.clock == "calendar":
            if zero_s is None:
                raise InputError(
                    "fleet.churn.clock: calendar needs a log with dates whose interactions are replayed when they were "
                    "(workload.arrivals: replay, without time_scale and shift); give times of the run, clock: run"
                )
            shift_s = zero_s
        spans = [(device, start_s - shift_s, end_s - shift_s) for device, start_s, end_s, _ in self.rows]
        for there, when in (
            ([start_s < horizon_s for _, start_s, _ in spans], f"comes after the run's end, {horizon_s:g} s"),
            ([end_s > 0 for _, _, end_s in spans], "leaves before the run's start"),
        ):
            if not any(there):
                other = "run" if self.clock == "calendar" else "calendar"
                raise InputError(
                    f"{where}: every device {when}, as fleet.churn.clock: {self.clock} counts; mend the times, or set "
                    f"clock: {other}"
                )
        return [
            (device, max(start_s, 0.0), end_s) for device, start_s, end_s in spans if start_s < horizon_s and end_s > 0
        ]


def read_spans(section: PresenceTrace, n_devices: int) -> Spans:
    """The trace of a section. InputError names file and row."""
    where = f"presence trace {section.path}"
    rows: list[tuple[int, float, float, int]] = []
    table = read_rows(section.path, "presence trace")
    row, head = next(table, (1, HEADER))
    if [cell.lower() for cell in head] != HEADER:
        raise InputError(f"{where}, row {row}: expected the header {','.join(HEADER)}, got {','.join(head)!r}")
    for row, cells in table:
        here = f"{where}, row {row}"
        if len(cells) != 3:
            raise InputError(f"{here}: expected three cells, {','.join(HEADER)}, got {','.join(cells)!r}")
        device, start_s, end_s = number(cells[0], here), *(_time(cell, section.clock, here) for cell in cells[1:])
        if not (device.is_integer() and 0 <= device < n_devices):
            raise InputError(f"{here}: unknown device {cells[0]}; devices are 0 to {n_devices - 1}")
        if start_s < 0:
            raise InputError(f"{here}: start_s {start_s:g} is negative; times are seconds from the run's start")
        if end_s <= start_s:
            raise InputError(f"{here}: end_s {cells[2]} is not after start_s {cells[1]}; mend or remove the row")
        rows.append((int(device), start_s, end_s, row))
    if not rows:
        raise InputError(f"{where}: holds no rows; give at least one device,start_s,end_s")
    rows.sort()
    for (device_before, _, end_s, _), (device_index, start_s, _, row) in pairwise(rows):
        if device_before == device_index and start_s < end_s:
            raise InputError(f"{where}, row {row}: overlaps another row of device {device_index}; merge the two")
    if section.clock == "run" and min(start_s for _, start_s, _, _ in rows) >= _DATES_S:
        raise InputError(
            f"{where}: every device comes after 31 years of the run; times are seconds from its start, or, as these "
            "seem to be, dates since 1970: set fleet.churn.clock: calendar"
        )
    return Spans(rows, section.path, section.clock)


def _time(cell: str, clock: str, where: str) -> float:
    if clock == "calendar":
        return seconds_of(cell, where, dated=True)
    if "-" in cell[1:] and ":" in cell:
        raise InputError(
            f"{where}: {cell!r} is a date, and times are seconds from the run's start; set fleet.churn.clock: calendar"
        )
    return number(cell, where)


def timeline_of(
    spans: list[tuple[int, float, float]], earliest_s: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(joined_s [D], left_s [D], gaps [G, 3] as device, start, end) of devices that join at `earliest_s` [D] or later;
    one without a span never joins."""
    n_devices = len(earliest_s)
    joined_s, left_s = np.full(n_devices, np.inf), np.full(n_devices, np.inf)
    gaps: list[tuple[int, float, float]] = []
    own: dict[int, list[tuple[float, float]]] = {}
    for device, start_s, end_s in spans:
        own.setdefault(device, []).append((start_s, end_s))
    for device, there in own.items():
        gaps += [(device, end_s, start_s) for (_, end_s), (start_s, _) in pairwise(there) if start_s > end_s]
        if earliest_s[device] < there[-1][1]:
            joined_s[device] = max(there[0][0], earliest_s[device])
            left_s[device] = there[-1][1]
    return joined_s, left_s, np.array(gaps, dtype=np.float64).reshape(-1, 3)
