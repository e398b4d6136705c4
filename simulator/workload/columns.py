"""Which columns of a table hold users, items and times: said, told by their names, or by what they hold.

Names tell where they are known. Of a table without names the whole of each column tells, and only where one reading
fits; else the columns are shown and the user says which.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.scenario.sections.workload import LogColumns, LogFile
from fleetrec.simulator.workload.tables.opening import find
from fleetrec.simulator.workload.tables.table import Column, Reader, Table
from fleetrec.simulator.workload.tables.where import condition
from fleetrec.simulator.workload.time_forms import PLAUSIBLE, looks_dated

Role = Literal["user", "item", "time"]

# Names are compared in lower case without anything but letters and digits; earlier ones are preferred.
_NAMES: Mapping[Role, tuple[str, ...]] = {
    "user": (
        *("userid", "user", "uid", "username", "customerid", "customer", "reviewerid", "visitorid", "memberid"),
        *("clientid", "accountid", "deviceid", "sessionid", "session"),
    ),
    "item": (
        *("itemid", "item", "iid", "movieid", "movie", "productid", "product", "parentasin", "asin", "articleid"),
        *("trackid", "songid", "artistid", "bookid", "isbn", "newsid", "videoid", "businessid", "venueid", "poiid"),
        *("contentid", "sku", "poi"),
    ),
    "time": (
        *("timestamp", "time", "ts", "unixtimestamp", "unixreviewtime", "datetime", "eventtime", "utctime"),
        *("createdat", "timestampms", "timems", "date", "when"),
    ),
}
_EXACT = ("timestampisexact", "timeisexact")  # whether a row's time is as it happened, or was filled in later
_YES = ("true", "1", "1.0", "yes", "t")
_RATINGS = ("rating", "ratings", "stars", "score", "overall")
HOUR = "hour"
_CLOCKS = ("time", "clock", "hourmin", "timeofday", HOUR, "tod")
_DAYS = ("date", "day", "eventdate")
_PIECES = ("year", "month", "day", HOUR, "minute")
_LISTS = ("itemidlist", "itemlist", "itemids", "items", "history", "sequence", "itemsequence")
_RATING_VALUES = 20  # a column of no more different small numbers is ratings, or a category
ITEM_NAMES = _NAMES["item"]
SAY = "say which: columns: {user: NAME, item: NAME, time: NAME} (--columns user=NAME,item=NAME,time=NAME)"


@dataclass(frozen=True)
class LogPlaces:
    """The columns of a log that are read; no `times`: the order of the rows is the order in time."""

    user: Column
    item: Column
    times: tuple[Column, ...]  # one, or a date and a clock
    known_by: dict[str, str]  # how each is known, by role
    notes: tuple[Note, ...]
    exact: Column | None = None  # which times are exact


def plain_name(name: str) -> str:
    """A column's name without case, punctuation and the `:type` of RecBole's files."""
    return re.sub(r"[^a-z0-9]", "", name.split(":")[0].lower())


def named(table: Table, wanted: Sequence[str]) -> Column | None:
    """The column that bears the first of the `wanted` plain names; None: none does. InputError: two do."""
    plain = [plain_name(name) for name in table.names]
    for name in wanted:
        if plain.count(name) > 1:
            raise InputError(
                f"{table.path}: two columns are called {table.names[plain.index(name)]!r}; rename or remove one, "
                "or say "
                "its place from 1 in columns (--columns)"
            )
        if name in plain:
            return table.columns[plain.index(name)]
    return None


def knows_log(said: LogColumns) -> "Knowing":
    """Whether some cells of a line are names of a log's columns: known ones, or those that the user said."""
    return Knowing([name for names in _NAMES.values() for name in names], said.model_dump())


class Knowing:
    """Whether some cells of a line are names of columns."""

    def __init__(self, known: Sequence[str], said: Mapping[str, object]):
        self.known = set(known)
        for value in said.values():
            for name in value if isinstance(value, tuple) else [value]:
                if isinstance(name, str) and name != "none":
                    self.known.add(plain_name(name))

    def __call__(self, cells: Sequence[str]) -> bool:
        return any(plain_name(cell) in self.known for cell in cells)


