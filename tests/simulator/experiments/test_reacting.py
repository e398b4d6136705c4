"""Runs whose users react are compared by what these did, paired user by user."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.reports.data.notes import caveat_of
from fleetrec.simulator.experiments.comparison.compare import compare_runs
from fleetrec.simulator.experiments.comparison.conclusion import higher_is_better
from fleetrec.simulator.experiments.comparison.matched_runs import read_runs
from fleetrec.simulator.experiments.comparison.metric_values import on_common_counts
from fleetrec.simulator.experiments.decision.judgement import judge
from fleetrec.simulator.experiments.decision.value import Value
from fleetrec.simulator.experiments.optimise.goals import read_goals
from fleetrec.simulator.experiments.policy_comparison import compare
from fleetrec.simulator.results.engagement import priced_in
from fleetrec.simulator.results.feedback import BOUNDS
from fleetrec.simulator.results.run_folder import opened
from fleetrec.simulator.simulation import simulate
from tests.simulator.handed_over import Formula
from tests.simulator.reacting import _store, reacting

METRIC = "engagement.choices_per_day"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of three policies in one world."""
    folders = {}
    eager = {"kind": "choice", "skip": -2.0, "organic": 0.4}
    for name, request in (("never", "never"), ("some", {"kind": "random", "ratio": 0.4}), ("replay", "never")):
        folders[name] = tmp_path_factory.mktemp("runs") / name
        users = {"kind": "replay"} if name == "replay" else eager
        changes = {"fleet": {"devices": 30}, "policy": {"request": request}, "workload": {"users": users}}
        simulate(reacting(**changes), out=folders[name], store=_store(), candidates=Formula)
    return folders


def test_what_users_take_a_day_is_compared_with_intervals_where_nobody_says_otherwise(runs: dict[str, Path]) -> None:
    found = compare_runs({name: runs[name] for name in ("never", "some")})
    assert found.answer["metric"] == "engagement.choices_per_day"
    assert found.answer["cost"] == "cost.usd_provisioned_per_month"
    assert "utilities of the built-in world" in caveat_of(found.answer)
    rows = found.table.set_index(["metric", "variant"])
    for name in ("choices_per_day", "churn_share", "regret", "slate_share"):
        row = rows.loc[(f"engagement.{name}", "some")]
        assert row["low"] <= row["mean"] <= row["high"]
        assert row["difference_low"] <= row["difference"] <= row["difference_high"]
    assert "items taken a day" in found.answer["headline"] or "Nothing is shown" in found.answer["headline"]


