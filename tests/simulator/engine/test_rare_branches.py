"""What happens seldom in a run: ties, links that break, answers and versions that are overtaken."""

import math
import os
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fleetrec.models.candidates import CandidateLists
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress, Progress
from fleetrec.simulator.cloud.node.queueing import Ticket
from fleetrec.simulator.core.clock import Clock
from fleetrec.simulator.engine.adaptation import OwnAdapter
from fleetrec.simulator.engine.request_ledger import RequestLedger
from fleetrec.simulator.engine.run import begin, run
from fleetrec.simulator.engine.world import World, build_world
from fleetrec.simulator.preparation.policy_calibration import Tuned
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.records.schemas import ServingCost
from fleetrec.simulator.scenario import sections
from tests.simulator.tiny import RandomLists, prepare_tiny, scenario_of

ALWAYS = {"kind": "always"}
FEW = {"devices": 12}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("store"))


def over(link: dict[str, Any]) -> list[dict[str, Any]]:
    """Every device has this link."""
    return [{"name": "only", "share": 1, "link": {"kind": "constant", **link}}]


def built(scenario: sections.Scenario, prepared: Prepared) -> World:
    return build_world(scenario, prepared, Tuned(), None)


def ran(
    scenario: sections.Scenario, prepared: Prepared, progress: Progress | None = None
) -> tuple[World, dict[str, Any]]:
    """A world that has run, and its records."""
    world = built(scenario, prepared)
    run(world, scenario, prepared, progress or NullProgress())
    return world, {name: table.to_pandas() for name, table in world.recorder.finish().items()}


# ---------------------------------------------------------------------------------------------- on-device adaptation


def adapter_of(when: dict[str, Any], store: ArtifactStore) -> tuple[OwnAdapter, World]:
    """That of the first device, whose trainings take seconds."""
    classes = [{"name": "only", "share": 1, "overhead": "5s", "speed_spread": 0}]
    scenario = scenario_of(
        fleet={"devices": 4, "classes": classes}, policy={"update": {"kind": "on_device", "when": when}}
    )
    world = built(scenario, prepare_tiny(scenario, store))
    adapter = world.devices[0].adapter
    assert isinstance(adapter, OwnAdapter)
    return adapter, world


def test_an_adaptation_under_way_is_neither_begun_again_nor_hurried_by_ranks(store: ArtifactStore) -> None:
    adapter, world = adapter_of({"kind": "every", "n": 2}, store)
    row, step = world.devices[0].row, world.devices[0].step
    assert not adapter.watches
    adapter.note(-1)
    assert adapter.consider(row, step + 1, 10.0) == 0.0
    assert adapter.ready_s == math.inf
    assert adapter.consider(row + 1, step + 2, 20.0) > 0.0
    ready_s = adapter.ready_s
    assert ready_s > 25.0
    assert adapter.consider(row + 3, step + 4, 22.0) == 0.0
    assert adapter.ready_s == ready_s
    assert adapter.finish(0, 0)[0] == ready_s
    assert adapter.consider(row + 4, step + 5, 60.0) > 0.0  # the third since it began, not since it was asked last


def test_a_new_version_ends_the_training_that_has_begun_and_not_the_one_that_has_yet_to(store: ArtifactStore) -> None:
    adapter, world = adapter_of({"kind": "idle", "gap": "1min", "min_new": 1}, store)
    device = world.devices[0]
    times = device.times
    row = next(row for row in range(device.row, device.end - 1) if times[row + 1] - times[row] > 120.0)
    now = times[row]
    assert adapter.consider(row, device.step + row - device.row + 1, now) > 0.0
    ready_s = adapter.ready_s
    assert ready_s > now + 65.0
    adapter.restart(now + 59.0)
    assert adapter.ready_s == ready_s
    adapter.restart(now + 61.0)
    assert adapter.ready_s == math.inf