def rows_kept(reader: Reader, table: Table, section: LogFile) -> str:
    """The clause that leaves the rows which count: those of `where`, and of what was shown what was clicked."""
    conditions = [] if section.where is None else [condition(reader, table, section.where)]
    if section.columns.clicked is not None:
        clicked = find(table, section.columns.clicked)
        conditions.append(is_true(clicked))
        if not reader.rows(f"SELECT 1 FROM {table.source} WHERE {conditions[-1]} LIMIT 1"):
            raise InputError(
                f"{table.path}: in no row column {clicked.name!r} says that an item was clicked (1 or true)"
            )
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def is_true(column: Column) -> str:
    """The condition that a cell says yes."""
    return f"lower({column.text}) IN {_YES}"


def log_places(reader: Reader, table: Table, said: LogColumns) -> LogPlaces:
    """The columns of a log. InputError where they cannot be told."""
    known_by: dict[str, str] = {}
    found: dict[str, Column | None] = {}
    for role, wanted in (("user", said.user), ("item", said.item)):
        if wanted is not None:
            found[role], known_by[role] = find(table, wanted), "said"
    if not table.named and len(found) < 2:
        return _unnamed(reader, table, said, found)
    for role in ("user", "item"):
        if role not in found:
            found[role], known_by[role] = named(table, _NAMES[role]), "by its name"  # type: ignore[index]
    user, item = found["user"], found["item"]
    if user is None or item is None:
        raise _not_told(reader, table, "users" if user is None else "items")
    _check_lists(reader, table, item)
    notes: list[Note] = []
    times, known_by["time"] = _times(reader, table, said, (user, item), notes)
    exact = named(table, _EXACT) if times else None
    if not times:
        notes.append(note("no_times", "there is no time column: the order of the rows is taken as the order in time"))
    used = (user, item, exact, *times)
    unused = [column.name for column in table.columns if column not in used and column.name.strip()]
    if unused and table.named:
        notes.append(
            note("columns_unused", "columns not used: {columns}", columns=[_printable(name) for name in unused])
        )
    if any(plain_name(name) in _RATINGS for name in unused):
        notes.append(note("ratings_ignored", "ratings are ignored: every row is one interaction"))
    return LogPlaces(user, item, times, known_by, tuple(notes), exact)


def _printable(name: str) -> str:
    return repr(name)[1:-1][:30]


def _not_told(reader: Reader, table: Table, missing: str) -> InputError:
    names = {plain_name(name) for name in table.names}
    if names.intersection(_LISTS) and missing == "items":
        return InputError(
            f"{table.path}: holds lists of items per row; give one row an interaction: user_id,item_id,timestamp, or "
            "split the cells: each: {column: NAME, separator: ' '}"
        )
    examples = ", ".join(f"{column.name[:30]} ({value})" for column, value in _examples(reader, table))
    return InputError(f"{table.path}: no column for {missing} among {examples}; name the columns or {SAY}")


def _examples(reader: Reader, table: Table) -> list[tuple[Column, str]]:
    shown = table.columns[:12]
    row = reader.rows(f"SELECT {', '.join(column.text for column in shown)} FROM {table.source} LIMIT 1")
    return [(column, repr(str(value)[:30])) for column, value in zip(shown, row[0] if row else [], strict=False)]


def _check_lists(reader: Reader, table: Table, item: Column) -> None:
    """InputError where a row holds a list of items."""
    beside = [name for name in table.names if plain_name(name) in _LISTS and name.endswith(("token_seq", "_list"))]
    if beside:
        raise InputError(
            f"{table.path}: column {beside[0]!r} holds lists of items per row, of which {item.name!r} is only one; "
            "give "
            "one row an interaction, or split the cells: each: {column: NAME, separator: ' '}"
        )
    if item.kind.endswith("[]"):
        raise InputError(
            f"{table.path}: column {item.name!r} holds lists of items per row; give one row an interaction"
        )
    text = item.text
    lists = (
        rf"{text} <> '' AND (regexp_full_match({text}, '[\[({{].*,.*[\])}}]') OR "
        rf"regexp_full_match({text}, '\d+([ ,|;]\d+)+') OR "
        rf"regexp_full_match({text}, '[A-Za-z_-]*\d+(( ?(->|[,|;>]) ?| )[A-Za-z_-]*\d+){{2,}}'))"
    )
    some, rows, example = reader.row(
        f"SELECT count(*) FILTER ({lists}), count(*), any_value({text}) FILTER ({lists}) FROM "
        f"(SELECT * FROM {table.source} LIMIT 10000)"
    )
    if some > rows / 2 or (some and re.fullmatch(r"\[.*\]", example)):
        raise InputError(
            f"{table.path}: column {item.name!r} holds lists of items per row ({example[:40]!r}); give one row an "
            "interaction, or split the cells: each: {column: NAME, separator: ' '}"
        )


