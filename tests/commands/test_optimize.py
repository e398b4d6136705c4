"""`optimize` as it is typed: a few points of a tiny scenario, gone on with, compared and reported."""

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.commands.typed import one_line, scenario_in, typed

SPACE = """\
policy.request.kind: [random, every]
policy.request.ratio: {low: 0.2, high: 1.0, step: 0.1, when: {policy.request.kind: random}}
policy.request.n: {choices: [2, 4], when: {policy.request.kind: every}}
policy.fusion.srm_weight: {low: 0.5, high: 4, log: true}
"""
GOALS = ("--minimize", "requests.ratio", "--jobs", "1", "--sampler", "tpe", "--space", "space.yaml")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Holds the scenario, the space, and `four`: a search of four points."""
    folder = tmp_path_factory.mktemp("optimize")
    with pytest.MonkeyPatch.context() as patch:
        scenario_in(folder, patch)
        (folder / "space.yaml").write_text(SPACE, encoding="utf-8")
        done = typed("optimize", "tiny.yaml", *GOALS, "--trials", "4", "--limit", "requests.ratio=0.7", "--out", "four")
        assert done.exit_code == 0, done.output
        assert "looks better than it is" in " ".join(done.stdout.split())
        yield folder


def test_the_points_are_run_and_those_over_the_limit_are_not_on_the_front(folder: Path) -> None:
    rows = pd.read_parquet("four/results.parquet")
    answer = json.loads(Path("four/answer.json").read_text(encoding="utf-8"))
    assert (len(rows), rows["variant"][0]) == (4, "base")
    kept = set(rows.loc[rows["requests.ratio"] <= 0.7, "variant"])
    assert {point["variant"] for point in answer["frontier"]} <= kept
    assert Path("four/report.html").stat().st_size > 1e6
    assert {path.name for path in Path("four/figures").glob("frontier.*")} == {"frontier.png", "frontier.svg"}


@pytest.mark.usefixtures("undrawn")
def test_a_search_is_resumed_with_more_trials_and_its_folder_is_compared_like_a_sweeps(folder: Path) -> None:
    again = ("optimize", "tiny.yaml", *GOALS, "--limit", "requests.ratio=0.7", "--out", "four", "--trials", "6")
    assert "add --resume" in one_line(typed(*again))
    resumed = typed(*again, "--resume", "--json")
    assert resumed.exit_code == 0, resumed.output
    answer = json.loads(resumed.stdout)
    assert answer == json.loads(Path("four/answer.json").read_text(encoding="utf-8"))
    assert len(pd.read_parquet("four/results.parquet")) == 6
    compared = typed("compare", "four", "--json")
    assert json.loads(compared.stdout) == answer
    assert typed("report", "four", "--quiet").exit_code == 0


def test_a_goal_that_no_summary_has_is_told_with_the_nearest_name(folder: Path) -> None:
    words = ["optimize", "tiny.yaml", *GOALS, "--out", "goal", "--trials", "4"]
    words[words.index("requests.ratio")] = "requests.ration"
    assert one_line(typed(*words)) == (
        "requests.ration: no figure of a summary has this name; did you mean requests.ratio?"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("policy.request.ratio: {low: 1, high: 0}", r"bad.yaml:1: policy.request.ratio: low 1 is not less than high 0"),
        ("policy.requests.ratio: [0.1, 0.2]", r"policy.requests.ratio=0.1"),
        ("policy.request.ratio: [0.1, 3]", r"policy.request.ratio=3"),
        ("cloud.gpu: [h100, h10]", r"cloud.gpu=h10"),
        ("fleet.devices: [20, 30]", r"keep fleet and workload out of the space"),
    ],
)
def test_a_bad_space_is_one_line(folder: Path, text: str, said: str) -> None:
    Path("bad.yaml").write_text(text + "\n", encoding="utf-8")
    words = ["optimize", "tiny.yaml", *GOALS, "--out", "bad", "--trials", "4"]
    words[words.index("space.yaml")] = "bad.yaml"
    assert said in one_line(typed(*words))


def test_a_limit_without_a_value_is_one_line(folder: Path) -> None:
    assert "expected a figure's name" in one_line(typed("optimize", "tiny.yaml", *GOALS, "--limit", "requests.ratio"))


@pytest.mark.usefixtures("undrawn")
def test_users_who_react_are_searched_for_though_they_have_other_interactions_under_every_policy(folder: Path) -> None:
    goals = ("--maximize", "choices_per_day", *GOALS, "--trials", "3", "--out", "react", "--json", "--quiet")
    done = typed("optimize", "tiny.yaml", *goals, "--set", "workload.users={kind: choice, looks: 3}")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["metric"] == "engagement.choices_per_day"
    assert pd.read_parquet("react/results.parquet")["interactions"].nunique() > 1
