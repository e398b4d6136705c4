"""A report of users who react says so, and tells what they did; no report of users who replay does."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from fleetrec.reports.charts.engagement_charts import engagement_charts
from fleetrec.reports.data.metric_names import metric
from fleetrec.reports.data.notes import caveat_of
from fleetrec.reports.data.run_folder import figure_footer, read_run
from fleetrec.reports.html.engagement_tables import engagement_groups_table, engagement_table
from fleetrec.reports.html.run_page import write_run_page
from fleetrec.reports.terminal.summary import print_run_summary
from fleetrec.simulator.core.notes import PREDICTION_TEXT
from fleetrec.simulator.simulation import simulate
from tests.simulator.reacting import Formula, _store, reacting


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run of some hundreds of choices."""
    out = tmp_path_factory.mktemp("run") / "reacting"
    changes = {"fleet": {"devices": 60}, "workload": {"users": {"kind": "choice", "skip": -2.0, "organic": 0.4}}}
    simulate(reacting(**changes), out=out, store=_store(), candidates=Formula)
    return out


def test_the_page_says_that_users_react_and_by_which_model(folder: Path) -> None:
    text = write_run_page(folder).read_text(encoding="utf-8")
    assert "What users did" in text
    assert "utilities of the built-in world" in text
    assert "do not react" not in text
    assert PREDICTION_TEXT not in figure_footer(read_run(folder).summary)


def test_charts_hold_every_choice_once_and_what_moved_in_eighths(folder: Path) -> None:
    run = read_run(folder)
    did, moved = engagement_charts(run)
    assert len(did.traces) >= 3
    assert {len(trace["x"]) for trace in moved.traces} == {9}
    assert len(run.judged.interactions) == (run.opportunities["outcome"] == "organic").sum() > 0


def test_tables_and_the_terminal_tell_the_same_figures(folder: Path) -> None:
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    table, groups = engagement_table(summary), engagement_groups_table(summary)
    assert table is not None
    assert groups is not None
    taken = metric("engagement.choices_per_day").text(summary["engagement"]["choices_per_day"])
    assert table.rows[0].cells[1].text == taken
    console = Console(width=100, record=True)
    print_run_summary(summary, console)
    told = console.export_text()
    assert f"items taken a day {taken}" in told
    assert "do not react" not in told
    assert caveat_of(summary).startswith("users of kind choice react")


def test_a_run_that_replays_has_none_of_it() -> None:
    assert engagement_table({"accuracy": {}}) is None
    assert engagement_groups_table({"accuracy": {}}) is None
