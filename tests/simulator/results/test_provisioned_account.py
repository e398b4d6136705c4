"""The provisioned account of whole runs."""

from pathlib import Path
from typing import Any

import pytest

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.simulator.results.account_names import COLUMNS, PROVISIONED
from tests.simulator.tiny import scenario_of, simulate_tiny
from tests.small import noted

FLEET = {"devices": 50, "represents": 100_000}


def cost_of(folder: Path, **changes: object) -> tuple[dict[str, float | None], dict[str, Any]]:
    summary = simulate_tiny(scenario_of(fleet=FLEET, **changes), ArtifactStore(folder)).summary
    return summary["cost"] | {"interactions": summary["interactions"]}, noted(summary["notes"])


def test_a_fleet_that_never_asks_pays_for_its_traffic_alone(tmp_path: Path) -> None:
    cost, _ = cost_of(tmp_path, policy={"request": {"kind": "never"}})
    assert (cost["replicas_provisioned"], cost["devices_per_replica"]) == (0, None)
    assert cost["usd_provisioned"] == pytest.approx(2_000 * cost["usd_network"])
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
        1000 * replicas * 72.0 / (cost["interactions"] * 2_000)
    )
    assert cost["devices_per_replica"] == pytest.approx(100_000 / replicas)
    told = notes["cost_account"]
    assert (told["servers"], told["objective"][:11], told["devices"]) == ("replicas", "p95 latency", 100_000)


def test_an_objective_that_no_number_meets_leaves_the_account_empty_and_says_why(tmp_path: Path) -> None:
    cost, notes = cost_of(tmp_path, cloud={"slo": {"p95_latency": 0.001}})
    assert {name: cost[name] for name in PROVISIONED if "requests_per_s" not in name and cost[name] is not None} == {}
    assert cost["requests_per_s_peak"] > 0
    found = notes["provisioned_none"]
    assert found["alone_s"] > 0.001
    assert (
        found["excess"]
        == f"the p95 latency is {found['alone_s']:.3g} s, {found['alone_s'] / 0.001:.3g} times the 1ms asked for"
    )
    assert cost["usd_marginal"] > 0


def test_a_mix_of_objectives_is_met_by_the_replicas_and_said(tmp_path: Path) -> None:
    slo = {"p95_latency": None, "objectives": ["p99=20s", "ttft_p99=500ms", "tpot_p50=12ms"]}
    scenario = scenario_of(fleet=FLEET, llm={"generation": "list"}, cloud={"slo": slo})
    summary = simulate_tiny(scenario, ArtifactStore(tmp_path)).summary
    represented = summary["represented"]
    assert noted(summary["notes"])["cost_account"]["objective"] == (
        "p99 latency of at most 20s, p99 TTFT of at most 500ms and p50 TPOT of at most 12ms"
    )
    assert represented["replicas"] >= 1
    assert represented["node_s"]["p99"] <= 20
    assert represented["ttft_s"]["p99"] <= 0.5
    assert 0.001 < represented["tpot_s"]["p50"] <= 0.012


def test_cores_are_provisioned_for_the_small_model_in_the_cloud(tmp_path: Path) -> None:
    cost, notes = cost_of(tmp_path, policy={"slate": "cloud_srm", "request": {"kind": "always"}})
    assert cost["replicas_provisioned"] >= 1
    assert notes["cost_account"]["servers"] == "cores"


def test_what_the_account_leaves_out_is_said(tmp_path: Path) -> None:
    _, notes = cost_of(tmp_path, cloud={"admission": {"kind": "random_early"}, "spot": {}})
    assert notes["provisioned_leaves_out"] == {"parts": ["admission control"]}


