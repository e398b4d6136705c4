"""From a file to a table: what kind of file it is, told from its first bytes, and how each kind is opened."""

import json
import re
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import fastexcel
import pyarrow as pa

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.user_files import read_json
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.core.notes import note
from fleetrec.simulator.scenario.sections.workload import TableForm
from fleetrec.simulator.workload.tables.delimited import Knows, open_delimited
from fleetrec.simulator.workload.tables.encoding import PlainText, plain_text
from fleetrec.simulator.workload.tables.files import head_of, is_workbook, unpacked
from fleetrec.simulator.workload.tables.lines import are_lines, open_lines
from fleetrec.simulator.workload.tables.readings import OpenReading, Option
from fleetrec.simulator.workload.tables.rewriting import by_pattern, from_python, with_groups
from fleetrec.simulator.workload.tables.table import Column, Reader, Table, identifier, quoted, told_by

_PROBE_OBJECTS = 20_000
_WRAPPED = r"""\{"(\$\w+)":(?:"[^"]*"|-?[\d.]+|\{"\$\w+":"[^"]*"\})\}"""
_MAP = "a JSON object of objects or lists by id"


def open_table(reader: Reader, path: Path, form: TableForm, knows: Knows) -> Table:
    """The table in a file, read as `form` says, and else as the file shows."""
    data, packing = unpacked(path, form.part, reader.folder)
    table = _opened(reader, path, data, form, knows)
    table.told.update({"packed": packing} if packing else {})
    return split_cells(reader, table, form)


def _opened(reader: Reader, path: Path, data: Path, form: TableForm, knows: Knows) -> Table:
    head = head_of(data)
    if head.startswith(b"PAR1") or form.format == "parquet" or data.suffix.lower() in (".parquet", ".pq"):
        return _parquet(reader, path, data)
    if is_workbook(data) or form.format == "workbook":
        return _workbook(reader, path, data, form, knows)
    text = plain_text(path, data, form.encoding, reader.folder)
    if form.line is not None:
        text, form = by_pattern(text, form, form.line, reader.folder)
    elif form.group_line is not None:
        text = with_groups(text, form, form.group_line, reader.folder)
    with text.plain.open(encoding="utf-8") as file:
        first = next((line for line in islice(file, 1000) if line.strip()), "").lstrip()
    if form.format == "json" or (form.format == "auto" and first[:1] in ("{", "[")):
        return _json(reader, text, first)
    if form.format == "lines" or (form.format == "auto" and form.separator == "auto" and are_lines(text, knows)):
        return open_lines(reader, text)
    return open_delimited(reader, text, form, knows)


# ------------------------------------------------------------------------------------------ Parquet


def _parquet(reader: Reader, path: Path, data: Path) -> Table:
    view = reader.name("parquet")
    with told_by(path, "Parquet"):
        reader.database.execute(
            f"CREATE VIEW {view} AS SELECT * FROM read_parquet({quoted(str(data))}, binary_as_string = true)"
        )
        described = reader.rows(f"DESCRIBE {view}")
    columns = [Column(name, kind, identifier(name)) for name, kind, *_ in described]
    return Table(path, view, tuple(columns), True, {"format": "Parquet"}, lambda row: f"row {row + 1}")


# ------------------------------------------------------------------------------------------ JSON


def _json(reader: Reader, text: PlainText, first: str) -> Table:
    """JSON lines, an array of objects, or an object of objects or lists by id."""
    path, view = text.path, reader.name("json")
    if re.match(r"\{\s*u?'", first):
        text = from_python(text, reader.folder)
    form = "array" if first.startswith("[") else "newline_delimited"
    if form != "array" and (entries := _one_object(text)) is not None:
        return _by_id(reader, path, entries)
    source = f"read_json_objects({quoted(str(text.plain))}, format = '{form}', compression = 'none')"
    with told_by(path, "JSON"):
        reader.database.execute(f"CREATE VIEW {view} AS SELECT json FROM {source}")
        keys = [
            key
            for (key,) in reader.rows(
                f"SELECT key FROM (SELECT unnest(json_keys(json)) AS key FROM (FROM {view} LIMIT {_PROBE_OBJECTS})) "
                "GROUP BY key ORDER BY count(*) DESC, key"
            )
        ]
    if not keys:
        raise InputError(f"{path} holds no JSON objects of named values; write one object an interaction, or CSV")
    columns = [_unwrapped(reader, view, key) for key in keys]
    told = {"format": "a JSON array" if form == "array" else "JSON lines", "encoding": text.encoding}
    return Table(path, view, tuple(columns), True, told, lambda row: f"object {row + 1}")


