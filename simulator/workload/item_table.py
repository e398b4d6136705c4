"""Titles and attributes of items, from a table of any kind that a log may be, and MovieLens's movies.dat and u.item."""

import ast
import codecs
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.scenario.sections.workload import ItemFile
from fleetrec.simulator.workload.columns import ITEM_NAMES, Knowing, named, plain_name
from fleetrec.simulator.workload.labels import id_text, labels_of
from fleetrec.simulator.workload.tables.opening import find, listed, open_table
from fleetrec.simulator.workload.tables.readings import OpenReading
from fleetrec.simulator.workload.tables.table import Column, Reader, Table, reader, told_by
from fleetrec.simulator.workload.tables.where import condition
from fleetrec.simulator.workload.times import MISSING

_ITEM = (*ITEM_NAMES, "id")
_TITLE = ("title", "itemtitle", "movietitle", "name", "itemname", "producttitle", "prodname", "headline")
_ATTRIBUTES = ("attributes", "genres", "genre", "categories", "category", "tags", "class", "maincategory")
_NOTHING = ("(no genres listed)", "unknown", *MISSING)
_MARKS = ("|", ";", ",")
_FLAG_COLUMNS = 5  # first of the genre columns of u.item
_ML100K = ["item_id", "title", "date", "video_date", "url"]


@dataclass(frozen=True)
class ItemTable:
    """What is known of items, by label."""

    titles: dict[str, str]
    attributes: dict[str, tuple[str, ...]]
    duplicates: int  # rows left out because an earlier one described the item
    notes: tuple[Note, ...] = ()


def open_items(reader: Reader, path: Path, form: ItemFile, knows: Knowing, encoding: str = "auto") -> Table:
    """The table of items in a file. Where its encoding cannot be told, that which is said of the log counts, if it is
    one of those that fit."""
    try:
        return open_table(reader, path, form, knows)
    except OpenReading as error:
        if encoding != "auto" and {"encoding": codecs.lookup(encoding).name} in [keys for _, keys in error.options]:
            return open_table(reader, path, form.model_copy(update={"encoding": encoding}), knows)
        raise error.of_items() from None


def read_items(path: Path, form: ItemFile, item_column: str = "", encoding: str = "auto") -> ItemTable:
    """The item table in a file. `item_column` is what the log calls its items, which is preferred among names of
    columns, `encoding` the log's where it is said. InputError where it is none, or names no item column."""
    known = (plain_name(item_column), *_ITEM, *_TITLE, *_ATTRIBUTES)
    if path.name == "u.item":
        genres = _genres_beside(path)
        form = form.model_copy(update={"header": (*_ML100K, *genres), "separator": "|", "quotes": "none"})
    with reader() as opened:
        table = open_items(opened, path, form, Knowing(known, form.columns.model_dump()), encoding)
        item, title, attributes = _places(table, form, item_column, path)
        if path.name == "u.item":
            attributes = [Column("genres", "VARCHAR", _held(table.columns[_FLAG_COLUMNS:]))]
        cells = [id_text(opened, table, item), *(column.text for column in (title, *attributes) if column is not None)]
        cells[1 + (title is not None) :] = [_list_text(column) for column in attributes]
        kept = "" if form.where is None else f" WHERE {condition(opened, table, form.where)}"
        chosen = ", ".join(f"{cell} AS x{place}" for place, cell in enumerate(cells))
        with told_by(path, "a table of items"):
            read = opened.database.sql(f"SELECT {chosen} FROM {table.source}{kept}").to_arrow_table()
        unreadable = table.unreadable()
    if unreadable:
        line, why = unreadable[0]
        raise InputError(f"{path}, line {line}: {why}; mend the row, or quote the text that holds the separator")
    if not read.num_rows:
        raise InputError(f"{path} holds no items; give a table of item_id, title and attributes")
    ids = labels_of(read["x0"], "item", f"{path}: column {item.name!r}", said=True)
    notes = list(table.notes)
    titles = [_title(cell) for cell in read["x1"].to_pylist()] if title is not None else [""] * read.num_rows
    described: list[list[str]] = [[] for _ in titles]
    for place, column in enumerate(attributes, start=1 + (title is not None)):
        for held, more in zip(described, _split(read[f"x{place}"].to_pylist(), column, path, notes), strict=True):
            held.extend(more)
    return _by_label(ids.texts.take(pa.array(ids.codes)).to_pylist(), titles, described, notes)


def _by_label(
    labels: Sequence[str], titles: Sequence[str], described: Sequence[Sequence[str]], notes: list[Note]
) -> ItemTable:
    """One entry for each label, from the first row that has it."""
    by_label: dict[str, int] = {}
    for row, label in enumerate(labels):
        if label.lower() not in MISSING:
            by_label.setdefault(label, row)
    found = {label: titles[row] for label, row in by_label.items()}
    shared = sum(count for title, count in Counter(found.values()).items() if title and count > 1)
    if shared:
        told = "{items} items share their title with another: a language model cannot tell them apart"
        notes.append(note("titles_shared", told, items=shared))
    attributes = {label: tuple(described[row]) for label, row in by_label.items()}
    return ItemTable(found, attributes, len(labels) - len(found), tuple(notes))


