"""`decide` as it is typed: a scenario simulated as far as needed, a sweep read as it is, and mistakes in one line."""

import json
import math
from pathlib import Path

import pytest

from fleetrec.models.runtime.errors import InputError
from tests.commands.typed import one_line, scenario_in, typed
from tests.simulator.experiments.decision.worlds import sweep_of


@pytest.fixture
def scenario(tmp_path, monkeypatch):
    return scenario_in(tmp_path, monkeypatch)


def test_a_scenario_is_decided_by_runs_that_are_kept_and_read_again(scenario, monkeypatch):
    words = ("decide", scenario, "--seeds", "1", "--jobs", "1", "--set", "fleet.represents=2000")
    first = typed(*words, "--out", "out", "--worth", "5", "--json")
    assert first.exit_code == 0, first.output
    found = json.loads(first.stdout)
    assert found == json.loads(Path("out/decision.json").read_text())
    assert found["represents"] == 2000
    how = {axis["axis"]: axis["how"] for axis in found["axes"]}
    simulated = ("LLM quality", "latency of the links", "prices", "fleet size")
    assert how == {
        **dict.fromkeys(simulated, "simulated"),
        "worth of accuracy": "priced anew",
        "way to serve": "accounted anew",
    }
    ways = {one["way"]: one["usd_per_month"]["mean"] for one in found["ways"]}
    own = next(one for one in found["policies"] if one["policy"] == found["policy"])["usd_per_month"]["mean"]
    assert ways["gpus"] == pytest.approx(own)
    assert ways["spot"] < ways["gpus"]
    sizes = next(axis for axis in found["axes"] if axis["axis"] == "fleet size")
    assert [point["settings"]["fleet.represents"] for point in sizes["points"]] == [200, None, 20000]
    dollars = [point["usd_per_month"]["mean"] for point in sizes["points"]]
    assert dollars[0] < dollars[1] < dollars[2]
    quality = next(axis for axis in found["axes"] if axis["axis"] == "LLM quality")
    lists = [point["list_ndcg"] for point in quality["points"]]
    assert lists == sorted(lists)
    assert all(
        Path("out", name).is_file() for name in ("decision.html", "figures/decision.png", "figures/decision.svg")
    )
    drawn = sorted(Path("out/figures").iterdir())
    monkeypatch.setattr("fleetrec.reports.figures.decision.draw_decision", lambda folder: drawn)
    again = typed(*words, "--out", "out", "--worth", "5")
    assert again.exit_code == 0, again.output
    assert "0 of them to do" in again.stdout
    assert found["sentence"].split(";")[0][:60] in " ".join(again.stdout.split())


def test_a_policy_that_cannot_run_is_left_out_and_said_to_be(tmp_path, monkeypatch):
    """One user holds too few decisions out to find the threshold of a share of inconsistency on."""
    scenario = scenario_in(tmp_path, monkeypatch)
    page = Path("out/decision.html")
    monkeypatch.setattr("fleetrec.reports.figures.decision.draw_decision", lambda folder: [page])
    few = ("--set", "workload.split.validation_users=1", "--set", "fleet.devices=10")
    done = typed("decide", scenario, "--seeds", "1", "--jobs", "1", "--out", "out", "--json", *few)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    out = [note["values"] for note in found["notes"] if note["key"] == "left_out"]
    assert [held["variants"] for held in out] == [["inconsistency 40%"]]
    assert "inconsistency 40%" not in {one["policy"] for one in found["policies"]}


def test_a_sweep_is_read_as_it_is(tmp_path):
    folder = sweep_of(tmp_path / "sweep", {"never": (0.3, 0.0), "all": (0.5, 1.0)})
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("runs/**/*")}
    shown = typed("decide", folder, "--worth", "1", "--mark", "mine=0.2")
    assert shown.exit_code == 0, shown.output
    assert "Run 'all', at $3,010 a month" in " ".join(shown.stdout.split())
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("runs/**/*")} == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--worth", "-1"), "--worth -1: expected an amount above 0, such as 0.5"),
        (("--worth", "1e308"), "--worth 1e+308: expected an amount above 0 and at most 1e+15, such as 0.5"),
        (("--budget", "0"), "--budget 0: expected an amount above 0, such as 0.5"),
        (("--mark", "nothing.json"), "--mark nothing.json: no such file; expected NAME=0.21"),
        (("--mark", "mine=7"), "--mark mine=7: NDCG@10 lies between 0 and 1; write mine=0.21"),
        (("--seeds", "one"), "--seeds one: expected different whole numbers"),
        (("--metric", "hr@10"), "--metric: a scenario is decided by NDCG"),
        (("--set", "policy.slate=srm"), "policy.slate: srm never asks the cloud, so there is nothing to decide"),
        (("--set", "workload.users=choice", "--worth", "1"), "--worth: is of a hundredth of an accuracy"),
    ],
)
def test_a_mistake_is_one_line(scenario, words, said):
    assert one_line(typed("decide", scenario, *words)).startswith(said)


def test_options_of_a_scenario_are_refused_for_a_sweep(tmp_path):
    folder = sweep_of(tmp_path / "sweep", {"all": (0.5, 1.0)})
    assert one_line(typed("decide", folder, "--seeds", "1")).startswith("--seeds: a sweep's runs are read as they are")
    assert "holds no experiment" in one_line(typed("decide", tmp_path))


def test_a_mark_is_what_evaluate_found(tmp_path):
    from fleetrec.simulator.experiments.decision.marks import read_marks

    (tmp_path / "e.json").write_text(json.dumps({"llm": {"ndcg@10": 0.25}, "models": {"llm": "item_lm"}}))
    for ndcg in (math.nan, 7.0):
        (tmp_path / "none.json").write_text(json.dumps({"llm": {"ndcg@10": ndcg}, "models": {"llm": "item_lm"}}))
        with pytest.raises(InputError, match=r"expected NAME=0\.21"):
            read_marks([str(tmp_path / "none.json")])
    assert read_marks([str(tmp_path / "e.json"), "b=0.1"]) == {"item_lm, evaluated": 0.25, "b": 0.1}
