"""Puts the study's tables and figures into its page, between the marks that say where; the words are a person's."""

import re
import sys
from pathlib import Path

from figures import draw
from tables import TABLES

from models.artifacts import atomic_path
from models.errors import InputError

_PLACE = re.compile(
    r"(?P<begin><!-- begin (?P<name>[a-z ]+) -->\n)(?P<table>.*?)(?P<end><!-- end (?P=name) -->)", re.DOTALL
)


def write_page(root: Path, names: list[str], docs: Path) -> None:
    """Refill the tables of `docs`/lsc4rec_study.md from the results in `root`, and draw its figures beside it.

    A table that would lose cells, since results in `root` are fewer than those on the page, stays as it is, with its
    figure; which ones do is printed to stderr.
    """
    page = docs / "lsc4rec_study.md"
    kept = []

    def refilled(place: re.Match[str]) -> str:
        name = place["name"]
        if name not in TABLES:
            raise InputError(f"{page}: no table is named {name!r}; there are {', '.join(TABLES)}")
        found = TABLES[name](root, names)
        if filled(found) < filled(place["table"]):
            kept.append(name)
            return place[0]
        return f"{place['begin']}\n{found}\n\n{place['end']}" if found else place[0]

    text = _PLACE.sub(refilled, page.read_text(encoding="utf-8"))
    draw(root, names, docs / "images", kept)
    with atomic_path(page) as path:
        path.write_text(text, encoding="utf-8")
    if kept:
        print(f"left as they are, for want of results in {root}: {', '.join(kept)}", file=sys.stderr)


def filled(table: str) -> int:
    """How many cells of a Markdown table are not empty."""
    return sum(bool(cell.strip()) for line in table.splitlines() if line.startswith("|") for cell in line.split("|"))