def _places(table: Table, form: ItemFile, item_column: str, path: Path) -> tuple[Column, Column | None, list[Column]]:
    said = form.columns
    if not table.named and said.item is None and len(table.columns) == 3:
        table = table.with_columns(table.source, _renamed(table.columns, ("item_id", "title", "genres")))
    item = find(table, said.item) if said.item is not None else named(table, (plain_name(item_column), *_ITEM))
    title = find(table, said.title) if said.title is not None else named(table, _TITLE)
    if said.attributes is None:
        attributes = [column for column in (named(table, _ATTRIBUTES),) if column is not None]
    else:
        wanted = said.attributes if isinstance(said.attributes, tuple) else [said.attributes]
        attributes = [find(table, one) for one in wanted]
    if item is None or (title is None and not attributes):
        raise InputError(
            f"{path}: needs a column item_id and at least one of title and attributes in its first line, which names "
            f"{listed(table.names)}; say which: items: {{path: ..., columns: {{item: NAME, title: NAME}}}}"
        )
    return item, title, attributes


def _renamed(columns: Sequence[Column], names: Sequence[str]) -> list[Column]:
    return [Column(name, column.kind, column.cell) for name, column in zip(names, columns, strict=True)]


# ------------------------------------------------------------------------------------------ titles and attributes


def _title(cell: str) -> str:
    """A title without line breaks; "" where a word for nothing stands in its place."""
    return "" if cell.lower() in MISSING else re.sub(r"\s*[\r\n\t]+\s*", " ", cell)


def _list_text(column: Column) -> str:
    """The expression of a cell of attributes as text, lists as JSON."""
    if "[]" in column.kind or column.kind.startswith(("STRUCT", "MAP")):
        return f"coalesce(CAST(to_json({column.cell}) AS VARCHAR), '')"
    return column.text


def _split(cells: list[str], column: Column, path: Path, notes: list[Note]) -> list[list[str]]:
    """The attributes in each cell: lists of JSON or Python, or text with marks between."""
    if column.name.endswith(":token_seq"):
        return [_kept(cell.split()) for cell in cells]
    lists = [_as_list(cell) if cell[:1] in ("[", "{") and cell[-1:] in ("]", "}") else None for cell in cells]
    plain = [cell for cell, held in zip(cells, lists, strict=True) if held is None and cell]
    marks = _marks(plain)
    if len(marks) > 1:
        told = "{column}: attributes are separated by {marks}, since the parts are the same ones"
        notes.append(note("attribute_marks", told, column=column.name, marks=marks))
    pattern = "|".join(map(re.escape, marks))
    return [
        _kept(held if held is not None else re.split(pattern, cell) if pattern else [cell])
        for cell, held in zip(cells, lists, strict=True)
    ]


def _marks(plain: Sequence[str]) -> list[str]:
    """The marks between attributes: the first of bar, semicolon and comma that more than a stray cell holds; with it
    any other whose parts are known from cells without."""
    counts = {mark: sum(mark in cell for cell in plain) for mark in _MARKS}
    most = max(counts.values(), default=0)
    first = next((mark for mark in _MARKS if counts[mark] and counts[mark] >= most / 20), None)
    if first is None:
        return []
    marks = [first]
    for other in _MARKS:
        cells = [cell for cell in plain if other in cell]
        if other == first or not cells:
            continue
        vocabulary = {part.strip() for cell in plain if other not in cell for part in cell.split(first)}
        parts = {part.strip() for cell in cells for half in cell.split(first) for part in half.split(other)}
        if parts <= vocabulary:
            marks.append(other)
    return marks


def _as_list(cell: str) -> list[str] | None:
    """The parts of a list that is written as JSON or as Python writes it; None where it is neither."""
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(cell)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
        if isinstance(value, list | tuple):
            return [part for one in value for part in _parts(one)]
        if isinstance(value, dict):
            return [f"{key}: {one}" for key, one in value.items() if not isinstance(one, dict | list)]
    return None


def _parts(value: Any) -> list[str]:
    if isinstance(value, list | tuple):
        return [part for one in value for part in _parts(one)]
    if isinstance(value, dict):
        value = next((value[key] for key in ("name", "title", "value") if key in value), None)
    return [] if value is None else [str(value)]


def _kept(parts: Sequence[str]) -> list[str]:
    return [part.strip() for part in parts if part.strip().lower() not in _NOTHING]


# ------------------------------------------------------------------------------------------ ml-100k


def _genres_beside(path: Path) -> list[str]:
    """The names of the genres of ml-100k's u.item: id|title|date|video date|address|one 0 or 1 for each."""
    genres = path.with_name("u.genre")
    if not genres.is_file():
        raise InputError(f"{genres} does not exist; u.item needs it beside it for the names of the genres")
    return [line.split("|")[0] for line in genres.read_text("utf-8", "replace").split("\n") if line.strip()]


def _held(flags: Sequence[Column]) -> str:
    named_flags = ", ".join(f"CASE WHEN {flag.cell} = '1' THEN '{flag.name}' END" for flag in flags)
    return f"concat_ws('|', {named_flags})"
