"""Texts that are tables in another order, as tables: rows below the line that names them, lines of a pattern, objects
as Python writes them. Each is copied line by line, so that the copy's lines are those of the file."""

import ast
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.sections.workload import TableForm
from fleetrec.simulator.workload.tables.encoding import PlainText
from fleetrec.simulator.workload.tables.shape import separator_said

_UNIT = "\x1f"  # between the cells of a copy
_LITERAL = re.compile(r"""u?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|\b(True|False|None)\b""")
_WORDS = {"True": "true", "False": "false", "None": "null"}


def by_pattern(text: PlainText, form: TableForm, pattern: str, folder: Path) -> tuple[PlainText, TableForm]:
    """A text whose lines are of a pattern, and how to read it then. InputError names a line that is not."""
    line_of = re.compile(pattern)

    def cells(lines: Iterator[str]) -> Iterator[str]:
        for number, line in enumerate(lines, start=1):
            found = line_of.fullmatch(line)
            if found is None and line.strip():
                raise InputError(
                    f"{text.path}, line {number}: {line[:60]!r} is not of the form {pattern}; say its form"
                )
            yield "" if found is None else _UNIT.join(found[name] or "" for name in line_of.groupindex)

    said = {"line": None, "separator": _UNIT, "header": tuple(line_of.groupindex), "quotes": "none"}
    return _copied(text, folder, cells), form.model_copy(update=said)


def with_groups(text: PlainText, form: TableForm, pattern: str, folder: Path) -> PlainText:
    """A text with what a line of its own holds as the first cell of the lines below it. InputError: a row is above."""
    separator = "," if form.separator == "auto" else separator_said(form.separator, text.path)
    line_of_group = re.compile(pattern)

    def cells(lines: Iterator[str]) -> Iterator[str]:
        group = None
        for number, line in enumerate(lines, start=1):
            if found := line_of_group.fullmatch(line.strip()):
                group = found[1]
                yield ""
            elif group is None and line.strip():
                raise InputError(
                    f"{text.path}, line {number}: {line[:60]!r} stands below no line of the form {pattern} that "
                    "names its group; give a file that begins with one"
                )
            else:
                yield f"{group}{separator}{line}" if line.strip() else ""

    return _copied(text, folder, cells)


def from_python(text: PlainText, folder: Path) -> PlainText:
    """Lines of Python's dictionaries, {u'name': u'value', 'flag': True}, as lines of JSON."""
    return _copied(text, folder, lambda lines: (_LITERAL.sub(_as_json, line) for line in lines))


def _as_json(found: re.Match[str]) -> str:
    literal = found[1]
    if literal is None:
        return _WORDS[found[2]]
    inside = literal[1:-1]
    return f'"{inside}"' if "\\" not in inside and '"' not in inside else json.dumps(ast.literal_eval(literal))


def _copied(text: PlainText, folder: Path, changed: Callable[[Iterator[str]], Iterator[str]]) -> PlainText:
    copy = folder / f"rewritten-{len(list(folder.iterdir()))}.txt"
    with text.plain.open(encoding="utf-8", newline="\n") as file, copy.open("w", encoding="utf-8", newline="") as out:
        lines = (line.removesuffix("\n").removesuffix("\r") for line in file)
        out.writelines(f"{line}\n" for line in changed(lines))
    return replace(text, plain=copy, line_end="\n")
