"""The table of published data sets in docs/how-to/data.md, from their recipes and from the rows that test them.

python -m tests.docs.data_sets_table       # writes the table anew
"""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from fleetrec.models.runtime.artifacts import atomic_path
from fleetrec.simulator.scenario.sections.workload import RECIPES
from fleetrec.simulator.workload.log import InteractionLog
from fleetrec.simulator.workload.recipe import recipe
from tests.docs.pages import ROOT
from tests.simulator.workload.logs import load
from tests.simulator.workload.published_rows import ITEMS, PUBLISHED

PAGE = ROOT / "docs" / "how-to" / "data.md"
REAL = {"movielens": ("raw/ml-latest-small/ratings.csv", "100,836 | 1996-03-29 to 2018-09-24")}
_HEAD = "| format | what it is | items | user / item / time | rows | first to last | known from |"


def written(page: str) -> str:
    """The page with the table as it is today."""
    before, head, rest = page.partition(_HEAD)
    assert head, "the table's head is not on the page"
    _, blank, after = rest.partition("\n\n")
    rows = [_row(name) for name in RECIPES]
    return before + "\n".join([_HEAD, "|---" * 7 + "|", *rows]) + blank + after


def figures(log: InteractionLog) -> str:
    """The rows that were read and the first and last day, as the table has them."""
    assert log.reading is not None
    ends = "days without a date"
    if log.clock == "absolute":
        ends = " to ".join(
            f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d}" for moment in (log.times.min(), log.times.max())
        )
    return f"{log.reading.rows:,} | {ends}"


def _row(name: str) -> str:
    file, content = next((file, content) for one, file, content, _ in PUBLISHED if one == name)
    with tempfile.TemporaryDirectory() as folder:
        log = load(Path(folder) / file, content, format=name)
    assert log.reading is not None
    columns = " / ".join(log.reading.columns.values()) if "columns" in recipe(name).said else "by their names or places"
    items = f"`{ITEMS[name][0]}`" if name in ITEMS else ""
    told, known = (REAL[name][1], f"`{REAL[name][0]}`") if name in REAL else (figures(log), "rows of our own")
    return f"| [`{name}`]({recipe(name).source}) | {recipe(name).about} | {items} | {columns} | {told} | {known} |"


if __name__ == "__main__":
    with atomic_path(PAGE) as temporary:
        temporary.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
