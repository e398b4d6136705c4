"""Times of a log as seconds: in the form that the user said, or else in the one form that the whole column fits."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.dates import LAST_DATE_S
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.scenario.sections.workload import TimeForm
from fleetrec.simulator.workload.log import Clock
from fleetrec.simulator.workload.tables.readings import OpenReading, Option
from fleetrec.simulator.workload.tables.table import Column, Reader, quoted
from fleetrec.simulator.workload.time_forms import (
    COUNTS,
    DIGITS,
    EPOCH,
    OTHER_LARGE,
    PLAUSIBLE,
    Count,
    digits_form,
    fitting_forms,
    in_words,
    of_digits,
    parts_of_dates,
    plausible,
    shown_dates,
    small_readings,
)

Floats = NDArray[np.float64]

MISSING = (  # what exports write where a value is missing, in lower case
    *("", "nan", "null", "none", "\\n", "na", "n/a", "<na>", "nat", "#n/a", "undefined", "(null)", "nil", "-", "?"),
    *("<null>", "[null]", "missing", "#null!", "#value!", "#ref!"),
)
_EMPTY_S = 10 * 365.25 * 86400.0  # years without any event, on whose other side a date is implausible
_MISSING_SQL = ", ".join(map(quoted, MISSING))
_ISO = r"(regexp_matches({t}, '^\d{{4}}-\d\d?-\d\d?([T ]\d|$)') AND try_cast({t} AS TIMESTAMPTZ) IS NOT NULL)"
_ZONE = r"(?:\d\s*(?:[Zz]|[A-Z]{3,5}|[A-Z]\w+/[\w/+-]+)|:\d\d(?:\.\d+)?\s*[+-]\d\d(?::?\d\d)?)$"
_ROUNDED = r"^\d(?:\.(\d+))?[eE]\+?(\d+)$"  # numbers as spreadsheets and printed tables shorten them
_LEAST_S = 10.0  # to which they may be rounded, for nobody's clock is
_SAY_UNIT = "time: {unit: s, ms, us, ns, days or a form like %d/%m/%Y} (--time)"


@dataclass(frozen=True)
class ParsedTimes:
    """Seconds [R], NaN where a row's time cannot be used; whether they are dates; what was assumed."""

    seconds: Floats
    dated: bool
    problems: dict[str, int] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    read_as: str = "seconds since 1970"  # in words
    unit: str = "s"  # what to write to say it


@dataclass(frozen=True)
class TimePlan:
    """How a column of times is read: the expression that gives a number for each row, and what makes times of them."""

    cell: str
    parsed: Callable[[Floats], ParsedTimes]


def plan_times(reader: Reader, source: str, column: Column, said: TimeForm, where: str) -> TimePlan:
    """How the times in a column of a relation are read: as the user said, else in the one form that all of it fits.

    `where` names the column in errors: InputError where no form fits, or several do.
    """
    kind, cell = column.kind, column.cell
    if "[]" in kind or re.match(r"STRUCT|MAP|BOOLEAN|TIME\b(?!STAMP)|INTERVAL", kind):
        raise InputError(f"{where} holds {kind.lower()[:60]}; times must be numbers, ISO text or timestamps")
    if kind.startswith(("TIMESTAMP", "DATE")):
        seconds = f"epoch_us(CAST({cell} AS TIMESTAMP)) / 1e6"
        seconds = f"CAST(epoch_ns({cell}) AS DOUBLE) / 1e9" if kind == "TIMESTAMP_NS" else seconds
        return TimePlan(seconds, partial(_moments, notes=(), read_as="moments, by the column's type", unit="auto"))
    if not column.is_text and said.unit in ("auto", *COUNTS, *DIGITS.values()):
        return TimePlan(f"CAST({cell} AS DOUBLE)", lambda values: _numbers(values, said, where))
    text = f"CASE WHEN lower({column.text}) IN ({_MISSING_SQL}) THEN '' ELSE {column.text} END"
    number = f"try_cast({column.text} AS DOUBLE)"  # NULL or NaN of words for none
    filled, numbers, rounded = reader.row(
        "SELECT count(*) FILTER (t <> ''), count(*) FILTER (isfinite(try_cast(t AS DOUBLE))), "
        f"count(*) FILTER (t LIKE '%E+%' OR t LIKE '%e+%') FROM (SELECT {column.text} AS t FROM {source})"
    )
    if rounded > filled / 2:
        _check_rounded(reader, source, column.text, where)
    if numbers < filled:  # without words for none, which take long to look for
        filled, numbers = reader.row(
            f"SELECT count(*) FILTER (t <> ''), count(try_cast(t AS DOUBLE)) FROM (SELECT {text} AS t FROM {source})"
        )
    iso = 0
    if numbers < filled or said.unit == "iso":
        iso = reader.row(f"SELECT count(*) FILTER ({_ISO.format(t='t')}) FROM (SELECT {text} AS t FROM {source})")[0]
    if said.unit in COUNTS or (said.unit == "auto" and numbers >= max(iso, 1)):
        return TimePlan(number, lambda values: _numbers(values, said, where))
    if said.unit not in ("auto", "iso"):
        return _in_form(reader, source, text, said.unit, said, where, told=False)
    if said.unit == "auto" and iso * 2 < filled and iso + 2 < filled:
        fitting = _distinct(reader, source, text, fitting_forms(reader, source, text))
        if len(fitting) == 1:
            return _in_form(reader, source, text, fitting[0], said, where, told=True)
        if fitting:
            shown = [f"{form}, {_range(reader, source, text, form)}" for form in fitting[:3]]
            example = repr(_example(reader, source, text))
            raise OpenReading(
                f"{where} holds times such as {example}, which may be {' or '.join(shown)}; "
                f"say which: time: {{unit: {quoted(fitting[0])}}} (--time {quoted(fitting[0])})",
                f"How are times such as {example} written?",
                [Option(told, {"time": {"unit": form}}) for told, form in zip(shown, fitting, strict=False)],
            )
        if not iso:
            raise InputError(
                f"{where}: all {filled:,} times look like {_example(reader, source, text)!r}: not a number or an ISO "
                "time (2020-01-31T23:59:59Z), nor a form that is known; say theirs: time: {unit: '%d %b %Y, %H:%M'} "
                "(--time)"
            )
    return _iso(reader, source, text, said)


