"""When the lists of a table of answers were made: numbers in any unit, digits of dates, time stamps, or text of either.

A reading is one of the whole column. Of the units of a number, one alone makes a date of our time of it: the seconds of
such dates lie within a factor of three, units a factor of a thousand apart. Text without a zone is UTC.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fleetrec.models.candidates import Floats
from fleetrec.models.runtime.dates import LAST_DATE_S, seconds_of
from fleetrec.models.runtime.errors import InputError

_FIRST_S = 788_918_400.0  # 1995: no log of interactions is older
_MONTH_S = 31 * 86400.0
_YEAR_S = 366 * 86400.0
_EXCEL_S = 2_209_161_600.0  # from 1899-12-30, where a sheet's days begin, to 1970
_ZONE = r"\d:\d\d.*(?:[Zz]|UTC|[+-]\d\d(?::?\d\d)?)$"
_EXPECTED = "is neither seconds since 1970 nor an ISO time"


@dataclass(frozen=True)
class MadeAt:
    """Seconds since 1970 [rows], and how the column was read."""

    seconds: Floats
    reading: str


def bad_row(path: Path | str, bad: NDArray[np.bool_], column: str, what: str) -> InputError:
    """The error for a column with bad rows, of which it names the first."""
    row = int(np.flatnonzero(bad)[0])
    return InputError(f"{path}: row {row} (from 0): {column} {what} ({int(bad.sum())} such rows); mend or drop them")


def made_at(column: "pd.Series[Any]", path: Path | str, log_times: Floats) -> MadeAt:
    """The column as_of_time. InputError where rows are no times, or no one reading makes dates of all of them; a date
    is one of 1995 to next year, or one like those of the log."""
    last_s = datetime.now(UTC).timestamp() + _YEAR_S
    near = (float(log_times.min()) - _MONTH_S, float(log_times.max()) + _YEAR_S) if len(log_times) else (1.0, 0.0)

    def dated(seconds: Floats) -> NDArray[np.bool_]:
        of_our_time = (seconds >= _FIRST_S) & (seconds <= last_s)
        return np.asarray(of_our_time | ((seconds >= near[0]) & (seconds <= near[1])))

    if pd.api.types.is_float_dtype(column.dtype) and column.to_numpy().itemsize < 8:
        raise InputError(
            f"{path}: as_of_time is {column.dtype}, which holds no date to the minute; write int64 or float64"
        )
    numbers = column if pd.api.types.is_numeric_dtype(column.dtype) else _numbers(column, path)
    if numbers is not None:
        return _of_numbers(numbers, path, dated)
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        moments, reading = column, "time stamps"
    else:
        moments, reading = _of_text(column.astype("string").str.strip(), path), "ISO times"
    seconds = seconds_of(moments)
    _refuse_no_times(seconds, path)
    bad = ~dated(seconds)
    if bad.any():
        said = f"is {_date(seconds[bad][0])}, no date of {_date(_FIRST_S)[:4]} to {_date(last_s)[:4]} (another unit?)"
        raise bad_row(path, bad, "as_of_time", said)
    return _made(seconds, reading)


def _numbers(column: "pd.Series[Any]", path: Path | str) -> "pd.Series[Any] | None":
    """Text of numbers, or decimals, as numbers; None: dates. InputError where there is some of both."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return None
    text = column.astype("string").str.strip()
    is_number = pd.to_numeric(text, errors="coerce").notna().to_numpy()
    if not is_number.any():
        return None
    if not is_number.all():
        what = f"{str(text.iloc[int(np.argmin(is_number))])!r} {_EXPECTED}, and other rows are numbers"
        raise bad_row(path, ~is_number, "as_of_time", what)
    short = text.str.contains("[eE]", na=False).to_numpy(dtype=bool)
    if short.any():
        raise bad_row(path, short, "as_of_time", f"{text[short].iloc[0]!r} has lost its last digits: write all of them")
    return pd.to_numeric(text)


def _of_numbers(numbers: "pd.Series[Any]", path: Path | str, dated: Callable[[Floats], NDArray[np.bool_]]) -> MadeAt:
    values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    _refuse_no_times(np.where(np.abs(values) < 1e300, values, np.nan), path)
    whole = numbers.to_numpy(dtype=np.int64) if pd.api.types.is_integer_dtype(numbers.dtype) else None
    readings = {
        f"{unit} since 1970": values if scale == 1 else _scaled(values, whole, scale)
        for unit, scale in (("seconds", 1), ("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9))
    }
    for form in ("%Y%m%d", "%Y%m%d%H", "%Y%m%d%H%M", "%Y%m%d%H%M%S"):
        readings[f"digits like {form}"] = _digits(values, form)
    readings["days of a spreadsheet"] = values * 86400.0 - _EXCEL_S
    fits = {name: dated(seconds) for name, seconds in readings.items()}
    chosen = [name for name, rows in fits.items() if rows.all()]
    if len(chosen) == 1:
        return _made(readings[chosen[0]], chosen[0])
    if chosen:
        both = " or ".join(f"{_date(readings[name][0])} ({name})" for name in chosen)
        raise InputError(f"{path}: as_of_time {values[0]:.17g} is {both}; write ISO times, which say what is meant")
    none = ~np.any(list(fits.values()), axis=0)
    if none.any():
        what = f"{values[none][0]:.17g} {_EXPECTED}, nor a date of our time in another unit"
        raise bad_row(path, none, "as_of_time", what)
    usual = max(fits, key=lambda name: int(fits[name].sum()))
    other = next(name for name, rows in fits.items() if (rows & ~fits[usual]).any())
    raise bad_row(path, ~fits[usual], "as_of_time", f"reads as {other} and other rows as {usual}: write one unit")


def _scaled(values: Floats, whole: NDArray[np.int64] | None, scale: int) -> Floats:
    """Seconds from a finer unit; whole numbers lose nothing."""
    return values / scale if whole is None else whole // scale + (whole % scale) / scale


def _digits(values: Floats, form: str) -> Floats:
    """Seconds of dates written as digits; NaN where a number is none of that form."""
    length = len(f"{datetime(2000, 1, 1):{form}}")
    fits = (values >= 10.0 ** (length - 1)) & (values < 10.0**length) & (values == np.floor(values))
    seconds = np.full(len(values), np.nan)
    if fits.any():
        text = pd.Series(values[fits].astype(np.int64)).astype("string")
        seconds[fits] = seconds_of(pd.to_datetime(text, format=form, errors="coerce", utc=True))
    return seconds


def _of_text(text: "pd.Series[Any]", path: Path | str) -> "pd.Series[Any]":
    zoned = text.str.contains(_ZONE, regex=True, na=False).to_numpy(dtype=bool)
    if zoned.any() and not zoned.all():
        raise bad_row(path, ~zoned, "as_of_time", "has no zone and other rows have one: write the zone in all of them")
    return pd.to_datetime(text.str.replace(r"\s*UTC$", "Z", regex=True), utc=True, errors="coerce", format="ISO8601")


def _refuse_no_times(seconds: Floats, path: Path | str) -> None:
    if not np.isfinite(seconds).all():
        raise bad_row(path, ~np.isfinite(seconds), "as_of_time", _EXPECTED)


def _made(seconds: Floats, reading: str) -> MadeAt:
    return MadeAt(seconds, f"{reading}, {_date(float(seconds.min()))} to {_date(float(seconds.max()))}")


def _date(seconds: float) -> str:
    if not 0 <= seconds < LAST_DATE_S:
        return f"{seconds:.4g} s from 1970"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
