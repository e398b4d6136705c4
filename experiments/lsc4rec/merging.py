"""Markdown tables of one shape put together, cell by cell, so that a page keeps what was measured before."""

from collections.abc import Sequence
from typing import TypeVar

Cells = list[list[str]]
T = TypeVar("T")


def merged(old: str, new: str, keys: int) -> str:
    """Both tables as one: rows are known by their first `keys` cells, columns by their heads; what `new` leaves open
    is as in `old`, the order is that of `new`."""
    before, now = _cells(old), _cells(new)
    if not before or not now:
        return new or old
    heads = _joined(before[0], now[0])
    held = {(*row[:keys], head): cell for part in (before, now) for row in part[1:] for head, cell in _named(part, row)}
    rows = _joined([tuple(row[:keys]) for row in before[1:]], [tuple(row[:keys]) for row in now[1:]])
    groups = list(dict.fromkeys(row[0] for row in rows))
    rows.sort(key=lambda row: groups.index(row[0]))
    return table(heads, [[held.get((*row, head), "") for head in heads] for row in rows])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; nothing where there are no rows."""
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def holds(text: str, word: str) -> bool:
    """Whether a row or a column of a table is of `word`."""
    cells = _cells(text)
    return bool(cells) and word in (*cells[0], *(row[0] for row in cells[1:]))


def _named(part: Cells, row: list[str]) -> list[tuple[str, str]]:
    """Filled cells with their heads."""
    return [(head, cell) for head, cell in zip(part[0], row, strict=True) if cell]


def _cells(text: str) -> Cells:
    """Head and rows; the line of dashes is left out."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    return [row for row in cells if set("".join(row)) != {"-"}]


def _joined(old: Sequence[T], new: Sequence[T]) -> list[T]:
    """`new`, with what is in `old` alone after what it follows there."""
    found = list(new)
    place = 0
    for one in old:
        if one in found:
            place = found.index(one) + 1
        else:
            found.insert(place, one)
            place += 1
    return found