def _check_rounded(reader: Reader, source: str, text: str, where: str) -> None:
    """InputError where numbers such as 1.70E+09 lost the digits that tell seconds."""
    decimals, exponent, example = reader.row(
        f"SELECT max(length(regexp_extract(t, '{_ROUNDED}', 1))), max(CAST(regexp_extract(t, '{_ROUNDED}', 2) AS INT))"
        f", any_value(t) FROM (SELECT {text} AS t FROM {source}) WHERE regexp_matches(t, '{_ROUNDED}')"
    )
    if example is None:
        return
    number = np.array([float(example)])
    unit = next((count for count in (*EPOCH, *OTHER_LARGE) if plausible(count.seconds(number)).all()), EPOCH[0])
    if 10.0 ** (exponent - decimals) * unit.per_unit_s >= _LEAST_S:
        raise InputError(
            f"{where} holds {example!r} and the like, numbers that lost their last digits (a spreadsheet, a printed "
            "table?); write the times anew, as whole numbers or text"
        )


def why_unusable(value: Any) -> str:
    """What is wrong with the time of a row of which no seconds could be made."""
    text = "" if value is None else str(value).strip()
    if text.lower() in MISSING:
        return (
            "the time is empty" if text in ("", "nan", "NaN") else f"the time is empty ({text!r} is taken as missing)"
        )
    try:
        number = float(text)
    except ValueError:
        if text[:4].isdigit():
            return (
                f"the time {text[:40]!r} is no date like the others (not ISO, 2020-01-31T23:59:59Z, or before 1970 or "
                "ten empty years away from the others: a missing date, a mark for an unknown one?)"
            )
        return f"the time {text[:40]!r} is not a number or an ISO time (2020-01-31T23:59:59Z) like the others"
    if not np.isfinite(number):
        return f"the time {text!r} is not finite"
    if number < 0:
        return f"the time {text!r} is negative"
    return f"the time {text!r} is not a date like most of the others (another unit, or a missing date?)"


def clock_of(times: Floats, offsets: NDArray[np.int64], dated: bool) -> Clock:
    """The clock of sorted times [E]: relative where most users start at the log's smallest time, each on its own."""
    if dated:
        return "absolute"
    firsts = times[offsets[:-1]]
    alone = (firsts == times.min()).mean() > 0.5
    return "relative" if alone else "shared"


# ------------------------------------------------------------------------------------------ numbers


def _numbers(values: Floats, said: TimeForm, where: str) -> ParsedTimes:
    values = np.where(np.isfinite(values), values, np.nan)
    known = values[~np.isnan(values)]
    if said.unit in COUNTS:
        return _counted(values, COUNTS[said.unit], known, told=False)
    positive = known[known > 0]
    if not len(positive):
        return _relative(values, where)
    if (form := digits_form(positive)) is not None:
        told = note("times_digits", "times like {example} are read as {form}", example=f"{positive[0]:.0f}", form=form)
        return ParsedTimes(_dates(of_digits(values, form)), True, {}, (told,), f"dates written as {form}", form)
    middle = np.array([np.median(positive)])
    fitting = [count for count in (*EPOCH, *OTHER_LARGE) if plausible(count.seconds(middle)).all()]
    if fitting:
        return _counted(values, fitting[0], known, told=fitting[0].name != "s")
    if middle[0] >= 1e8:
        read = shown_dates([float(middle[0])]).split()[0] if middle[0] < LAST_DATE_S else "the far future"
        raise InputError(
            f"{where} holds numbers such as {positive[0]:.0f}, which in no unit are dates from 1995 to next year "
            "(seconds "
            f"since 1970 would be {read}); is it the column of the times? say {_SAY_UNIT}"
        )
    return _small(values, positive, where)


