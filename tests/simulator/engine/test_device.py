"""What must always hold of a run, whatever its policy, mode, churn and network."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.simulator.results.run_result import RunResult
from fleetrec.simulator.results.summary import OUTCOMES
from tests.simulator.engine.worlds import CHURN, WORLDS
from tests.simulator.tiny import prepare_tiny, records_of, scenario_of, simulate_tiny


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module", params=list(WORLDS))
def written(
    request: pytest.FixtureRequest, store: ArtifactStore, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunResult, Path]:
    """The run of a world, and the folder that it wrote."""
    folder = tmp_path_factory.mktemp("written") / "run"
    return simulate_tiny(scenario_of(**WORLDS[request.param]), store, folder), folder


@pytest.fixture
def run(written: tuple[RunResult, Path]) -> RunResult:
    return written[0]


def assert_same_bytes(one: Path, other: Path) -> None:
    """Two runs wrote the same records and the same summary."""
    for file in (
        "interactions.parquet",
        "requests.parquet",
        "devices.parquet",
        "cloud.parquet",
        "updates.parquet",
        "summary.json",
    ):
        assert (one / file).read_bytes() == (other / file).read_bytes(), file


def test_every_interaction_is_evaluated_once(run: RunResult, store: ArtifactStore) -> None:
    prepared = prepare_tiny(run.scenario, store)
    population, stream = prepared.population, prepared.population.stream
    expected = []
    for device in range(population.n_devices):
        for row in range(int(stream.device_offsets[device]), int(stream.device_offsets[device + 1])):
            taking_part = population.presence.joined_s[device] <= stream.t_s[row] <= population.presence.left_s[device]
            if taking_part and stream.t_s[row] <= stream.horizon_s:
                expected.append((device, int(stream.step[row]), float(stream.t_s[row])))
    got = list(run.interactions[["device", "step", "t_s"]].itertuples(index=False, name=None))
    assert len(expected) > 100
    assert sorted(got) == sorted(expected)


def test_every_request_ends_exactly_once_and_the_counts_add_up(run: RunResult) -> None:
    requests, counts = run.requests, run.summary["requests"]
    assert requests["request"].tolist() == list(range(len(requests)))
    assert set(requests["outcome"]) <= set(OUTCOMES)
    assert sum(counts[name] for name in OUTCOMES) == counts["asked"] == len(requests)


def test_a_requests_times_are_in_order(run: RunResult) -> None:
    times = run.requests[["t_issued_s", "t_arrived_s", "t_started_s", "t_finished_s", "t_delivered_s"]].to_numpy()
    for row in times:
        known = row[np.isfinite(row)]
        assert (np.diff(known) >= -1e-9).all()


def test_only_what_was_served_costs_gpu_time(run: RunResult) -> None:
    requests = run.requests
    never = requests[~np.isfinite(requests["t_started_s"])]
    assert (never["gpu_seconds"] == 0).all()
    assert requests["gpu_seconds"].sum() == pytest.approx(run.summary["cloud"]["gpu_seconds"], rel=1e-9, abs=1e-9)


def test_no_slate_uses_a_list_that_had_not_landed(run: RunResult) -> None:
    """Each list on screen was preloaded, or was delivered to this device before the interaction."""
    landed: dict[tuple[int, int], float] = {}
    for request in run.requests[run.requests["outcome"] == "completed"].itertuples():
        landed.setdefault((request.device, request.step), request.t_delivered_s)
    first = run.interactions.groupby("device")["step"].min()
    preloaded = run.scenario.fleet.preloaded
    joined = run.devices.set_index("device")["joined_s"]
    for row in run.interactions[run.interactions["as_of"] >= 0].itertuples():
        assert row.as_of < row.step
        assert row.staleness == row.step - 1 - row.as_of
        key = (row.device, row.as_of)
        if key in landed and landed[key] < row.t_s:
            continue
        assert preloaded
        assert row.as_of == first[row.device] - 1 - preloaded.lag
        assert joined[row.device] < row.t_s or row.t_s == 0


def test_lists_on_screen_only_get_newer(run: RunResult) -> None:
    ordered = run.interactions.sort_values(["device", "step"])
    for _, of_device in ordered.groupby("device"):
        assert (np.diff(of_device["as_of"]) >= 0).all()


def test_one_request_is_in_flight_per_device(run: RunResult) -> None:
    ended = run.requests["t_delivered_s"]
    for _, of_device in run.requests[ended.notna()].groupby("device"):
        ordered = of_device.sort_values("t_issued_s")
        assert (ordered["t_issued_s"].to_numpy()[1:] >= ordered["t_delivered_s"].to_numpy()[:-1] - 1e-9).all()


def test_who_is_there_from_the_start_decides_first_at_an_interaction_and_who_comes_later_as_it_joins(
    store: ArtifactStore,
) -> None:
    run = simulate_tiny(scenario_of(fleet={"churn": CHURN}, policy={"request": {"kind": "always"}}), store)
    joined = run.devices.set_index("device")["joined_s"]
    at_an_interaction = set(zip(run.interactions["device"], run.interactions["t_s"], strict=True))
    firsts = run.requests.groupby("device")["t_issued_s"].min()
    assert (joined == 0).sum() > 20
    for device, first_s in firsts.items():
        assert first_s == joined[device] if joined[device] > 0 else (device, first_s) in at_an_interaction


def test_a_device_that_comes_back_online_asks_then_for_what_it_missed(store: ArtifactStore) -> None:
    world: dict[str, Any] = {"fleet": {"churn": CHURN}, "workload": {"arrivals": {"kind": "poisson", "per_day": 400}}}
    always = {"request": {"kind": "always"}, "decide_at": ["join", "interaction", "online"]}
    run = simulate_tiny(scenario_of(**world, policy=always), store)
    presence = prepare_tiny(run.scenario, store).population.presence
    met = set(zip(run.interactions["device"], run.interactions["t_s"], strict=True))
    between = [row for row in run.requests.itertuples() if (row.device, row.t_issued_s) not in met]
    joined = run.devices["joined_s"].to_numpy()
    online = [row for row in between if row.t_issued_s != joined[row.device]]
    assert len(online) > 10
    for row in online:
        assert presence.next_online(row.device, np.nextafter(row.t_issued_s, 0.0)) == row.t_issued_s
        lists = run.requests[(run.requests["device"] == row.device) & (run.requests["t_delivered_s"] <= row.t_issued_s)]
        assert row.step > lists["step"].max() or lists.empty


def test_as_a_list_lands_a_device_asks_again_if_its_user_has_gone_on(store: ArtifactStore) -> None:
    world: dict[str, Any] = {"workload": {"arrivals": {"kind": "poisson", "per_day": 4000}}}
    world["cloud"] = {"replicas": 8, "request_timeout": "10min"}
    links = {"classes": [{"name": "only", "share": 1, "link": {"kind": "constant", "rtt": "30s"}}]}
    always = {"request": {"kind": "always"}, "decide_at": ["interaction", "answer"]}
    run = simulate_tiny(scenario_of(**world, fleet=links, policy=always), store)
    requests = run.requests[run.requests["outcome"] == "completed"].sort_values(["device", "t_issued_s"])
    gone_on = 0
    for device, own in requests.groupby("device"):
        steps = run.interactions[run.interactions["device"] == device].set_index("step")["t_s"]
        all_s = run.requests.loc[run.requests["device"] == device, "t_issued_s"].to_numpy()
        for row in own.itertuples():
            newest = steps[steps <= row.t_delivered_s].index.max()
            assert (row.t_delivered_s in all_s) == (newest > row.step)
            gone_on += newest > row.step
    assert gone_on > 50


def test_where_joining_is_all_that_is_decided_at_everyone_decides_once_as_the_run_begins(store: ArtifactStore) -> None:
    run = simulate_tiny(scenario_of(policy={"request": {"kind": "always"}, "decide_at": "join"}), store)
    assert run.requests["device"].tolist() == list(range(50))
    assert (run.requests["t_issued_s"] == 0).all()


def test_no_policy_begins_with_a_burst(store: ArtifactStore) -> None:
    """A cloud that serves one request at a time, and has time for all but a burst, keeps nobody waiting for long."""
    arrivals = {"kind": "poisson", "per_day": 24}
    for kind in ("always", "session_start"):
        one = {"replicas": 1, "max_sequences": 50, "queue_limit": 1000, "request_timeout": "1h"}
        world = scenario_of(cloud=one, workload={"arrivals": arrivals}, policy={"request": {"kind": kind}})
        run = simulate_tiny(world, store)
        waits_s = run.requests["t_started_s"] - run.requests["t_arrived_s"]
        assert len(run.requests) > 300
        assert waits_s.quantile(0.95) < 0.1 * (run.requests["t_finished_s"] - run.requests["t_started_s"]).median()


def test_interactions_point_at_their_requests(run: RunResult) -> None:
    asked = run.interactions[run.interactions["requested"]]
    requests = run.requests.set_index("request")
    for row in asked.itertuples():
        assert requests.loc[row.request, "device"] == row.device
        assert requests.loc[row.request, "step"] == row.step
        assert requests.loc[row.request, "t_issued_s"] == pytest.approx(row.t_s)


def test_the_same_scenario_gives_the_same_bytes(
    written: tuple[RunResult, Path], store: ArtifactStore, tmp_path: Path
) -> None:
    run, folder = written
    simulate_tiny(run.scenario, store, tmp_path / "again")
    assert_same_bytes(folder, tmp_path / "again")


def assert_same_records(found: dict[str, pd.DataFrame], run: RunResult) -> None:
    """The devices recorded the same, row by row; `usd_network` is reckoned from these records afterwards."""
    pd.testing.assert_frame_equal(found["interactions"], run.interactions)
    pd.testing.assert_frame_equal(found["requests"], run.requests.drop(columns="usd_network"))


def test_one_job_a_call_gives_the_same_ranks_and_decisions(run: RunResult, store: ArtifactStore) -> None:
    engine = run.scenario.engine.model_copy(update={"batching": False})
    assert_same_records(records_of(run.scenario.model_copy(update={"engine": engine}), store), run)


def test_sleeping_through_interactions_changes_nothing(
    written: tuple[RunResult, Path], store: ArtifactStore, tmp_path: Path
) -> None:
    run, asleep = written
    stepping = run.scenario.model_copy(update={"engine": run.scenario.engine.model_copy(update={"sleep": False})})
    simulate_tiny(stepping, store, tmp_path / "awake")
    assert_same_bytes(asleep, tmp_path / "awake")


def test_windows_of_any_length_change_nothing(
    run: RunResult, store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetrec.simulator.records.recorder._ROWS_PER_PART", 20)
    monkeypatch.setattr("fleetrec.simulator.records.slate_table._FEWEST_HELD", 30)
    assert_same_records(records_of(run.scenario, store), run)


def test_no_wait_is_negative_and_none_outlasts_the_gap(run: RunResult) -> None:
    ordered = run.interactions.sort_values(["device", "step"])
    gaps = ordered.groupby("device")["t_s"].diff()
    late = ordered["slate_latency_s"] > gaps.where(gaps > 0) + 1e-3
    assert (ordered["slate_latency_s"] >= 0).all()
    assert not late.any()


def test_two_policies_at_one_seed_share_arrivals_links_and_presence(store: ArtifactStore) -> None:
    world = {"fleet": {"churn": CHURN}}
    one = simulate_tiny(scenario_of(**world, policy={"request": {"kind": "always"}}), store)
    other = simulate_tiny(scenario_of(**world, policy={"request": {"kind": "every", "n": 3}}), store)
    shared = ["device", "step", "t_s", "item", "online"]
    pd.testing.assert_frame_equal(one.interactions[shared], other.interactions[shared])
    pd.testing.assert_frame_equal(
        one.devices[["joined_s", "left_s", "link"]], other.devices[["joined_s", "left_s", "link"]]
    )
    both = one.requests.merge(other.requests, on=["device", "step"], suffixes=("", "_other"))
    same_up = both[
        (both["bytes_up"] == both["bytes_up_other"]) & both["t_arrived_s"].notna() & both["t_arrived_s_other"].notna()
    ]
    assert len(same_up) > 50
    up = same_up["t_arrived_s"] - same_up["t_issued_s"]
    assert np.allclose(up, same_up["t_arrived_s_other"] - same_up["t_issued_s_other"], atol=1e-9)


def test_a_request_that_times_out_still_costs_its_gpu_seconds(store: ArtifactStore) -> None:
    slow = {"replicas": 4, "max_sequences": 50, "request_timeout": "50ms", "gpu": "h100"}
    run = simulate_tiny(scenario_of(cloud=slow, policy={"request": {"kind": "always"}}), store)
    late = run.requests[(run.requests["outcome"] == "timed_out") & run.requests["t_started_s"].notna()]
    assert len(late) > 20
    assert (late["gpu_seconds"] > 0.05).all()  # 8 steps of an 8B model take longer than the time it was given


def test_a_fresher_list_is_better_where_lists_know_the_next_items(store: ArtifactStore) -> None:
    never = simulate_tiny(scenario_of(policy={"request": {"kind": "never"}}), store)
    always = simulate_tiny(scenario_of(policy={"request": {"kind": "always"}}), store)
    assert always.summary["accuracy"]["hr@10"] > never.summary["accuracy"]["hr@10"] + 0.1
    assert always.summary["freshness"]["mean_staleness"] < never.summary["freshness"]["mean_staleness"]


def test_an_answer_that_comes_too_late_was_not_on_screen(store: ArtifactStore) -> None:
    """The same requests against a slower network: staler slates, lower accuracy."""

    def with_rtt(rtt: str) -> RunResult:
        classes = [{"name": "only", "share": 1, "link": {"kind": "constant", "rtt": rtt}}]
        arrivals = {"kind": "poisson", "per_day": 20_000}
        return simulate_tiny(
            scenario_of(
                fleet={"classes": classes},
                workload={"arrivals": arrivals},
                cloud={"request_timeout": "10min", "replicas": 8},
                policy={"request": {"kind": "always"}},
            ),
            store,
        )

    fast, slow = with_rtt("1ms"), with_rtt("1min")
    assert slow.summary["freshness"]["mean_staleness"] > fast.summary["freshness"]["mean_staleness"] + 1
    assert slow.summary["accuracy"]["hr@10"] < fast.summary["accuracy"]["hr@10"]


def test_a_device_out_of_battery_keeps_counting(store: ArtifactStore) -> None:
    def with_battery(when_empty: str) -> RunResult:
        classes = [{"name": "only", "share": 1, "battery": "0.01J", "link": {"kind": "constant"}}]
        return simulate_tiny(scenario_of(fleet={"classes": classes, "when_empty": when_empty}), store)

    frozen, miss = with_battery("frozen"), with_battery("miss")
    assert len(frozen.interactions) == len(miss.interactions)
    assert (miss.interactions["rank"] == -1).mean() > (frozen.interactions["rank"] == -1).mean()
    assert (frozen.devices["joules"] < 0.2).all()
