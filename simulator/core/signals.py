"""What varies over simulated time: one small interface, `at(t_s)` and `mean(start_s, end_s)`, and three shapes of it.

After the Signal of vessim. Times are simulated seconds; a trace begins at simulated time 0.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Protocol

import scipy  # loads optimize and special where they are used: most runs need neither

from fleetrec.models.runtime.dates import LAST_DATE_S
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.text_files import number, read_rows
from fleetrec.simulator.scenario.units import DURATION, Quantity

DAY_S = 86400.0
_SINCE_S, _UNTIL_S = 788_918_400.0, 4_102_444_800.0  # 1995 and 2100
_MOST_BPS = 1e12  # no device has such a link


class Signal(Protocol):
    """A quantity over simulated time."""

    def at(self, t_s: float) -> float:
        """The value at one moment."""

    def mean(self, start_s: float, end_s: float) -> float:
        """The exact mean over [start_s, end_s]; the value at start_s where the interval is empty."""


@dataclass(frozen=True)
class Constant:
    """The same value always."""

    value: float

    def at(self, t_s: float) -> float:
        return self.value

    def mean(self, start_s: float, end_s: float) -> float:
        return self.value


class Trace:
    """Values that hold from their time to the next one, and over again after `period_s`.

    times_s: strictly increasing, from 0; values: as many. period_s: length of one pass (the last value holds until
    then), or None: the last value holds for ever. Plain lists: scalar look-ups are on the engine's hot path.
    """

    def __init__(self, times_s: list[float], values: list[float], period_s: float | None = None):
        if not values or len(values) != len(times_s):
            raise ValueError("a trace needs as many values as times, and at least one")
        if times_s[0] != 0 or any(late <= early for early, late in pairwise(times_s)):
            raise ValueError("a trace's times start at 0 and increase strictly")
        if period_s is not None and period_s <= times_s[-1]:
            raise ValueError("a trace's period ends after its last time")
        self.times_s = times_s
        self.values = values
        self.period_s = period_s
        held = ((late - early) * value for (early, late), value in zip(pairwise(times_s), values, strict=False))
        self._area = list(accumulate(held, initial=0.0))  # integral from 0 to each time
        self._pass_area = self._area[-1] + (period_s - times_s[-1]) * values[-1] if period_s is not None else math.inf

    def _locate(self, t_s: float) -> tuple[int, float, int]:
        """(complete passes, seconds into the current one, index of the value that holds)."""
        passes = 0
        if self.period_s is not None:
            passes, t_s = int(t_s // self.period_s), t_s % self.period_s
        return passes, t_s, max(bisect_right(self.times_s, t_s) - 1, 0)

    def at(self, t_s: float) -> float:
        return self.values[self._locate(t_s)[2]]

    def integral(self, t_s: float) -> float:
        """The area under the values from time 0 to t_s."""
        passes, inside_s, i = self._locate(t_s)
        area = self._area[i] + (inside_s - self.times_s[i]) * self.values[i]
        return area + passes * self._pass_area if passes else area

    def mean(self, start_s: float, end_s: float) -> float:
        if end_s <= start_s:
            return self.at(start_s)
        return (self.integral(end_s) - self.integral(start_s)) / (end_s - start_s)

    def seconds_to_gather(self, amount: float, start_s: float) -> float:
        """Seconds from start_s until the area under a non-negative trace has grown by `amount`; inf: never."""
        if not amount:
            return 0.0
        _, inside_s, i = self._locate(start_s)
        have = (self.times_s[i + 1] if i + 1 < len(self.times_s) else self.period_s or math.inf) - inside_s
        if amount <= have * self.values[i]:  # the usual case: within the value that holds now
            return amount / self.values[i]
        wanted = self._area[i] + (inside_s - self.times_s[i]) * self.values[i] + amount
        whole = 0
        if wanted > self._pass_area:
            if self._pass_area <= 0:
                return math.inf
            whole = math.ceil(wanted / self._pass_area) - 1
            wanted -= whole * self._pass_area
            if wanted <= 0:  # rounding at the very end of a pass
                whole, wanted = whole - 1, self._pass_area
            wanted = min(wanted, self._pass_area)
        last = max(bisect_right(self._area, wanted) - 1, 0)
        while last and self._area[last] >= wanted:  # the first moment at which the area is reached, over zero values
            last -= 1
        if self.values[last] <= 0:
            return math.inf
        end_s = self.times_s[last] + (wanted - self._area[last]) / self.values[last]
        return whole * (self.period_s or 0.0) + end_s - inside_s


@dataclass(frozen=True)
class Diurnal:
    """A daily cycle about `mean_value`, its peak at `peak_hour`: mean * exp(k cos angle) / I0(k), positive at any peak.

    peak_to_mean (at least 1) fixes k. The mean over an interval uses the Fourier series of the shape.
    """

    mean_value: float
    peak_hour: float = 20.0
    peak_to_mean: float = 2.0

    @cached_property
    def _concentration(self) -> float:
        if self.peak_to_mean <= 1:
            return 0.0
        return float(scipy.optimize.brentq(lambda k: 1 / scipy.special.i0e(k) - self.peak_to_mean, 1e-9, 1e6))

    @cached_property
    def _harmonics(self) -> list[float]:
        k = self._concentration
        ratios = [2 * float(scipy.special.ive(n, k) / scipy.special.i0e(k)) for n in range(1, 200)]
        return [ratio for ratio in ratios if ratio > 1e-15]

    def _angle(self, t_s: float) -> float:
        return 2 * math.pi * (t_s / DAY_S - self.peak_hour / 24)

    def at(self, t_s: float) -> float:
        k = self._concentration
        return self.mean_value * math.exp(k * (math.cos(self._angle(t_s)) - 1)) / float(scipy.special.i0e(k))

    def mean(self, start_s: float, end_s: float) -> float:
        if end_s <= start_s:
            return self.at(start_s)
        first, last = self._angle(start_s), self._angle(end_s)
        waves = sum(
            weight * (math.sin(n * last) - math.sin(n * first)) / n for n, weight in enumerate(self._harmonics, start=1)
        )
        return self.mean_value * (1 + waves / (last - first))


def repeated_trace(times_s: list[float], values: list[float]) -> Trace:
    """A trace shifted to start at 0 and repeated; its last value holds for the median step (1 s if it is alone)."""
    shifted = [time - times_s[0] for time in times_s]
    steps = sorted(late - early for early, late in pairwise(shifted))
    over_s = shifted[-1] + (steps[len(steps) // 2] if steps else 1.0)
    return Trace(shifted, values, period_s=max(over_s, math.nextafter(shifted[-1], math.inf)))


def _checked_trace(rows: list[tuple[int, float, float]], where: str) -> Trace:
    """A repeated trace from (row number, time, value); times must increase, and values be from 0 to 1e21."""
    if not rows:
        raise InputError(f"{where}: holds no rows; give at least one time and value")
    begin_s = rows[0][1]
    if begin_s >= LAST_DATE_S:
        raise InputError(
            f"{where}, row {rows[0][0]}: {begin_s:.15g} lies beyond the year 5000; give times in seconds, not in "
            "milliseconds"
        )
    for (_, early, _), (row, late, _) in pairwise(rows):
        if late - begin_s <= early - begin_s:
            raise InputError(f"{where}, row {row}: times must increase; sort the rows and remove repeats")
        if late - begin_s > DURATION.most:
            raise InputError(f"{where}, row {row}: is {late - begin_s:g} s after the first one; give times in seconds")
    for row, _, value in rows:
        if not 0 <= value <= Quantity.most:
            what = "negative" if value < 0 else "too large to add up"
            raise InputError(f"{where}, row {row}: the value {value:g} is {what}; mend or remove the row")
    return repeated_trace([time for _, time, _ in rows], [value for _, _, value in rows])


def read_bandwidth_trace(path: str) -> Trace:
    """Bits per second over time, from a file of `seconds Mbit/s` lines, repeated. Errors name file and row."""
    where = f"bandwidth trace {path}"
    rows = []
    for row, cells in read_rows(path, "bandwidth trace", delimiter=None):
        if len(cells) != 2:
            raise InputError(f"{where}, row {row}: expected two numbers, seconds and Mbit/s, got {' '.join(cells)!r}")
        rows.append((row, number(cells[0], f"{where}, row {row}"), number(cells[1], f"{where}, row {row}") * 1e6))
    trace = _checked_trace(rows, where)
    if max(trace.values) > _MOST_BPS:
        raise InputError(
            f"{where}: holds {max(trace.values) / 1e6:g} Mbit/s, more than any device's link; the second number is "
            "Mbit/s, not kbit/s or bit/s"
        )
    if max(trace.values) <= 0:
        raise InputError(f"{where}: every bandwidth is 0, so no message would ever arrive; give another trace")
    return trace


def read_timed_csv(path: str, what: str) -> Trace:
    """A value over time from a CSV with a header and two columns (ISO time or seconds, value), repeated."""
    where = f"{what} {path}"
    rows = []
    for row, cells in read_rows(path, what):
        if row == 1:
            continue
        if len(cells) < 2:
            raise InputError(f"{where}, row {row}: expected a time and a value, got {','.join(cells)!r}")
        rows.append((row, seconds_of(cells[0], f"{where}, row {row}"), number(cells[1], f"{where}, row {row}")))
    return _checked_trace(rows, where)


def seconds_of(cell: str, where: str, dated: bool = False) -> float:
    """Seconds from a plain number or an ISO time; times without a zone are read as UTC, wherever the run is. `dated`:
    a number is a date too, since 1970 in seconds or in the finer unit that its size tells."""
    if "-" not in cell[1:]:
        value = number(cell, where)
        if not dated:
            return value
        date_s = next(
            (value / scale for scale in (1, 10**3, 10**6, 10**9) if _SINCE_S <= value / scale < _UNTIL_S), None
        )
        if date_s is None:
            raise InputError(
                f"{where}: {cell} is no date of 1995 to 2100, in seconds since 1970 or a finer unit; mend it"
            )
        return date_s
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError as error:
        raise InputError(f"{where}: expected an ISO time or seconds, got {cell!r}; mend or remove the row") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def signal_of(value: float | str, what: str) -> Signal:
    """A constant from a number, or the repeated trace in the CSV that a string names."""
    return read_timed_csv(value, what) if isinstance(value, str) else Constant(float(value))
