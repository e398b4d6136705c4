"""Filters: rows that they keep, and what is no filter."""

from pathlib import Path

import pytest

from tests.simulator.workload.field_rows import SECONDS, refused, table
from tests.simulator.workload.logs import load

MARKED = table(
    [f"{int(s)},{'click' if k % 2 else 'view'},{k / 40},{'Yes' if k % 4 else ''}" for k, s in enumerate(SECONDS)],
    "user_id,item_id,timestamp,event,watch ratio,paid",
)


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("event = 'click'", 20),
        ("event == 'click' and \"watch ratio\" >= 0.5", 10),
        ("event <> 'click' or `watch ratio` * 2 < 0.5", 25),
        ("not (event in ('click', 'buy')) and user_id like 'u%'", 20),
        ('"watch ratio" between 0.25 and 0.5', 11),
        ("paid is null", 10),
        ("lower(paid) = 'yes' and length(item_id) = 2 and abs(-1) = 1", None),
        ("timestamp > 1614900000", None),
    ],
)
def test_a_filter_keeps_the_rows_that_it_says(tmp_path: Path, where: str, kept: int | None) -> None:
    log = load(tmp_path / "log.csv", MARKED, where=where)
    assert kept in (None, log.n_events)
    assert 0 < log.n_events <= 40


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("evnt = 'click'", "no column 'evnt' among user_id, item_id"),
        ("read_text('/etc/passwd') = 'x'", "function 'read_text' is not allowed"),
        ("event in (select content from read_text('/etc/passwd'))", "where:"),
        ("event = (select 1)", "where:"),
        ("event = 'click'; drop table x", "cannot read"),
        ("event = 'click' -- and more", "where:"),
        ("event = click", "text stands in single quotes"),
        ("event >= 0.5", "40 of its cells are none"),
        ("event =", "a column or a value is wanted"),
        ("event", "compares nothing"),
        ("event = 'buy'", "none of its 40 rows is left"),
        ("(" * 500 + "event = 'a'" + ")" * 500, "nested deeper"),
        ("repeat(event, 2000000000) = 'x'", "not allowed"),
        ("getenv('HOME') = 'x'", "not allowed"),
        ("event = 'a' " + "or event = 'b' " * 900, "longer than"),
    ],
)
def test_a_filter_that_is_none_is_refused_in_one_line(tmp_path: Path, where: str, said: str) -> None:
    assert said in refused(tmp_path / "log.csv", MARKED, where=where)