def test_adaptations_that_do_not_fit_into_memory_are_one_line(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = {"kind": "on_device", "when": {"kind": "every", "n": 3}, "adapter": {"kind": "bias"}}
    scenario = scenario_of(fleet=FEW, policy={"update": update})
    prepared = prepare_tiny(scenario, store)
    needed_bytes = 4 * 8 * int(prepared.population.n_interactions.sum()) / 3
    real = os.sysconf

    def with_memory(nbytes: int) -> None:
        machine = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": nbytes}
        monkeypatch.setattr(os, "sysconf", lambda name: machine[name] if name in machine else real(name))

    with_memory(math.ceil(2 * needed_bytes))
    built(scenario, prepared)
    with_memory(math.ceil(2 * needed_bytes) - 2)
    with pytest.raises(InputError, match=r"policy\.update: adaptations of 8 numbers each .* half of this") as caught:
        built(scenario, prepared)
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------------------------------------------- the device


def test_interactions_at_one_time_see_one_slate_and_lead_to_one_decision(store: ArtifactStore) -> None:
    scenario = scenario_of(fleet=FEW, policy={"request": ALWAYS})
    prepared = prepare_tiny(scenario, store)
    stream = prepared.population.stream
    ties = replace(stream, t_s=np.maximum(np.floor(stream.t_s / 600.0), 1.0) * 600.0)
    world, told = ran(scenario, replace(prepared, population=replace(prepared.population, stream=ties)))
    asked = told["requests"].groupby("device")["step"].agg(set)
    groups = [group for _, group in told["interactions"].groupby(["device", "t_s"])]
    assert sum(len(group) > 1 for group in groups) > 10
    for group in groups:
        assert group["as_of"].nunique() == 1
        assert (group["as_of"] < group["step"].iloc[0]).all()
        assert group["slate_latency_s"].nunique() == 1
        assert group["requested"].tolist() == [False] * (len(group) - 1) + [True]
        assert asked[group["device"].iloc[0]] & set(group["step"]) == {group["step"].iloc[-1]}
    assert sum(device.decisions for device in world.devices) == len(groups)
    assert len(told["interactions"]) == len(stream.t_s[stream.t_s <= stream.horizon_s])


class Behind(RandomLists):
    """A table whose lists are some steps older than what is asked for."""

    steps = 0

    def lists(self, users: np.ndarray, as_of: np.ndarray) -> CandidateLists:
        return super().lists(users, np.maximum(as_of - self.steps, 0))


def test_a_list_that_is_older_than_the_one_a_device_has_does_not_replace_it(
    store: ArtifactStore, tmp_path: Path
) -> None:
    pd.DataFrame({"user_id": ["1"], "item_ids": [["1"]]}).to_parquet(tmp_path / "lists.parquet")
    candidates = {"kind": "table", "path": str(tmp_path / "lists.parquet")}
    scenario = scenario_of(fleet=FEW, llm={"candidates": candidates}, policy={"request": ALWAYS})
    prepared = prepare_tiny(scenario, store)
    source = Behind(prepared.trained.histories, scenario.llm.list_length)
    world = built(scenario, replace(prepared, source=source))
    source.steps = 5  # from now on: what devices have been preloaded with is newer
    run(world, scenario, prepared, NullProgress())
    told: dict[str, Any] = {name: table.to_pandas() for name, table in world.recorder.finish().items()}
    answered = told["requests"][told["requests"]["outcome"] == "completed"]
    older = 0
    for device, own in told["interactions"].groupby("device"):
        had = world.devices[device].profile.preloaded
        answers = answered[answered["device"] == device]
        for row in own.itertuples():
            landed = answers["step"][answers["t_delivered_s"] < row.t_s - 1.0] - 5
            older += len(landed) > 0 and landed.max() < had
            assert row.as_of >= max(had, landed.max() if len(landed) else had)
    assert older > 20


def test_a_blocking_screen_waits_for_its_answer_though_new_weights_come(store: ArtifactStore) -> None:
    update = {"kind": "fleet", "every": "40min", "start": "1s"}
    policy = {"request": ALWAYS, "mode": "blocking", "patience": "5min", "update": update}
    cloud = {"request_timeout": "10min"}
    scenario = scenario_of(fleet={"devices": 20, "classes": over({"rtt": "4min"})}, cloud=cloud, policy=policy)
    world, told = ran(scenario, prepare_tiny(scenario, store))
    updates: Any = world.log.table()
    installed = updates[updates["event"] == "installed"].groupby("device")["t_s"].agg(list)
    interrupted = 0
    for device, own in told["requests"].groupby("device"):
        met = told["interactions"][told["interactions"]["device"] == device].set_index("step")
        for request in own.itertuples():
            if request.step + 1 not in met.index:
                continue
            following = met.loc[request.step + 1]
            waited_s = min(following["t_s"], request.t_issued_s + 240.0) - request.t_issued_s
            assert following["slate_latency_s"] >= waited_s - 0.1
            interrupted += sum(0 < t_s - request.t_issued_s < waited_s for t_s in installed[device])
    assert interrupted > 5


# ---------------------------------------------------------------------------------------------------- its requests


def test_a_request_is_recorded_once_though_its_gpu_is_left_twice(store: ArtifactStore) -> None:
    scenario = scenario_of(fleet=FEW)
    world = built(scenario, prepare_tiny(scenario, store))
    ledger = RequestLedger(world.recorder, lambda ticket: ServingCost(gpu_seconds=ticket.gpu_seconds))
    given_up, other = (Ticket(Clock(), number, (1.0,), 0.0, 1.0) for number in (0, 1))
    record = ledger.issue(0, world.devices[0].step, 0.0, 0)
    record.ticket, record.outcome, given_up.in_service = given_up, "timed_out", True
    ledger.close(record)
    ledger.settle(other)
    given_up.in_service, given_up.gpu_seconds = False, 3.0
    ledger.settle(given_up)
    given_up.gpu_seconds = 9.0
    ledger.settle(given_up)
    assert world.recorder.finish()["requests"]["gpu_seconds"].to_pylist() == [3.0]


def test_an_upload_that_would_outlast_the_deadline_is_given_up_at_the_deadline(store: ArtifactStore) -> None:
    policy = {"request": ALWAYS, "mode": "blocking", "patience": "1h"}
    classes = over({"rtt": "0s", "up": "1kbps", "radio_power": "2W"})
    scenario = scenario_of(fleet={**FEW, "classes": classes}, cloud={"request_timeout": "5s"}, policy=policy)
    world, told = ran(scenario, prepare_tiny(scenario, store))
    requests, met = told["requests"], told["interactions"].sort_values(["device", "step"])
    assert len(requests) > 100
    assert set(requests["outcome"]) <= {"timed_out", "unfinished"}
    assert (requests["outcome"] == "unfinished").sum() <= len(world.devices)
    assert requests[["t_arrived_s", "t_started_s", "t_delivered_s"]].isna().all().all()
    assert (requests["gpu_seconds"] == 0).all()
    gaps_s = met.groupby("device")["t_s"].diff()
    waited = met["requested"].groupby(met["device"]).shift(1, fill_value=False).astype(bool) & gaps_s.notna()
    assert waited.sum() > 100
    assert met["slate_latency_s"][waited].to_numpy() == pytest.approx(np.minimum(gaps_s[waited], 5.0), abs=1e-3)
    up_s = requests["bytes_up"].groupby(requests["device"]).sum() * 8 / 1000.0
    assert [device.other_j for device in world.devices] == pytest.approx((2.0 * up_s).tolist())


@pytest.mark.parametrize("lag", [0, 1])
def test_a_list_that_the_cloud_has_kept_takes_no_gpu(lag: int, store: ArtifactStore) -> None:
    policy = {"request": ALWAYS, "decide_at": "join"}
    scenario = scenario_of(
        fleet={**FEW, "classes": over({}), "preloaded": {"lag": lag}}, cloud={"stores": "lists"}, policy=policy
    )
    _, told = ran(scenario, prepare_tiny(scenario, store))
    requests = told["requests"]
    assert len(requests) == 12
    assert set(requests["outcome"]) == {"completed"}
    assert ((requests["gpu_seconds"] > 0) == (lag > 0)).all()
    assert ((requests["replica"] >= 0) == (lag > 0)).all()
    assert ((requests["t_finished_s"] == requests["t_arrived_s"]) == (lag == 0)).all()
    assert (requests["bytes_down"] > 0).all()


# ---------------------------------------------------------------------------------------------------- retraining


@pytest.mark.parametrize("learn_from", ["before", "all"])
def test_a_training_on_what_came_before_the_stream_is_the_same_whatever_was_uploaded(
    learn_from: str, store: ArtifactStore
) -> None:
    update = {"kind": "fleet", "every": "40min", "learn_from": learn_from, "learning_rate": 0.01}
    scenario = scenario_of(policy={"update": update})
    prepared = prepare_tiny(scenario, store)
    history = prepared.trained.split.history
    trainings = []
    for more in (1, 6):
        learning = built(scenario, prepared).learning
        assert learning is not None
        ends = learning.known_ends(np.where(prepared.trained.split.streamed, history + more, 0))
        trainings.append(learning.train(ends, 2400.0, NullProgress()).training)
    few, many = trainings
    assert many.interactions > few.interactions
    told = [(training.loss, training.gpu_seconds) for training in trainings]
    assert (told[0] == told[1]) == (learn_from == "before")


def test_another_learning_rate_is_another_training(store: ArtifactStore) -> None:
    weights = []
    for rate in (None, 0.01, 0.02):
        scenario = scenario_of(policy={"update": {"kind": "fleet", "every": "40min", "learning_rate": rate}})
        prepared = prepare_tiny(scenario, store)
        learning = built(scenario, prepared).learning
        assert learning is not None
        release = learning.train(learning.known_ends(learning.sent_ends(2400.0)), 2400.0, NullProgress())
        weights.append(release.srm.content_hash)
    assert len(set(weights)) == 3


# ---------------------------------------------------------------------------------------------------- the rollout


def test_a_download_that_is_lost_or_breaks_is_begun_anew_until_one_is_whole(
    store: ArtifactStore, tmp_path: Path
) -> None:
    """Devices come and go by the minute, the last of them never come, and a download takes most of a minute."""
    rng = np.random.default_rng(4)
    rows = ["device,start_s,end_s"]
    for device in range(27):
        edges_s = np.cumsum(rng.uniform(20.0, 90.0, 600))
        rows += [f"{device},{start_s},{end_s}" for start_s, end_s in edges_s.reshape(-1, 2)]
    (tmp_path / "presence.csv").write_text("\n".join(rows))
    churn = {"kind": "trace", "path": str(tmp_path / "presence.csv")}
    update = {"kind": "fleet", "every": "40min", "upload": "5min", "start": "1s"}
    classes = over({"rtt": "0s", "down": "2kbps", "loss": 0.3})
    scenario = scenario_of(
        fleet={"devices": 30, "classes": classes, "churn": churn},
        policy={"request": {"kind": "never"}, "update": update},
    )
    prepared = prepare_tiny(scenario, store)
    presence = prepared.population.presence
    world = built(scenario, prepared)
    begin(world, prepared, NullProgress())
    world.clock.advance(8000.0)
    assert world.learning is not None
    push_bytes = world.learning.releases[0].srm.push_bytes
    down_s = push_bytes * 8 / 2000.0
    assert 20.0 < down_s < 90.0
    updates: Any = world.log.table()
    installed = updates[updates["event"] == "installed"]
    assert len(installed) > 40
    for row in installed.itertuples():
        assert presence.reachable_until(row.device, row.t_s - down_s) >= row.t_s
    pushed = np.array(world.log.bytes_down)
    whole = np.bincount(installed["device"], minlength=30) * push_bytes
    assert (pushed >= whole - 1e-6).all()
    assert (pushed > whole + 1e-6).sum() > 10
    lost = [device for device in range(27) if prepared.population.network.down(device, 1, 3, 1.0, 0.0) is None]
    early = installed[(installed["version"] == 1) & (installed["t_s"] < world.learning.releases[0].released_s + 60.0)]
    assert lost
    assert len(early)
    assert not set(lost) & set(early["device"])  # they wait for a minute before they try again
    for absent in world.devices[27:]:
        assert absent.profile.joins_s == math.inf
        assert world.rollout is not None
        assert next(world.rollout._upload(absent), None) is None  # there is no time at which it could happen
        assert next(world.rollout._fetch(absent, world.learning.releases[0], 0.0), None) is None
    assert not pushed[27:].any()
    assert not np.array(world.log.bytes_up)[27:].any()
    assert np.array(world.log.bytes_up)[:27].all()


def test_a_version_that_lands_after_a_newer_one_is_not_installed(store: ArtifactStore) -> None:
    """Two versions a hundredth of a second apart, over links whose latency differs by more from message to message."""
    update = {"kind": "fleet", "every": "10ms", "start": "0s"}
    classes = [{"name": "only", "share": 1, "link": {"kind": "3g", "loss": 0.0}}]
    scenario = scenario_of(fleet={"classes": classes}, policy={"request": {"kind": "never"}, "update": update})
    prepared = prepare_tiny(scenario, store)
    history, cloud, trainings = prepared.trained.split.history, built(scenario, prepared).learning, []
    assert cloud is not None
    for check in (1, 2):
        cloud.releases.append(cloud.train(history + check - 1, 0.01 * check, NullProgress()))
        trainings.append(cloud.releases[-1].training)
    world = built(scenario, prepared)
    assert world.learning is not None
    world.learning.told = deque([*trainings, *[None] * 1000])
    begin(world, prepared, NullProgress())
    world.clock.advance(8.0)
    first, second = world.learning.releases
    assert second.released_s - first.released_s < 0.05
    updates: Any = world.log.table()
    installed = updates[updates["event"] == "installed"].groupby("device")["version"].agg(list)
    fetched = np.array(world.log.bytes_down) / first.srm.push_bytes
    overtaken = [device for device, versions in installed.items() if versions == [2] and fetched[device] > 1.9]
    assert len(overtaken) > 3
    assert len(installed) - len(overtaken) > 3
    for device, versions in installed.items():
        assert all(one < other for one, other in pairwise(versions))
        assert world.devices[device].version == versions[-1] == 2


# ---------------------------------------------------------------------------------------------------- its progress


class Watcher:
    """Somebody who looks on, at all times."""

    watched = True

    def __init__(self) -> None:
        self.done, self.seen = 0.0, list[Mapping[str, str]]()

    @contextmanager
    def task(self, name: str, total: float) -> Iterator["Watcher"]:
        assert name == "simulating interactions"
        self.total = total
        yield self

    def advance(self, n: float = 1, note: str = "") -> None:
        self.done += n

    def show(self, figures: Mapping[str, str]) -> None:
        self.seen.append(figures)


def test_who_watches_a_run_sees_its_time_its_queue_and_how_good_its_slates_were(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetrec.simulator.records.recorder._ROWS_PER_PART", 100)
    cloud = {"replicas": 1, "max_sequences": 50, "queue_limit": 50, "request_timeout": "10min"}
    scenario = scenario_of(
        cloud=cloud,
        workload={"arrivals": {"kind": "poisson", "per_day": 40_000}},
        policy={"request": ALWAYS},
    )
    prepared, watcher = prepare_tiny(scenario, store), Watcher()
    _, told = ran(scenario, prepared, watcher)
    assert watcher.done <= watcher.total == len(told["interactions"])
    assert len(watcher.seen) >= 399
    waits = [(int(figures["requests in flight"]), int(figures["queue"])) for figures in watcher.seen]
    assert all(in_flight >= queue for in_flight, queue in waits)
    assert max(queue for _, queue in waits) > 5
    assert any(in_flight > queue for in_flight, queue in waits)
    assert "NDCG@10 so far" not in watcher.seen[0]
    rank = told["interactions"]["rank"]
    ndcg = (1.0 / np.log2(rank[(rank >= 0) & (rank < 10)] + 2.0)).sum() / len(rank)
    assert float(watcher.seen[-1]["NDCG@10 so far"]) == pytest.approx(ndcg, abs=0.05)
    assert ndcg > 0.05
    assert watcher.seen[0]["simulated"].startswith("0 s of ")
