"""A file of requests as arrays, whoever wrote it: CSV, JSON lines, or one JSON document."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.user_files import check_regular
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.cloud.replica.jobs import MOST_TOKENS
from fleetrec.simulator.cloud.request_files.forms import (
    FORMS,
    KNOWN,
    NOTHING_SAID,
    UNITS,
    Reader,
    Request,
    Said,
    plain,
)
from fleetrec.simulator.cloud.request_files.results import Rows, is_line, result_rows
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.scenario.sections.workload import TableForm
from fleetrec.simulator.scenario.text_files import read_rows
from fleetrec.simulator.scenario.units import DURATION
from fleetrec.simulator.workload.columns import Knowing, plain_name
from fleetrec.simulator.workload.tables.opening import find, open_table
from fleetrec.simulator.workload.tables.table import reader as table_reader
from fleetrec.simulator.workload.tables.table import told_by
from fleetrec.simulator.workload.tables.where import condition

_BATCH_ROWS = 100_000
_NUMBERS = 7
"""of a request, beside the list of its gaps"""
_POINTER = "version https://git-lfs"
_FAR_S = 100.0  # between requests: so few need no server
_OFF, _ROUNDED_S = 0.01, 1e-4  # what gaps that are rounded may miss of the whole, as a share and at least
_SLOW_S, _FAST_S = 5.0, 1e-5  # a token, in the median: no server is so slow, or so fast


@dataclass(frozen=True)
class RequestFile:
    """Requests in order of arrival; arrays [n], times in seconds since the first arrival, NaN where not told."""

    rows: NDArray[np.int64]
    """of the file, from 1"""
    arrival_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    sequences: NDArray[np.int64]
    first_s: NDArray[np.float64]
    last_s: NDArray[np.float64]
    gaps_s: tuple[tuple[float, ...], ...]
    """of each, seconds between the events that brought its tokens after the first; none where they are not told"""
    notes: list[Note]


def read_requests(path: Path, limit: int | None = None, said: Said = NOTHING_SAID) -> RequestFile:
    """The first `limit` requests of a file that is read as `said`. Rows that are out of order are sorted and counted,
    failed requests left out and counted. InputError names the row that cannot be used, or the unit that cannot be."""
    notes: list[Note] = []
    rows: list[Request] = []
    failed = 0
    for request in _rows(path) if said == NOTHING_SAID else _said_rows(path, said):
        if len(rows) == limit:
            break
        if request is None:
            failed += 1
        else:
            rows.append(request)
    if not rows:
        kept = "" if said.where is None else f" that where keeps ({said.where})"
        raise InputError(f"{path}: holds no request{kept}; give a trace with at least one row")
    table = np.array([request[:_NUMBERS] for request in rows], dtype=np.float64)  # [n, 7]
    row, arrival, prompt, output, sequences, _, last = table.T
    for name, values, least in (
        ("prompt tokens", prompt, 1),
        ("output tokens", output, 0),
        ("sequences", sequences, 1),
    ):
        wrong = np.flatnonzero((values < least) | (values > MOST_TOKENS) | (values != np.floor(values)))
        if len(wrong):
            raise InputError(
                f"{path}: row {row[wrong[0]]:.0f}: {values[wrong[0]]:g} {name}, not a whole number of {least} to "
                f"{MOST_TOKENS:g}; mend or remove the row"
            )
    with np.errstate(over="ignore"):
        far = np.flatnonzero(np.fmax(arrival, last) - arrival.min() > DURATION.most)
    if len(far):
        raise InputError(
            f"{path}: row {row[far[0]]:.0f}: arrives or ends more than {DURATION.most:g} s after the first request; "
            "mend or remove the row"
        )
    _check_tokens(path, table, rows)
    late = int((np.diff(arrival) < 0).sum())
    if late:
        told = "the trace is sorted by time, since {late} of its {rows} rows came before the row above"
        notes.append(note("trace_sorted", told, late=late, rows=len(rows)))
    if failed:
        notes.append(note("requests_failed", "{failed} requests that failed are left out", failed=failed))
    order = np.argsort(arrival, kind="stable")
    gap_s = float(np.median(np.diff(arrival[order]))) if len(rows) > 1 else 0.0
    if gap_s > _FAR_S:
        told = "half of the requests come more than {gap_s:g} s after the one before: are the times milliseconds?"
        notes.append(note("requests_far_apart", told, gap_s=gap_s))
    table = table[order]
    table[:, [1, 5, 6]] -= arrival.min()
    counts = table[:, [0, 2, 3, 4]].astype(np.int64)
    times = table[:, 1], counts[:, 1], counts[:, 2], counts[:, 3], table[:, 5], table[:, 6]
    return RequestFile(counts[:, 0], *times, tuple(rows[place].gaps for place in order), notes)


def _check_tokens(path: Path, table: NDArray[np.float64], requests: Sequence[Request]) -> None:
    """InputError where times of tokens run backwards or are of another unit, by what no server could do."""
    row, arrival, _, output, _, first, last = table.T
    backwards = np.flatnonzero((first < arrival) | (last < first))
    if len(backwards):
        at, many = backwards[0], len(backwards) > max(1, len(table) / 2)
        hint = f" (as in {len(backwards)} rows: are they durations, or times of another clock?)" if many else ""
        raise InputError(
            f"{path}: row {row[at]:.0f}: arrival {arrival[at]:.6f}, first token {first[at]:.6f} and last token "
            f"{last[at]:.6f} run backwards{hint}; mend or remove the row"
        )
    for request in requests:
        told_s, took_s = sum(request.gaps), request.last - request.first
        if request.gaps and abs(told_s - took_s) > max(_OFF * took_s, _ROUNDED_S):
            raise InputError(
                f"{path}: row {request.row}: its gaps add up to {told_s:.6f} s, and its last token came {took_s:.6f} s "
                "after its first; mend or remove the row"
            )
    several = output > 1
    gaps = (last - first)[several] / (output[several] - 1)
    gaps = gaps[gaps > 0]
    if len(gaps) and not _FAST_S <= np.median(gaps) <= _SLOW_S:
        unit = "milliseconds" if np.median(gaps) > 1 else "seconds"
        raise InputError(
            f"{path}: a token takes {np.median(gaps):.3g} s in the median as the times are read, which is no server's; "
            f"are they {unit}? Give seconds, or names that say the unit (arrival_ms, first_token_ms, last_token_ms)"
        )


def _rows(path: Path) -> Rows:
    check_regular(path)
    try:
        with path.open(encoding="utf-8-sig") as file:
            begin = file.read(4096).lstrip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"{path}: cannot be read ({reason}); give a trace: {KNOWN}") from None
    if begin.startswith(_POINTER):
        raise InputError(f"{path}: is a Git LFS pointer, not the data; run `git lfs pull` where it came from")
    return _json_rows(path) if begin[:1] in ("{", "[") else _csv_rows(path, begin)


def _said_rows(path: Path, said: Said) -> Rows:
    """The rows of a table of any kind that a log may be, whose columns, filter or times the user says."""
    check_regular(path)
    if said.unit is not None and "%" not in said.unit and said.unit not in UNITS:
        raise InputError(
            f"--time: {said.unit!r} is no unit of a trace's times; write {', '.join(UNITS)} or '%d/%m/%Y %H:%M:%S'"
        )
    known = Knowing([plain_name(name) for form in FORMS for keys in form.keys.values() for name in keys], said.columns)
    with table_reader() as opened, told_by(path, "a request trace"):
        table = open_table(opened, path, TableForm(path=str(path)), known)
        told = {role: find(table, name) for role, name in said.columns.items()}
        columns = {plain(column.name): column for column in (*table.columns, *told.values())}
        named = replace(said, columns={role: plain(column.name) for role, column in told.items()})
        reader = Reader(list(columns), str(path), named)
        kept = "" if said.where is None else f" WHERE {condition(opened, table, said.where)}"
        used = list(dict.fromkeys(reader.keys.values()))
        chosen = ", ".join(f"{columns[name].text} AS x{place}" for place, name in enumerate(used))
        numbered = f"(SELECT row_number() OVER () AS row_of_file, * FROM {table.source})"
        cursor = opened.database.execute(f"SELECT row_of_file, {chosen} FROM {numbered}{kept}")
        while batch := cursor.fetchmany(_BATCH_ROWS):
            for row, *values in batch:
                request = reader.read(dict(zip(used, values, strict=True)), row, f"{path}: row {row}")
                yield None if reader.form.failed(request) else request
        if unreadable := table.unreadable():
            raise InputError(f"{path}, line {unreadable[0][0]}: {unreadable[0][1]}; mend or remove the row")


def _csv_rows(path: Path, begin: str) -> Rows:
    head_line = next((line for line in begin.splitlines() if line.strip() and not line.startswith("#")), "")
    delimiter = next((sign for sign in ",;\t" if sign in head_line), ",")
    table = ((row, cells) for row, cells in read_rows(str(path), "trace", delimiter) if not cells[0].startswith("#"))
    row, head = next(table, (0, []))
    if not head:
        return
    names = [plain(cell) for cell in head]
    twice = [cell for cell, name in zip(head, names, strict=True) if name and names.count(name) > 1]
    if twice:
        raise InputError(f"{path}: row {row}: two columns are called {twice[0]}; leave one, or rename the other")
    reader = Reader([name for name in names if name], f"{path}: row {row}")
    for row, cells in table:
        where = f"{path}: row {row}"
        if len(cells) != len(names):
            raise InputError(
                f"{where}: {counted(len(cells), 'cell')} where the head has {len(names)}; mend or remove the row"
            )
        request = reader.read(dict(zip(names, cells, strict=True)), row, where)
        yield None if reader.form.failed(request) else request


def _json_rows(path: Path) -> Rows:
    reader: Reader | None = None
    runs = 0
    for row, entry in _objects(path):
        where = f"{path}: row {row}"
        if not isinstance(entry, dict):
            raise InputError(f"{where}: not a JSON object; mend or remove the row")
        found = result_rows(entry, where) if reader is None else None
        if found is not None:
            runs += not is_line(entry)
            if runs > 1:
                raise InputError(f"{where}: a second run of a load test in one file; give a file for each run")
            yield from (request if request is None or runs else request._replace(row=row) for request in found)
            continue
        if isinstance(entry.get("requests"), list) and reader is None:
            raise InputError(f"{where}: requests of no tool that is known; give JSON lines, one a request: {KNOWN}")
        values = {plain(key): value for key, value in entry.items()}
        if reader is None:
            reader = Reader(list(values), where)
        request = reader.read(values, row, where)
        yield None if reader.form.failed(request) else request


def _objects(path: Path) -> Iterator[tuple[int, Any]]:
    """(row from 1, value) of JSON lines; of one document that is a list, of its entries; else the document itself."""
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        lines = ((row, line) for row, line in enumerate(file, start=1) if line.strip())
        ahead = list(islice(lines, 2))
        try:
            document = _parsed(ahead[0][1])
        except ValueError:
            file.seek(0)
            document = _whole(path, ahead[0][0])
            ahead = ahead[:1]
        if isinstance(document, list):
            yield from enumerate(document, start=1)
            return
        yield ahead[0][0], document
        for row, line in (*ahead[1:], *(() if len(ahead) < 2 else lines)):
            try:
                yield row, _parsed(line)
            except ValueError as error:
                raise InputError(f"{path}: row {row}: not a JSON object ({error}); mend or remove the row") from None


def _whole(path: Path, row: int) -> Any:
    try:
        return _parsed(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise InputError(f"{path}: row {row}: not a JSON object ({error}); mend or remove the row") from None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entry = dict(pairs)
    if len(entry) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} stands in it twice")
    return entry
