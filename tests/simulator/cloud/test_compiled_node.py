"""Compiled code serves requests that are known before as the node does, to the last bit: one test drives both."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.capacity.replay import Replayed, Requests, replay
from fleetrec.simulator.cloud.compiled.loading import code_for, node_code
from fleetrec.simulator.cloud.compiled.serving import CompiledNode
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.power import ReplicaPower
from fleetrec.simulator.cloud.hardware.step_time import StepTime
from fleetrec.simulator.cloud.node.cluster import Link, Pool
from fleetrec.simulator.cloud.replica.jobs import Engine
from fleetrec.simulator.cloud.replica.replica import Replica
from fleetrec.simulator.core.machine_code import SWITCH
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Autoscale, Cloud, QueueOrder, Spot
from tests.simulator.cloud.test_compiled import GPU, ROOFLINE, loads

POWER = ReplicaPower(default_catalogue().model("llama-3.1-8b"), GPU)
OF_REQUESTS = ("wait_s", "ttft_s", "latency_s", "preemptions", "joules", "kv_shares", "end_s")
OF_NODES = ("submitted", "outcomes", "prompt_tokens", "output_tokens", "busy_joules", "idle_joules")
OF_NODES += ("busy_gpu_seconds", "up_gpu_seconds", "paid_gpu_seconds", "paid_usd")

_rules = st.fixed_dictionaries(
    {
        "abort_on_timeout": st.booleans(),
        "queue_limit": st.sampled_from([0, 3, 10**6]),
        "caching": st.booleans(),
        "splits": st.booleans(),
    }
)


def _assert_same(compiled: Replayed, node: Replayed) -> None:
    assert isinstance(compiled.node, CompiledNode)
    for name in OF_REQUESTS:
        np.testing.assert_array_equal(getattr(compiled, name), getattr(node, name), err_msg=name)
    for name in OF_NODES:
        assert getattr(compiled.node, name) == getattr(node.node, name), name
    ours, theirs = compiled.node.timeline(), node.node.timeline()
    for name, column in theirs.items():
        np.testing.assert_array_equal(ours[name], column, err_msg=name)


@settings(max_examples=60, deadline=None)
@given(
    loads(),
    _rules,
    st.sampled_from([math.inf, 0.05, 0.3, 2.0]),
    st.sampled_from(["fcfs", "priority", "shortest_prompt"]),
    st.booleans(),
    st.booleans(),
)
def test_the_compiled_node_is_the_node(
    load: tuple[Requests, Engine, StepTime, int, str],
    rules: dict[str, int],
    patience_s: float,
    order: str,
    pipelined: bool,
    at_once: bool,
) -> None:
    """Deadlines, limits, orders, preemption, beams, windows, cached prefixes, pools; `at_once`: many arrive and
    time out together."""
    requests, engine, timing, replicas, router = load
    rng = np.random.default_rng(len(requests))
    if at_once:
        requests = requests.at(np.floor(requests.arrival_s * 20) / 20)
    requests = replace(requests, priority=rng.integers(0, 4, len(requests)).astype(np.float64))
    late = requests.arrival_s + patience_s * rng.integers(1, 3, len(requests)) if patience_s < math.inf else None
    if rules["caching"]:  # of a few devices, whose histories begin anew now and then
        start = rng.integers(-1, 2, len(requests))
        shared = rng.integers(0, requests.prompt_tokens + 1)
        requests = replace(requests, device=rng.integers(0, 3, len(requests)), prefix_start=start, prefix_tokens=shared)
    engine = replace(
        engine,
        drafter=None,
        prefix_caching=bool(rules["caching"]),
        async_scheduling=pipelined,
        order=QueueOrder.called(order, "order"),
    )
    pool = Pool(lambda: Replica(timing, engine), replicas=replicas, power=POWER, rent_usd=0.001)
    cloud = Cloud.model_validate(
        {"router": router, **{name: rules[name] for name in ("abort_on_timeout", "queue_limit")}}
    )
    pools = (pool,)
    if rules["splits"]:
        pools = (replace(pool, link=Link(1e-4, 0.003)), replace(pool, decodes=True, replicas=2, gpus_per_replica=2))
    node, compiled = (
        replay(requests, pools, cloud, Draws(3), deadline_s=late, code=code) for code in (None, node_code())
    )
    _assert_same(compiled, node)


def test_pools_of_several_kinds_are_served_as_by_the_node() -> None:
    rng, n = np.random.default_rng(3), 400
    requests = Requests.of(np.cumsum(rng.exponential(0.02, n)), rng.integers(1, 300, n), rng.integers(1, 40, n))
    fast = Pool(lambda: Replica(ROOFLINE, Engine(300, 256, 16)), replicas=2, power=POWER)
    slow = Pool(lambda: Replica(ROOFLINE, Engine(200, 64, 8, 4)), speed=0.5, gpus_per_replica=2, name="slow")
    node, compiled = (replay(requests, (fast, slow), Cloud(), Draws(1), code=code) for code in (None, node_code()))
    assert node.preemptions.sum() > 0
    _assert_same(compiled, node)


@pytest.mark.parametrize(
    ("pool", "engine", "cloud"),
    [
        ({}, {"prefix_caching": True, "host_blocks": 9}, {}),
        ({}, {"order": QueueOrder.called("fair", "order")}, {}),
        ({}, {}, {"router": "least_kv"}),
        ({}, {}, {"admission": "deadline"}),
        ({"spot": Spot(taken_per_hour=1.0)}, {}, {}),
        ({"autoscale": Autoscale(max=3)}, {}, {}),
    ],
)
def test_what_compiled_code_does_not_know_is_left_to_the_node(
    pool: dict[str, Spot], engine: dict[str, bool], cloud: dict[str, str]
) -> None:
    requests = Requests.of(np.arange(5) * 0.1, np.full(5, 9), np.full(5, 3))
    pools = (Pool(lambda: Replica(ROOFLINE, Engine(99, **engine)), **pool),)  # type: ignore[arg-type]
    node, compiled = (
        replay(requests, pools, Cloud.model_validate(cloud), Draws(1), code=code) for code in (None, node_code())
    )
    assert not isinstance(compiled.node, CompiledNode)
    np.testing.assert_array_equal(compiled.latency_s, node.latency_s)


def test_compiled_code_is_loaded_where_it_pays_and_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert node_code() is not None
    assert code_for(1000) is None
    assert code_for(100_000) is node_code()
    monkeypatch.setenv(SWITCH, "off")
    assert code_for(100_000) is None
    monkeypatch.setenv(SWITCH, "no")
    with pytest.raises(InputError, match="FLEETREC_COMPILED=no: expected on or off"):
        code_for(100_000)
