"""A hosted API behind a fleet: equal to own GPUs where law and price are; and beside GPUs, for what they turn away."""

from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from fleetrec import RunResult
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.reports.terminal.summary import print_run_summary
from fleetrec.simulator.cloud.api.price import bill
from fleetrec.simulator.scenario.sections import ApiPrice
from tests.simulator.test_table_run import EVERY, run
from tests.simulator.test_table_run import folder as folder  # a fixture
from tests.simulator.tiny import scenario_of, simulate_tiny
from tests.small import noted

ALONE = "{kind: log_normal, ttft: 1.5s, tpot: 0s}"
"""as long as every answer of the table takes"""


def without(result: RunResult, *columns: str) -> Any:
    return result.requests.drop(columns=list(columns)).sort_values("request", ignore_index=True)


def test_at_equal_latency_and_price_an_api_and_own_gpus_are_one(folder: Path) -> None:
    """A GPU for each request, which is busy for 1.5 s, against a fee of 1.5 s of rent: the same lists at the same
    moments, the same slates, the same dollars."""
    rent = "tariffs.gpu_hour=3.6"
    gpus = run(folder, EVERY, rent, "cloud={replicas: 100, max_sequences: 1, max_batched_tokens: 8192}")
    price = "{input: 0, output: 0, per_request: 0.0015}"
    api = run(folder, EVERY, rent, f"cloud={{kind: api, api: {{price: {price}, latency: {ALONE}}}}}")
    for name in ("interactions", "devices", "baselines"):
        assert gpus.tables[name].equals(api.tables[name])
    cost = ("gpu_seconds", "usd", "joules", "gco2", "replica", "t_first_token_s")
    left, right = without(gpus, *cost), without(api, *cost)
    times = [name for name in left if name.startswith("t_")]
    assert left.drop(columns=times).equals(right.drop(columns=times))
    np.testing.assert_allclose(left[times], right[times], rtol=1e-12)
    served = gpus.requests["t_started_s"].notna()
    np.testing.assert_allclose(gpus.requests["usd"][served], api.requests["usd"][served], rtol=1e-9)
    assert gpus.summary["accuracy"] == api.summary["accuracy"]
    for account in ("usd_serving", "usd_marginal"):
        assert gpus.summary["cost"][account] == pytest.approx(api.summary["cost"][account], rel=1e-9)


def run_tiny(store: ArtifactStore, **changes: Any) -> RunResult:
    return simulate_tiny(scenario_of(**changes), store)


def tiny_api(store: ArtifactStore, **changes: Any) -> RunResult:
    api = {"price": {"input": 1.0, "output": 4.0}, "latency": {"kind": "log_normal", "ttft": 0.3, "tpot": 0.002}}
    cloud = {"kind": "api", "api": {**api, **changes.pop("api", {})}, **changes}
    return run_tiny(
        store, cloud=cloud, policy={"request": "always"}, fleet={"represents": 100_000}, llm={"generation": "list"}
    )


def test_every_dollar_of_the_api_joins_the_ledger(store: ArtifactStore) -> None:
    result = tiny_api(store)
    requests, cost, cloud = result.requests, result.summary["cost"], result.summary["cloud"]
    price = ApiPrice(input=1.0, output=4.0)
    let_in = requests[requests["t_started_s"].notna()]
    tokens = zip(let_in["prompt_tokens"], let_in["output_tokens"], strict=True)
    assert let_in["usd"].tolist() == pytest.approx([bill(price, prompt, 0, output).usd for prompt, output in tokens])
    assert cost["usd_serving"] == pytest.approx(let_in["usd"].sum()) == cost["usd_replicas"]
    assert sum(cloud["api"][f"usd_{part}"] for part in ("input", "cached_input", "output", "fee")) == pytest.approx(
        cost["usd_serving"]
    )
    month = 30 * 86400 / result.summary["simulated_seconds"]
    assert cost["usd_provisioned_per_month"] == pytest.approx((cost["usd_marginal"]) * 2000 * month, rel=1e-6)
    assert cost["usd_provisioned_per_month_low"] < cost["usd_provisioned_per_month"]
    assert cost["replicas_provisioned"] == 0
    notes = noted(result.summary["notes"])
    assert {"api_energy_unknown", "api_terms"} <= set(notes)
    unknown = ("gpu_joules", "gpu_joules_replicas", "gco2", "gpu_joules_provisioned_per_month")
    assert [cost[name] for name in unknown] == [None] * 4
    each = (let_in["prompt_tokens"] + let_in["output_tokens"]).mean()
    needed = notes["api_limits_needed"]
    assert needed["requests"] == pytest.approx(60 * cost["requests_per_s_peak"])
    assert needed["tokens"] == pytest.approx(each * needed["requests"])


