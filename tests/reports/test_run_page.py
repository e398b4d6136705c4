"""The page of a run."""

import math
import re
from pathlib import Path

import pytest

from fleetrec.reports.data.metric_names import metric
from fleetrec.reports.html import write_report
from tests.reports.fake_experiments import write_experiment
from tests.reports.fake_runs import sparse_runs, summary_of, write_run
from tests.reports.pages import choice_texts, data_of, read


def test_a_log_with_dates_puts_them_on_the_axis_of_time(tmp_path: Path) -> None:
    dated = write_run(tmp_path / "dated", devices=30, starts_at="2024-01-04T00:00:00Z", span_s=86400.0)
    axes = {chart["id"]: chart["layout"]["xaxis"] for chart in data_of(write_report(dated))["charts"]}
    ends = [1704326400000.0, 1704412800000.0]  # from `date -d 2024-01-04 +%s` and a day on
    assert (axes["load"]["type"], axes["load"]["range"]) == ("date", ends)
    assert axes["load"]["title"]["text"] == "time of the log (UTC)"
    undated = data_of(write_report(write_run(tmp_path / "undated", devices=30)))
    assert {chart["id"]: chart["layout"] for chart in undated["charts"]}["load"]["xaxis"]["range"] == [0.0, 6.0]


def test_every_figure_of_a_run_says_of_which_world_it_is(tmp_path: Path) -> None:
    text = read(write_report(write_run(tmp_path / "run", devices=20))).text
    for title in ("Accuracy of the slate on screen", "Load", "Longest queue at the cloud", "Replicas at work"):
        assert f"{title} of the simulated phones, on the configured cloud" in text


REPRESENTED = {
    "devices": 1_000_000,
    "replicas": 8,
    "requests_per_s": 312.0,
    "latency_s": {"p50": 0.31, "p95": 0.52, "p99": 0.61},
    "node_s": {"p50": 0.2, "p95": 0.4, "p99": 0.5},
    "queue_s": {"p50": 0.0, "p95": 0.02, "p99": 0.05},
    "utilization": 0.93,
    "headroom": 0.125,
}


def test_a_run_shows_its_two_worlds_side_by_side_what_it_hangs_on_and_what_became_of_requests(tmp_path: Path) -> None:
    stated = summary_of()
    cost = stated["cost"] | {"usd_provisioned_per_month": 21600.0}
    cost |= {"usd_provisioned_per_month_low": 16200.0, "usd_provisioned_per_month_high": 27000.0}
    asked = stated["requests"] | {"asked": 1200, "sent": 1100, "answered": 1000}
    hangs = [{"key": "llm", "text": "A weaker LLM <loses>: .1124 against .1250 of the SRM alone.", "values": {}}]
    baselines = {"srm": {"hr@10": 0.142, "ndcg@10": 0.081}}
    changes = {"represented": REPRESENTED, "cost": cost, "requests": asked, "hangs_on": hangs, "baselines": baselines}
    page = write_report(write_run(tmp_path / "run", devices=40, **changes))
    text = read(page).text
    for words in (
        "request latency, p95 2.3 s 520 ms",
        "busy (share of time not idle) 31.0% 93.0%",
        "headroom (load more that would do) 420.0% 12.5%",
        "US dollars a month $21,600 $16,200 to $27,000",
        "represented fleet on 8 replicas that it needs",
        "1,200 asked, 1,100 sent, 1,000 answered",
        "A weaker LLM <loses>: .1124 against .1250 of the SRM alone.",
    ):
        assert words in text
    this, nothing = choice_texts(page)
    assert "$21,600 a month 95%: $16,200 to $27,000" in this
    assert nothing == "Doing nothing the phone's own model alone NDCG@10 0.0810 $0 a month no request is made"


def test_one_thing_is_not_several(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", devices=1, per_device=1, seed=5, represented=REPRESENTED | {"replicas": 1})
    text = read(write_report(run)).text
    assert "on 1 replica that it needs" in text
    assert re.search(r"\b1 (replicas|devices|requests|seeds|runs|interactions)\b", text) is None
    sweep = read(write_report(write_experiment(tmp_path / "sweep", seeds=(4,)))).text
    assert re.search(r"\b1 (replicas|devices|requests|seeds|runs|variants)\b", sweep) is None


def test_contents_lead_to_every_section(tmp_path: Path) -> None:
    for folder in (write_run(tmp_path / "run", devices=20), write_experiment(tmp_path / "sweep")):
        page = write_report(folder).read_text(encoding="utf-8")
        contents = re.findall(r'<li><a href="#([^"]+)">', page)
        assert contents == re.findall(r'<h2 id="([^"]+)">', page)


@sparse_runs
def test_a_run_without_requests_lists_or_interactions_has_a_report(tmp_path: Path, kind: dict[str, object]) -> None:
    folder = write_run(tmp_path / "run", **{"devices": 30, **kind})  # type: ignore[arg-type]
    assert "Logged choices do not react to slates" in read(write_report(folder)).text


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("accuracy.ndcg@10", 0.13081, "0.1308"),
        ("latency_s.request.p95", 0.3064, "306 ms"),
        ("cost.usd_marginal_per_1k_interactions", 0.03148, "$0.0315"),
        ("cloud.utilization", 0.314, "31.4%"),
        ("cost.device_joules", 12345.0, "12,345"),
        ("requests.ratio", math.nan, "n/a"),
    ],
)
def test_figures_are_written_in_the_form_of_their_unit(key: str, value: float, text: str) -> None:
    assert metric(key).text(value) == text
