"""Titles in JSON, in JSON lines, in literals of Python, in tags, in tables of Markdown and in CSV."""

import ast
import csv
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from html import unescape
from typing import Any

from fleetrec.models.llm.answers.reasons import Dropped, Why

_TITLE = (
    "title name item itemtitle itemname movie movietitle film book booktitle product productname producttitle song "
    "songtitle track album artist game business businessname restaurant place show text label value"
).split()
_LIST = "recommendations recommendation titles items list movies films books products songs results answer".split()
_RANK = ("rank", "position", "place", "order", "index", "no", "number", "#")
_BESIDE = frozenset([*_RANK, "id", "year", "score", "reason", "genre", "genres", "rating", "author", "confidence"])
_TAG = re.compile(
    r"<(title|name|item|li|movie|film|book|product|recommendation)\b[^>]*>(.{0,2000}?)</\1\s*>", re.S | re.I
)
_ANY_TAG = re.compile(r"<[^<>]+>")
_RULE = re.compile(r"^\s*\|?\s*:?-{2,}:?\s*(?:\|\s*:?-{2,}:?\s*)*\|?\s*$")
_SUPERFLUOUS = re.compile(r"^\s*//.*$|,(?=\s*[\]}])", re.MULTILINE)
_START = re.compile(r"[\[{]")
_LEAST_SHARE = 0.4  # of an answer that is JSON, for what stands around it to be left out
_DEEPEST = 20
_MOST_TRIES = 20

Found = tuple[list[str], list[Dropped]]


def records(text: str) -> tuple[list[str], list[Dropped]] | None:
    """The titles that an answer holds in a form of data, best first, and what else was there; None where it is in
    no such form."""
    for read in (_of_json, _of_tags, _of_table, _of_csv):
        found = read(text)
        if found is not None:
            return found
    return None


def _of_json(text: str) -> Found | None:
    stripped = text.strip().removeprefix("json").strip()
    start, tries = _next_start(stripped, 0), 0
    while start >= 0 and tries < _MOST_TRIES:
        value, end, rest = _value_at(stripped, start)
        titles = _titles(value) if end > start else None
        if titles is not None and (start == 0 or end - start >= _LEAST_SHARE * len(stripped)):
            around = [(stripped[:start], Why.OUTSIDE), (rest, Why.CUT), (stripped[end:], Why.OUTSIDE)]
            return titles, [Dropped(piece.strip(), why) for piece, why in around if piece.strip()]
        start, tries = _next_start(stripped, max(end, start + 1)), tries + 1
    return None


def _next_start(text: str, after: int) -> int:
    found = _START.search(text, after)
    return found.start() if found else -1


def _value_at(text: str, start: int) -> tuple[Any, int, str]:
    """What begins there (several, where they follow each other), where it ends, and what of its end was cut off;
    ends at `start` where it is nothing."""
    decoder, values, end, at = json.JSONDecoder(strict=False), [], start, start
    while at < len(text) and text[at] in "[{":
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        values.append(value)
        at = end + len(text[end:]) - len(text[end:].lstrip(" \t\r\n,"))
    if values and text[at : at + 1] == "{":  # the last of several was cut off
        return values, len(text), text[at:]
    if values:
        return (values[0] if len(values) == 1 else values), end, ""
    closing = max(text.rfind("]"), text.rfind("}")) + 1
    whole, stop = _whole(text, start)
    for tried, end, rest in (
        (_SUPERFLUOUS.sub("", text[start:closing]), closing, ""),
        (whole, len(text), text[stop:]),
    ):
        for read in (json.loads, ast.literal_eval):
            with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
                value = read(tried)
                if isinstance(value, list | dict):
                    return value, end, rest
    return None, start, ""


def _whole(text: str, start: int) -> tuple[str, int]:
    """The text from `start` up to its last whole value, closed, and where that ends."""
    open_marks: list[str] = []
    quoted, escaped = "", False
    best, closers = start, ""
    for at in range(start, len(text)):
        letter = text[at]
        if quoted:
            if escaped or letter == "\\":
                escaped = not escaped
            elif letter == quoted:
                quoted = ""
                if open_marks and open_marks[-1] == "]":
                    best, closers = at + 1, "".join(reversed(open_marks))
        elif letter == '"' or (letter == "'" and text[at - 1] in "[{,: "):
            quoted = letter
        elif letter in "[{":
            open_marks.append("]" if letter == "[" else "}")
        elif letter in "]}":
            if not open_marks or open_marks.pop() != letter:
                break
            best, closers = at + 1, "".join(reversed(open_marks))
            if not open_marks:
                break
    return text[start:best] + closers, best


