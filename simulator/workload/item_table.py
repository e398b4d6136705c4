"""Titles and attributes of items: a CSV or TSV with names in its first line, RecBole .item, MovieLens movies.dat and
u.item, Parquet, or JSON of {item: [attribute, ...]}."""

import csv
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.workload.columns import ITEM_NAMES, find_column
from fleetrec.simulator.workload.files import TextFile, read_text

_ITEM = (*ITEM_NAMES, "id")
_TITLE = ("title", "itemtitle", "movietitle", "name", "itemname")
_ATTRIBUTES = ("attributes", "genres", "genre", "categories", "category", "tags", "class")
_NOTHING = ("", "(no genres listed)", "unknown")
_ML100K_FLAGS = 5  # first of the genre columns of u.item


@dataclass(frozen=True)
class ItemTable:
    """What is known of items, by label."""

    titles: dict[str, str]
    attributes: dict[str, tuple[str, ...]]
    duplicates: int  # rows left out because an earlier one described the item


def read_items(path: Path) -> ItemTable:
    """The item table in a file. InputError where it is none, or names no item column."""
    if path.suffix.lower() in (".parquet", ".pq"):
        return _from_rows(*_parquet_rows(path), path)
    text = read_text(path)
    if text.data.lstrip()[:1] == b"{":
        return _from_json(text)
    content = text.data.decode()
    first = content.lstrip("\r\n").split("\n", 1)[0]
    if "::" in first:
        rows = [line.split("::") for line in content.split("\n") if line.strip()]
        return _from_rows(["item_id", "title", "genres"], rows, path, first_line=1)
    if path.name == "u.item":
        return _from_flags(content, path)
    delimiter = max((",", "\t", ";", "|"), key=first.count)
    try:
        lines = list(csv.reader(io.StringIO(content, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise InputError(f"{path} cannot be read as a table ({error}); look for a quote left open") from error
    lines = [cells for cells in lines if any(cell.strip() for cell in cells)]
    return _from_rows(lines[0], lines[1:], path)


def _from_rows(names: Sequence[str], rows: Sequence[Sequence[str]], path: Path, first_line: int = 2) -> ItemTable:
    where = str(path)
    item, title, attributes = (find_column(names, wanted, where) for wanted in (_ITEM, _TITLE, _ATTRIBUTES))
    if item is None or (title is None and attributes is None):
        raise InputError(
            f"{path}: needs a column item_id and at least one of title and attributes in its first line, which names "
            f"{', '.join(names)}"
        )
    separator = ""
    if attributes is not None:
        typed = names[attributes].endswith(":token_seq")
        separator = " " if typed else _separator([row[attributes] for row in rows if attributes < len(row)])
    titles: dict[str, str] = {}
    described: dict[str, tuple[str, ...]] = {}
    duplicates = 0
    for row, cells in enumerate(rows, start=first_line):
        if len(cells) != len(names):
            raise InputError(
                f"{path}, row {row}: {counted(len(cells), 'field')} where the first line has {len(names)}; mend the "
                "row, or quote the text that holds the separator"
            )
        label = cells[item].strip()
        if label in titles:
            duplicates += 1
            continue
        titles[label] = cells[title].strip() if title is not None else ""
        parts = cells[attributes].split(separator) if attributes is not None else []
        described[label] = tuple(part.strip() for part in parts if part.strip() not in _NOTHING)
    return ItemTable(titles, described, duplicates)


def _separator(cells: Sequence[str]) -> str:
    return next((mark for mark in ("|", ";", ",") if any(mark in cell for cell in cells)), "|")


def _parquet_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        table = pyarrow.parquet.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} cannot be read as Parquet ({str(error).splitlines()[0]}); write it again") from error
    columns: list[list[Any]] = [column.to_pylist() for column in table.columns]
    rows = [[_cell(value) for value in row] for row in zip(*columns, strict=True)]
    return list(table.column_names), rows


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return "|".join(map(str, value))
    return "" if value is None else str(value)


def _from_json(text: TextFile) -> ItemTable:
    try:
        content = json.loads(text.data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{text.path} is not valid JSON ({error}); give {{item: [attribute, ...]}}") from error
    if not isinstance(content, dict) or not all(isinstance(value, list) for value in content.values()):
        raise InputError(f"{text.path}: expected a list of attributes for each item; give {{item: [attribute, ...]}}")
    described = {str(item): tuple(map(str, values)) for item, values in content.items()}
    return ItemTable(dict.fromkeys(described, ""), described, 0)


def _from_flags(content: str, path: Path) -> ItemTable:
    """u.item of ml-100k: id|title|date|video date|address|one 0 or 1 for each genre of the file u.genre beside it."""
    genres_path = path.with_name("u.genre")
    if not genres_path.is_file():
        raise InputError(f"{genres_path} does not exist; u.item needs it beside it for the names of the genres")
    genres = [line.split("|")[0] for line in read_text(genres_path).data.decode().split("\n") if line.strip()]
    rows = []
    for number, line in enumerate(content.rstrip().split("\n"), start=1):
        cells = line.split("|")
        if len(cells) != _ML100K_FLAGS + len(genres):
            raise InputError(
                f"{path}, row {number}: not a row of ml-100k's u.item; give a CSV of item_id,title,attributes"
            )
        held = [genre for genre, flag in zip(genres, cells[_ML100K_FLAGS:], strict=True) if flag == "1"]
        rows.append([cells[0], re.sub(r"\s+", " ", cells[1]), "|".join(held)])
    return _from_rows(["item_id", "title", "genres"], rows, path, first_line=1)
