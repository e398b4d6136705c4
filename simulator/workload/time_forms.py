"""The forms in which logs write times: numbers since some start, digits of dates, and texts; which of them fit.

A form fits where it makes dates of a log's life of the values: from 1995 to the end of next year. The life of logs is
what tells units apart; numbers that no form makes such dates of are of an unknown start, or are no times.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.workload.tables.table import Column, Reader, Table, quoted

Floats = NDArray[np.float64]

DAY_S = 86_400.0
PLAUSIBLE = (
    datetime(1995, 1, 1, tzinfo=UTC).timestamp(),
    datetime(datetime.now(UTC).year + 2, 1, 1, tzinfo=UTC).timestamp(),
)
"""seconds since 1970 between which a log's dates lie"""


@dataclass(frozen=True)
class Count:
    """A number of units since a start."""

    name: str  # as the user writes it
    told: str
    per_unit_s: float  # seconds a unit
    per_second: float  # units a second; both are given, since a quotient of whole numbers is exact
    start_s: float  # the start, in seconds since 1970

    def seconds(self, values: Floats) -> Floats:
        """Seconds since 1970, or since the numbers' own start where they are small."""
        return (values / self.per_second if self.per_second >= 1 else values * self.per_unit_s) + self.start_s


_1601, _YEAR_1, _1899 = -11_644_473_600.0, -62_135_596_800.0, -2_209_161_600.0
EPOCH = (
    Count("s", "seconds since 1970", 1.0, 1.0, 0.0),
    Count("ms", "milliseconds since 1970", 1e-3, 1e3, 0.0),
    Count("us", "microseconds since 1970", 1e-6, 1e6, 0.0),
    Count("ns", "nanoseconds since 1970", 1e-9, 1e9, 0.0),
)
OTHER_LARGE = (
    Count("filetime", "hundreds of nanoseconds since 1601 (Windows)", 1e-7, 1e7, _1601),
    Count("webkit", "microseconds since 1601 (browsers)", 1e-6, 1e6, _1601),
    Count("ticks", "hundreds of nanoseconds since year 1 (.NET)", 1e-7, 1e7, _YEAR_1),
)
OTHER_SMALL = (
    Count("days", "days of a spreadsheet, since 1900", DAY_S, 1 / DAY_S, _1899),
    Count("days_1970", "days since 1970", DAY_S, 1 / DAY_S, 0.0),
    Count("hours", "hours since 1970", 3600.0, 1 / 3600, 0.0),
    Count("minutes", "minutes since 1970", 60.0, 1 / 60, 0.0),
    Count("ordinal", "days since year 1", DAY_S, 1 / DAY_S, _YEAR_1 - DAY_S),
    Count("julian", "Julian days", DAY_S, 1 / DAY_S, -2_440_587.5 * DAY_S),
)
COUNTS = {count.name: count for count in (*EPOCH, *OTHER_LARGE, *OTHER_SMALL)}
DIGITS = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S", 17: "%Y%m%d%H%M%S%f"}
UNKNOWN_DAYS = ("99991231", "00000000", "19000101", "99999999")  # marks for no date, among days written as digits

_DATES = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%d/%m/%y"),
    *("%m/%d/%y", "%d.%m.%y", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y"),
    *("%m %d, %Y", "%Y年%m月%d日", "%Y%m%d", "%a %d %b %Y", "%a, %d %b %Y", "%a %b %d %Y"),
)
_CLOCKS = (
    *("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", "T%H:%M", "T%H:%M:%S", "T%H%M%S"),
    "T%H:%M:%S,%f",
    *(", %H:%M", ", %H:%M:%S", ", %I:%M %p", ", %I:%M:%S %p", " %H.%M.%S", " %H:%M:%S,%f", " %H%M", " %H%M%S"),
)
_ZONES = ("", "Z", " %z", "%z", " GMT", " UTC")
_WHOLE = (
    *("%a %b %d %H:%M:%S %z %Y", "%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S UTC %Y", "%d/%b/%Y:%H:%M:%S %z"),
    *("%d/%b/%Y:%H:%M:%S", "%H:%M:%S %d/%m/%Y", "%H:%M %d/%m/%Y", "%Y-%m-%d-%H.%M.%S", "%Y-%m-%d %H"),
)


def text_forms() -> list[str]:
    """All forms of texts that are tried, as `strptime` writes them."""
    made = [date + clock + zone for date, clock, zone in product(_DATES, _CLOCKS, _ZONES) if clock or not zone]
    return [*made, *_WHOLE]


def fitting_forms(reader: Reader, source: str, cell: str) -> list[str]:
    """Forms that make dates of every text of a relation; several where days and months may be either."""
    texts = f"SELECT {cell} AS text FROM {source} WHERE {cell} <> ''"
    forms = text_forms()
    first = reader.row(f"SELECT bool_and(try_strptime(text, {_listed(forms)}) IS NOT NULL) FROM ({texts} LIMIT 5)")[0]
    if not first:
        return []
    for some in (f"{texts} LIMIT 5", f"SELECT DISTINCT text FROM ({texts}) LIMIT 1000", texts):
        tried = ", ".join(f"count(try_strptime(text, {quoted(form)}))" for form in forms)
        filled, *dates = reader.row(f"SELECT count(*), {tried} FROM ({some})")
        forms = [form for form, count in zip(forms, dates, strict=True) if count == filled]
        if not forms:
            break
    return forms


def _listed(texts: Sequence[str]) -> str:
    """Texts as SQL writes a list of them."""
    return f"[{', '.join(map(quoted, texts))}]"


