"""Queue and load of a node over time, thinned as it goes: fixed time bins whose width doubles when they run out.

Bin widths are powers of two, so that bin edges are exact and two half bins merge into one without rounding.
"""

import numpy as np
from numpy.typing import NDArray

_FINEST_S = 2.0**-10


class Timeline:
    """Per bin: longest queue, and means of the busy replicas, the requests in service and the replicas that are up."""

    def __init__(self, bins: int = 5000):
        self._bins = bins
        self._width = _FINEST_S
        self._queue_max = np.zeros(bins, dtype=np.int64)
        self._areas = np.zeros((bins, 3))  # integrals of (busy, requests in service, up) over the bin
        self._bin = 0
        self._bin_end = self._width
        self._last_s = 0.0
        self._longest = self._queue = self._busy = self._in_service = self._up = 0
        self._busy_area = self._service_area = self._up_area = 0.0

    def change(self, now: float, queue: int, busy: int, in_service: int, up: int) -> None:
        """From `now` on these numbers hold. Calls come in time order."""
        if now >= self._bin_end:
            self._advance(now)
        elapsed = now - self._last_s
        if elapsed > 0.0:
            self._busy_area += elapsed * self._busy
            self._service_area += elapsed * self._in_service
            self._up_area += elapsed * self._up
            self._last_s = now
        if queue > self._longest:
            self._longest = queue
        self._queue = queue
        self._busy = busy
        self._in_service = in_service
        self._up = up

    def _store(self) -> None:
        self._queue_max[self._bin] = self._longest
        self._areas[self._bin] = self._busy_area, self._service_area, self._up_area

    def _advance(self, now: float) -> None:
        """Closes the current bin and fills those up to the one that holds `now`."""
        while now >= self._bins * self._width:
            self._coarsen()
        target = int(now // self._width)
        if target > self._bin:
            rest = self._bin_end - self._last_s
            self._busy_area += rest * self._busy
            self._service_area += rest * self._in_service
            self._up_area += rest * self._up
            self._store()
            if target > self._bin + 1:
                between = slice(self._bin + 1, target)
                self._queue_max[between] = self._queue
                held = np.array([self._busy, self._in_service, self._up])
                self._areas[between] = held * self._width
            self._bin = target
            self._last_s = target * self._width
            self._longest = self._queue
            self._busy_area = self._service_area = self._up_area = 0.0
        self._bin_end = (self._bin + 1) * self._width

    def _coarsen(self) -> None:
        self._store()
        used = self._bin + 1
        self._queue_max[used:] = 0
        self._areas[used:] = 0.0
        half = self._bins // 2
        self._queue_max[:half] = self._queue_max[: 2 * half].reshape(half, 2).max(axis=1)
        self._areas[:half] = self._areas[: 2 * half].reshape(half, 2, 3).sum(axis=1)
        self._width *= 2.0
        self._bin //= 2
        self._bin_end = (self._bin + 1) * self._width
        self._longest = int(self._queue_max[self._bin])
        self._busy_area, self._service_area, self._up_area = map(float, self._areas[self._bin])

    def handed_over(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
        """All that it holds, for compiled code to go on from (compiled/timeline.py says where what is)."""
        counts = [self._bin, self._longest, self._queue, self._busy, self._in_service, self._up]
        times = [self._width, self._bin_end, self._last_s, self._busy_area, self._service_area, self._up_area]
        return np.array(counts), np.array(times), self._queue_max, self._areas

    def taken_back(self, counts: NDArray[np.int64], times: NDArray[np.float64]) -> None:
        """It goes on from what has become of the first two of these arrays; the others are its own."""
        self._bin, self._longest, self._queue, self._busy, self._in_service, self._up = counts.tolist()
        self._width, self._bin_end, self._last_s, *areas = times.tolist()
        self._busy_area, self._service_area, self._up_area = areas

    def rows(self, until_s: float) -> dict[str, NDArray[np.float64]]:
        """Columns t_s (start of the bin), queue, busy, in_service and up, up to `until_s`; a row holds until the next.

        At most `bins` rows; a bin equal to the one before it has no row.
        """
        self.change(until_s, self._queue, self._busy, self._in_service, self._up)
        self._store()
        used = self._bin + 1
        starts = np.arange(used) * self._width
        lengths = np.minimum(self._width, until_s - starts)
        if used > 1 and lengths[-1] <= 0.0:  # the run ends where its last bin would begin
            used, starts, lengths = used - 1, starts[:-1], lengths[:-1]
        means = self._areas[:used] / np.where(lengths > 0.0, lengths, 1.0)[:, None]
        table = np.column_stack([self._queue_max[:used], means])
        kept = np.ones(used, dtype=bool)
        kept[1:] = (table[1:] != table[:-1]).any(axis=1)
        return {
            "t_s": starts[kept],
            "queue": table[kept, 0],
            "busy": table[kept, 1],
            "in_service": table[kept, 2],
            "up": table[kept, 3],
        }
