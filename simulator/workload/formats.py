"""Readers of the formats in which people keep interaction logs; each gives the same raw table of text.

Delimited text (CSV, TSV, RecBole .inter, MovieLens), Parquet, and lines of `user item item ...`. The format is
guessed from the name and the content, or given.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.user_files import check_regular
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.workload.columns import Columns, columns_of, named_columns
from fleetrec.simulator.workload.files import TextFile, check_fits, largest_bytes, read_text

FIELD_BREAK = "\x1f"  # stands for `::` and runs of blanks, which the CSV reader does not know
SKIP_HINT = "mend the row, or leave such rows out: workload.interactions.on_error=skip, or --on-error skip of `data`"
_PROBE_LINES = 100
_CELL_BYTES = 8  # that a value of a Parquet file takes at least, however well it is packed
_DELIMITERS = (",", "\t", ";", "|")


@dataclass(frozen=True)
class RawTable:
    """The rows of a log as the file has them."""

    path: Path
    users: Any  # pyarrow string array [R]
    items: Any  # pyarrow string array [R]
    times: Any | None  # pyarrow array [R] of strings or doubles; None: the file has no times
    times_in_seconds: bool  # times are seconds since 1970 already, no unit to guess
    unreadable: int  # rows left out because of their number of fields
    place: Callable[[int], str]  # of row r in the file: "line 17"
    notes: tuple[Note, ...]
    exact: Any | None = None  # strings [R]: whether a row's time is exact, where the file says so


def read_table(path: Path, file_format: str, skip: bool) -> RawTable:
    """The interactions in a file; `file_format` as in the scenario. With `skip` rows with a wrong number of fields
    are left out and counted, otherwise the first one is an InputError."""
    if file_format == "parquet" or (file_format == "auto" and _is_parquet(path)):
        return _read_parquet(path)
    text = read_text(path)
    first = next((line for line in _lines(text) if line.strip()), "")
    if file_format == "auto":
        file_format = _guess(path, text, first)
    if file_format == "lines":
        return _read_lines(text, skip)
    if file_format == "movielens_dat":
        if "::" not in first:
            raise InputError(f"{path}: not MovieLens .dat (no `::` in the first line); give another format")
        return _read_delimited(text, b"::", FIELD_BREAK, skip)
    if file_format == "blanks":
        return _read_delimited(text, rb"[ \t]+", FIELD_BREAK, skip)
    delimiter = "\t" if file_format in ("tsv", "inter") else max(_DELIMITERS, key=first.count)
    return _read_delimited(text, None, delimiter, skip)


def _is_parquet(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PAR1" or path.suffix.lower() in (".parquet", ".pq")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a file that you may read") from error


def _guess(path: Path, text: TextFile, first: str) -> str:
    if first.lstrip()[:1] in ("{", "["):
        raise InputError(f"{path} looks like JSON, which is not read; write it as CSV: user_id,item_id,timestamp")
    if first.lstrip()[:1] == "<":
        raise InputError(f"{path} looks like a web page, not a log; download the data file itself")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if ".inter" in suffixes:
        return "inter"
    if "::" in first:
        return "movielens_dat"
    if any(delimiter in first for delimiter in _DELIMITERS) or len(first.split()) == 1:
        return "csv"
    probe = [line.split() for line, _ in zip(_lines(text), range(_PROBE_LINES), strict=False) if line.strip()]
    if len(probe[0]) in (3, 4) and all(len(cells) == len(probe[0]) for cells in probe):
        try:
            columns = columns_of(probe[0], str(path))
        except InputError:
            return "lines"
        return "blanks" if columns.header or columns.time == len(probe[0]) - 1 else "lines"
    return "lines"


def _lines(text: TextFile) -> Iterator[str]:
    return (line.decode() for line in io.BytesIO(text.data))


# ------------------------------------------------------------------------------------------ delimited text


@dataclass(frozen=True)
class _Body:
    """The rows of a delimited file, its header cut off."""

    path: Path
    data: bytes
    delimiter: str
    first_line: int  # of the body, in the file, from 1
    width: int  # fields a row must have

    @property
    def quoted(self) -> bool:
        return self.delimiter != FIELD_BREAK

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """(line in the file, fields) of every row that is not blank; slow, for messages only."""
        reader = _csv_reader(self.data.decode(), self.delimiter)
        begin = 0
        for fields in reader:
            if any(field.strip() for field in fields) or len(fields) > 1:
                yield self.first_line + begin, fields
            begin = reader.line_num

    def place(self, row: int) -> str:
        """Where the row-th readable row is."""
        seen = 0
        for line, fields in self.records():
            if len(fields) == self.width:
                if seen == row:
                    return f"line {line}"
                seen += 1
        return f"row {row + 1}"


def _csv_reader(text: str, delimiter: str) -> Any:
    quoting = csv.QUOTE_NONE if delimiter == FIELD_BREAK else csv.QUOTE_MINIMAL
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]


def _read_delimited(text: TextFile, pattern: bytes | None, delimiter: str, skip: bool) -> RawTable:
    path, data = text.path, text.data
    if pattern is not None:
        data = re.sub(pattern, FIELD_BREAK.encode(), data)
    blank = re.match(rb"(?:[ \t]*\r?\n)*", data)
    begin = blank.end() if blank else 0
    end = data.find(b"\n", begin)
    end = len(data) if end < 0 else end + 1
    try:
        cells = [cell.strip() for cell in next(_csv_reader(data[begin:end].decode(), delimiter))]
    except csv.Error as error:
        raise InputError(f"{path} is not a table of text ({error}); give CSV, TSV, .inter, .dat or Parquet") from error
    columns = columns_of(cells, str(path))
    start = end if columns.header else begin
    body = _Body(path, data[start:], delimiter, data.count(b"\n", 0, start) + 1, len(cells))
    table, unreadable = _parse(body, columns, skip)
    times = None if columns.time is None else table[f"c{columns.time}"].combine_chunks()
    notes = (*text.notes, *columns.notes)
    users, items = (table[f"c{place}"].combine_chunks() for place in (columns.user, columns.item))
    exact = None if columns.exact is None else table[f"c{columns.exact}"].combine_chunks()
    return RawTable(path, users, items, times, False, unreadable, body.place, notes, exact)


def _parse(body: _Body, columns: Columns, skip: bool) -> tuple[Any, int]:
    """The columns in use as strings, and the number of rows left out."""
    if not body.data.strip():
        raise InputError(f"{body.path} holds a header but no interactions; give a file with interactions")
    used = [f"c{place}" for place in columns.in_use]
    unreadable = 0

    def left_out(row: Any) -> str:
        nonlocal unreadable
        unreadable += bool(row.text.strip())
        return "skip"

    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(body.data),
            read_options=pyarrow.csv.ReadOptions(
                use_threads=False,
                block_size=min(len(body.data) + 1, 1 << 30),
                column_names=[f"c{place}" for place in range(body.width)],
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=body.delimiter,
                quote_char='"' if body.quoted else False,
                newlines_in_values=body.quoted and b'"' in body.data,
                invalid_row_handler=left_out,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=used, column_types={name: pa.string() for name in used}, strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{body.path} cannot be read as a table ({reason}); look for a quote left open") from error
    if unreadable and not skip:
        for line, fields in body.records():
            if len(fields) != body.width:
                found = f"{counted(len(fields), 'field')} where the first line has {body.width}"
                raise InputError(f"{body.path}, line {line}: {found}; {SKIP_HINT}")
        rows = counted(unreadable, "row has", "rows have")
        raise InputError(f"{body.path}: {rows} a wrong number of fields; look for a quote left open")
    return table, unreadable


# ------------------------------------------------------------------------------------------ lines of ids


def _read_lines(text: TextFile, skip: bool) -> RawTable:
    """`user item item ...`: the order of a line is the order in time; a user's further lines continue the first."""
    users: list[str] = []
    items: list[str] = []
    lengths: list[int] = []
    numbers: list[int] = []
    unreadable = 0
    for number, line in enumerate(_lines(text), start=1):
        cells = line.split()
        if len(cells) > 1:
            users.append(cells[0])
            items.extend(cells[1:])
            lengths.append(len(cells) - 1)
            numbers.append(number)
        elif cells and skip:
            unreadable += 1
        elif cells:
            raise InputError(f"{text.path}, line {number}: a user without items (`user item item ...`); {SKIP_HINT}")
    rows = np.repeat(np.arange(len(users)), lengths)
    lines = np.array(numbers, dtype=np.int64)[rows]
    told = "lines of `user item item ...`: there are no times, only each user's order"
    notes = [*text.notes, note("no_times", told)]
    if len(set(users)) < len(users):
        notes.append(note("lines_continued", "some users have several lines: each continues the one before"))
    raw_users = pa.array(users, pa.string()).take(pa.array(rows))
    raw_items = pa.array(items, pa.string())
    return RawTable(
        text.path, raw_users, raw_items, None, False, unreadable, lambda row: f"line {lines[row]}", tuple(notes)
    )


