"""Decisions of made sweeps whose truth is known: whom to run, for what a month, what it hangs on, and when nobody."""

import json
from pathlib import Path

import pandas as pd
import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.experiments.decision.answer import decide
from fleetrec.simulator.experiments.decision.value import Value
from tests.simulator.experiments.decision.worlds import ALONE, sweep_of
from tests.small import noted

THOUSANDS_A_MONTH = 3_000  # 1,000 interactions a day of 40 phones, 4,000 of them, 30 days
POLICIES = {"never": (ALONE, 0.0), "some": (0.36, 0.10), "all": (0.40, 1.00)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return sweep_of(tmp_path_factory.mktemp("decide") / "sweep", POLICIES)


def row(decision, policy):
    return next(one for one in decision["policies"] if one["policy"] == policy)


def test_a_worth_chooses_the_policy_that_leaves_most(folder):
    """Of +0.06 for $0.10 and +0.10 for $1.00 the dearer is worth it where 0.04 is worth more than $0.90."""
    low, high = decide(folder, Value(worth_usd=0.1)), decide(folder, Value(worth_usd=0.5))
    assert (low["call"], low["run"]) == ("yes", "some")
    assert (high["call"], high["run"]) == ("yes", "all")
    net = row(high, "all")["net_usd_per_month"]["mean"]
    gain = row(high, "all")["gain_over_srm"]["mean"]
    assert gain == pytest.approx(0.10, abs=0.02)
    assert net == pytest.approx(THOUSANDS_A_MONTH * (0.5 * gain / 0.01 - 1.002), rel=1e-6)


def test_where_accuracy_is_worth_less_than_it_costs_the_srm_alone_is_best(folder):
    found = decide(folder, Value(worth_usd=0.001))
    assert (found["call"], found["run"], found["policy"]) == ("no", None, "some")
    assert "Do not call the cloud" in found["sentence"]
    assert found["turns"] == []
    assert "it pays from" in found["sentence"]


def test_a_policy_pays_from_its_dollars_over_its_gain_on(folder):
    some = row(decide(folder, Value()), "some")
    pays, gain = some["pays_from_usd"], some["gain_over_srm"]
    assert pays["mean"] == pytest.approx(0.1002 / gain["mean"] * 0.01, rel=1e-6)
    assert pays["low"] < pays["mean"] < pays["high"]
    assert decide(folder, Value(worth_usd=3 * pays["high"]))["call"] == "yes"
    assert row(decide(folder, Value(worth_usd=pays["mean"])), "some")["net_usd_per_month"]["mean"] == pytest.approx(
        0, abs=1e-3
    )


def test_a_budget_allows_what_keeps_it_and_the_most_accurate_of_that(folder):
    dollars = {name: usd * THOUSANDS_A_MONTH for name, (_, usd) in POLICIES.items()}
    tight, loose = (
        decide(folder, Value(budget_usd=2 * dollars["some"])),
        decide(folder, Value(budget_usd=2 * dollars["all"])),
    )
    assert (tight["run"], loose["run"]) == ("some", "all")
    assert not row(tight, "all")["within_budget"]
    none = decide(folder, Value(budget_usd=1.0))
    assert none["run"] is None
    assert none["call"] != "yes"


def test_a_policy_whose_requests_hardly_come_back_is_said_to_be_no_judgement_of_its_lists(tmp_path):
    folder = sweep_of(tmp_path / "sweep", HITS)
    table = pd.read_parquet(folder / "results.parquet")
    table.assign(**{"requests.sent": 100, "requests.answered": 3}).to_parquet(folder / "results.parquet")
    notes = noted(decide(folder, Value())["notes"])
    assert notes["hardly_answered"]["share"] == pytest.approx(0.03)


def test_without_a_worth_the_cheapest_that_adds_anything_is_run_and_says_so(folder):
    found = decide(folder, Value())
    assert found["run"] == "some"
    assert "no worth of accuracy was given (--worth, --budget)" in found["value"]["taken"]
    assert json.loads((folder / "decision.json").read_text()) == found


def test_a_month_is_thirty_days_of_the_represented_fleet(folder):
    some = row(decide(folder, Value()), "some")
    assert some["usd_per_month"]["mean"] == pytest.approx(0.1002 * THOUSANDS_A_MONTH)
    assert some["device_joules_per_month"] == pytest.approx(2.0 * 100 * 30)
    assert some["gpu_joules_per_month"] == 5.0
    assert some["gco2_per_month"] is None  # these runs do not tell it


def test_nobody_is_run_where_no_policy_adds_anything(tmp_path):
    """Of 8 sweeps of six policies that hit as often as the SRM alone, by interactions of their own, one may err."""
    runs = {f"p{i}": (ALONE, 0.0) for i in range(6)}
    calls = [
        decide(sweep_of(tmp_path / str(chance), runs, chance=chance), Value(worth_usd=1.0))["call"]
        for chance in range(8)
    ]
    assert calls.count("yes") <= 2


def test_a_policy_that_never_asks_is_a_rival_to_those_that_do(tmp_path):
    """Phones that come with a list and never ask hit as often as those that ask: asking adds nothing."""
    found = decide(sweep_of(tmp_path / "s", {"never": (0.4, 0.0), "all": (0.4, 1.0)}), Value(worth_usd=1.0))
    assert found["call"] == "no"
    assert [one["baseline"] for one in found["nothing"]] == ["never", "srm"]
    assert row(found, "all")["gain_over_srm"]["mean"] == pytest.approx(0.1, abs=0.02)
    assert row(found, "all")["gain_over_best"]["mean"] == 0.0
    assert "no worth" not in row(found, "never")["policy"]


AROUND = {
    "never": {"policy.request": "never"},
    "all": {"policy.request": "always"},
    "all, bad": {"policy.request": "always", "llm.quality": {"blend": 0.5}},
    "all, good": {"policy.request": "always", "llm.quality": {"knows_next": 0.2}},
    "all, dear": {"policy.request": "always", "tariffs.gpu_hour": "high"},
    "all, both": {"policy.request": "always", "tariffs.gpu_hour": "high", "llm.quality": {"blend": 0.5}},
}
HITS = {
    "never": (0.1, 0.0),
    "all": (0.40, 1.0),
    "all, bad": (0.20, 1.0),
    "all, good": (0.6, 1.0),
    "all, dear": (0.40, 3.0),
}
LISTS = {"all": 0.4, "all, bad": 0.2, "all, good": 0.6, "all, dear": 0.4}


@pytest.fixture(scope="module")
def around(tmp_path_factory):
    hits = HITS | {"all, both": (0.2, 3.0)}
    path = tmp_path_factory.mktemp("around") / "sweep"
    return decide(sweep_of(path, hits, AROUND, lists=LISTS), Value(worth_usd=0.2), marks={"mine": 0.3})


def test_circumstances_are_no_policies_and_each_axis_is_tried_alone(around):
    assert [one["policy"] for one in around["policies"]] == ["never", "all"]
    tried = [axis for axis in around["axes"] if axis["how"] == "simulated"]
    axes = {axis["axis"]: [point["name"] for point in axis["points"]] for axis in tried}
    assert axes == {"LLM quality": ["all, bad", "all", "all, good"], "prices": ["all", "all, dear"]}
    assert around["marks"] == {"mine": 0.3}


def test_the_axis_with_the_widest_swing_comes_first_and_the_nearest_turn_is_told(around):
    """At $0.20 a hundredth +0.10 is worth $2 of $1: bad lists lose at once, half way there; the high price loses $1."""
    swings = [axis["swing"] for axis in around["axes"]]
    assert swings == sorted(swings, reverse=True)
    turns = {one["axis"]: one for one in around["turns"]}
    quality = next(axis for axis in around["axes"] if axis["axis"] == "LLM quality")
    values = {point["name"]: point["value"]["mean"] for point in quality["points"]}
    assert values["all, bad"] < 0 < values["all"] < values["all, good"]
    share = values["all"] / (values["all"] - values["all, bad"])
    assert turns["LLM quality"]["at"] == f"NDCG@10 {0.4 - share * 0.2:.4f} of fresh lists"
    assert turns["prices"]["at"] == "'dear'"
    assert around["turns"][0]["axis"] == "LLM quality"
    assert f"this turns at {turns['LLM quality']['at']}" in around["sentence"]


def test_worth_and_dollars_are_priced_anew_where_no_run_has_them_and_said_to_be(folder):
    """At half the worth, or at twice the dollars, what is left is what the same gain and dollars say."""
    found = decide(folder, Value(worth_usd=0.1))
    axes = {axis["axis"]: axis for axis in found["axes"]}
    assert {axis["how"] for axis in axes.values()} == {"priced anew"}
    gain, usd = row(found, "some")["gain_over_best"]["mean"], row(found, "some")["usd_per_month"]["mean"]
    worth = [point["value"]["mean"] for point in axes["worth of accuracy"]["points"]]
    prices = [point["value"]["mean"] for point in axes["prices"]["points"]]
    assert worth == pytest.approx([THOUSANDS_A_MONTH * gain / 0.01 * one - usd for one in (0.05, 0.1, 0.2)])
    assert prices == pytest.approx([THOUSANDS_A_MONTH * gain / 0.01 * 0.1 - usd * one for one in (0.5, 1, 2)])
    assert axes["worth of accuracy"]["turns_at"] is None
    half = decide(folder, Value(worth_usd=0.3 * row(found, "some")["pays_from_usd"]["mean"] / 0.5))
    turn = next(axis for axis in half["axes"] if axis["axis"] == "worth of accuracy")["turns_at"]
    assert turn == f"${row(found, 'some')['pays_from_usd']['mean']:.4f} for 0.01 over 1,000 interactions"


@pytest.mark.parametrize(("worth", "budget", "option"), [(0.0, None, "--worth"), (None, -3.0, "--budget")])
def test_a_value_that_is_none_is_told(worth, budget, option):
    with pytest.raises(InputError, match=f"{option} .*: expected an amount above 0"):
        Value(worth, budget)


def test_runs_without_baselines_cannot_be_judged(tmp_path):
    folder = sweep_of(tmp_path / "s", {"some": (0.4, 0.1)})
    for path in Path(folder).rglob("baselines.parquet"):
        path.unlink()
    with pytest.raises(InputError, match="keep no baselines that need no request"):
        decide(folder, Value())
