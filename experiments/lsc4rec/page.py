"""Puts the study's tables and figures into its page, between the marks that say where; the words are a person's."""

import re
from pathlib import Path

from figures import draw
from tables import TABLES

from models.artifacts import atomic_path
from models.errors import InputError

_PLACE = re.compile(r"(<!-- begin (?P<name>[a-z ]+) -->\n).*?(<!-- end (?P=name) -->)", re.DOTALL)


def write_page(root: Path, names: list[str], docs: Path) -> None:
    """Refill the tables of `docs`/lsc4rec_study.md from the results in `root`, and draw its figures beside it."""
    page = docs / "lsc4rec_study.md"

    def refilled(place: re.Match[str]) -> str:
        if place["name"] not in TABLES:
            raise InputError(f"{page}: no table is named {place['name']!r}; there are {', '.join(TABLES)}")
        found = TABLES[place["name"]](root, names)
        return f"{place[1]}\n{found}\n\n{place[3]}" if found else f"{place[1]}{place[3]}"

    text = _PLACE.sub(refilled, page.read_text(encoding="utf-8"))
    draw(root, names, docs / "images")
    with atomic_path(page) as path:
        path.write_text(text, encoding="utf-8")
