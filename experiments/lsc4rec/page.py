"""Puts the study's tables and figures into its page, between the marks that say where; the words are a person's."""

import re
import sys
from pathlib import Path

from figures import draw
from merging import holds, merged
from tables import TABLES

from fleetrec.models.runtime.artifacts import atomic_path
from fleetrec.models.runtime.errors import InputError

_PLACE = re.compile(
    r"(?P<begin><!-- begin (?P<name>[a-z ]+) -->\n)(?P<table>.*?)(?P<end><!-- end (?P=name) -->)", re.DOTALL
)
_DRAWN = {"ages", "replay", "requests"}
"""tables that have a figure"""


def write_page(root: Path, names: list[str], docs: Path) -> None:
    """Refill the tables of `docs`/lsc4rec_study.md from the results in `root`, and draw its figures beside it.

    What `root` has no results for stays as it is on the page: cells of its tables, and a figure of which any data set
    would be lost. Such tables are named on stderr.
    """
    page = docs / "lsc4rec_study.md"
    fewer = []

    def refilled(place: re.Match[str]) -> str:
        name = place["name"]
        if name not in TABLES:
            raise InputError(f"{page}: no table is named {name!r}; there are {', '.join(TABLES)}")
        make, keys = TABLES[name]
        found = make(root, names)
        if any(holds(place["table"], data) and not holds(found, data) for data in names):
            fewer.append(name)
        if not found:
            return place[0]
        return f"{place['begin']}\n{merged(place['table'], found, keys)}\n\n{place['end']}"

    text = _PLACE.sub(refilled, page.read_text(encoding="utf-8"))
    draw(root, names, docs / "images", _DRAWN & set(fewer))
    with atomic_path(page) as path:
        path.write_text(text, encoding="utf-8")
    if fewer:
        print(f"partly as they were, for want of results in {root}: {', '.join(fewer)}", file=sys.stderr)
