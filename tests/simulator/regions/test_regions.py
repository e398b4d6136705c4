"""Regions: the same run whoever simulates them, and totals that are those of their parts."""

import errno
import json
import os
import re
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from fleetrec.cli import app
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.notes import note
from fleetrec.simulator.experiments.sweeps import RunJob
from fleetrec.simulator.experiments.sweeps.worker import Worker
from fleetrec.simulator.policies.update.fleet import FleetUpdate
from fleetrec.simulator.regions import executor_for
from fleetrec.simulator.regions.executors import LocalShards
from fleetrec.simulator.regions.messages import RegionState, RunSpec, Task
from fleetrec.simulator.regions.summary import merged_notes
from fleetrec.simulator.scenario import Scenario, resolved_yaml
from fleetrec.simulator.scenario.regional import device_bounds, regional
from fleetrec.simulator.simulation import simulate
from tests.simulator.experiments.sweeps.files import SCENARIO

REGIONS = """\
regions:
  - {name: north, share: 0.5, peak_hour: 19}
  - {name: south, share: 0.3, peak_hour: 3, cloud: {gpu: a100, replicas: 2}}
  - {name: islands, share: 0.2, link: {kind: constant, rtt: 600ms, up: 1Mbps, down: 2Mbps}}
"""
EXCHANGE = {
    "duration": "8h",
    "workload.arrivals": "{kind: diurnal, per_day: 60}",
    "fleet.represents": "30000",
    "cloud.slo.p95_latency": "20s",
    "policy.request": "always",
    "policy.budget": "{ratio: 0.3, scope: fleet}",
    "policy.update": "{kind: fleet, every: 3h, upload: 30min}",
}


def load(folder: Path, settings: dict[str, str] | None = None, regions: str = REGIONS) -> Scenario:
    """The tiny scenario with these regions and settings."""
    path = folder / "regions.yaml"
    path.write_text(SCENARIO + regions, encoding="utf-8")
    return Scenario.load(path, [f"{key}={value}" for key, value in (settings or {}).items()])


def bytes_of(folder: Path) -> dict[str, bytes]:
    """What a run wrote, without wall-clock figures."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != "timing.json"}


def assert_close(left: Any, right: Any) -> None:
    """Trees of figures that differ in rounding at most."""
    if isinstance(left, dict):
        assert left.keys() == right.keys()
    if isinstance(left, dict | list):
        for key in left if isinstance(left, dict) else range(len(left)):
            assert_close(left[key], right[key])
    else:
        assert left == (pytest.approx(right) if isinstance(right, float) else right)


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    return load(tmp_path_factory.mktemp("scenario"), EXCHANGE)


@pytest.fixture(scope="module")
def alone(scenario: Scenario, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose regions meet at pushes and in the fleet's bucket, in this process alone."""
    folder = tmp_path_factory.mktemp("alone")
    simulate(scenario, folder, store=ArtifactStore(tmp_path_factory.getbasetemp() / "fleetrec-cache"))
    return folder


