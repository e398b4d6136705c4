"""The shape of a text table: what separates its cells, whether quotation marks are quotes or data, where names stand.

What is not said is taken where the whole file agrees with one reading and no other.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.workload.tables.encoding import PlainText

BLANKS = "blanks"
SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", "::": "double colons", BLANKS: "blanks"}
_PROBE_LINES = 1000
_COMMENT = re.compile(r"\s*(?:#|%|//|--)")
_SAID = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "bar": "|", "blank": BLANKS, " ": BLANKS}

Header = Literal["first", "none"]


@dataclass(frozen=True)
class Shape:
    """How the lines of a text are a table."""

    separator: str
    skipped: int  # lines above the first row of data
    first: tuple[str, ...]  # cells of the first line that is no comment: names, or data
    width: int
    known_by: str  # how the separator is known


def top_of(text: PlainText) -> tuple[list[str], int]:
    """The first lines of a text that are neither blank nor comments at its top, and how many lines were passed over."""
    passed = 0
    found: list[str] = []
    with text.plain.open(encoding="utf-8", newline="\n") as file:
        for line in islice(file, 20 * _PROBE_LINES):
            line = line.rstrip("\r\n")
            if found:
                found += [line] if line.strip() else []
            elif not line.strip() or (_COMMENT.match(line) and not is_names_behind_mark(line)):
                passed += 1
            else:
                found.append(line)
            if len(found) == _PROBE_LINES:
                break
    return found, passed


def is_names_behind_mark(line: str) -> bool:
    """Whether a line that begins like a comment is one of names: `#user_id,item_id`."""
    return re.fullmatch(r"\s*#\s*\w+(?:[,;\t|]\s*[\w:.-]+)+\s*", line) is not None


def cells_of(line: str, separator: str, quoted: bool) -> list[str]:
    """The cells of one line."""
    if separator == BLANKS:
        return line.split()
    if not quoted or len(separator) > 1:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator))
    except csv.Error:
        return line.split(separator)


def separator_said(said: str, path: Path) -> str:
    """The separator that a user wrote. InputError where it is longer than the reader takes."""
    separator = _SAID.get(said.lower(), said)
    if separator != BLANKS and not 1 <= len(separator.encode()) <= 4:
        raise InputError(
            f"{path}: a separator is 1 to 4 bytes, not {said!r}; write separator: tab, blanks, ; or the like"
        )
    return separator


def fitting_separators(lines: Sequence[str]) -> list[str]:
    """Separators that give every one of the lines the same number of cells, and more than one."""
    found: list[str] = []
    for separator in SEPARATORS:
        for quoted in (True, False):
            widths = {len(cells_of(line, separator, quoted)) for line in lines}
            if len(widths) == 1 and min(widths) > 1:
                found.append(separator)
                break
    return found


def usual_separator(lines: Sequence[str]) -> str | None:
    """The separator that the first line has most often, where it has any."""
    first = lines[0]
    counts = {mark: len(cells_of(first, mark, quoted=True)) for mark in SEPARATORS if mark != BLANKS}
    if "::" in first:
        return "::"
    best = max(counts, key=lambda mark: counts[mark])
    return best if counts[best] > 1 else None


def with_one_separator(text: PlainText, folder: Path, mark: str, skipped: int) -> Path:
    """A copy of a text whose cells stand between runs of blanks, with `mark` between them."""
    copy = folder / f"blanks-{len(list(folder.iterdir()))}.txt"
    with text.plain.open(encoding="utf-8", newline="\n") as file, copy.open("w", encoding="utf-8", newline="") as out:
        for number, line in enumerate(file):
            out.write(("" if number < skipped else re.sub(r"[ \t]+", mark, line.strip())) + "\n")
    return copy


def records(plain: Path, separator: str, quoted: bool, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """(line from 1, cells) of every row that is not blank, below the first `skipped` lines; slow, for messages only."""
    with plain.open(encoding="utf-8", newline="\n") as file:
        for _ in range(skipped):
            next(file, None)
        if not quoted or len(separator) > 1:
            for number, line in enumerate(file, start=skipped + 1):
                if line.strip():
                    yield number, line.rstrip("\r\n").split(separator)
            return
        rows = csv.reader(io.StringIO(file.read(), newline=""), delimiter=separator)
        begin = 0
        for cells in rows:
            if any(cell.strip() for cell in cells) or len(cells) > 1:
                yield skipped + begin + 1, cells
            begin = rows.line_num