# ------------------------------------------------------------------------------------------ times


def _times(
    reader: Reader, table: Table, said: LogColumns, taken: Sequence[Column], notes: list[Note]
) -> tuple[tuple[Column, ...], str]:
    """The columns of times, and how they are known."""
    if said.time == "none":
        return (), "said: none"
    if said.time is not None:
        wanted = said.time if isinstance(said.time, tuple) else [said.time]
        if not 1 <= len(wanted) <= 2:
            raise InputError(f"{table.path}: columns.time names {len(wanted)} columns; name one, or a date and a clock")
        return tuple(find(table, one) for one in wanted), "said"
    column = named(table, _NAMES["time"])
    if column is None or column in taken:
        return _times_by_content(reader, table, taken, notes)
    if plain_name(column.name) in (*_CLOCKS, *_DAYS):
        both = _date_and_clock(reader, table)
        if both:
            told = "the date in {date} and the clock in {clock} are read together"
            notes.append(note("date_and_clock", told, date=both[0].name, clock=both[1].name))
            return both, "a date and a clock, by their names and what they hold"
        if _is_clock(reader, table, column) and column.name.lower() != "timestamp":
            raise InputError(
                f"{table.path}: column {column.name!r} holds times of day without a date; say where the date is: "
                "columns: {time: [DATE, CLOCK]} (--columns time=DATE+CLOCK), or columns: {time: none}"
            )
    return (column,), "by its name"


def _date_and_clock(reader: Reader, table: Table) -> tuple[Column, Column] | None:
    """A column of days and one of times of day that belong together."""
    days = [column for column in table.columns if plain_name(column.name) in _DAYS]
    clocks = [column for column in table.columns if plain_name(column.name) in _CLOCKS]
    for day in days:
        for clock in clocks:
            if clock is not day and _is_clock(reader, table, clock) and _is_day(reader, table, day):
                return day, clock
    return None


def _is_clock(reader: Reader, table: Table, column: Column) -> bool:
    """Whether every cell is a time of day: 14:05, 14:05:59, or 1405 of which some are beyond what minutes are."""
    text = column.text
    marked, packed, filled, high = reader.row(
        f"SELECT count(*) FILTER (regexp_full_match({text}, '\\d{{1,2}}:\\d\\d(:\\d\\d(\\.\\d+)?)?( ?[AaPp][Mm])?')), "
        f"count(*) FILTER (regexp_full_match({text}, '\\d{{1,4}}') AND try_cast({text} AS INT) % 100 < 60 AND "
        f"try_cast({text} AS INT) < 2400), count(*) FILTER ({text} <> ''), max(try_cast({text} AS INT)) "
        f"FROM {table.source}"
    )
    hours = plain_name(column.name) == HOUR and (high or 0) < 24
    return bool(filled) and (marked == filled or (packed == filled and ((high or 0) >= 100 or hours)))


def _is_day(reader: Reader, table: Table, column: Column) -> bool:
    """Whether every cell is a day without a time of day."""
    text = column.text
    days, filled = reader.row(
        f"SELECT count(*) FILTER (regexp_full_match({text}, '\\d{{8}}|\\d{{4}}[-/.]\\d{{1,2}}[-/.]\\d{{1,2}}( "
        "00:00:00)?|"
        f"\\d{{1,2}}[-/.]\\d{{1,2}}[-/.]\\d{{4}}')), count(*) FILTER ({text} <> '') FROM {table.source}"
    )
    return bool(filled) and days == filled