def _small(values: Floats, positive: Floats, where: str) -> ParsedTimes:
    """Small numbers: seconds of an unknown start, unless they lie so far from it that another unit may be meant."""
    others = small_readings(positive)
    fractions = bool((positive != np.floor(positive)).any())
    if others and others[0].name == "days" and fractions:
        return _counted(values, others[0], positive, told=True)
    readings: list[tuple[str, dict[str, Any]]] = [
        (f"{one.told}, {shown_dates(one.seconds(positive).tolist())}", {"unit": one.name}) for one in others
    ]
    year = datetime.now(UTC).year
    for told, form in parts_of_dates(positive):
        of_year = {"year": year} if "%y" not in form.lower() else {}
        readings.append((told + (f", such as those of {year}" if of_year else ""), {"unit": form, **of_year}))
    if readings:
        example, span = f"{positive[0]:.15g}", in_words(float(positive.max() - positive.min()))
        readings.append((f"seconds of an unknown start, {span} from first to last", {"unit": "s"}))
        shown = [f"{told} ({', '.join(f'{key}: {value}' for key, value in keys.items())})" for told, keys in readings]
        raise OpenReading(
            f"{where} holds numbers such as {example}, which may be {' or '.join(shown)}; say which: {_SAY_UNIT}",
            f"What are times such as {example}?",
            [Option(told, {"time": keys}) for told, keys in readings],
        )
    return _relative(values, where)


def _relative(values: Floats, where: str) -> ParsedTimes:
    told = note("times_relative", "times are small numbers: seconds since a start that the log does not tell")
    seconds = np.where(values < 0, np.nan, values)
    return ParsedTimes(seconds, False, {}, (told,), "seconds since a start that the log does not tell", "s")


def _counted(values: Floats, count: Count, known: Floats, told: bool) -> ParsedTimes:
    """Numbers in a unit; where it makes no dates of them, since a start of their own."""
    seconds = count.seconds(values)
    dated = bool(len(known)) and float(np.median(count.seconds(known))) > PLAUSIBLE[0] / 2
    if not dated:
        seconds = np.where(values < 0, np.nan, seconds - count.start_s)
        return ParsedTimes(seconds, False, {}, (), f"{count.name} since a start that the log does not tell", count.name)
    seconds = _dates(seconds)
    notes = (note("times_unit", "times are {unit}", unit=count.told),) if told else ()
    problems = {f"times_in_{count.told.split()[0]}": len(known)} if told and count in EPOCH else {}
    return ParsedTimes(seconds, True, problems, notes, count.told, count.name)


# ------------------------------------------------------------------------------------------ texts


def _iso(reader: Reader, source: str, text: str, said: TimeForm) -> TimePlan:
    zoned = f"regexp_matches({text}, {quoted(_ZONE)})"
    fits, moment = _ISO.format(t=text), f"try_cast({text} AS TIMESTAMPTZ)"
    local = reader.row(f"SELECT count(*) FILTER (NOT {zoned}) FROM {source} WHERE {fits}")[0]
    if said.zone is not None and local:
        here = f"timezone({quoted(said.zone)}, try_cast({text} AS TIMESTAMP))"
        moment = f"CASE WHEN {zoned} THEN {moment} ELSE {here} END"
    seconds = f"CASE WHEN {fits} THEN epoch_us({moment}) / 1e6 END"
    return TimePlan(seconds, partial(_moments, notes=_zone_notes(local, said), read_as="ISO dates", unit="iso"))