def _unwrapped(reader: Reader, view: str, key: str) -> Column:
    """A column of JSON objects, without what MongoDB puts around dates, ids and long numbers: {"$date": ...}."""
    column = json_column(key, "json", key)
    some, wrapped, inside = reader.row(
        f"SELECT count(*), count(*) FILTER (regexp_full_match(cell, {quoted(_WRAPPED)})), "
        f"list(DISTINCT regexp_extract(cell, {quoted(_WRAPPED)}, 1)) FROM "
        f"(SELECT {column.cell} AS cell FROM {view} LIMIT {_PROBE_OBJECTS}) WHERE cell LIKE '{{%'"
    )
    if not some or some > wrapped:
        return column
    cells = [
        json_column(key, "json", key, *steps).cell for name in inside for steps in ((name, "$numberLong"), (name,))
    ]
    return Column(key, "VARCHAR", f"coalesce({', '.join(cells)}, {column.cell})")


def json_column(name: str, cell: str, *keys: str) -> Column:
    """A column of a JSON value: what stands at the keys, each inside the one before."""
    steps = "".join('."' + key.replace('"', '\\"') + '"' for key in keys)
    return Column(name, "VARCHAR", f"({cell} ->> {quoted('$' + steps)})")


def _one_object(text: PlainText) -> dict[str, Any] | None:
    """The one JSON object that a file holds, None where it holds several, one a line."""
    with text.plain.open(encoding="utf-8") as file:
        lines = list(islice((line for line in file if line.strip()), 2))
    try:
        several = len(lines) > 1 and isinstance(json.loads(lines[0]), dict)
    except ValueError:
        several = len(lines) > 1 and lines[0].rstrip().endswith("}")  # a damaged line, for the reader to tell
    if several:
        return None
    try:
        content = read_json(text.plain)
    except ValueError as error:
        raise InputError(f"{text.path} is not valid JSON ({error}); write it again") from error
    return content if isinstance(content, dict) else None


def _by_id(reader: Reader, path: Path, entries: dict[str, Any]) -> Table:
    """The table of {id: [attribute, ...]}, of {id: {...}}, or of one row of values."""
    view, values = reader.name("by_id"), list(entries.values())
    rows: list[dict[str, Any]]
    if entries and all(isinstance(value, list) for value in values):
        rows = [{"item_id": key, "attributes": value} for key, value in entries.items()]
    elif entries and all(isinstance(value, dict) for value in values):
        rows = [{"item_id": key, **value} for key, value in entries.items()]
    else:
        rows = [entries]
    reader.database.register(view, pa.table({"json": [json.dumps(row) for row in rows]}))
    columns = [json_column(key, "json", key) for key in dict.fromkeys(key for row in rows for key in row)]
    return Table(path, view, tuple(columns), True, {"format": _MAP}, lambda row: f"entry {row + 1}")


# ------------------------------------------------------------------------------------------ workbooks


def _workbook(reader: Reader, path: Path, data: Path, form: TableForm, knows: Knows) -> Table:
    """One sheet of a spreadsheet; every cell is read as the text that stands in it."""
    try:
        book = fastexcel.read_excel(data)
        filled = [name for name in book.sheet_names if book.load_sheet(name, header_row=None, n_rows=1).height]
        chosen = [name for name in filled if form.part in (None, name)]
        if len(chosen) != 1:
            raise OpenReading(
                f"{path} has {counted(len(filled), 'sheet')} ({', '.join(filled[:6])}); say which with `part` (--part)",
                f"Which sheet of {path.name}?",
                [Option(name, {"part": name}) for name in filled],
            )
        sheet: pa.RecordBatch = book.load_sheet(chosen[0], header_row=None, dtypes="string").to_arrow()
    except fastexcel.FastExcelError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is a workbook that cannot be read ({reason}); save it again, or as CSV") from error
    first = ["" if cell is None else str(cell).strip() for cell in (column[0].as_py() for column in sheet.columns)]
    names, below = first, True
    if isinstance(form.header, tuple):
        names, below = list(form.header), False
    elif form.header == "none" or (form.header == "auto" and not knows(first) and re.search(r"\d", "".join(first))):
        names, below = [f"column{place}" for place in range(1, len(first) + 1)], False
    view = reader.name("sheet")
    plain = pa.Table.from_batches([sheet.slice(1) if below else sheet]).rename_columns(
        [f"c{place}" for place in range(len(first))]
    )
    reader.database.register(view, plain)
    columns = [Column(name, "VARCHAR", f"c{place}") for place, name in enumerate(names)]
    told = {"format": f"a workbook, its sheet {chosen[0]}"}
    return Table(path, view, tuple(columns), True, told, lambda row: f"row {row + 1 + below}")


# ------------------------------------------------------------------------------------------ cells of several rows


