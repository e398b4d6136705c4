"""Text tables: CSV, TSV and their like, whatever separates their cells, with quotation marks as quotes or as data."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.scenario.sections.workload import TableForm
from fleetrec.simulator.workload.tables.encoding import PlainText
from fleetrec.simulator.workload.tables.readings import OpenReading, Option
from fleetrec.simulator.workload.tables.shape import (
    BLANKS,
    SEPARATORS,
    cells_of,
    fitting_separators,
    records,
    separator_said,
    top_of,
    usual_separator,
    with_one_separator,
)
from fleetrec.simulator.workload.tables.table import Column, Reader, Table, quoted, told_by

_UNIT = "\x1f"  # stands for runs of blanks
_MOST_REJECTS = 10_000_000

Knows = Callable[[Sequence[str]], bool]


@dataclass(frozen=True)
class _Layout:
    """Which bytes are rows, and what parts their cells."""

    plain: Path
    separator: str
    skipped: int  # lines above the first row of data
    names: tuple[str, ...]
    quotes: bool
    escape: str = '"'
    line_end: str = "\n"


def open_delimited(reader: Reader, text: PlainText, form: TableForm, knows: Knows) -> Table:
    """The table in a text file; `knows` tells whether some of the cells of a line are names of columns."""
    path = text.path
    lines, passed = top_of(text)
    notes: list[Note] = []
    told = {"format": "text", "encoding": f"{text.encoding} ({text.known_by})"}
    if text.encoding != "utf-8" and text.known_by != "said":
        notes.append(
            note("text_encoding", "the file is read as {encoding}: {why}", encoding=text.encoding, why=text.known_by)
        )
    separator, known_by = _separator(path, lines, form, knows)
    if marked := re.fullmatch(r"sep=(.)", lines[0].strip().strip('"')):
        separator, known_by = marked[1], "its first line"
        lines, passed = lines[1:], passed + 1
    if not lines:
        raise InputError(f"{path} holds no interactions; give a file with interactions")
    told["separator"] = f"{SEPARATORS.get(separator, repr(separator))} ({known_by})"
    if passed:
        notes.append(note("lines_passed", "lines above the table that are blank or comments: {lines}", lines=passed))
    cells = [cell.strip() for cell in cells_of(lines[0], separator, quoted=form.quotes != "none" and text.quotes)]
    names, has_names, known_by = _names(path, cells, lines[1:], separator, form, knows)
    told["header"] = known_by
    layout = _Layout(text.plain, separator, passed + has_names, tuple(names), False, line_end=text.line_end)
    if separator == BLANKS:
        plain = with_one_separator(text, reader.folder, _UNIT, passed)
        layout = replace(layout, plain=plain, separator=_UNIT, line_end="\n")
    layout, meant = _with_quotes(reader, path, layout, text, form)
    if meant:
        told["quotes"] = meant
    if meant.startswith("data"):
        notes.append(note("quotes_are_data", "quotation marks are part of the text: {why}", why=meant))
    return _table(reader, path, layout, told, tuple(notes), has_names or isinstance(form.header, tuple))


# ------------------------------------------------------------------------------------------ separators and names


def _separator(path: Path, lines: Sequence[str], form: TableForm, knows: Knows) -> tuple[str, str]:
    """What separates cells, and how that is known."""
    if form.separator != "auto":
        return separator_said(form.separator, path), "said"
    if form.format == "tsv":
        return "\t", "format: tsv"
    fitting = fitting_separators(lines)
    agreed = f"all of the first {counted(len(lines), 'line')} agree"
    known = [mark for mark in fitting if knows(cells_of(lines[0], mark, quoted=True))]
    if len(known) == 1:
        return known[0], agreed
    strong = [mark for mark in fitting if mark != BLANKS]
    if len(strong) > 1 and "::" in strong:
        strong = ["::"]
    if len(strong) == 1:
        return strong[0], agreed
    if len(strong) > 1:
        readings = [f"{SEPARATORS[mark]}: {' / '.join(cells_of(lines[0], mark, quoted=True)[:6])}" for mark in strong]
        raise OpenReading(
            f"{path}: cells may be separated by {' or '.join(readings)}; say which: separator (--separator)",
            f"What separates the cells of {path.name}?",
            [Option(told, {"separator": mark}) for told, mark in zip(readings, strong, strict=True)],
        )
    usual = usual_separator(lines)
    if usual is not None and (not fitting or knows(cells_of(lines[0], usual, quoted=True))):
        return usual, "the first line"
    if fitting:
        return BLANKS, agreed
    if len(lines[0].split()) == 1:
        return ",", "one column"
    return BLANKS, "the first line"


def _names(
    path: Path, cells: list[str], below: Sequence[str], separator: str, form: TableForm, knows: Knows
) -> tuple[list[str], bool, str]:
    """The columns' names, whether the first line holds them, and how that is known."""
    placed = [f"column{place}" for place in range(1, len(cells) + 1)]
    if isinstance(form.header, tuple):
        if len(form.header) != len(cells):
            raise InputError(
                f"{path}: {counted(len(cells), 'column')} in the first line ({', '.join(cells[:8])}) where header "
                "names "
                f"{len(form.header)} ({', '.join(form.header)}); name them all"
            )
        return list(form.header), False, "said"
    if form.header != "auto":
        return (cells, True, "said") if form.header == "first" else (placed, False, "said: none")
    stripped = [cells[0].lstrip("# "), *cells[1:]]
    if knows(stripped):
        return stripped, True, "the first line holds names that are known"
    if below and _looks_like_names(cells, [cells_of(line, separator, quoted=True) for line in below]):
        return cells, True, "the first line holds words where the lines below hold numbers"
    return placed, False, "none"