@pytest.fixture(scope="module")
def summary(alone: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((alone / "summary.json").read_text(encoding="utf-8"))
    return found


class Doomed(LocalShards):
    """Loses a worker on the way to the third barrier."""

    rounds = 0

    def run_until_barrier(
        self, spec: RunSpec, tasks: Sequence[Sequence[Task]], folders: Sequence[Path]
    ) -> list[RegionState]:
        self.rounds += 1
        if self.rounds == 3:
            pid = self.handles[0].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        return super().run_until_barrier(spec, tasks, folders)


def test_two_processes_give_the_same_bytes_as_one_and_one_that_is_killed_is_told_of(
    scenario: Scenario, alone: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    simulate(scenario, tmp_path / "out", executor=Doomed(2))
    assert bytes_of(tmp_path / "out") == bytes_of(alone)
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning: a worker has ended")]
    assert line.endswith("another one takes north from the start again")


def test_ray_gives_the_same_bytes(scenario: Scenario, alone: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    store = ArtifactStore()
    simulate(scenario, tmp_path / "out", store=store, executor=executor_for("ray", 1, None, 3, store))
    assert bytes_of(tmp_path / "out") == bytes_of(alone)


def test_a_device_lives_the_same_life_in_a_region_as_in_a_fleet_without_regions(tmp_path: Path) -> None:
    life = {
        "policy.request": "never",
        "fleet.churn": "{kind: on_off, online: 30min, offline: 10min, late_joiners: 0.3, leavers: 0.3}",
        "policy.update": "{kind: both, fleet: {every: 1h, upload: 10min, stages: [{share: 0.5}, {after: 5min}]}, "
        "on_device: {when: {kind: every, n: 3}, window: 4}}",
    }
    halves = "regions:\n  - {name: a, share: 0.5}\n  - {name: b, share: 0.5}\n"
    apart, whole = (simulate(load(tmp_path, life, regions)) for regions in (halves, ""))
    order = ["device", "step"]
    pd.testing.assert_frame_equal(apart.interactions, whole.interactions.sort_values(order, ignore_index=True))
    pd.testing.assert_frame_equal(apart.devices.drop(columns="region"), whole.devices)
    pd.testing.assert_frame_equal(apart.updates, whole.updates, check_dtype=False)
    for section in ("accuracy", "baselines", "freshness", "latency_s", "pace", "updates"):
        assert_close(apart.summary[section], whole.summary[section])


def test_presence_traces_name_devices_by_their_number_in_the_fleet(tmp_path: Path) -> None:
    trace = tmp_path / "presence.csv"
    trace.write_text("device,start_s,end_s\n2,100,5000\n20,300,7000\n29,0,600\n", encoding="utf-8")
    devices = simulate(
        load(
            tmp_path,
            {"fleet.churn": f"{{kind: trace, path: {trace}}}"},
            REGIONS.replace(", peak_hour: 19", "").replace(", peak_hour: 3", ""),
        )
    ).devices
    there = devices[np.isfinite(devices["joined_s"])]
    assert there["device"].tolist() == [2, 20, 29]
    assert there["left_s"].tolist() == [5000, 7000, 600]
    assert there["region"].tolist() == ["north", "south", "islands"]


def test_totals_are_the_sums_of_the_regions(alone: Path, summary: dict[str, Any]) -> None:
    regions = summary["by_region"]
    requests, interactions, devices = (
        pd.read_parquet(alone / f"{name}.parquet") for name in ("requests", "interactions", "devices")
    )
    assert devices["region"].value_counts().to_dict() == {"north": 15, "south": 9, "islands": 6}
    assert (requests["region"].to_numpy() == devices["region"].to_numpy()[requests["device"]]).all()
    assert requests["request"].tolist() == list(range(len(requests)))
    asked = interactions[interactions["request"] >= 0]
    assert (requests["device"].to_numpy()[asked["request"]] == asked["device"]).all()
    assert requests["region"].value_counts().to_dict() == {n: one["requests"]["asked"] for n, one in regions.items()}
    assert summary["interactions"] == len(interactions) == sum(one["interactions"] for one in regions.values())
    rank = interactions["rank"].to_numpy()
    assert summary["accuracy"]["hr@10"] == pytest.approx(np.mean((rank >= 0) & (rank < 10)))
    for name in ("usd_replicas", "usd_serving", "gpu_joules", "device_joules", "bytes_up", "replicas_provisioned"):
        assert summary["cost"][name] == pytest.approx(sum(one["cost"][name] for one in regions.values())), name
    draws = pd.read_parquet(alone / "account.parquet")
    assert summary["cost"]["requests_per_s_peak"] == pytest.approx(
        sum(one["cost"]["requests_per_s_peak"] for one in regions.values())
    )
    assert summary["cost"]["requests_per_s_peak_low"] == pytest.approx(draws["requests_per_s"].quantile(0.025))
    assert summary["represented"]["node_s"]["p95"] == max(
        one["represented"]["node_s"]["p95"] for one in regions.values()
    )
    training = summary["updates"]["usd_training"]
    assert training > 0
    assert all(one["cost"]["usd_training"] == 0 for one in regions.values())
    assert summary["cost"]["usd_marginal"] == pytest.approx(
        training + sum(one["cost"]["usd_marginal"] for one in regions.values())
    )


def test_a_region_has_its_own_cloud_and_link(alone: Path, summary: dict[str, Any]) -> None:
    devices = pd.read_parquet(alone / "devices.parquet")
    assert set(devices.loc[devices["region"] == "islands", "link"]) == {"constant"}
    assert summary["by_region"]["islands"]["latency_s"]["request"]["p50"] > 0.6
    up = pd.read_parquet(alone / "cloud_by_region.parquet").groupby("region")["up"].max()
    assert up.to_dict() == {"north": 1, "south": 2, "islands": 1}
    assert pd.read_parquet(alone / "cloud.parquet")["up"].max() == 4


def test_the_fleets_bucket_is_not_overdrawn(summary: dict[str, Any]) -> None:
    decisions = summary["interactions"] + summary["devices"]  # one more as each joins
    burst = 3 * 1.0  # 5% of each region's devices are less than a token, and one is the least
    assert summary["requests"]["asked"] <= 0.3 * decisions + burst


def test_a_releases_training_knows_what_all_regions_have_sent(alone: Path, summary: dict[str, Any]) -> None:
    updates = pd.read_parquet(alone / "updates.parquet")
    released = updates[updates["event"] == "released"]
    assert released["version"].tolist() == [1, 2]
    installed = updates[(updates["event"] == "installed") & (updates["version"] == 1)]
    devices = pd.read_parquet(alone / "devices.parquet")
    assert set(devices["region"].to_numpy()[installed["device"]]) == {"north", "south", "islands"}
    assert [one["interactions"] for one in summary["updates"]["versions"]] == released["interactions"].tolist()


def test_notes_that_differ_in_numbers_alone_are_one(scenario: Scenario) -> None:
    regions = [
        [note("models", "quality of {model}", model="item_lm"), note("lost", "lost: {requests:,}", requests=lost)]
        for lost in (1995, 664, 706)
    ]
    regions[1].append(note("slow", "p95 is {p95_s:g} s", p95_s=3.0))
    found = merged_notes(
        scenario.policy.slate, scenario.cloud, [one.name for one in scenario.regions], regions, 30_000
    )[:3]
    assert [one.text for one in found] == [
        "quality of item_lm",
        "each region: lost: 664 to 1,995",
        "region south: p95 is 3 s",
    ]
    assert [one.values for one in found] == [
        {"model": "item_lm"},
        {"requests": {"north": 1995, "south": 664, "islands": 706}},
        {"p95_s": 3.0, "regions": ["south"]},
    ]


def test_what_a_region_stands_for_is_its_share_of_the_fleet(scenario: Scenario) -> None:
    assert device_bounds(scenario.regions, scenario.fleet.devices) == [0, 15, 24, 30]
    assert [regional(scenario, i).fleet.represents for i in range(3)] == [15000, 9000, 6000]
    assert [regional(scenario, i).cloud.gpu for i in range(3)] == ["h100", "a100", "h100"]
    update = regional(scenario, 1).policy.update
    assert isinstance(update, FleetUpdate)
    assert update.gpu == "h100", "the fleet's training has one place"


def test_a_resolved_scenario_loads_back_and_says_nothing_of_regions_where_there_are_none(
    scenario: Scenario, tmp_path: Path
) -> None:
    path = tmp_path / "resolved.yaml"
    path.write_text(resolved_yaml(scenario), encoding="utf-8")
    again = Scenario.load(path)
    assert again == scenario
    assert [regional(again, i) for i in range(3)] == [regional(scenario, i) for i in range(3)]
    assert "regions" not in resolved_yaml(load(tmp_path, regions=""))


BAD = [
    (REGIONS.replace("0.2,", "0.1,"), "regions: the shares must add up to 1, but 0.5 + 0.3 + 0.1 = 0.9"),
    (REGIONS.replace("south", "north"), "regions.1.name: 'north' is the name of region 0 too"),
    (REGIONS.replace("0.5", "0.79").replace("0.2", "0.01").replace("0.3", "0.2"), "regions.2.share: 0.01 of 30"),
    (REGIONS.replace("replicas: 2", "autoscale: {min: 3}"), "regions.1.cloud.replicas: 1 at the start are outside"),
]


@pytest.mark.parametrize(("regions", "message"), BAD)
def test_regions_that_cannot_be_meant_are_one_line(regions: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        load(tmp_path, {"workload.arrivals": "diurnal"}, regions)
    assert "\n" not in str(caught.value)


def test_a_peak_that_arrivals_do_not_have_cannot_be_shifted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"regions\.0\.peak_hour: .* of kind poisson have no daily peak"):
        load(tmp_path)


def dead_address() -> str:
    """An address of this machine where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize(
    ("regions", "options", "message"),
    [
        (REGIONS, ["--shards", "4"], "--shards 4: the scenario has 3 regions"),
        ("", ["--shards", "2"], "--shards 2: the scenario has no regions"),
        (REGIONS, ["--ray-address", "10.0.0.1:1"], "--ray-address needs --engine ray"),
        (REGIONS, ["--engine", "ray", "--ray-address", dead_address()], "nothing answers there"),
        (REGIONS, ["--trace", "trace.json"], "--trace: a scenario with regions cannot be traced"),
        (REGIONS.replace("a100", "t4"), [], "regions.1.cloud"),
    ],
)
def test_what_cannot_be_run_in_regions_is_one_line(
    regions: str, options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    load(tmp_path, {"workload.arrivals": "diurnal"}, regions)
    found = CliRunner().invoke(app, ["simulate", "regions.yaml", "--set", "workload.arrivals=diurnal", *options])
    assert found.exit_code == 2
    (line,) = found.stderr.splitlines()
    assert message in line


def test_a_sweep_runs_regions_in_one_worker(scenario: Scenario, alone: Path, tmp_path: Path) -> None:
    assert Worker().do(RunJob(scenario, tmp_path / "out")).error is None
    assert bytes_of(tmp_path / "out") == bytes_of(alone)


def test_a_disk_that_fills_is_one_line(
    scenario: Scenario, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.write_table", full)
    with pytest.raises(InputError, match=r"^region 'north': the disk is full") as caught:
        simulate(scenario, tmp_path / "out")
    assert "\n" not in str(caught.value)
