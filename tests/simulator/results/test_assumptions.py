"""What an answer hangs on: each row's numbers by another road, and rows only where they apply."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleetrec.models.early_stopping import TrainingCurve
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.simulator.engine.world import ranking_flops
from fleetrec.simulator.preparation.policy_calibration import Tuned
from fleetrec.simulator.results.assumptions.data import clock, srm_training
from fleetrec.simulator.results.assumptions.lists import epoch_at
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.simulation import RunResult
from fleetrec.simulator.workload.loading import load_log
from tests.simulator.tiny import RandomLists, prepare_tiny, scenario_of, simulate_tiny


def rows_of(result: RunResult) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in result.summary["hangs_on"]}


def gain(place: int | None) -> float:
    return 1 / np.log2(place + 2) if place is not None and place < 10 else 0.0


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("store"))


def test_the_curve_of_the_llms_order_is_as_by_hand(store: ArtifactStore) -> None:
    scenario = scenario_of(fleet={"devices": 60})
    rows = rows_of(simulate_tiny(scenario, store))
    values = rows["list_age"]["values"]
    prepared = prepare_tiny(scenario, store)
    histories, split = prepared.trained.histories, prepared.trained.split
    source = RandomLists(histories, 20)
    oldest = max(values["ages"])
    found: dict[int, list[float]] = {age: [] for age in values["ages"]}
    for user in np.unique(prepared.population.users).tolist():
        low, high = histories.offsets[user : user + 2]
        own = histories.items[low:high].tolist()
        for step in range(int(split.history[user]) + oldest, len(own)):
            for age in found:
                items = source.lists(np.array([user]), np.array([step - 1 - age])).items[0].tolist()
                shown = [item for item in items if item not in own[:step]]
                found[age].append(gain(shown.index(own[step]) if own[step] in shown else None))
    assert values["interactions"] == len(found[0])
    np.testing.assert_allclose(values["llm_order"], [np.mean(rewards) for rewards in found.values()], rtol=1e-12)
    assert rows["llm_quality"]["values"]["fresh_llm_order"] == values["llm_order"][0]


def test_what_is_gone_from_a_list_is_what_its_user_has_had_since(store: ArtifactStore) -> None:
    scenario = scenario_of(policy={"request": {"kind": "never"}})
    result = simulate_tiny(scenario, store)
    prepared = prepare_tiny(scenario, store)
    histories, users = prepared.trained.histories, prepared.population.users
    source = RandomLists(histories, 20)
    gone, short = 0, 0
    shown = result.interactions
    for device, step, as_of in shown[["device", "step", "as_of"]].itertuples(index=False):
        user = int(users[device])
        items = source.lists(np.array([user]), np.array([as_of])).items[0].tolist()
        low = histories.offsets[user]
        lost = len(set(items) & set(histories.items[low : low + step].tolist()))
        gone, short = gone + lost, short + (20 - lost < 10)
    values = rows_of(result)["lists_shrink"]["values"]
    assert values["slates"] == len(shown) < 3_000  # all of them
    assert values["share_gone"] == pytest.approx(gone / (20 * len(shown)))
    assert values["share_with_fewer_than_10_left"] == pytest.approx(short / len(shown))
    assert "lists_shrink" not in rows_of(simulate_tiny(scenario_of(workload={"exclude_seen": False}), store))


def test_refilling_is_measured_as_a_run_that_refills_shows_it(store: ArtifactStore) -> None:
    """With no request and no latency, a sample of all slates is what was on screen."""
    never = {"policy": {"request": {"kind": "never"}, "fusion": {"kind": "srm_only"}}}
    kept = simulate_tiny(scenario_of(**never), store)
    refilled = simulate_tiny(scenario_of(**never, workload={"exclude_seen": "refill"}), store)
    for result in (kept, refilled):
        values = rows_of(result)["lists_shrink"]["values"]
        assert values["ndcg@10"] == pytest.approx(kept.summary["accuracy"]["ndcg@10"])
        assert values["ndcg@10_refilled"] == pytest.approx(refilled.summary["accuracy"]["ndcg@10"])
    assert refilled.summary["accuracy"]["ndcg@10"] != kept.summary["accuracy"]["ndcg@10"]


@pytest.mark.parametrize(("exclude_seen", "scored"), [(True, 20), (False, 20), ("refill", 200)])
def test_a_device_that_refills_ranks_the_catalogue(exclude_seen: Any, scored: int, store: ArtifactStore) -> None:
    scenario = scenario_of(workload={"exclude_seen": exclude_seen})
    srm = prepare_tiny(scenario, store).trained.srm
    refills, length = scenario.workload.refills, scenario.llm.list_length
    flops = ranking_flops(scenario.policy, length, refills, prepare_tiny(scenario, store).trained, Tuned())
    assert flops == srm.flops_encode + scored * srm.flops_per_candidate


def test_a_slate_without_lists_hangs_on_no_list(store: ArtifactStore) -> None:
    rows = rows_of(simulate_tiny(scenario_of(policy={"slate": "srm"}, fleet={"represents": 5000}), store))
    assert set(rows) == {"arrivals_clock", "represented_users"}  # moments are drawn; nothing was trained
    assert rows["represented_users"]["values"]["represents"] == 5000
    assert rows["represented_users"]["values"]["users_in_log"] == 60


def test_an_srm_that_still_rose_is_said_to_make_asking_look_better_than_it_is() -> None:
    scenario = scenario_of()
    rising = srm_training(scenario.srm.kind, TrainingCurve((0.1, 0.12, 0.13, 0.15), 4, 4, ended_early=False))
    assert rising is not None
    assert "overstated" in rising.text
    assert rising.values["gain_in_last_quarter"] == pytest.approx(0.02)
    done = srm_training(scenario.srm.kind, TrainingCurve((0.1, 0.15, 0.14), 2, 60, ended_early=True))
    assert done is not None
    assert done.values["converged"]
    assert "overstated" not in done.text


def test_a_log_of_rated_lists_is_said_to_have_no_real_clock(store: ArtifactStore, tmp_path: Path) -> None:
    lines = ["user_id,item_id,timestamp,timestamp_is_exact"]
    for user in range(20):
        for event in range(8):  # two events a moment, one in four of them filled in, all within an hour
            time = 1_700_000_000 + 40_000 * user + 600 * (event // 2)
            lines.append(f"u{user},i{(user + 3 * event) % 30},{time},{'False' if event % 4 == 3 else 'True'}")
    path = tmp_path / "rated.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    log = load_log(sections.LogFile(path=str(path)))
    assert log.inexact_times == pytest.approx(0.25)
    prepared = prepare_tiny(scenario_of(), store)
    assert (
        clock(scenario_of(workload={"arrivals": {"kind": "replay"}}).workload.arrivals, prepared) is None
    )  # the made world
    rated = replace(prepared, trained=replace(prepared.trained, split=replace(prepared.trained.split, log=log)))
    row = clock(scenario_of(workload={"arrivals": {"kind": "replay", "time_scale": 0.01}}).workload.arrivals, rated)
    assert row is not None
    assert row.values["zero_gap_share"] == pytest.approx(4 / 7)
    assert row.values["users_within_one_day"] == 1.0
    assert row.values["time_scale"] == 0.01
    for words in ("57% of a user's consecutive events have the same time", "25% of the times", "within one day"):
        assert words in row.text


def test_the_epoch_at_which_always_asking_is_worth_nothing_is_the_last_one_below_that_share() -> None:
    curve = TrainingCurve((0.05, 0.08, 0.075, 0.09, 0.1), 5, 6, ended_early=True)
    assert [epoch_at(curve, ratio) for ratio in (0.4, 0.5, 0.79, 0.85, 1.2)] == [None, 1, 3, 3, None]
