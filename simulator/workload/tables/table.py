"""A table of any kind as DuckDB reads it: its columns by name, each with an expression that gives its cells.

Nothing is held in memory but what is asked for. A `Reader` is the moment's own database: it can open no file but
those that it is handed, and what it unpacks goes when it ends.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.notes import Note

_MEMORY = "1GB"  # of DuckDB's own; more goes to the reader's folder


@dataclass(frozen=True)
class Column:
    """A column of a table: its name as the file has it, its type in DuckDB, and the expression that gives its cells."""

    name: str
    kind: str
    cell: str

    @property
    def is_text(self) -> bool:
        """Whether the file holds text, or values that text tells wholly."""
        return self.kind == "VARCHAR" or self.kind.startswith("ENUM")

    @property
    def text(self) -> str:
        """The expression of the cells as text without blanks around it, '' where there is none."""
        cell = f"coalesce(CAST({self.cell} AS VARCHAR), '')"
        # to trim costs as much as to read; blanks come before `!`
        return f"(CASE WHEN {cell} < '!' OR right({cell}, 1) < '!' THEN trim({cell}, e' \\t\\r\\n') ELSE {cell} END)"


@dataclass(frozen=True)
class Table:
    """The rows of a file: `source` is what stands behind FROM."""

    path: Path
    source: str
    columns: tuple[Column, ...]
    named: bool  # by the file or the user, rather than column1, column2, ...
    told: dict[str, str]  # how it was read, for people: format, encoding, separator, ...
    place: Callable[[int], str]  # of row r in the file: "line 17"
    unreadable: Callable[[], list[tuple[int, str]]] = field(default=list)  # (line, why) of rows left out, once read
    notes: tuple[Note, ...] = ()

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return [column.name for column in self.columns]

    def with_columns(self, source: str, columns: Sequence[Column]) -> "Table":
        """The same file as another relation."""
        return replace(self, source=source, columns=tuple(columns))


class Reader:
    """A database of its own, and a folder for what is unpacked."""

    def __init__(self, folder: Path):
        import duckdb  # here, since most runs read no log

        self.folder = folder
        self.database = duckdb.connect(
            config={
                "memory_limit": _MEMORY,
                "temp_directory": str(folder / "spill"),
                "autoinstall_known_extensions": False,
                "threads": 1,  # of several, each hands on its rows when it has them: not in the file's order
            }
        )
        self.database.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        self._names = 0

    def name(self, of: str) -> str:
        """A name that nothing else has."""
        self._names += 1
        return f"{of}_{self._names}"

    def row(self, query: str) -> tuple[Any, ...]:
        """The one row that a query gives."""
        (found,) = self.rows(query)
        return found

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """All rows that a query gives."""
        return self.database.sql(query).fetchall()


@contextmanager
def reader() -> Iterator[Reader]:
    """A reader; its database and its files go when the block ends."""
    with tempfile.TemporaryDirectory(prefix="fleetrec-", ignore_cleanup_errors=True) as folder:
        opened = Reader(Path(folder))
        try:
            yield opened
        finally:
            opened.database.close()


@contextmanager
def told_by(path: Path, what: str) -> Iterator[None]:
    """What DuckDB cannot read, as one line about a file."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
        raise InputError(
            f"{path} cannot be read as {what} ({reason[:200]}); write it again, or say its format"
        ) from error


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'
