"""The provisioned account of whole runs."""

from pathlib import Path

import pytest

from models.artifacts import ArtifactStore
from tests.simulator.tiny import scenario_of, simulate_tiny

FLEET = {"devices": 50, "represents": 500_000}


def cost_of(folder: Path, **changes: object) -> tuple[dict[str, float | None], list[str]]:
    summary = simulate_tiny(scenario_of(fleet=FLEET, **changes), ArtifactStore(folder)).summary
    return summary["cost"] | {"interactions": summary["interactions"]}, summary["notes"]


def test_a_fleet_that_never_asks_pays_for_its_traffic_alone(tmp_path: Path) -> None:
    cost, _ = cost_of(tmp_path, policy={"request": {"kind": "never"}})
    assert (cost["replicas_provisioned"], cost["devices_per_replica"]) == (0, None)
    assert cost["usd_provisioned"] == pytest.approx(10_000 * cost["usd_network"])
    assert cost["usd_provisioned_per_1k_interactions"] == pytest.approx(cost["usd_marginal_per_1k_interactions"])


def test_replicas_are_paid_for_all_the_time_and_shared_by_the_represented_fleet(tmp_path: Path) -> None:
    day_s = 86_400.0
    cost, notes = cost_of(
        tmp_path, duration=day_s, llm={"generation": "beam"}, tariffs={"gpu_hour": 3.0, "gb_up": 0, "gb_down": 0}
    )
    replicas = cost["replicas_provisioned"]
    assert replicas >= 1
    assert cost["usd_provisioned"] == pytest.approx(replicas * 24 * 3.0)
    assert cost["usd_provisioned_per_1k_interactions"] == pytest.approx(
        1000 * replicas * 72.0 / (cost["interactions"] * 10_000)
    )
    assert cost["devices_per_replica"] == pytest.approx(500_000 / replicas)
    assert any(note.startswith("cost account: provisioned, the fewest replicas with p95 latency") for note in notes)


def test_an_objective_that_no_number_meets_leaves_the_account_empty_and_says_why(tmp_path: Path) -> None:
    cost, notes = cost_of(tmp_path, cloud={"slo": {"p95_latency": 0.001}})
    names = ("replicas_provisioned", "usd_provisioned", "usd_provisioned_per_1k_interactions", "devices_per_replica")
    assert [cost[name] for name in names] == [None] * 4
    assert any(note.startswith("provisioned account: none, since the p95 request takes") for note in notes)
    assert cost["usd_marginal"] > 0


def test_cores_are_provisioned_for_the_small_model_in_the_cloud(tmp_path: Path) -> None:
    cost, notes = cost_of(tmp_path, policy={"slate": "cloud_srm", "request": {"kind": "always"}})
    assert cost["replicas_provisioned"] >= 1
    assert any("the fewest cores" in note for note in notes)


def test_what_the_account_leaves_out_is_said(tmp_path: Path) -> None:
    _, notes = cost_of(tmp_path, cloud={"failures": {"every": "1h"}, "spot": {}})
    assert "provisioned account: leaves out spot prices and takings, failures" in notes