def _plain_key(key: object) -> str:
    return re.sub(r"[\s_-]", "", str(key)).lower()


def _titles(value: Any, depth: int = 0) -> list[str] | None:
    """The titles in a value; None where nothing in it is one."""
    if depth > _DEEPEST:
        return None
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return _of_mapping(value, depth)
    if isinstance(value, list | tuple):
        if not value:
            return []
        if all(isinstance(one, Mapping) for one in value):
            value = _ranked(value)
        found = [title for one in value for title in (_first(one, depth) or [])]
        return found or None
    return None


def _first(value: Any, depth: int) -> list[str] | None:
    """Of an element of a list: of a row of cells the first that is text."""
    if isinstance(value, list | tuple) and not all(isinstance(cell, str) for cell in value):
        value = next((cell for cell in value if isinstance(cell, str | Mapping | list)), None)
    return _titles(value, depth + 1)


def _ranked(rows: Sequence[Mapping[Any, Any]]) -> Sequence[Mapping[Any, Any]]:
    for rank in _RANK:
        places = [next((row[key] for key in row if _plain_key(key) == rank), None) for row in rows]
        if all(isinstance(place, int | float) and not isinstance(place, bool) for place in places):
            return [rows[at] for at in sorted(range(len(rows)), key=lambda at: float(places[at] or 0))]
    return rows


def _of_mapping(value: Mapping[Any, Any], depth: int) -> list[str] | None:
    keys = {_plain_key(key): key for key in value}
    for name in _LIST:
        if name in keys and isinstance(value[keys[name]], list | Mapping):
            return _titles(value[keys[name]], depth + 1)
    for name in _TITLE:
        if name in keys and value[keys[name]] and isinstance(value[keys[name]], str | list | Mapping):
            return _titles(value[keys[name]], depth + 1)
    if value and all(re.fullmatch(r"\D{0,8}\d{1,4}", str(key)) for key in value):
        found = [title for one in value.values() for title in (_titles(one, depth + 1) or [])]
        return found or None
    lists = [one for one in value.values() if isinstance(one, list | Mapping) and _titles(one, depth + 1)]
    if lists:
        return _titles(max(lists, key=len), depth + 1)
    words = [one for key, one in value.items() if isinstance(one, str) and _plain_key(key) not in _BESIDE]
    if len(words) == 1:
        return words
    if len(value) > 1 and all(isinstance(one, int | float) for one in value.values()):
        return [str(key) for key in value if _plain_key(key) not in _BESIDE] or None
    return None


def _of_tags(text: str) -> Found | None:
    found = [(tag.lower(), inner) for tag, inner in _TAG.findall(text)]
    titles: list[str] = []
    for tag, inner in found:
        nested = [piece for name, piece in _TAG.findall(inner) if name.lower() in ("title", "name")]
        titles += [inner] if tag in ("title", "name") else nested or ([] if _TAG.search(inner) else [inner])
    return ([unescape(_ANY_TAG.sub(" ", title)) for title in titles], []) if titles else None


def _of_table(text: str) -> Found | None:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    rows = [line for line in lines if line.startswith("|") and line.count("|") > 2]
    if len(rows) < 2:
        return None
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if not _RULE.match(row)]
    names = cells.pop(0) if _RULE.match(rows[1]) else None
    titles = _column(names, cells)
    return None if titles is None else (titles, [Dropped(line, Why.OUTSIDE) for line in lines if line not in rows])


def _of_csv(text: str) -> Found | None:
    lines = [line for line in text.splitlines() if line.strip()]
    for separator in ",;\t|" if len(lines) > 1 else "":
        names = [cell.strip().strip('"') for cell in lines[0].split(separator)]
        known = [_plain_key(name) for name in names]
        if len(names) > 1 and all(name in _BESIDE or name in _TITLE for name in known) and set(known) & set(_TITLE):
            titles = _column(names, list(csv.reader(lines[1:], delimiter=separator, skipinitialspace=True)))
            return None if titles is None else (titles, [Dropped(lines[0], Why.HEADING)])
    return None


def _column(names: Sequence[str] | None, rows: Sequence[Sequence[str]]) -> list[str] | None:
    """The column of titles: by its name, else the first that is not of numbers."""
    if not rows:
        return None
    place = next((at for name in _TITLE for at, one in enumerate(names or ()) if _plain_key(one) == name), None)
    if place is None:
        counted = [
            all(re.fullmatch(r"\W*\d+\W*", row[at]) for row in rows if at < len(row)) for at in range(len(rows[0]))
        ]
        place = counted.index(False) if False in counted else 0
    return [row[place] for row in rows if place < len(row)]