def test_what_is_taken_is_compared_user_by_user_and_not_where_a_run_has_not_kept_that(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    names = [f"feedback.{name}" for name in BOUNDS]
    rows = compare_runs({name: runs[name] for name in ("never", "some")}).table.set_index(["metric", "variant"])
    summary = json.loads((runs["some"] / "summary.json").read_text())

    def wider(metric: str) -> float:
        """By how much the comparison's interval, by Student's t, is wider than the run's own."""
        row, (section, name) = rows.loc[(metric, "some")], metric.split(".")
        low, high = summary[section]["intervals"][name]  # one of the ends may be at a bound
        return max(row["high"] - row["mean"], row["mean"] - row["low"]) / max(high - row["mean"], row["mean"] - low)

    for name in names:
        row = rows.loc[(name, "some")]
        assert (row["method"], row["generalises_to"]) == ("user clusters", rows.loc[(METRIC, "some"), "generalises_to"])
        assert row["difference_low"] < row["difference"] < row["difference_high"]
        assert wider(name) == pytest.approx(wider(METRIC), rel=1e-4)
    without = shutil.copytree(runs["some"], tmp_path / "older")
    (without / "feedback.parquet").unlink()
    older = compare_runs({"never": runs["never"], "older": without}).table.set_index(["metric", "variant"])
    for name in names:
        assert older.loc[(name, "older"), "method"] == "none"
        assert older.loc[(name, "older"), "difference"] == pytest.approx(rows.loc[(name, "some"), "difference"])


def test_a_run_against_itself_differs_in_nothing(runs: dict[str, Path]) -> None:
    found = compare_runs({"one": runs["some"], "other": runs["some"]}, metric="regret").table
    told = found[
        (found["variant"] == "other") & found["metric"].str.startswith(("engagement.", "accuracy.", "feedback."))
    ]
    assert (told["difference"].dropna() == 0).all()
    assert (told["difference_high"].dropna() == 0).all()


def test_users_who_react_are_not_compared_with_users_who_replay(runs: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="one has users who react and one replays a log"):
        compare_runs({name: runs[name] for name in ("never", "replay")})


def test_runs_of_other_durations_are_told_apart_by_their_durations(runs: dict[str, Path], tmp_path: Path) -> None:
    simulate(reacting(duration="4h"), out=tmp_path / "short", store=_store(), candidates=Formula)
    with pytest.raises(InputError, match=r"another duration \(14,400 s, not [\d,]+ s\) at seed 1"):
        compare_runs({"some": runs["some"], "short": tmp_path / "short"})


def test_feedback_of_too_few_choices_is_one_line(tmp_path: Path) -> None:
    simulate(reacting(), out=tmp_path / "few", store=_store(), candidates=Formula)
    with pytest.raises(InputError, match=r"users took fewer than 160 items in every run"):
        compare_runs({"one": tmp_path / "few", "other": tmp_path / "few"}, metric="feedback.gini")


def test_counts_of_a_stretch_are_not_compared(runs: dict[str, Path]) -> None:
    told = set(compare_runs({name: runs[name] for name in ("never", "some")}).table["metric"])
    assert not [name for name in told if ".over_time." in name]


def test_ratios_on_common_counts_are_those_ratios_and_users_move_them_as_much() -> None:
    rng = np.random.default_rng(1)
    counts = rng.poisson(5, (2, 1, 50)) + 1.0
    sums, common = counts * rng.normal(1, 0.2, (2, 1, 50)), np.full((1, 50), 3.0)
    held = on_common_counts(sums, counts, common)
    ratio = sums.sum(axis=-1) / counts.sum(axis=-1)
    assert held.sum(axis=-1) / 150 == pytest.approx(ratio)
    moved = (held - ratio[..., None] * common) / 150
    assert moved == pytest.approx((sums - ratio[..., None] * counts) / counts.sum(axis=-1, keepdims=True))


def test_less_is_better_of_churn_and_regret_alone() -> None:
    better = {name: higher_is_better(f"engagement.{name}", {}) for name in ("choices_per_day", "churn_share", "regret")}
    assert better == {"choices_per_day": True, "churn_share": False, "regret": False}


def test_a_decision_is_made_by_what_users_take_against_a_policy_that_never_asks(runs: dict[str, Path]) -> None:
    records, _ = read_runs({name: runs[name] for name in ("never", "some")}, "never")
    judged = judge(records, Value(), "engagement.choices_per_day", "cost.usd_marginal_per_1k_interactions")
    assert [rival.name for rival in judged.alone] == ["never"]
    assert judged.calls.tolist() == [False, True]
    added = judged.added[0].means
    taken = records.measure("engagement.choices_per_day").means
    assert added == pytest.approx(taken - taken[0])
    pays, months = judged.pays_from(), records.measure("cost.usd_provisioned_per_month").means
    assert pays[1] is not None
    items_a_month = added[1] * 30 * 30  # of 30 phones
    assert pays[1]["mean"] == pytest.approx((months[1] - months[0]) / items_a_month if added[1] > 0 else np.inf)
    assert priced_in(judged.metric) == "an item more"
    assert "(--budget)" in Value().taken("items taken a day", accuracy=False)


@pytest.mark.parametrize(
    ("metric", "value", "said"),
    [
        ("regret", Value(), "less of it is better"),
        ("choices_per_day", Value(worth_usd=1.0), "is of a hundredth of an accuracy"),
    ],
)
def test_what_cannot_be_decided_by_is_one_line(runs: dict[str, Path], metric: str, value: Value, said: str) -> None:
    records, _ = read_runs({name: runs[name] for name in ("never", "some")}, "never")
    with pytest.raises(InputError, match=said):
        judge(records, value, f"engagement.{metric}", "cost.usd_marginal_per_1k_interactions")


def test_policies_are_not_compared_by_accuracy_where_users_react(tmp_path: Path) -> None:
    scenario = reacting()
    with (
        pytest.raises(InputError, match="choice react, and these policies"),
        opened(tmp_path / "out", scenario) as folder,
    ):
        compare(scenario, folder, "cpu", NullProgress())


def test_goals_of_a_search_name_engagement_in_short() -> None:
    goals = read_goals(["choices_per_day"], ["cost.usd_marginal"], ["churn_share=0.1"])
    assert list(goals.directions) == ["engagement.choices_per_day", "cost.usd_marginal"]
    assert goals.limits == {"engagement.churn_share": 0.1}
