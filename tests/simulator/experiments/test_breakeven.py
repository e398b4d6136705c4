"""Break-even: bills of a run are those of its account, ways cross where they should, and mistakes are one line."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from fleetrec import RunResult, Scenario, simulate
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.capacity.overflow import cheapest_split
from fleetrec.simulator.experiments.breakeven.bills import bills_of, monthly, read_bills
from fleetrec.simulator.experiments.breakeven.breakeven import check_fleet, fleets_of
from fleetrec.simulator.experiments.breakeven.crossings import crossing
from fleetrec.simulator.results.run_folder import opened
from fleetrec.simulator.results.run_result import asked_of_llm
from fleetrec.simulator.scenario.sections import Fleet
from fleetrec.simulator.scenario.sections.api import ApiEnergy, ApiLimits
from tests.commands.typed import one_line, typed
from tests.small import SMALL, noted

API = "cloud.api={price: {input: 2, output: 6}, latency: {kind: log_normal, ttft: 300ms, tpot: 5ms}}"
SETTINGS = ("cloud={gpu: l4, slo: {p95_latency: 20s}}", "llm.generation=list", "fleet.represents=50000", API)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    path = tmp_path_factory.mktemp("breakeven") / "small.yaml"
    path.write_text(SMALL)
    return simulate(Scenario.load(path, SETTINGS))


def test_own_gpus_cost_what_the_account_of_the_run_says(run: RunResult) -> None:
    bill, cost = monthly(run, 50_000)["gpus"], run.summary["cost"]
    assert bill.usd == pytest.approx(cost["usd_provisioned_per_month"], rel=1e-12)
    assert (bill.low, bill.high) == pytest.approx(
        (cost["usd_provisioned_per_month_low"], cost["usd_provisioned_per_month_high"]), rel=1e-12
    )
    assert bill.usd_per_1k_interactions == pytest.approx(cost["usd_provisioned_per_1k_interactions"], rel=1e-12)
    assert bill.replicas == cost["replicas_provisioned"]


def test_a_run_on_disk_has_the_bills_of_the_one_in_memory(run: RunResult, tmp_path: Path) -> None:
    with opened(tmp_path / "run", run.scenario) as folder:
        run.write(folder)
    kept, held = (bills.at(50_000, ["gpus", "api", "none"]) for bills in (read_bills(tmp_path / "run"), bills_of(run)))
    assert [bill.usd for bill in kept.values()] == [bill.usd for bill in held.values()]


def test_an_api_costs_its_tokens_in_proportion_to_the_fleet(run: RunResult) -> None:
    requests = run.requests[run.requests["prompt_tokens"] > 0]
    usd = (2 * requests["prompt_tokens"] + 6 * requests["output_tokens"]).sum() / 1e6
    month = 30 * 86400 / run.summary["simulated_seconds"]
    bills = [bills_of(run).at(fleet, ["api", "none"]) for fleet in (60, 60_000)]
    one, thousand = (of["api"].usd - of["none"].usd for of in bills)
    assert one == pytest.approx((usd + run.requests["usd_network"].sum()) * month)
    assert thousand == pytest.approx(1000 * one)


def test_the_account_of_an_api_is_its_monthly_bill(run: RunResult) -> None:
    cloud = run.scenario.cloud.model_copy(update={"kind": "api"})
    served = simulate(run.scenario.model_copy(update={"cloud": cloud}))
    bills, cost = monthly(served, 50_000), served.summary["cost"]
    bill = bills["api"]
    assert math.isnan(bills["gpus"].gpu_joules)  # nobody has served them on GPUs
    assert (bill.usd, bill.low, bill.high) == pytest.approx(
        [cost[f"usd_provisioned_per_month{end}"] for end in ("", "_low", "_high")], rel=1e-9
    )


def test_an_api_that_tells_its_energy_draws_by_the_token_and_one_that_does_not_is_unknown(run: RunResult) -> None:
    month = 30 * 86400 / run.summary["simulated_seconds"]
    assert run.scenario.cloud.api is not None
    api = run.scenario.cloud.api.model_copy(
        update={"energy": ApiEnergy(input=0.1, output=0.5, within=3, source="made up")}
    )
    for kind in ("gpus", "api"):
        cloud = run.scenario.cloud.model_copy(update={"kind": kind, "api": api})
        told = simulate(run.scenario.model_copy(update={"cloud": cloud}))
        asked, cost, bills = asked_of_llm(told.requests), told.summary["cost"], monthly(told, 50_000)
        joules = (0.1 * asked["prompt_tokens"] + 0.5 * asked["output_tokens"]).sum() * month
        assert bills["api"].gpu_joules == pytest.approx(joules * 50_000 / 60)
        assert bills["api"].gco2 == pytest.approx(joules * 50_000 / 60 / 3.6e6 * 400)
        assert cost["gpu_joules_provisioned_per_month"] == pytest.approx(bills[kind].gpu_joules)
    assert cost["gpu_joules"] * month == pytest.approx(joules)
    assert noted(told.summary["notes"])["api_energy"]["high"] == pytest.approx(3 * cost["gpu_joules"])
    unknown = monthly(run, 50_000)
    assert math.isnan(unknown["api"].gpu_joules)
    assert math.isnan(unknown["api"].gco2)
    assert unknown["gpus"].gpu_joules > 0 == unknown["none"].gpu_joules
    watts = bills_of(run).at(50_000_000)["gpus"]  # a million times the phones fill batches, which these few do not
    assert watts.replicas is not None
    assert watts.gpu_joules <= watts.replicas * 72.0 * 30 * 86400  # an L4 draws 72 W at most


def test_the_smallest_fleet_needs_a_replica_and_none_of_an_api(run: RunResult) -> None:
    bills = monthly(run, 10)
    assert [bills[way].replicas for way in ("gpus", "autoscaled", "overflow", "api", "none")] == [1, 1, 0, 0, 0]
    assert bills["spot"].replicas == 2  # one is taken away now and then
    assert bills["none"].usd < bills["api"].usd < bills["spot"].usd < bills["gpus"].usd


def test_rented_otherwise_gpus_cost_less(run: RunResult) -> None:
    bills = monthly(run, 10_000_000)
    assert bills["autoscaled"].usd < bills["gpus"].usd
    assert bills["spot"].usd < bills["gpus"].usd
    assert bills["overflow"].usd <= bills["gpus"].usd * (1 + 1e-9)


def test_ways_cross_where_their_lines_do() -> None:
    """A fixed 100 against a tenth of a dollar a device: 1,000 devices, and with noise an interval around them."""
    fleets = np.geomspace(10, 1e5, 401)
    fixed, rising = np.full_like(fleets, 100.0), fleets * 0.1
    noise = np.geomspace(0.8, 1.25, 101)[:, None]
    found = crossing(fleets, fixed, rising, np.tile(fixed, (101, 1)), rising * noise)
    assert found is not None
    assert found == pytest.approx((1000, 800, 1250), rel=0.03)
    assert crossing(fleets, rising, fixed, rising * noise, np.tile(fixed, (101, 1))) is None


def test_a_crossing_that_draws_do_not_share_has_no_end() -> None:
    fleets = np.array([10.0, 100.0, 1000.0])
    usd, other = np.array([3.0, 3.0, 3.0]), np.array([1.0, 2.0, 4.0])
    draws = np.array([[3.0] * 3, [9.0] * 3])
    found = crossing(fleets, usd, other, draws, np.tile(other, (2, 1)))
    assert found is not None
    assert 100 < found.fleet < 1000
    assert found.high == math.inf


def test_as_many_servers_as_pay_are_rented_beside_an_api() -> None:
    """Every number of servers tried: none costs less than the one found."""
    rng = np.random.default_rng(1)
    rates = rng.gamma(2.0, 20.0, (5, 96))
    pace, server_usd_s, request_usd = 7.0, 2e-3, 1e-3
    servers, spilled = cheapest_split(rates, pace, server_usd_s, request_usd)

    def cost(n: int, row: np.ndarray) -> float:
        return n * server_usd_s + request_usd * float(np.maximum(row - n * pace, 0).mean())

    for row, n, over in zip(rates, servers.tolist(), spilled.tolist(), strict=True):
        assert cost(n, row) == pytest.approx(min(cost(m, row) for m in range(60)))
        assert over == pytest.approx(np.maximum(row - n * pace, 0).mean())


def test_fleets_of_a_range() -> None:
    fleets = fleets_of("1e4..1e6")
    assert (fleets[0], fleets[8], fleets[-1], len(fleets)) == (10_000, 100_000, 1_000_000, 17)
    assert fleets == sorted(fleets)
    assert fleets_of("200k") == [200_000]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1e8..1e4", "--fleet 1e8..1e4: the range is upside down; write 10000..1e+08"),
        ("many", "--fleet many: 'many' is no number of devices; write 1e6, 200k or a range, 1e4..1e8"),
        ("10..", "--fleet 10..: '' is no number of devices"),
        ("2.5", "--fleet 2.5: '2.5' is no number of devices"),
        ("0..10", "--fleet 0..10: '0' is no number of devices"),
    ],
)
def test_a_fleet_that_is_none_is_one_line(text: str, says: str) -> None:
    with pytest.raises(InputError) as error:
        fleets_of(text)
    assert str(error.value).startswith(says)


def test_a_fleet_that_its_classes_cannot_share_is_one_line() -> None:
    with pytest.raises(InputError, match=r"--fleet 3: 0.3 of them \(fleet.classes.0.share\) is not one device; .* 4$"):
        check_fleet(Fleet(), (), 3)
    check_fleet(Fleet(), (), 5)


def test_the_command_writes_a_table_a_figure_and_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    settings = (*SETTINGS, "tariffs.currency={code: EUR, per_usd: 0.9}")
    words = [word for setting in settings for word in ("--set", setting)]
    policies = ("--policy", "always", "--policy", "{kind: random, ratio: 0.1}")
    done = typed("breakeven", file, "--fleet", "1e2..1e4", "--out", "found", *policies, *words)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "found" / "breakeven.json").read_text())
    assert [policy["policy"] for policy in found["policies"]] == ["always", "{kind: random, ratio: 0.1}"]
    often, seldom = found["policies"]
    assert set(often["ways"]) == {"gpus", "autoscaled", "spot", "api", "overflow", "none"}
    assert seldom["ways"]["api"][-1]["usd_per_month"] < 0.2 * often["ways"]["api"][-1]["usd_per_month"]
    assert any(at["than"] == "api" for at in often["crossings"])
    assert "hosted API" in done.stdout
    assert "has no effect" not in done.output
    assert "$" not in done.stdout
    assert f"€{0.9 * often['ways']['gpus'][-1]['usd_per_month']:,.0f}"[:3] in done.stdout
    for name in ("breakeven.png", "breakeven.svg"):
        assert (tmp_path / "found" / "figures" / name).stat().st_size > 10_000


REGIONS = "regions=[{name: a, share: 0.6, cloud: {gpu: l40s}}, {name: b, share: 0.4}]"


def test_the_bills_of_regions_add_up_to_the_account_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    regional = simulate(Scenario.load(tmp_path / "small.yaml", [*SETTINGS, REGIONS]))
    bills, cost = monthly(regional, 50_000), regional.summary["cost"]
    assert bills["gpus"].replicas == cost["replicas_provisioned"]
    assert [bills["gpus"].usd, bills["gpus"].low, bills["gpus"].high] == pytest.approx(
        [cost[f"usd_provisioned_per_month{end}"] for end in ("", "_low", "_high")], rel=1e-9
    )
    assert bills["gpus"].usd_per_1k_interactions == pytest.approx(cost["usd_provisioned_per_1k_interactions"])
    assert bills["gpus"].gpu_joules == pytest.approx(cost["gpu_joules_provisioned_per_month"])
    assert bills["none"].usd < bills["api"].usd


def test_regions_are_compared_like_a_fleet_that_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL)
    monkeypatch.setattr("fleetrec.reports.figures.breakeven.draw_breakeven", lambda folder: [])
    words = [word for setting in (*SETTINGS, REGIONS) for word in ("--set", setting)]
    done = typed("breakeven", "small.yaml", "--fleet", "1e5", "--out", "found", *words)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "found" / "breakeven.json").read_text())
    assert all(rows[0]["usd_per_month"] > 0 for rows in found["policies"][0]["ways"].values())
    said = one_line(typed("breakeven", "small.yaml", "--fleet", "2", *words))
    assert said == "--fleet 2: 0.3 of them (fleet.classes.0.share) is not one device; name at least 4"


def test_an_account_that_is_too_narrow_for_the_fleet_is_said_to_refuse(run: RunResult) -> None:
    """So many times over its limit, an API refuses all but the one part; own GPUs take their part before it."""
    assert run.scenario.cloud.api is not None
    free = bills_of(run).at(50_000)["api"]
    per_minute = 60 * run.summary["cost"]["requests_per_s_peak"]
    api = run.scenario.cloud.api.model_copy(update={"limits": ApiLimits(requests_per_minute=per_minute)})
    cloud = run.scenario.cloud.model_copy(update={"api": api})
    bills = bills_of(dataclasses.replace(run, scenario=run.scenario.model_copy(update={"cloud": cloud})))
    at_peak, beyond = bills.at(50_000), bills.at(5_000_000)
    assert free.refused == at_peak["api"].refused == 0
    assert at_peak["api"].usd == free.usd
    rates = run.summary["requests"]["asked"] / run.summary["simulated_seconds"] * 5_000_000 / 60
    assert beyond["api"].refused == pytest.approx(1 - per_minute / 60 / rates, abs=0.01)
    assert beyond["overflow"].refused < beyond["api"].refused


@pytest.mark.parametrize(
    "settings",
    [
        ("workload.arrivals={kind: poisson, per_day: 1}", "duration=1s"),
        ("policy.request=never",),
        ("policy.request=never", "workload.users=choice"),
    ],
)
def test_where_nobody_asks_no_way_is_cheapest(
    settings: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    done = typed("breakeven", file, "--fleet", "1e5", *(word for text in settings for word in ("--set", text)))
    assert done.exit_code == 0, done.output
    said = " ".join(done.stdout.split())
    assert "no device asks the cloud, so there is nothing to serve" in said
    assert ("results measure engagement in this model of users" in said) == ("workload.users=choice" in settings)


def test_limits_that_let_nothing_in_are_no_cheap_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    for limits, key in (("tokens_per_minute: 1", "tokens"), ("requests_per_minute: 0.01, burst: 3h", "requests")):
        said = one_line(typed("breakeven", file, "--set", API, "--set", f"cloud.api.limits={{{limits}}}"))
        assert said.removeprefix("--set ").find(f"cloud.api.limits.{key}_per_minute") >= 0, said


def test_a_broken_file_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    said = one_line(typed("breakeven", file, "--policy", "sometimes"))
    assert said.startswith("--policy sometimes: policy.request: unknown kind 'sometimes'")
    said = one_line(typed("breakeven", file, "--api", "none-2020"))
    assert said.startswith("--api none-2020: cloud.api: no preset 'none-2020'; name one of gpt-4o-mini")
    said = one_line(typed("breakeven", file, "--policy", "always", "--policy", " "))
    assert said == "--policy: nothing is named; name a request policy, such as always, or drop it"
    assert one_line(typed("breakeven", file, "--api", "")) == "--api: nothing is named; name a preset, or drop it"
