"""What the commands print: the headline first, figures whole, and no line over 100 columns."""

import io
from typing import Any

import pytest
from rich.console import Console

from fleetrec.reports.terminal.logs import print_check_table, print_describe
from fleetrec.reports.terminal.parts import console_for
from fleetrec.reports.terminal.summary import print_policy_comparison, print_run_summary
from tests.reports.fake_runs import summary_of

ROW: dict[str, Any] = {
    "policy": "inconsistency 20% of all the decisions there are",
    "folder": "inconsistency",
    "accuracy": 0.1234,
    "low": 0.1134,
    "high": 0.1334,
    "hr@10": 0.2345,
    "cost": 0.0123,
    "ratio": 0.2,
    "completed": 1000,
    "mean_staleness": 2.2,
    "latency_p95_s": 1.25,
    "utilization": 0.31,
}


def compared(*policies: dict[str, Any]) -> dict[str, Any]:
    """What comparison.json holds for policies like ROW."""
    return {
        "headline": "headline",
        "today": [],
        "policies": list(policies),
        "notes": [{"key": "any", "text": "a note"}],
    }


def plain(width: int = 100) -> Console:
    return Console(file=io.StringIO(), width=width, highlight=False)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_first_line_of_a_run_is_its_headline_and_the_last_says_what_is_measured() -> None:
    console = plain()
    print_run_summary(summary_of(), console)
    lines = text_of(console).splitlines()
    assert lines[0] == summary_of()["headline"]
    assert lines[-1].endswith("prediction, not engagement")
    assert any(line.startswith("baseline markov") and "0.1310" in line for line in lines)
    assert any("quality of item_lm, cost of llama-3.1-8b" in line for line in lines)


@pytest.mark.parametrize("width", [100, 80])
def test_no_line_is_wider_than_the_console_and_no_escape_codes_reach_a_file(width: int) -> None:
    console = plain(width)
    print_run_summary(summary_of(headline="long " * 60, notes=[{"key": "any", "text": "a note " * 40}]), console)
    print_policy_comparison(compared(ROW, ROW | {"latency_p95_s": None}), console)
    print_describe(
        {"users": 6040, "lengths": {"p50": 96.0}, "problems": {}, "values": list(range(200)), "notes": []}, console
    )
    text = text_of(console)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text


def test_notes_of_before_they_had_keys_are_printed_as_they_are() -> None:
    console = plain()
    print_run_summary(summary_of(notes=["quality of item_lm, cost of llama-3.1-8b"]), console)
    assert "note: quality of item_lm, cost of llama-3.1-8b\n" in text_of(console)


def test_a_run_without_interactions_prints_without_figures() -> None:
    console = plain()
    empty = {"p50": None, "p95": None, "p99": None}
    nothing = {"hr@10": None, "ndcg@10": None}
    print_run_summary(
        summary_of(accuracy=nothing, baselines={"srm": nothing}, latency_s={"slate": empty}, freshness={}), console
    )
    assert "n/a" in text_of(console)
    assert "nan" not in text_of(console)


def test_a_policy_has_one_line_with_its_interval_and_cost() -> None:
    console = plain()
    print_policy_comparison(compared(ROW | {"policy": "always"}), console)
    (line,) = [line for line in text_of(console).splitlines() if line.startswith("always")]
    assert line.split() == ["always", "0.1234", "0.0100", "0.2345", "$0.0123", "0.2", "2.2", "1.25", "s"]


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.056, "could take 5.6% more than the busiest load"),
        (100.0, "could take 101 times the busiest load"),
        (-0.25, "overloaded: could take 75.0% of the busiest load"),
    ],
)
def test_headroom_is_said_of_the_busiest_load(share: float, said: str) -> None:
    console = plain()
    summary = summary_of()
    print_run_summary(summary | {"cloud": summary["cloud"] | {"headroom": share}}, console)
    assert said in " ".join(text_of(console).split())


def test_a_comparison_shows_the_share_that_asked_beside_what_was_sent() -> None:
    """A phone that asks while it is offline sends nothing, so a policy told 40% sends less than 40%."""
    console = plain()
    print_policy_comparison(
        compared(ROW | {"policy": "random 40%", "realised_ratio": 0.3986, "ratio": 0.3257}), console
    )
    (line,) = [line for line in text_of(console).splitlines() if line.startswith("random")]
    assert line.split()[-5:-3] == ["0.399", "0.326"]


def test_the_verdict_on_a_table_comes_first_and_brackets_are_not_markup() -> None:
    console = plain()
    print_check_table({"rows": 3, "verdict": "a leak: [bold]recall[/bold] jumps", "recall@10": 0.5}, console)
    assert text_of(console).splitlines()[0] == "a leak: [bold]recall[/bold] jumps"


def test_consoles_are_at_most_100_columns_wide() -> None:
    assert console_for().width <= 100
    assert console_for(stderr=True).stderr