def _times_by_content(
    reader: Reader, table: Table, taken: Sequence[Column], notes: list[Note]
) -> tuple[tuple[Column, ...], str]:
    """A column of nothing but dates, whatever its name, where there is one and no other."""
    dated = [column for column in table.columns if column not in taken and looks_dated(reader, table, column)]
    if len(dated) > 1:
        shown = ", ".join(column.name for column in dated)
        raise InputError(f"{table.path}: {len(dated)} columns hold dates and none is named as the time: {shown}; {SAY}")
    if not dated:
        plain = {plain_name(column.name): column.name for column in table.columns if column not in taken}
        if {"year", "month"} <= set(plain):
            pieces = ", ".join(plain[name] for name in _PIECES if name in plain)
            raise InputError(
                f"{table.path}: the date stands in pieces ({pieces}); write it in one column, or say that there are no "
                "times: columns: {time: none} (--columns time=none)"
            )
        return (), "none is there"
    notes.append(
        note("time_by_content", "{column} is taken as the time: all its cells are dates", column=dated[0].name)
    )
    return (dated[0],), "all its cells are dates"


# ------------------------------------------------------------------------------------------ tables without names


@dataclass(frozen=True)
class _Profile:
    """What all cells of a column have in common."""

    column: Column
    example: str
    dated: bool
    few: bool  # few different small numbers, or one value

    @property
    def shown(self) -> str:
        what = "dates" if self.dated else "few different values" if self.few else "ids or words"
        return f"{self.column.name} ({what}, such as {self.example[:30]!r})"


def _profiles(reader: Reader, table: Table) -> list[_Profile]:
    found = []
    for column in table.columns:
        text = column.text
        rows, numbers, low, high, kinds, example = reader.row(
            f"SELECT count(*), count(try_cast({text} AS DOUBLE)), min(try_cast({text} AS DOUBLE)), "
            f"max(try_cast({text} AS DOUBLE)), approx_count_distinct({text}), any_value({text}) FROM {table.source}"
        )
        numeric = rows == numbers
        dated = looks_dated(reader, table, column) or (
            numeric
            and any(PLAUSIBLE[0] * scale <= low and high <= PLAUSIBLE[1] * scale for scale in (1, 1e3, 1e6, 1e9))
        )
        few = kinds == 1 or (numeric and kinds <= _RATING_VALUES and abs(high) <= 100)
        found.append(_Profile(column, str(example), dated, few))
    return found


def _unnamed(reader: Reader, table: Table, said: LogColumns, found: Mapping[str, Column | None]) -> LogPlaces:
    """The columns of a table without names: user, item, perhaps ratings, and the one that holds dates."""
    profiles = _profiles(reader, table)
    times: tuple[Column, ...]
    notes: list[Note] = []
    if said.time is not None:
        times, _ = _times(reader, table, said, (), notes)
    else:
        times = tuple(profile.column for profile in profiles if profile.dated)
    others = [profile for profile in profiles if profile.column not in (*times, *found.values())]
    shown = "; ".join(profile.shown for profile in profiles[:8])
    cannot = InputError(
        f"{table.path}: there is no header, and what its columns hold cannot tell which are users, items and times: "
        f"{shown}; say their places from 1: columns: {{user: 1, item: 2, time: 3}} (--columns "
        "user=1,item=2,time=3), or "
        "name them in the first line: user_id,item_id,timestamp"
    )
    user = found.get("user") or (others.pop(0).column if others else None)
    item = found.get("item") or (others.pop(0).column if others else None)
    if user is None or item is None or (len(times) > 1 and said.time is None):
        raise cannot
    digits = any(character.isdigit() for profile in profiles for character in profile.example)
    if not times and (others or not digits) and said.time is None:
        raise cannot
    if any(not profile.few for profile in others):
        raise cannot
    taken = {user.name: "user", item.name: "item", **{column.name: "time" for column in times}}
    roles = [taken.get(column.name, "not used") for column in table.columns]
    notes.insert(0, note("no_header", "there is no header: columns are taken as {taken}", taken=roles))
    if not times:
        notes.append(note("no_times", "there is no time column: the order of the rows is taken as the order in time"))
    by_place = f"by its place: no header, and no other of {counted(len(profiles), 'column')} fits"
    known_by = {"user": by_place, "item": by_place, "time": "all its cells are dates" if times else "none is there"}
    return LogPlaces(user, item, times, known_by, tuple(notes))