def split_cells(reader: Reader, table: Table, form: TableForm) -> Table:
    """The table with one row for each part of the cells that `each` names, and for parts of lists that stand side by
    side in Parquet."""
    if form.each is None:
        return _unnested(reader, table)
    column = find(table, form.each.column)
    cell, view = column.cell, reader.name("split")
    if column.kind.endswith("[]"):
        parts = cell
    else:
        parts = (
            f"CASE WHEN trim({cell}) LIKE '[%' THEN from_json({cell}, '[\"JSON\"]') "
            f"ELSE CAST(list_filter(string_split({cell}, {quoted(form.each.separator)}), lambda x: trim(x) <> '') "
            "AS JSON[]) END"
            if form.each.pattern is None
            else f"list_filter(string_split({cell}, {quoted(form.each.separator)}), lambda x: trim(x) <> '')"
        )
    reader.database.execute(f"CREATE VIEW {view} AS SELECT *, unnest({parts}) AS part FROM {table.source}")
    kept = [one for one in table.columns if one is not column]
    if form.each.pattern is not None:
        groups = list(re.compile(form.each.pattern).groupindex)
        kept += [
            Column(group, "VARCHAR", f"regexp_extract(part, {quoted(form.each.pattern)}, {place})")
            for place, group in enumerate(groups, start=1)
        ]
    elif column.kind.endswith("[]"):
        kept.append(Column(column.name, column.kind[:-2], "part"))
    else:
        keys = [
            key
            for (key,) in reader.rows(
                f"SELECT key FROM (SELECT unnest(json_keys(part)) AS key FROM (FROM {view} LIMIT {_PROBE_OBJECTS}) "
                "WHERE json_type(part) = 'OBJECT') GROUP BY key ORDER BY count(*) DESC, key"
            )
        ]
        kept += [json_column(key, "part", key) for key in keys] or [Column(column.name, "VARCHAR", "(part ->> '$')")]
    table.told["each"] = f"one row for each part of {column.name}"
    return table.with_columns(view, kept)


def _unnested(reader: Reader, table: Table) -> Table:
    """Lists of Parquet that have the same lengths in every row become rows, as in logs with one row a user."""
    lists = [column for column in table.columns if column.kind.endswith("[]") and not column.kind.endswith("][]")]
    if len(lists) < 2:
        return table
    lengths = " OR ".join(f"len({lists[0].cell}) IS DISTINCT FROM len({column.cell})" for column in lists[1:])
    if reader.row(f"SELECT count(*) FILTER ({lengths}) FROM {table.source}")[0]:
        return table
    view = reader.name("unnested")
    parts = ", ".join(f"unnest({column.cell}) AS part{place}" for place, column in enumerate(lists))
    reader.database.execute(f"CREATE VIEW {view} AS SELECT *, {parts} FROM {table.source}")
    inside = {column.name: f"part{place}" for place, column in enumerate(lists)}
    columns = [
        Column(one.name, one.kind[:-2], inside[one.name]) if one.name in inside else one for one in table.columns
    ]
    told = note("lists_unnested", "lists become rows, place by place: {columns}", columns=list(inside))
    made = table.with_columns(view, columns)
    return Table(made.path, view, made.columns, True, made.told, made.place, made.unreadable, (*made.notes, told))


def find(table: Table, wanted: str | int) -> Column:
    """The column of a name, whatever its case and the marks between its words, or of a place from 1; `a.b` is the value
    b inside of a."""
    if isinstance(wanted, int):
        if wanted > len(table.columns):
            raise InputError(
                f"{table.path} has {counted(len(table.columns), 'column')}, no column {wanted}: {listed(table.names)}; "
                "say another place, from 1"
            )
        return table.columns[wanted - 1]
    plain = wanted.strip().lower()
    exact = [column for column in table.columns if column.name == wanted]
    alike = [column for column in table.columns if column.name.split(":")[0].strip().lower() == plain]
    like = [column for column in table.columns if _letters(column.name.split(":")[0]) == _letters(plain) != ""]
    for found in (exact, alike, like):
        if len(found) > 1:
            raise InputError(f"{table.path}: two columns are called {wanted!r}; rename one, or give its place from 1")
        if found:
            return found[0]
    outer, dot, inner = wanted.partition(".")
    if dot and any(column.name == outer for column in table.columns):
        held = find(table, outer)
        if held.kind.startswith("STRUCT"):
            return Column(wanted, "VARCHAR", f"json_extract_string(to_json({held.cell}), {quoted('$.' + inner)})")
        return Column(wanted, "VARCHAR", f"({held.cell} ->> {quoted('$.' + inner)})")
    raise InputError(f"{table.path}: no column {wanted!r} among {listed(table.names)}")


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


def listed(names: list[str]) -> str:
    """A few of the names, without anything that moves a cursor."""
    shown = [repr(name)[1:-1][:30] for name in names[:12]]
    return ", ".join(shown) + (", ..." if len(names) > 12 else "")


def twice(names: list[str]) -> list[str]:
    """Names that stand more than once."""
    return [name for name, times in Counter(names).items() if times > 1]