def _looks_like_names(cells: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether a line of words stands above columns of which one holds nothing but numbers or times."""
    if any(re.search(r"\d{3}|^\W*\d", cell) or not cell for cell in cells) or len(set(cells)) < len(cells):
        return False
    rows = [row for row in below if len(row) == len(cells)]
    return bool(rows) and any(
        all(re.fullmatch(r"\s*-?\d[\d.eE+:T /-]*Z?\s*", row[place]) for row in rows) for place in range(len(cells))
    )


# ------------------------------------------------------------------------------------------ quotes


def _with_quotes(reader: Reader, path: Path, layout: _Layout, text: PlainText, form: TableForm) -> tuple[_Layout, str]:
    """The layout with quotation marks as quotes or as data, and which of them it is, told where there are any.

    They are data where every line has its cells without them, and some cell opens a quote that it does not close.
    """
    as_quotes = replace(layout, quotes=True)
    if form.quotes != "auto":
        return (as_quotes, "quotes (said)") if form.quotes == "double" else (layout, "data (said)")
    if not text.quotes or layout.separator == _UNIT:
        return layout, ""
    plain = _table(reader, path, layout, {}, (), True)
    starts = " OR ".join(f"trim({column.cell}) LIKE '\"%'" for column in plain.columns)
    whole = r"""'"([^"]|""|\\")*"'"""
    opened = " OR ".join(
        f"(trim({column.cell}) LIKE '\"%' AND NOT regexp_full_match(trim({column.cell}), {whole}, 's'))"
        for column in plain.columns
    )
    with told_by(path, "a table"):
        quoting, open_rows = reader.row(
            f"SELECT count(*) FILTER ({starts}), count(*) FILTER ({opened}) FROM {plain.source}"
        )
    unfit = len(plain.unreadable())
    if not unfit and not quoting:
        return layout, ""
    if not unfit and open_rows:
        where = "no line needs them to have its cells, and some cell opens one that it does not close"
        return layout, f"data ({where})"
    missing = _rejects(reader, path, as_quotes)
    if missing and (escaped := replace(as_quotes, escape="\\")) and not _rejects(reader, path, escaped):
        return escaped, 'quotes, `\\"` inside them'
    if missing and unfit < missing:
        return layout, "data (as quotes they would break more lines)"
    return as_quotes, "quotes"


def _rejects(reader: Reader, path: Path, layout: _Layout) -> int:
    table = _table(reader, path, layout, {}, (), True)
    with told_by(path, "a table"):
        reader.row(f"SELECT count({table.columns[-1].cell}) FROM {table.source}")
    return len(table.unreadable())


# ------------------------------------------------------------------------------------------ the table itself


def _table(
    reader: Reader, path: Path, layout: _Layout, told: dict[str, str], notes: tuple[Note, ...], named: bool
) -> Table:
    view, rejects, scans = reader.name("text"), reader.name("rejects"), reader.name("scans")
    width = len(layout.names)
    columns = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(width))
    mark, escape = ('"', layout.escape) if layout.quotes else ("", "")
    reader.database.execute(
        f"CREATE VIEW {view} AS SELECT * FROM read_csv({quoted(str(layout.plain))}, auto_detect = false, "
        f"compression = 'none', header = false, skip = {layout.skipped}, delim = {quoted(layout.separator)}, quote "
        f"= {quoted(mark)}, "
        f"escape = {quoted(escape)}, new_line = {layout.line_end!r}, columns = {{{columns}}}, store_rejects = true, "
        f"rejects_table = '{rejects}', rejects_scan = '{scans}', rejects_limit = {_MOST_REJECTS})"
    )

    def unreadable() -> list[tuple[int, str]]:
        found: dict[int, str] = {}
        try:
            rows = reader.rows(f"SELECT line, error_type, csv_line, column_idx FROM {rejects} ORDER BY line")
        except Exception:  # nothing has been read yet
            return []
        for line, kind, text, _ in rows:
            if text is None or text.strip():
                found.setdefault(int(line), _why(kind, text or "", layout))
        return sorted(found.items())

    def place(row: int) -> str:
        left_out = {line for line, _ in unreadable()}
        seen = -1
        for line, cells in records(layout.plain, layout.separator, layout.quotes, layout.skipped):
            seen += len(cells) == width and line not in left_out
            if seen == row:
                return f"line {line}"
        return f"row {row + 1}"

    return Table(
        path,
        view,
        tuple(Column(name, "VARCHAR", f"c{place}") for place, name in enumerate(layout.names)),
        named,
        told,
        place,
        unreadable,
        notes,
    )


def _why(kind: str, line: str, layout: _Layout) -> str:
    """Why a line is no row of the table."""
    width = len(layout.names)
    if kind == "UNQUOTED VALUE":
        return "a quotation mark is left open (if such marks are part of the text, say quotes: none)"
    for mark, name in SEPARATORS.items():
        if mark not in (layout.separator, BLANKS) and line.count(mark) == width - 1 and width > 1:
            here = SEPARATORS.get(layout.separator, repr(layout.separator))
            return f"its cells are separated by {name} where those above are by {here}; give two files"
    cells = cells_of(line, layout.separator, layout.quotes)
    return f"{counted(len(cells), 'field')} where the first line has {width}"
