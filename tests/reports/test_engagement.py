"""A report of users who react says so, and tells what they did; no report of users who replay does."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from fleetrec.reports.charts.engagement_charts import engagement_charts
from fleetrec.reports.data.metric_names import metric
from fleetrec.reports.data.notes import caveat_of
from fleetrec.reports.data.run_folder import figure_footer, read_run
from fleetrec.reports.figures.run_figures import draw_run
from fleetrec.reports.html.engagement_tables import (
    engagement_groups_table,
    engagement_table,
    feedback_groups_table,
    feedback_table,
    fit_table,
)
from fleetrec.reports.html.run_page import write_run_page
from fleetrec.reports.terminal.summary import print_run_summary
from fleetrec.simulator.core.notes import PREDICTION_TEXT
from fleetrec.simulator.simulation import simulate
from tests.simulator.handed_over import Formula
from tests.simulator.reacting import _store, reacting


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
    by_group = feedback_groups_table(summary)
    assert by_group is not None
    assert {row.cells[0].text for row in by_group.rows} <= {row.cells[0].text for row in groups.rows}
    moved = feedback_table(summary)
    assert moved is not None
    assert len(moved.rows) == 8
    assert all(" to " in cell.small for row in (*moved.rows, *by_group.rows) for cell in row.cells[-1:])
    console = Console(width=100, record=True)
    print_run_summary(summary, console)
    told = console.export_text()
    assert f"items taken a day {taken}" in told
    assert "do not react" not in told
    assert caveat_of(summary).startswith("users of kind choice react")


def test_a_run_to_which_nobody_came_says_how_to_mend_it_and_is_drawn(tmp_path: Path) -> None:
    simulate(reacting(duration="1s"), out=tmp_path / "empty", store=_store(), candidates=Formula)
    summary = json.loads((tmp_path / "empty" / "summary.json").read_text(encoding="utf-8"))
    assert summary["headline"].startswith("Nobody came to the screen in the 1 s that are simulated: set a longer")
    assert draw_run(tmp_path / "empty", names=["cost"])
    assert write_run_page(tmp_path / "empty").is_file()


FIT = {
    "log": "log.csv",
    "held_out_users": 30,
    "held_out_choices": 400,
    "compared": [
        {"what": what, "ks": 0.03, "between_users": 0.05, "model_mean": 9.0, "held_out_mean": 8.0, "others_mean": 7.0}
        | {"curve": {"at": [0.0, 3.0, 9.0], "model": [0.2, 0.5, 1.0], "held_out": [0.1, 0.6, 1.0]}}
        for what in ("popularity", "repeats", "gap_after_self", "gap_after_others")
    ],
}


def test_fitted_users_are_drawn_beside_held_out_ones_by_the_pauses_of_the_run(folder: Path) -> None:
    run = read_run(folder)
    empirical = {
        **run.scenario,
        "workload": {**run.scenario["workload"], "arrivals": {"kind": "empirical", "after": "self"}},
    }
    fitted = replace(run, summary={**run.summary, "users_fit": FIT})
    assert [chart.id for chart in engagement_charts(fitted)][2:] == ["fit-popularity"]
    drawn = engagement_charts(replace(fitted, scenario=empirical))[2:]
    assert [chart.id for chart in drawn] == ["fit-popularity", "fit-gap_after_self"]
    assert [trace["name"] for trace in drawn[0].traces] == ["held-out users", "fitted users"]
    assert drawn[0].traces[1]["y"] == [0.2, 0.5, 1.0]
    table = fit_table(fitted.summary)
    assert table is not None
    assert [row.cells[1].text for row in table.rows] == ["0.030"] * 4
    assert fit_table(run.summary) is None


def test_a_run_that_replays_has_none_of_it() -> None:
    assert engagement_table({"accuracy": {}}) is None
    assert engagement_groups_table({"accuracy": {}}) is None
