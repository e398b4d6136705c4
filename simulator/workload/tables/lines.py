"""Lines of `user item item ...`: no names, no times, each line's order is the order in time."""

from itertools import islice

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.notes import note
from fleetrec.simulator.workload.tables.delimited import Knows
from fleetrec.simulator.workload.tables.encoding import PlainText
from fleetrec.simulator.workload.tables.table import Column, Reader, Table, quoted

_PROBE_LINES = 1000


def are_lines(text: PlainText, knows: Knows) -> bool:
    """Whether a file is lines of ids: whole numbers between blanks, not the same number of them in every line."""
    with text.plain.open(encoding="utf-8", newline="\n") as file:
        probe = [line.split() for line in islice(file, _PROBE_LINES) if line.strip()]
    whole = all(cell.isdecimal() for cells in probe for cell in cells)
    return whole and not knows(probe[0]) and (len({len(cells) for cells in probe}) > 1 or len(probe[0]) == 2)


def open_lines(reader: Reader, text: PlainText) -> Table:
    """The table of such lines, one row an item; a user's further lines continue the first."""
    path, view, lines = text.path, reader.name("lines"), reader.name("lines_read")
    reader.database.execute(
        f"CREATE VIEW {lines} AS SELECT string_split_regex(trim(line, e' \\t\\r\\n'), '[ \\t]+') AS cells FROM "
        f"read_csv({quoted(str(text.plain))}, auto_detect = false, compression = 'none', header = false, delim = "
        "e'\\x1e', quote = '', "
        "escape = '', columns = {'line': 'VARCHAR'}, null_padding = true, "
        "max_line_size = 16000000) WHERE trim(line) <> ''"
    )
    reader.database.execute(
        f"CREATE VIEW {view} AS SELECT cells[1] AS user_id, unnest(cells[2:]) AS item_id FROM {lines}"
    )
    alone, continued = reader.row(
        f"SELECT count(*) FILTER (len(cells) = 1), count(*) - count(DISTINCT cells[1]) FROM {lines}"
    )
    notes = [note("no_times", "lines of `user item item ...`: there are no times, only each user's order")]
    if continued:
        notes.append(note("lines_continued", "some users have several lines: each continues the one before"))

    def numbered() -> list[tuple[int, list[str]]]:
        with text.plain.open(encoding="utf-8", newline="\n") as file:
            return [(number, line.split()) for number, line in enumerate(file, start=1) if line.strip()]

    def unreadable() -> list[tuple[int, str]]:
        why = "a user without items (`user item item ...`)"
        return [(number, why) for number, cells in numbered() if len(cells) == 1] if alone else []

    def place(row: int) -> str:
        for number, cells in numbered():
            row -= len(cells) - 1
            if row < 0:
                return f"line {number}"
        raise InputError(f"{path} has no such row")

    columns = (Column("user_id", "VARCHAR", "user_id"), Column("item_id", "VARCHAR", "item_id"))
    told = {"format": "lines of ids", "encoding": f"{text.encoding} ({text.known_by})"}
    return Table(path, view, columns, True, told, place, unreadable, tuple(notes))