def _in_form(reader: Reader, source: str, text: str, form: str, said: TimeForm, where: str, told: bool) -> TimePlan:
    """Texts in a form as `strptime` writes it."""
    if "%" not in form:
        raise InputError(f"time.unit: {form!r} is no unit and no form of times; write {_SAY_UNIT}")
    if said.year is not None:
        width = len(datetime(2000, 1, 1).strftime(form))
        text = f"'{said.year} ' || lpad({text}, {width}, '0')"
        form = f"%Y {form}"
    from duckdb import InvalidInputException  # here, since most runs read no log

    moment = f"try_strptime({text}, {quoted(form)})"
    try:
        found = reader.row(f"SELECT count({moment}) FROM {source}")[0]
    except InvalidInputException as error:
        reason = str(error).splitlines()[0].split(":", 1)[-1].strip()
        raise InputError(f"time.unit: {form!r} is no form of times ({reason}); write {_SAY_UNIT}") from None
    if not found:
        raise InputError(
            f"{where}: no time reads as {form!r}: they look like {_example(reader, source, text)!r}; say {_SAY_UNIT}"
        )
    if not told:
        _check_order(reader, source, text, form, where)
    zoned = "%z" in form.lower() or form.endswith(("GMT", "UTC", "Z"))
    if said.zone is not None and not zoned:
        moment = f"timezone({quoted(said.zone)}, {moment})"
    notes = () if zoned else _zone_notes(found, said)
    if told:
        notes = (note("times_form", "times are read as {form}", form=form), *notes)
    read_as = f"dates written as {form}"
    return TimePlan(f"epoch_us({moment}) / 1e6", partial(_moments, notes=notes, read_as=read_as, unit=form))


def _check_order(reader: Reader, source: str, text: str, form: str, where: str) -> None:
    """InputError where the rows go back and forth in the form that is said, and never with days and months "
    "exchanged."""
    other = form.translate(str.maketrans("dm", "md"))
    if not {"%d", "%m"} <= {form[i : i + 2] for i in range(len(form))}:
        return
    falls = []
    for one in (form, other):
        moments = f"SELECT try_strptime({text}, {quoted(one)}) AS m FROM {source}"
        row = reader.row(
            "SELECT count(*), count(m), count(*) FILTER (m < before) FROM (SELECT m, lag(m) OVER () AS before "
            f"FROM ({moments}))"
        )
        falls.append(row)
    (rows, read, said), (_, read_other, exchanged) = falls
    if read_other > read or (read_other == read == rows and said > rows / 20 and not exchanged):
        raise InputError(
            f"{where}: read as {form!r}, {said:,} of {rows:,} times are earlier than the row above and "
            f"{rows - read:,} are no "
            f"dates; as {other!r} {exchanged:,} are earlier and {rows - read_other:,} none: is that what they are? "
            "(--time)"
        )


def _zone_notes(local: int, said: TimeForm) -> tuple[Note, ...]:
    if not local:
        return ()
    if said.zone is None:
        return (note("times_utc", "{times} times without a zone are taken as UTC", times=local),)
    return (note("times_zone", "{times} times without a zone are those of {zone}", times=local, zone=said.zone),)


def _moments(seconds: Floats, notes: tuple[Note, ...], read_as: str, unit: str) -> ParsedTimes:
    return ParsedTimes(_dates(seconds), True, {}, notes, read_as, unit)


def _distinct(reader: Reader, source: str, text: str, forms: list[str]) -> list[str]:
    """The forms without those that give the same moments as one before."""
    kept: list[str] = []
    for form in forms:
        this = f"try_strptime({text}, {quoted(form)})"
        others = [f"try_strptime({text}, {quoted(one)})" for one in kept]
        if all(
            reader.row(f"SELECT count(*) FILTER ({this} IS DISTINCT FROM {other}) FROM {source}")[0] for other in others
        ):
            kept.append(form)
    return kept


def _range(reader: Reader, source: str, text: str, form: str) -> str:
    moment = f"epoch(try_strptime({text}, {quoted(form)}))"
    return shown_dates(list(reader.row(f"SELECT min({moment}), max({moment}) FROM {source}")))


def _example(reader: Reader, source: str, text: str) -> str:
    return str(reader.row(f"SELECT any_value(nullif({text}, '')) FROM {source}")[0])[:40]


# ------------------------------------------------------------------------------------------ both


def _dates(seconds: Floats) -> Floats:
    """The same, NaN where they are before 1970, so late that they mark an unknown time, or far from all others."""
    seconds = np.where((seconds < 0) | (seconds >= LAST_DATE_S), np.nan, seconds)
    seconds[_far_from_all(seconds)] = np.nan
    return seconds


def _far_from_all(seconds: Floats) -> NDArray[np.bool_]:
    """Which dates [R] ten empty years keep apart from those around the median: 1970 among 2026 is a missing date, not
    an event."""
    far = np.zeros(len(seconds), dtype=np.bool_)
    known = seconds[~np.isnan(seconds)]
    if not len(known) or known.max() - known.min() <= _EMPTY_S:
        return far
    known = np.sort(known)
    gaps = np.flatnonzero(np.diff(known) > _EMPTY_S)
    if len(gaps):
        middle = len(known) // 2
        before, after = gaps[gaps < middle], gaps[gaps >= middle]
        first = known[before[-1] + 1] if len(before) else -np.inf
        last = known[after[0]] if len(after) else np.inf
        far = (seconds < first) | (seconds > last)
    return far