def looks_dated(reader: Reader, table: Table, column: Column) -> bool:
    """Whether every cell of a column, but for empty ones, is a date as texts or types write it."""
    if column.kind.startswith(("TIMESTAMP", "DATE")):
        return True
    if not column.is_text:
        return False
    text = column.text
    filled, iso = reader.row(
        f"SELECT count(*) FILTER ({text} <> ''), count(*) FILTER (regexp_matches({text}, "
        f"'^\\d{{4}}-\\d\\d?-\\d\\d?') AND "
        f"try_cast({text} AS TIMESTAMP) IS NOT NULL) FROM {table.source}"
    )
    if not filled or filled == iso:
        return bool(filled)
    numbers = reader.row(f"SELECT count(try_cast({text} AS DOUBLE)) FROM (SELECT * FROM {table.source} LIMIT 100)")[0]
    return not numbers and bool(fitting_forms(reader, table.source, text))


def plausible(seconds: Floats) -> NDArray[np.bool_]:
    """Which seconds since 1970 [n] lie in a log's life."""
    return (seconds >= PLAUSIBLE[0]) & (seconds < PLAUSIBLE[1])


def of_digits(values: Floats, form: str) -> Floats:
    """Seconds since 1970 of whole numbers such as 20200131 [n], NaN where they are no such date."""
    width = next(width for width, known in DIGITS.items() if known == form)
    usable = (values == np.floor(values)) & (values >= 10.0 ** (width - 1)) & (values < 10.0**width)
    digits = np.where(usable, values, 0).astype(np.int64) * 10 ** (17 - width)  # year to millisecond
    year, month, day = digits // 10**13, digits // 10**11 % 100, digits // 10**9 % 100
    hour, minute, second = digits // 10**7 % 100, digits // 10**5 % 100, digits // 1000 % 100
    months = (year * 12 + month - (1970 * 12 + 1)).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    usable &= (month >= 1) & (month <= 12) & (day >= 1) & (days.astype("datetime64[M]") == months)
    usable &= (hour < 24) & (minute < 60) & (second <= 60)  # a leap second, or 59.999 as a double holds it
    clock = hour * 3600 + minute * 60 + second
    return np.where(usable, ((days.astype(np.int64) * 86400 + clock) * 1000 + digits % 1000) / 1000, np.nan)


def digits_form(known: Floats) -> str | None:
    """The form of digits that makes dates of all numbers but marks for none; None: no form does."""
    form = DIGITS.get(len(str(int(np.median(known)))))
    if form is None:
        return None
    known = known[~np.isin(known, np.array(UNKNOWN_DAYS, dtype=np.float64))]
    probe = of_digits(np.unique(known[:: max(1, len(known) // 1000)]), form)
    if not len(probe) or np.isnan(probe).any() or not plausible(probe).all():
        return None
    return form if not np.isnan(of_digits(np.unique(known), form)).any() else None


def small_readings(known: Floats) -> list[Count]:
    """Counts of larger units that make dates of all small numbers which lie far from their start."""
    span = float(known.max() - known.min())
    if known.min() < 1000 or known.min() < 3 * span:
        return []
    return [count for count in OTHER_SMALL if plausible(count.seconds(np.array([known.min(), known.max()]))).all()]


def parts_of_dates(known: Floats) -> list[tuple[str, str]]:
    """Dates with a part left out, or a year of two digits, that all numbers read as, and there are enough of them to
    tell: what each is and its form. Months and days, like 1111 or 829, are of an unknown year."""
    if len(known) < 20 or (known != np.floor(known)).any():
        return []
    first, last = (datetime.fromtimestamp(end, UTC).year for end in PLAUSIBLE)

    def between(values: Floats, low: int, high: int) -> bool:
        return bool(values.min() >= low and values.max() <= high)

    parts = {
        "months and days without a year": ("%m%d", between(known // 100, 1, 12) and between(known % 100, 1, 31)),
        "years": ("%Y", between(known, first, last)),
        "years and months": ("%Y%m", between(known // 100, first, last) and between(known % 100, 1, 12)),
        "years and days of the year": ("%Y%j", between(known // 1000, first, last) and between(known % 1000, 1, 366)),
        "years of two digits, months and days": (
            "%y%m%d",
            between(known // 10000, 1, last % 100)
            and between(known // 100 % 100, 1, 12)
            and between(known % 100, 1, 31),
        ),
    }
    return [(told, form) for told, (form, fits) in parts.items() if fits]


def in_words(seconds: float) -> str:
    """A length of time in words: "3 hours 32 minutes"."""
    if seconds != 0 and abs(seconds) < 1:
        return f"{seconds * 1000:.3g} milliseconds"
    parts: list[str] = []
    rest = seconds
    for name, length in (("year", 365.25 * DAY_S), ("day", DAY_S), ("hour", 3600.0), ("minute", 60.0), ("second", 1.0)):
        number = int(rest // length)
        if number and len(parts) < 2:
            parts.append(f"{number:,} {name}{'s' if number != 1 else ''}")
        elif parts:
            break
        rest -= number * length
    return " ".join(parts) or "0 seconds"


def date_in_words(seconds: float) -> str:
    """A moment in words: "Wednesday 1 January 2020, 03:56 UTC"."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%A} {moment.day} {moment:%B %Y, %H:%M} UTC"


def shown_dates(seconds: Sequence[float]) -> str:
    """The first and last of some moments, in short."""
    first, last = (
        datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M") for moment in (min(seconds), max(seconds))
    )
    return f"{first} to {last}"
