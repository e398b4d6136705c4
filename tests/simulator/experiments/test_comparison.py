"""`compare` on hand-made experiments whose answer is known."""

import dataclasses
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.reports.data.experiment_folder import read_experiment
from fleetrec.simulator.experiments.comparison.compare import compare
from fleetrec.simulator.experiments.comparison.sentence import price
from fleetrec.simulator.experiments.folders import ExperimentFolder
from tests.simulator.experiments.made_experiment import N_DEVICES, N_STEPS, STEP_S, make_experiment
from tests.small import noted

HIT_SHARE = {"plain": 0.30, "twin": 0.30, "better": 0.45, "cheap": 0.31}
COST = {"plain": 2.0, "twin": 2.0, "better": 4.0, "cheap": 1.0}
SETTINGS: Mapping[str, Mapping[str, Any]] = {name: {"policy.slate": name} for name in HIT_SHARE}


def hits(variant: str, _: int, u: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.where(u < HIT_SHARE[variant], 0, -1)


def costs(variant: str, seed: int) -> Mapping[str, Any]:
    return {"cost": {"usd": COST[variant] * (1 + 0.01 * seed)}}


def made(path: Path, **changes: Any) -> Path:
    return make_experiment(path, **({"variants": SETTINGS, "ranks": hits, "figures": costs} | changes)).path


def row(table: pd.DataFrame, variant: str, metric: str = "accuracy.ndcg@10") -> pd.Series:
    return table[(table["variant"] == variant) & (table["metric"] == metric)].iloc[0]


def test_means_and_differences_are_those_of_the_ranks(tmp_path: Path) -> None:
    """A hit is at rank 0, so NDCG is the share of hits; draws are shared, so the difference is that of the shares."""
    table = compare(made(tmp_path)).table
    u = np.stack([np.random.default_rng(seed).random(N_DEVICES * N_STEPS) for seed in (1, 2, 3)])
    plain, better = (u < 0.30).mean(), (u < 0.45).mean()
    assert row(table, "better")["mean"] == pytest.approx(better)
    assert row(table, "better")["difference"] == pytest.approx(better - plain)
    assert row(table, "better")["p_adjusted"] < 0.01  # three worlds have Student's tail: no smaller


def test_paired_policies_that_rank_alike_differ_by_exactly_nothing(tmp_path: Path) -> None:
    found = row(compare(made(tmp_path)).table, "twin")
    assert (found["difference"], found["difference_low"], found["difference_high"], found["p"]) == (0, 0, 0, 1)


def test_clones_of_a_user_tell_no_more_than_the_user(tmp_path: Path) -> None:
    """Four devices that replay one user with the same ranks: intervals are those of 10 users, twice as wide."""

    def cloned(variant: str, seed: int, u: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.repeat(hits(variant, seed, u[::4]), 4, axis=0)

    four = row(compare(made(tmp_path / "c", ranks=cloned, clones=4, seeds=(1,))).table, "plain")
    apart = row(compare(made(tmp_path / "d", ranks=cloned, clones=1, seeds=(1,))).table, "plain")
    assert four["high"] - four["low"] == pytest.approx(2 * (apart["high"] - apart["low"]), rel=0.2)


def test_the_method_says_what_so_many_seeds_allow(tmp_path: Path) -> None:
    for seeds, method, about in (
        ((4,), "user clusters", "new users in the world of seed 4"),
        ((1, 2), "user clusters crossed with seeds", "new users and new worlds"),
        ((1, 2, 3, 4, 5), "user clusters crossed with seeds", "new users and new worlds"),
    ):
        found = row(compare(made(tmp_path / str(len(seeds)), seeds=seeds)).table, "better")
        assert (found["method"], found["generalises_to"]) == (method, about)


def test_one_seed_gives_cost_no_interval(tmp_path: Path) -> None:
    found = compare(made(tmp_path, seeds=(1,)))
    assert np.isnan(row(found.table, "better", "cost.usd")["low"])
    assert found.answer["saving"] is None  # half the price, but of one world
    assert noted(found.answer["notes"])["cost_without_interval"] == {"cost": "cost.usd"}


def test_the_winner_is_as_good_for_less_and_its_saving_is_against_the_baseline(tmp_path: Path) -> None:
    """`cheap` is a little better than `plain` at half its cost; `better` costs twice as much."""
    answer = compare(made(tmp_path)).answer
    assert answer["winner"] == "cheap"
    assert answer["saving"]["share_saved"] == pytest.approx(0.5)
    assert answer["saving"]["low"] > 0
    assert (answer["decision"]["winner_by"], answer["decision"]["runner_up"]) == ("saving", "plain")
    assert [point["variant"] for point in answer["frontier"]] == ["cheap", "better"]
    assert "'cheap' (NDCG@10" in answer["headline"]
    assert "costs 50% less (with 95% over all variants at least 4" in answer["headline"]


def test_what_needs_no_request_and_is_as_good_comes_first(tmp_path: Path) -> None:
    answer = compare(made(tmp_path, alone={"srm": 0.9, "popular": 0.1})).answer
    assert answer["decision"]["call"] == "no"
    assert [row["baseline"] for row in answer["decision"]["nothing"]] == ["srm", "popular"]
    assert answer["headline"].startswith("Do not call: the phone's own model alone reaches NDCG@10 0.8990")


def test_a_gain_over_what_needs_no_request_is_paired_and_has_its_interval(tmp_path: Path) -> None:
    """`cheap` hits 31% and the SRM alone 20%, of the same uniforms: the difference is that of the shares."""
    answer = compare(made(tmp_path, alone={"srm": 0.2})).answer
    u = np.stack([np.random.default_rng(seed).random(N_DEVICES * N_STEPS) for seed in (1, 2, 3)])
    row = answer["decision"]["nothing"][0]
    assert (answer["decision"]["call"], row["variant"]) == ("yes", "cheap")
    assert row["gain"]["mean"] == pytest.approx((u < 0.31).mean() - (u < 0.2).mean())
    assert row["gain"]["low"] > 0.08
    assert answer["headline"].startswith("Calling adds accuracy: 'cheap' reaches NDCG@10")


def test_a_gain_that_may_be_chance_is_not_called_one(tmp_path: Path) -> None:
    """Both hit three in ten, each by chance of its own."""

    def other(_variant: str, _seed: int, u: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.where(7919 * u % 1.0 < 0.30, 0, -1)

    variants = {k: SETTINGS[k] for k in ("plain", "twin")}
    answer = compare(made(tmp_path, variants=variants, ranks=other, alone={"srm": 0.3})).answer
    assert (answer["decision"]["call"], answer["winner"]) == ("not shown", None)
    assert answer["headline"].startswith("No gain from calling is shown: the phone's own model alone reaches")


def test_who_never_asks_says_nothing_of_calling(tmp_path: Path) -> None:
    """`better` beats the SRM alone without a request, from a list that came with the app; who asks does not."""

    def silent(variant: str, seed: int) -> Mapping[str, Any]:
        return {**costs(variant, seed), "requests": {"ratio": 0.5 * (variant != "better")}}

    decision = compare(made(tmp_path, figures=silent, alone={"srm": 0.4})).answer["decision"]
    assert (decision["call"], decision["policy"] != "better") == ("no", True)


def test_what_does_not_differ_is_a_tie_with_the_same_chance_on_the_front(tmp_path: Path) -> None:
    answer = compare(made(tmp_path), baseline="better").answer
    assert answer["decision"]["ties"] == [["plain", "twin"]]
    twins = {k: SETTINGS[k] for k in ("plain", "twin", "better")}
    front = {row["variant"]: row for row in compare(made(tmp_path / "two", variants=twins)).answer["frontier"]}
    assert front["plain"]["probability_on_front"] == front["twin"]["probability_on_front"]
    assert front["plain"]["ties"] == ["twin"]


def test_no_request_meets_any_limit_on_requests(tmp_path: Path) -> None:
    """`cheap` never asks, so its requests have no latency; `better` asks and is too late."""

    def timed(variant: str, seed: int) -> Mapping[str, Any]:
        asked = {"plain": 0.5, "twin": 0.4, "better": 2.0}
        late = {"request": {"p95": asked[variant]}} if variant in asked else {}
        return {**costs(variant, seed), "requests": {"ratio": 0.5 * bool(late)}, "latency_s": late}

    answer = compare(made(tmp_path, figures=timed, limits={"latency_s.request.p95": 1.0})).answer
    assert [point["variant"] for point in answer["frontier"]] == ["cheap"]
    assert "front_unknown" not in noted(answer["notes"])


def test_trainings_are_replications_and_no_variants(tmp_path: Path) -> None:
    """Two worlds with three trainings each: six runs a variant, and the interval is for new trainings too."""
    found = compare(made(tmp_path, seeds=(1, 2), trainings=[1, 2, 3]))
    one = row(found.table, "better")
    assert (one["n_seeds"], one["n_trainings"]) == (2, 3)
    assert one["generalises_to"] == "new users, new worlds and new trainings"
    assert found.answer["decision"]["replicated"] == {"worlds": [1, 2], "users": N_DEVICES, "trainings": [1, 2, 3]}


def test_an_account_that_was_resampled_gives_cost_an_interval_at_one_seed(tmp_path: Path) -> None:
    """400 draws of a cost with a standard deviation of a tenth, alike for all: a difference of one dollar is sure."""
    name = "cost.usd_provisioned_per_1k_interactions"

    def account(variant: str, _: int) -> Mapping[str, Any]:
        return {"cost": {"usd_provisioned_per_1k_interactions": COST[variant]}}

    folder = made(tmp_path, figures=account, seeds=(1,), metrics=["ndcg@10", name])
    noise = np.random.default_rng(1).normal(0.0, 0.1, 400)
    for place in ExperimentFolder(folder).runs():
        drawn = COST[place.variant.name] + noise
        table = pd.DataFrame({"draw": range(400), "usd_per_1k_interactions": drawn})
        table.to_parquet(place.folder / "account.parquet")
    found = row(compare(folder).table, "better", name)
    assert found["high"] - found["mean"] == pytest.approx(0.196, rel=0.1)
    assert found["difference_high"] - found["difference_low"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("seeds", [(1,), (1, 2, 3)])
def test_table_sentence_front_and_page_state_one_interval(tmp_path: Path, seeds: tuple[int, ...]) -> None:
    """Dollars a month whose draws are skewed: of one run their quantiles, which lie nearer below than above."""
    name = "cost.usd_provisioned_per_month"

    def account(variant: str, seed: int) -> Mapping[str, Any]:
        return {"cost": {"usd_provisioned_per_month": 1000.0 * COST[variant] * (1 + 0.02 * seed)}}

    folder = made(tmp_path, figures=account, seeds=seeds, metrics=["ndcg@10", name], alone={"srm": 0.1})
    noise = np.random.default_rng(1).exponential(1.0, 400)
    for place in ExperimentFolder(folder).runs():
        drawn = 1000.0 * COST[place.variant.name] * (1 + 0.02 * place.seed) * (0.8 + 0.2 * noise)
        pd.DataFrame({"draw": range(400), "usd_per_month": drawn}).to_parquet(place.folder / "account.parquet")
    found = compare(folder, cost=name)
    decision, page = found.answer["decision"], read_experiment(folder)
    told = row(found.table, decision["policy"], name)
    stated = {end: pytest.approx(told[end]) for end in ("mean", "low", "high")}
    assert decision["policy_usd_per_month"] == stated
    assert dataclasses.asdict(page.estimate(decision["policy"], name)) == stated
    for point in found.answer["frontier"]:
        told = row(found.table, point["variant"], name)
        assert (point["x_low"], point["x_high"]) == (told["low"], told["high"])
    if len(seeds) == 1:
        told = row(found.table, "better", name)
        assert told["low"] == pytest.approx(1020.0 * COST["better"] * (0.8 + 0.2 * np.quantile(noise, 0.025)))
        assert told["mean"] - told["low"] < told["high"] - told["mean"]


def test_nothing_beats_a_baseline_that_is_best_and_cheapest(tmp_path: Path) -> None:
    answer = compare(made(tmp_path), baseline="better", cost="cost.usd").answer
    assert answer["winner"] is None
    alone = compare(made(tmp_path / "one", variants={k: SETTINGS[k] for k in ("cheap", "plain")})).answer
    assert alone["headline"].startswith("Nothing is shown to be better than 'cheap'")


def test_saving_at_equal_accuracy_is_of_a_family_between_its_runs(tmp_path: Path) -> None:
    """The rivals pay 1 for 0.2 and 3 for 0.4, so 2 for the 0.3 of a baseline that costs 2.5: a fifth less."""
    settings: Mapping[str, Mapping[str, Any]] = {
        "own": {"policy.slate": "llm"},
        "low": {"policy.request.ratio": 0.1},
        "high": {"policy.request.ratio": 0.9},
    }
    share, cost = {"low": 0.2, "high": 0.4, "own": 0.3}, {"low": 1.0, "high": 3.0, "own": 2.5}

    def evenly(variant: str, _: int, u: NDArray[np.float64]) -> NDArray[np.int64]:
        order = u.argsort(axis=None).argsort().reshape(u.shape)  # exact shares
        return np.where(order < share[variant] * u.size, 0, -1)

    def figures(variant: str, _: int) -> Mapping[str, Any]:
        return {"cost": {"usd": cost[variant]}}

    answer = compare(made(tmp_path, variants=settings, ranks=evenly, figures=figures)).answer
    assert (answer["winner"], answer["saving"]["below"]) == ("high", "low")
    assert answer["saving"]["cost_variant"] == pytest.approx(2.0)
    assert answer["saving"]["share_saved"] == pytest.approx(0.2)
    assert "between its runs 'low' and 'high'" in answer["headline"]


def test_families_are_compared_at_equal_realised_ratios(tmp_path: Path) -> None:
    """`smart` adds 0.1 at every ratio but asks more often than it is told: at equal settings it looks better still."""
    settings = {
        f"{kind} {ratio}": {"policy.request": {"kind": kind, "ratio": ratio}}
        for kind in ("plain", "smart")
        for ratio in (0.2, 0.6)
    }
    settings["never"] = {"policy.request": {"kind": "never"}}
    realised = {"plain 0.2": 0.2, "plain 0.6": 0.6, "smart 0.2": 0.3, "smart 0.6": 0.7, "never": 0.0}

    def ranks(variant: str, _: int, u: NDArray[np.float64]) -> NDArray[np.int64]:
        order = u.argsort(axis=None).argsort().reshape(u.shape)
        share = 0.1 + 0.5 * realised[variant] + 0.1 * variant.startswith("smart")
        return np.where(order < share * u.size, 0, -1)

    def figures(variant: str, _: int) -> Mapping[str, Any]:
        return {"cost": {"usd": 1.0}, "requests": {"ratio": realised[variant]}}

    found = compare(made(tmp_path, variants=settings, ranks=ranks, figures=figures), equal_ratio=True).answer
    smart = [line for line in found["equal_ratio"] if line["family"] == "smart"]
    assert [line["ratio"] for line in smart] == [0.6]  # plain's 0.2 is below all of smart's
    assert smart[0]["difference"] == pytest.approx(0.1, abs=2e-3)
    assert smart[0]["difference_low"] > 0.05
    assert noted(found["notes"])["equal_ratio_one_side"] == {"family": "never"}


def test_a_limit_keeps_a_variant_off_the_front(tmp_path: Path) -> None:
    def slow(variant: str, seed: int) -> Mapping[str, Any]:
        return {**costs(variant, seed), "latency_s": {"slate": {"p95": 5.0 if variant == "better" else 0.1}}}

    answer = compare(made(tmp_path, figures=slow, limits={"latency_s.slate.p95": 0.2})).answer
    assert "better" not in [point["variant"] for point in answer["frontier"]]
    told = noted(answer["notes"])["front_over_limit"]
    assert told == {"why": "over the limit latency_s.slate.p95 <= 0.2", "variants": ["better"]}


def test_a_policy_that_missed_its_share_wins_under_no_name(tmp_path: Path) -> None:
    """`better` and `cheap` were told 40%; `cheap`, the winner otherwise, asked every time."""

    def asking(variant: str, seed: int) -> Mapping[str, Any]:
        told = {"better": (0.4, 0.41), "cheap": (0.4, 1.0)}.get(variant, (None, 1.0))
        return costs(variant, seed) | {
            "requests": {"decisions": 1000, "wanted_ratio": told[0], "realised_ratio": told[1]}
        }

    assert compare(made(tmp_path / "kept")).answer["winner"] == "cheap"
    answer = compare(made(tmp_path / "missed", figures=asking)).answer
    assert "cheap" not in [point["variant"] for point in answer["frontier"]]
    assert answer["winner"] != "cheap"
    assert noted(answer["notes"])["front_share_missed"]["variants"] == ["cheap (asked 100%, told 40%)"]


def test_a_warm_up_is_cut_from_accuracy_and_requests(tmp_path: Path) -> None:
    """All miss in the first ten minutes and all hit after it."""

    def cold(_variant: str, _seed: int, u: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.where(np.arange(N_STEPS)[None, :] * STEP_S < 600, -1, 0) + 0 * u.astype(np.int64)

    whole = compare(made(tmp_path / "whole", ranks=cold)).table
    assert row(whole, "plain")["mean"] == pytest.approx(15 / 25)
    for name, asked in (("given", 600.0), ("found", "mser5")):
        table = compare(made(tmp_path / name, ranks=cold, warm_up=asked)).table
        assert row(table, "plain")["mean"] == 1.0
        assert row(table, "plain", "requests.ratio")["mean"] == pytest.approx(3 / (N_DEVICES * 15))


def test_runs_that_evaluate_other_interactions_are_refused(tmp_path: Path) -> None:
    folder = made(tmp_path)
    path = folder / "runs" / "v2" / "2" / "interactions.parquet"
    pd.read_parquet(path).iloc[1:].to_parquet(path)
    with pytest.raises(
        InputError, match=r"'better' and the baseline 'plain' evaluate different interactions at seed 2"
    ):
        compare(folder)


def test_a_failed_run_leaves_its_variant_out_with_the_reason(tmp_path: Path) -> None:
    folder = made(tmp_path)
    run = folder / "runs" / "v2" / "3"
    shutil.rmtree(run)
    run.mkdir()
    (run / "failure.json").write_text(json.dumps({"error": "out of memory"}))
    found = compare(folder)
    told = {"variants": ["better"], "reason": "not finished at seed 3 (out of memory)"}
    assert noted(found.answer["notes"])["left_out"] == told
    assert set(found.table["variant"]) == {"plain", "twin", "cheap"}


def test_the_same_runs_give_the_same_bytes(tmp_path: Path) -> None:
    folder = made(tmp_path)
    written = []
    for _ in range(2):
        compare(folder)
        written.append([(folder / name).read_bytes() for name in ("comparisons.parquet", "answer.json")])
    assert written[0] == written[1]


def test_three_objectives_share_a_front(tmp_path: Path) -> None:
    """`plain` is beaten on accuracy and cost, but it is the fastest."""

    def timed(variant: str, seed: int) -> Mapping[str, Any]:
        return {**costs(variant, seed), "latency_s": {"slate": {"p95": 0.1 if variant == "plain" else 0.5}}}

    answer = compare(made(tmp_path, figures=timed), third="latency_s.slate.p95").answer
    assert {point["variant"] for point in answer["frontier"]} == {"plain", "better", "cheap"}


def test_a_price_of_1000_interactions_has_the_month_of_the_fleet_beside_it() -> None:
    cost = "cost.usd_provisioned_per_1k_interactions"
    assert price(cost, (0.5, 1.0), 3e6) == (
        "$0.500 instead of $1.00 per 1,000 interactions ($1,500 instead of $3,000 a month)"
    )
    assert price(cost, (0.5,), math.nan) == "$0.500 per 1,000 interactions"