def test_spot_is_cheaper_though_it_needs_more_and_autoscaling_is_cheaper_by_night(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    tariffs = {"gpu_hour": 3.0, "gb_up": 0, "gb_down": 0}

    def summary_of(**cloud: object) -> dict[str, Any]:
        scenario = scenario_of(fleet=FLEET, llm={"generation": "beam"}, tariffs=tariffs, cloud=cloud)
        return simulate_tiny(scenario, store).summary

    usual = summary_of()
    spot = summary_of(spot={"taken_per_hour": 0.5, "price_factor": 0.4})
    scaled = summary_of(autoscale={"metric": "queue", "target": 100, "min": 1, "max": 4, "cooldown": 0})
    hours, n = usual["simulated_seconds"] / 3600, usual["cost"]["replicas_provisioned"]
    assert spot["cost"]["replicas_provisioned"] > n
    assert spot["cost"]["usd_provisioned"] == pytest.approx(1.2 * hours * spot["represented"]["replicas_paid"])
    assert spot["cost"]["usd_provisioned"] < 0.7 * usual["cost"]["usd_provisioned"]
    assert spot["cost"]["usd_provisioned_per_month_low"] < spot["cost"]["usd_provisioned_per_month_high"]
    assert scaled["cost"]["replicas_provisioned"] == n
    assert scaled["cost"]["usd_provisioned"] == pytest.approx(3.0 * hours * scaled["represented"]["replicas_paid"])


def test_kinds_of_replicas_are_paid_each_at_its_price(tmp_path: Path) -> None:
    half = {"taken_per_hour": 0, "price_factor": 0.5}
    kinds = [{"name": "a", "gpu": "h100"}, {"name": "b", "gpu": "h100", "spot": half}]
    tariffs = {"gpu_hour": 3.0, "gb_up": 0, "gb_down": 0}
    cost, _ = cost_of(tmp_path, cloud={"pools": kinds}, llm={"generation": "beam"}, tariffs=tariffs, duration=86_400)
    n = cost["replicas_provisioned"]
    assert cost["usd_provisioned"] == pytest.approx(24 * (3.0 * -(-n // 2) + 1.5 * (n // 2)))


def test_every_figure_has_an_interval_of_its_draws(tmp_path: Path) -> None:
    result = simulate_tiny(scenario_of(fleet=FLEET, llm={"generation": "beam"}), ArtifactStore(tmp_path))
    cost, draws, represented = result.summary["cost"], result.account, result.summary["represented"]
    assert tuple(draws.columns) == COLUMNS
    for name in (name for name in PROVISIONED if name != "devices_per_replica" and not name.endswith(("low", "high"))):
        assert cost[f"{name}_low"] <= cost[name] <= cost[f"{name}_high"], name
    assert cost["requests_per_s_peak_low"] < 0.9 * cost["requests_per_s_peak"]  # 50 users
    assert cost["usd_provisioned_per_month"] == pytest.approx(
        cost["usd_provisioned"] * 30 * 86_400 / result.summary["simulated_seconds"]
    )
    assert draws["usd_per_1k_interactions"].to_numpy() == pytest.approx(
        (1000 * draws["usd"] / draws["interactions"]).to_numpy()
    )
    assert represented["devices"] == FLEET["represents"]
    assert represented["replicas"] == cost["replicas_provisioned"]
    assert represented["node_s"]["p95"] <= 1.0
    assert represented["latency_s"]["p95"] > represented["node_s"]["p50"]  # the network comes on top


def test_a_surge_is_a_peak_so_many_times_as_high_and_costs_no_more_traffic(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    usual, surge = (
        simulate_tiny(scenario_of(fleet=FLEET | {"surge": factor}, llm={"generation": "beam"}), store).summary
        for factor in (1.0, 3.0)
    )
    assert surge["cost"]["requests_per_s_peak"] == pytest.approx(3 * usual["cost"]["requests_per_s_peak"])
    assert surge["cost"]["requests_per_s_peak_high"] == pytest.approx(3 * usual["cost"]["requests_per_s_peak_high"])
    assert surge["cost"]["replicas_provisioned"] == pytest.approx(3 * usual["cost"]["replicas_provisioned"], rel=0.35)
    assert surge["requests"] == usual["requests"]
    assert surge["cost"]["usd_network"] == usual["cost"]["usd_network"]


def test_a_surge_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"fleet\.surge|greater than or equal to 1"):
        scenario_of(fleet={"surge": 0.5})