# ------------------------------------------------------------------------------------------ Parquet


def _read_parquet(path: Path) -> RawTable:
    check_regular(path)
    try:
        file = pyarrow.parquet.ParquetFile(path)
        names = file.schema_arrow.names
        columns = named_columns(names, str(path))
        used = [names[place] for place in columns.in_use]
        check_fits(path, file.metadata.num_rows * len(used) * _CELL_BYTES, largest_bytes())
        table = file.read(columns=used)
        table.validate(full=True)  # also that labels are text
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} cannot be read as Parquet ({reason}); write it again, or give its format") from error
    users, items = (_as_text(table[names[place]], path, names[place]) for place in (columns.user, columns.item))
    times, in_seconds = None, False
    if columns.time is not None:
        times, in_seconds = _as_times(table[names[columns.time]], path, names[columns.time])
    exact = None if columns.exact is None else pc.cast(table[names[columns.exact]], pa.string()).combine_chunks()
    return RawTable(path, users, items, times, in_seconds, 0, lambda row: f"row {row + 1}", columns.notes, exact)


def _as_text(column: Any, path: Path, name: str) -> Any:
    """Ids as strings; whole numbers kept as floats (a column that has gaps) lose their `.0`."""
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if pa.types.is_floating(column.type):
        try:
            column = pc.cast(column, pa.int64())
        except pa.ArrowInvalid as error:
            raise InputError(f"{path}: ids in column {name!r} are not whole numbers; store them as text") from error
    try:
        return pc.fill_null(pc.cast(column, pa.string()), "").combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"{path}: column {name!r} holds {column.type}; ids must be text or integers") from error


def _as_times(column: Any, path: Path, name: str) -> tuple[Any, bool]:
    """(strings or doubles, whether they are seconds since 1970 already). Times without a zone are UTC."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pc.fill_null(pc.cast(column, pa.string()), "").combine_chunks(), False
    if pa.types.is_date(kind):
        column, kind = pc.cast(column, pa.timestamp("s")), pa.timestamp("s")
    if pa.types.is_timestamp(kind):
        per_second = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[kind.unit]
        ticks = pc.cast(pc.cast(column, pa.int64()), pa.float64(), safe=False)
        return pc.divide(ticks, per_second).combine_chunks(), True
    try:
        return pc.cast(column, pa.float64(), safe=False).combine_chunks(), False
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"{path}: column {name!r} holds {kind}; times must be numbers, ISO text or timestamps"
        ) from error
