"""From a file to an InteractionLog: every row is used, or is an error that names it, or is left out and counted.

Repeats of the same user, item and time are dropped; rows are sorted by user and time, file order breaking ties.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from numpy.typing import NDArray

from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.scenario.sections.workload import ItemFile, LogFile
from fleetrec.simulator.scenario.text_files import locate
from fleetrec.simulator.workload.columns import HOUR, LogPlaces, knows_log, log_places, plain_name, rows_kept
from fleetrec.simulator.workload.item_table import read_items
from fleetrec.simulator.workload.labels import Labels, id_text, is_negative, labels_of
from fleetrec.simulator.workload.log import Clock, InteractionLog, Reading
from fleetrec.simulator.workload.oddities import nobody, odd_dates, odd_gaps, odd_users
from fleetrec.simulator.workload.recipe import known
from fleetrec.simulator.workload.tables.files import check_fits, largest_bytes
from fleetrec.simulator.workload.tables.opening import listed, open_table
from fleetrec.simulator.workload.tables.table import Column, Reader, Table, reader, told_by
from fleetrec.simulator.workload.times import ParsedTimes, clock_of, plan_times, why_unusable

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

SKIP_HINT = "mend the row, or leave such rows out: workload.interactions.on_error=skip, or --on-error skip of `data`"
_NO = ("false", "0", "no")
_BATCH_ROWS = 500_000
_SHOWN_ROWS = 3


@dataclass(frozen=True)
class Rows:
    """The rows of a log as the file has them."""

    path: Path
    users: Labels  # [R]
    items: Labels  # [R]
    times: ParsedTimes
    timed: bool  # whether the file has times
    inexact: Flags  # [R], rows that the file says to have a time that is not exact
    unreadable: list[tuple[int, str]]  # lines that are no rows, and why


@dataclass(frozen=True)
class _Events:
    """Interactions by code, in any order. times: seconds, or the row number where there are none."""

    users: Ints
    items: Ints
    times: Floats

    def kept(self, which: Flags | Ints) -> "_Events":
        return _Events(self.users[which], self.items[which], self.times[which])


def load_log(section: LogFile) -> InteractionLog:
    """The log that a scenario names. InputError names the file, the row and how to mend it."""
    published = known(section)
    if published is None:
        return _load(section)
    try:
        log = _load(published.read_as(section))
        published.check(log)
    except InputError as error:
        raise published.refused(error) from error
    return replace(log, reading=replace(log.reading, said=f"format: {section.format}") if log.reading else None)


def _load(section: LogFile) -> InteractionLog:
    path = locate(section.path)
    with reader() as opened, told_by(path, "a table of interactions"):
        table = open_table(opened, path, section, knows_log(section.columns))
        places = log_places(opened, table, section.columns)
        kept = rows_kept(opened, table, section)
        raw = read_rows(opened, table, places, kept, section)
        seconds = raw.times.seconds
        bad = raw.users.unusable[raw.users.codes] | raw.items.unusable[raw.items.codes] | np.isnan(seconds)
        if section.on_error == "fail" and (raw.unreadable or bad.any()):
            raise InputError(_first_bad_row(opened, table, places, kept, raw, bad))
    notes = [*table.notes, *places.notes, *raw.users.notes, *raw.items.notes, *raw.times.notes]
    if section.where is not None:
        notes.append(note("where", "only rows are read where {where}", where=section.where))
    problems = dict(raw.times.problems)
    _count(problems, "rows_skipped", len(raw.unreadable) + int(bad.sum()))
    events = _Events(raw.users.codes, raw.items.codes, seconds)
    if bad.any():
        events = events.kept(~bad)
    if raw.timed:
        events = _in_order(events, problems)
    source = f"{path.parent.name}/{path.name}" if path.parent.name else path.name
    if section.k_core > 1:
        events = _k_core(events, section.k_core, problems, source)
        source += f" ({section.k_core}-core)"
        notes.append(
            note("k_core", "only users and items with at least {events} events are kept", events=section.k_core)
        )
    if not len(events.users):
        raise InputError(f"{path} holds no interactions that can be used ({_told(problems)}); give another file")
    notes += [*odd_dates(path, places, raw.times, section), *odd_users(raw.users), *nobody(raw.users, "user")]
    notes += nobody(raw.items, "item")
    log = _assemble(events, raw, section, problems, notes, source, places)
    if log.clock != "none":
        log = replace(log, notes=(*log.notes, *odd_gaps(log)))
    return replace(log, inexact_times=float(raw.inexact[~bad].mean()), reading=_reading(table, places, raw, section))


# ------------------------------------------------------------------------------------------ reading


def read_rows(opened: Reader, table: Table, places: LogPlaces, kept: str, section: LogFile) -> Rows:
    """The columns in use, read in batches."""
    cells = [id_text(opened, table, places.user), id_text(opened, table, places.item)]
    plan = None
    if places.times:
        where = f"{table.path}: column {' and '.join(repr(column.name) for column in places.times)}"
        _check_time_digits(places, where)
        plan = plan_times(
            opened,
            f"(SELECT * FROM {table.source}{kept})",
            _time_column(places, section.time.unit),
            section.time,
            where,
        )
        cells.append(plan.cell)
    cells += [f"lower({places.exact.text}) IN {_NO}"] if places.exact is not None else []
    chosen = ", ".join(f"{cell} AS x{place}" for place, cell in enumerate(cells))
    largest, size = largest_bytes(), 0
    columns: list[list[Any]] = [[] for _ in cells]
    relation = opened.database.sql(f"SELECT {chosen} FROM {table.source}{kept}")
    for batch in relation.to_arrow_reader(_BATCH_ROWS):
        size += batch.nbytes
        check_fits(table.path, size, largest)
        for held, column in zip(columns, batch.columns, strict=True):
            held.append(column)
    unreadable = table.unreadable()
    if not sum(map(len, columns[0])):
        if unreadable and section.on_error == "fail":
            line, why = unreadable[0]
            raise InputError(f"{table.path}, line {line}: {why}; {SKIP_HINT}")
        raise InputError(_nothing_left(opened, table, section))
    ids: list[Labels] = []
    for name, column, said in (
        ("user", places.user, section.columns.user),
        ("item", places.item, section.columns.item),
    ):
        texts = pa.chunked_array(columns[len(ids)])
        columns[len(ids)] = []
        ids.append(labels_of(texts, name, f"{table.path}: column {column.name!r}", said is not None))
    users, items = ids
    _check_one_table(table, places, users, items)
    rows = len(users.codes)
    times = ParsedTimes(np.arange(rows, dtype=np.float64), False, read_as="the order of the rows")
    if plan is not None:
        times = plan.parsed(_values(columns[2]))
    inexact = _values(columns[-1]).astype(np.bool_) if places.exact is not None else np.zeros(rows, dtype=np.bool_)
    return Rows(table.path, users, items, times, plan is not None, inexact, unreadable)


def _values(chunks: list[Any]) -> Any:
    return np.concatenate([np.array(chunk.to_numpy(zero_copy_only=False), dtype=np.float64) for chunk in chunks])


def _time_column(places: LogPlaces, unit: str) -> Column:
    """The column of times; a date and a clock, or milliseconds from its start, as one."""
    if len(places.times) == 1:
        return places.times[0]
    day, clock = (column.text for column in places.times)
    if plain_name(places.times[1].name) == HOUR:
        clock = f"CASE WHEN regexp_full_match({clock}, '\\d{{1,2}}') THEN {clock} || '00' ELSE {clock} END"
    if unit == "iso+ms":
        moment = f"(try_cast({day} AS TIMESTAMP) + to_milliseconds(try_cast({clock} AS BIGINT)))"
        return Column(" and ".join(column.name for column in places.times), "TIMESTAMP", moment)
    padded = f"CASE WHEN regexp_full_match({clock}, '\\d{{1,4}}') THEN lpad({clock}, 4, '0') ELSE {clock} END"
    joined = f"(regexp_replace({day}, '[T ]00:00:00$', '') || ' ' || {padded})"
    return Column(" and ".join(column.name for column in places.times), "VARCHAR", joined)


def _nothing_left(opened: Reader, table: Table, section: LogFile) -> str:
    if section.where is None:
        return f"{table.path} holds no interactions; give a file with interactions"
    rows = opened.row(f"SELECT count(*) FROM {table.source}")[0]
    if not rows:
        return f"{table.path} holds no interactions; give a file with interactions"
    return f"{table.path}: none of its {rows:,} rows is left by where ({section.where}); see how its values are written"


def _check_one_table(table: Table, places: LogPlaces, users: Labels, items: Labels) -> None:
    """InputError where the line of names stands among the rows: two files, one behind the other."""
    names = [places.user.name, places.item.name]
    if table.named:
        again = users.rows_of(names[0]) & items.rows_of(names[1])
        if again.any():
            where = table.place(int(np.argmax(again)))
            raise InputError(
                f"{table.path}, {where}: the names {', '.join(names)} stand there once more: these are "
                f"{int(again.sum()) + 1} files in one; give one of them, or take the names out"
            )


def _check_time_digits(places: LogPlaces, where: str) -> None:
    if places.times and places.times[0].kind == "FLOAT":
        raise InputError(
            f"{where} holds floats of 32 bits, which tell seconds of today only to 128 s; write the times as "
            "integers or doubles"
        )


def _first_bad_row(opened: Reader, table: Table, places: LogPlaces, kept: str, raw: Rows, bad: Flags) -> str:
    unreadable = [(int(line), why) for line, why in raw.unreadable]
    others = int(bad.sum()) + len(unreadable) - 1
    more = f" ({counted(others, 'more row')} like it or worse)" if others else ""
    if not bad.any():
        line, why = unreadable[0]
        return f"{raw.path}, line {line}: {why}{more}; {SKIP_HINT}"
    row = int(np.argmax(bad))
    place = table.place(_row_in_file(opened, table, kept, row))
    if unreadable and place.startswith("line ") and unreadable[0][0] < int(place.removeprefix("line ")):
        return f"{raw.path}, line {unreadable[0][0]}: {unreadable[0][1]}{more}; {SKIP_HINT}"
    for name, ids in (("user", raw.users), ("item", raw.items)):
        if ids.unusable[ids.codes[row]]:
            label = ids.of_row(row)
            share = float(ids.unusable[ids.codes].mean())
            why = f"the {name} id is empty" if not label else f"the {name} id {label!r} is taken as missing"
            why = f"the {name} id {label!r} is negative" if is_negative(label) else why
            if share > 0.5 and len(table.columns) > 2:
                why += (
                    f", as in {share:.0%} of the rows: is another column the {name}'s? say it: columns: "
                    f"{{{name}: NAME}}, --columns {name}=NAME, of {listed(table.names)}"
                )
            break
    else:
        text = _time_column(places, "").text
        why = why_unusable(opened.row(f"SELECT {text} FROM {table.source}{kept} LIMIT 1 OFFSET {row}")[0])
    return f"{raw.path}, {place}: {why}{more}; {SKIP_HINT}"


def _row_in_file(opened: Reader, table: Table, kept: str, row: int) -> int:
    """Where the row-th of the rows that `where` keeps stands among all."""
    if not kept:
        return row
    numbered = f"(SELECT row_number() OVER () - 1 AS row_in_file, * FROM {table.source})"
    return int(opened.row(f"SELECT row_in_file FROM {numbered}{kept} LIMIT 1 OFFSET {row}")[0])


def _reading(table: Table, places: LogPlaces, raw: Rows, section: LogFile) -> Reading:
    """What was read as what, and how that is known."""
    rows = []
    for row in range(min(_SHOWN_ROWS, len(raw.users.codes))):
        user, item = raw.users.of_row(row), raw.items.of_row(row)
        rows.append((user, item, float(raw.times.seconds[row])))
    columns = {"user": places.user.name, "item": places.item.name}
    if places.times:
        columns["time"] = " and ".join(column.name for column in places.times)
    return Reading(
        told=dict(table.told),
        columns=columns,
        known_by=places.known_by,
        times=raw.times.read_as,
        timed=raw.timed,
        said=_what_says_so(table, places, raw.times, section),
        first_rows=tuple(rows),
        rows=len(raw.users.codes),
    )


def _what_says_so(table: Table, places: LogPlaces, parsed: ParsedTimes, section: LogFile) -> str:
    """The keys that leave nothing to be told from the file."""
    names = [column.name if table.named else table.columns.index(column) + 1 for column in (places.user, places.item)]
    time: Any = [column.name if table.named else table.columns.index(column) + 1 for column in places.times]
    columns = {"user": names[0], "item": names[1], "time": time[0] if len(time) == 1 else time or "none"}
    said: dict[str, Any] = {"columns": columns, **({} if table.named else {"header": "none"})}
    if places.times:
        said["time"] = {**section.time.model_dump(exclude_unset=True), "unit": section.time.unit}
        if section.time.unit == "auto":
            said["time"]["unit"] = parsed.unit
    return yaml.safe_dump(said, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000).strip()[
        1:-1
    ]


# ------------------------------------------------------------------------------------------ cleaning


def _in_order(events: _Events, problems: dict[str, int]) -> _Events:
    """The events by user and time, file order breaking ties, without further ones of the same user, item and time."""
    order = np.argsort(events.users, kind="stable")
    sorted_events = events.kept(order)
    same_user = np.diff(sorted_events.users) == 0
    falls = int((same_user & (np.diff(sorted_events.times) < 0)).sum())
    _count(problems, "out_of_order", falls)
    if falls:
        order = np.lexsort((events.times, events.users))
        sorted_events = events.kept(order)
    ties = same_user & (np.diff(sorted_events.times) == 0)
    if not ties.any():
        return sorted_events
    tied = np.flatnonzero(np.append(False, ties) | np.append(ties, False))
    moment = np.cumsum(np.append(True, ~ties))[tied]  # of one user each
    items = sorted_events.items[tied].astype(np.int64)
    by_item = np.argsort(moment * (items.max() + 1) + items, kind="stable")
    same = (np.diff(moment[by_item]) == 0) & (np.diff(items[by_item]) == 0)
    repeats = tied[by_item[1:][same]]
    _count(problems, "duplicates_dropped", len(repeats))
    return sorted_events.kept(np.delete(np.arange(len(order)), repeats)) if len(repeats) else sorted_events


def _k_core(events: _Events, k: int, problems: dict[str, int], source: str) -> _Events:
    """Drop users and items with fewer than k events until none is left."""
    before = events
    while len(events.users):
        kept = np.bincount(events.users)[events.users] >= k
        kept &= np.bincount(events.items)[events.items] >= k
        if kept.all():
            break
        events = events.kept(kept)
    if not len(events.users):
        raise InputError(f"nothing of {source} is left in its {k}-core; set a smaller workload.interactions.k_core")
    for name in ("users", "items"):
        gone = len(np.unique(getattr(before, name))) - len(np.unique(getattr(events, name)))
        _count(problems, f"k_core_{name}_dropped", gone)
    _count(problems, "k_core_events_dropped", len(before.users) - len(events.users))
    return events


def _assemble(
    events: _Events,
    raw: Rows,
    section: LogFile,
    problems: dict[str, int],
    notes: list[Note],
    source: str,
    places: LogPlaces,
) -> InteractionLog:
    users, user_ids = _recode(events.users, raw.users.texts)
    items, item_ids = _recode(events.items, raw.items.texts)
    order = np.argsort(users, kind="stable")
    users, items, times = users[order], items[order], events.times[order]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(users, minlength=len(user_ids)))]).astype(np.int64)
    clock: Clock = "none"
    if raw.timed:
        clock = clock_of(times, offsets, raw.times.dated)
        _count(problems, "ties", int(((np.diff(times) == 0) & (np.diff(users) == 0)).sum()))
    else:
        times = (np.arange(len(items)) - offsets[users]).astype(np.float64)
    titles, attributes = None, None
    if section.items is not None:
        titles, attributes = _descriptions(section.items, item_ids, places.item.name, section.encoding, problems, notes)
    labels = (user_ids.tolist(), item_ids.tolist(), titles, attributes)
    return InteractionLog(
        user_ids=user_ids,
        item_ids=item_ids,
        offsets=offsets,
        items=items.astype(np.int32),
        times=times,
        clock=clock,
        titles=titles,
        attributes=attributes,
        problems=problems,
        source=source,
        content_hash=content_hash(offsets, items.astype(np.int64), times, clock, json.dumps(labels).encode()),
        notes=tuple(notes),
    )


def _recode(codes: Ints, texts: Any) -> tuple[Ints, NDArray[Any]]:
    """Codes 0, 1, 2, ... of the labels that occur, in the order of the numbers where all are, else of the text."""
    present = np.flatnonzero(np.bincount(codes, minlength=len(texts)))
    names = texts.take(pa.array(present))
    numeric = pc.all(pc.match_substring_regex(names, r"^(0|[1-9]\d{0,17})$")).as_py()
    order = pc.sort_indices(pc.cast(names, pa.int64()) if numeric else names).to_numpy()
    place = np.empty(len(texts), dtype=np.int32)
    place[present[order]] = np.arange(len(present))
    return place[codes], names.take(pa.array(order)).to_numpy(zero_copy_only=False)


def _descriptions(
    named: str | ItemFile,
    item_ids: NDArray[Any],
    item_column: str,
    encoding: str,
    problems: dict[str, int],
    notes: list[Note],
) -> tuple[tuple[str, ...] | None, tuple[tuple[str, ...], ...] | None]:
    """Titles and attributes of the log's items, None where the table has none at all."""
    form = ItemFile(path=named) if isinstance(named, str) else named
    path = locate(form.path)
    table = read_items(path, form, item_column, encoding)
    labels = item_ids.tolist()
    unknown = sum(label not in table.titles for label in labels)
    if unknown == len(labels):
        theirs = ", ".join(map(repr, list(table.titles)[:3]))
        raise InputError(
            f"{path} describes none of the log's items; its item ids ({theirs}) must be those of the log "
            f"({', '.join(map(repr, labels[:3]))}); say its column: items: {{path: ..., columns: {{item: NAME}}}}"
        )
    notes.extend(table.notes)
    _count(problems, "items_without_description", unknown)
    _count(problems, "item_rows_repeated", table.duplicates)
    titles = tuple(table.titles.get(label, "") for label in labels)
    attributes = tuple(table.attributes.get(label, ()) for label in labels)
    if any(titles) and not all(titles):
        told = "{share:.0%} of the log's items have a title; the others are called by their ids"
        notes.append(note("items_with_title", told, share=sum(map(bool, titles)) / len(titles)))
    return titles if any(titles) else None, attributes if any(attributes) else None


def _count(problems: dict[str, int], name: str, number: int) -> None:
    if number:
        problems[name] = problems.get(name, 0) + number


def _told(problems: dict[str, int]) -> str:
    return ", ".join(f"{name}: {number}" for name, number in problems.items()) or "it is empty"
