"""Times of a log as seconds: numbers in whatever unit, ISO times with or without zones, or no times at all.

The unit of numbers is told by their size: since 1973 the seconds of a date lie between 1e8 and 1e11, its
milliseconds between 1e11 and 1e14, and so on. Smaller numbers are seconds since an unknown start.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fleetrec.models.runtime.dates import LAST_DATE_S, seconds_of
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.workload.log import Clock

Floats = NDArray[np.float64]

_FIRST_DATE_S = 1e8  # March 1973: smaller numbers are taken as relative
_UNKNOWN_DAY = 99991231
_EMPTY_S = 10 * 365.25 * 86400.0  # years without any event, on whose other side a date is implausible
_UNITS = (("seconds", 1.0), ("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9))
_ZONE = r"(?:[Zz]|[+-]\d\d:?\d\d)\s*$"


@dataclass(frozen=True)
class ParsedTimes:
    """Seconds [R], NaN where a row's time cannot be used; whether they are dates; what was assumed."""

    seconds: Floats
    dated: bool
    problems: dict[str, int]
    notes: tuple[Note, ...]


def parse_times(raw: Any, in_seconds: bool) -> ParsedTimes:
    """Seconds from a pyarrow array [R] of strings or doubles; `in_seconds`: they are seconds since 1970 already."""
    if in_seconds:
        return ParsedTimes(_dates(_floats(raw)), True, {}, ())
    if not pa.types.is_string(raw.type):
        return _numbers(_floats(raw))
    trimmed = pc.utf8_trim_whitespace(raw)
    try:
        return _numbers(_floats(pc.cast(trimmed, pa.float64())))
    except pa.ArrowInvalid:
        texts = trimmed.to_pandas().astype(object)
    numbers = pd.to_numeric(texts, errors="coerce")
    moments = pd.to_datetime(texts.where(numbers.isna()), errors="coerce", format="ISO8601", utc=True)
    if numbers.notna().sum() >= moments.notna().sum():
        return _numbers(numbers.to_numpy(dtype=np.float64))
    seconds = _dates(seconds_of(moments))
    local = int((moments.notna() & ~texts.str.contains(_ZONE, na=False)).sum())
    notes = (note("times_utc", "{times} ISO times without a zone are taken as UTC", times=local),) if local else ()
    return ParsedTimes(seconds, True, {}, notes)


def why_unusable(raw: Any, in_seconds: bool, row: int) -> str:
    """What is wrong with the time of a row that `parse_times` made NaN."""
    value = raw[row].as_py()
    if value is None or not str(value).strip() or str(value).strip().lower() in ("nan", "null", "none"):
        return "the time is empty"
    try:
        number = float(value)
    except ValueError:
        moment = pd.to_datetime(str(value).strip(), errors="coerce", format="ISO8601", utc=True)
        dated = in_seconds or pd.notna(moment)
        told = "is before 1970 or ten empty years away from the other dates (a missing date?), or those are numbers"
        told = told if dated else "is not a number or an ISO time"
        if pd.notna(moment) and moment.year > 5000:
            told = "is no time at which something happened: a mark for an unknown one?"
        return f"the time {str(value)[:40]!r} {told} (2020-01-31T23:59:59Z)"
    if not np.isfinite(number):
        return f"the time {value!r} is not finite"
    if number < 0:
        return f"the time {value!r} is negative"
    return f"the time {value!r} is not a date like most of the others (another unit, or a missing date?)"


def clock_of(times: Floats, offsets: NDArray[np.int64], dated: bool) -> Clock:
    """The clock of sorted times [E]: relative where most users start at the log's smallest time, each on its own."""
    if dated:
        return "absolute"
    firsts = times[offsets[:-1]]
    alone = (firsts == times.min()).mean() > 0.5
    return "relative" if alone else "shared"


def _floats(array: Any) -> Floats:
    return np.array(array.to_numpy(zero_copy_only=False), dtype=np.float64)


def _dates(seconds: Floats) -> Floats:
    """The same, NaN where they are before 1970, so late that they mark an unknown time, or far from all others."""
    seconds = np.where((seconds < 0) | (seconds >= LAST_DATE_S), np.nan, seconds)
    seconds[_far_from_all(seconds)] = np.nan
    return seconds


def _numbers(values: Floats) -> ParsedTimes:
    values = np.where(np.isfinite(values), values, np.nan)
    known = values[~np.isnan(values)]
    typical = float(np.median(known)) if len(known) else 0.0
    if _are_days(known):
        days = pd.to_datetime(pd.Series(values).astype("Int64").astype("string"), format="%Y%m%d", utc=True)
        return ParsedTimes(
            _dates(seconds_of(days)), True, {}, (note("times_days", "times like 20200131 are taken as days"),)
        )
    if typical < _FIRST_DATE_S:
        told = note("times_relative", "times are small numbers: seconds since a start that the log does not tell")
        return ParsedTimes(np.where(values < 0, np.nan, values), False, {}, (told,))
    unit, scale = next((u for u in _UNITS if typical < LAST_DATE_S * u[1]), _UNITS[-1])
    seconds = values / scale
    seconds[(seconds < _FIRST_DATE_S) | (seconds >= LAST_DATE_S)] = np.nan
    seconds[_far_from_all(seconds)] = np.nan
    if unit == "seconds":
        return ParsedTimes(seconds, True, {}, ())
    told = note("times_unit", "times are {unit} since 1970", unit=unit)
    return ParsedTimes(seconds, True, {f"times_in_{unit}": len(known)}, (told,))


def _far_from_all(seconds: Floats) -> NDArray[np.bool_]:
    """Which dates [R] ten empty years keep apart from those around the median: 1970 among 2026 is a missing date, not
    an event."""
    known = np.sort(seconds[~np.isnan(seconds)])
    far = np.zeros(len(seconds), dtype=np.bool_)
    gaps = np.flatnonzero(np.diff(known) > _EMPTY_S)
    if len(gaps):
        middle = len(known) // 2
        before, after = gaps[gaps < middle], gaps[gaps >= middle]
        first = known[before[-1] + 1] if len(before) else -np.inf
        last = known[after[0]] if len(after) else np.inf
        far = (seconds < first) | (seconds > last)
    return far


def _are_days(known: Floats) -> bool:
    """Whether every number reads as a day, like 20200131; 99991231 may stand among them for an unknown one."""
    known = known[known != _UNKNOWN_DAY]
    if not len(known) or known.min() < 19000101 or known.max() > 21001231 or (known != np.floor(known)).any():
        return False
    unique = pd.Series(np.unique(known)).astype(np.int64).astype(str)
    return bool(pd.to_datetime(unique, format="%Y%m%d", errors="coerce").notna().all())