def test_what_the_gpus_turn_away_goes_to_the_api(store: ArtifactStore) -> None:
    """No request is rejected, and those beyond the queue are paid by the token and not by GPU seconds."""
    cloud: dict[str, Any] = {"gpu": "l4", "queue_limit": 0, "max_sequences": 1, "max_batched_tokens": 8192}
    gpus = run_tiny(store, cloud=cloud, policy={"request": "always"}, llm={"generation": "list"})
    both = tiny_api(store, **(cloud | {"kind": "overflow"}))
    assert gpus.summary["requests"]["rejected"] > 100
    assert both.summary["requests"]["rejected"] == 0
    by_api = (both.requests["gpu_seconds"] == 0) & (both.requests["usd"] > 0)
    assert by_api.sum() == both.summary["cloud"]["api"]["answered"] > 100
    assert (both.requests["gpu_seconds"] > 0).sum() > 100


@pytest.mark.parametrize("engine", [{"batching": False}, {"sleep": False}, {"lookahead": 1}])
def test_results_are_the_same_bytes_however_they_are_computed(store: ArtifactStore, engine: dict[str, Any]) -> None:
    api = {"price": {"input": 1, "output": 4}, "latency": {"kind": "log_normal", "ttft": 0.3, "tpot": 0.002}}
    api |= {"limits": {"requests_per_minute": 8, "burst": 10}, "outages": {"every": 3600, "length": 60}}
    cloud = {"kind": "api", "api": api}
    one, other = (run_tiny(store, cloud=cloud, policy={"request": "always"}, engine=how) for how in ({}, engine))
    assert one.summary["cloud"]["api"]["refused_429"] > 0
    assert all(table.equals(other.tables[name]) for name, table in one.tables.items())


def test_pushed_lists_go_by_batch_and_have_its_time(store: ArtifactStore) -> None:
    batch = {"delay": "2min", "window": "24h", "price_factor": 0.5}
    api = {"price": {"input": 1, "output": 4, "batch": batch}, "latency": {"kind": "log_normal", "ttft": 0, "tpot": 0}}
    pushes = {"request": {"kind": "cloud_push", "every": "20min", "at": "0s", "window": "5min"}}
    cloud = {"kind": "api", "api": api, "stores": "history", "request_timeout": "1s"}
    result = run_tiny(store, cloud=cloud, policy=pushes)
    completed = result.requests[result.requests["outcome"] == "completed"]
    assert len(completed) > 20
    assert result.summary["cloud"]["api"]["batched"] >= len(completed)
    assert (completed["t_finished_s"] - completed["t_started_s"]).mean() > 60


def test_an_api_that_is_slower_than_the_objective_says_so(store: ArtifactStore) -> None:
    """300 ms and 2 ms for each further of 20 x 8 tokens are 0.62 s: no money makes that half a second."""
    late, met = (tiny_api(store, slo={"p95_latency": objective}) for objective in ("500ms", "1s"))
    assert noted(late.summary["notes"])["slo_missed"]["alone_s"] == pytest.approx(0.3 + 0.002 * 159)
    assert late.summary["cost"]["usd_provisioned_per_month"] is not None
    assert "slo_missed" not in noted(met.summary["notes"])


def test_what_is_printed_of_a_run_on_an_api_speaks_of_no_replicas(store: ArtifactStore) -> None:
    console = Console(file=StringIO(), width=2000)
    print_run_summary(tiny_api(store).summary, console)
    assert isinstance(console.file, StringIO)
    said = console.file.getvalue()
    assert "paid to a hosted API" in said
    assert "on a hosted API whose limits are wide enough" in said
    assert "answered 58" in said  # of 589
    assert "0 replicas" not in said
    assert "idle or not" not in said
