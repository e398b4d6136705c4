"""The compiled replay is the node: the same requests start, get their first token and end at the same moments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.cloud.cluster import Pool
from simulator.cloud.compiled import assignment, loop, plain, served
from simulator.cloud.jobs import Engine
from simulator.cloud.provisioning import steady
from simulator.cloud.replay import Requests, replay
from simulator.cloud.replica import Replica
from simulator.cloud.steps import ExpertWeights, Line, StepTime
from simulator.randomness import Draws
from simulator.scenario.sections import Cloud

ROOFLINE = StepTime(Line(0.004, 1e-4, 2e-5, 0.0, 1e-8), Line(0.011, 0.0, 3e-5, 2e-7))
EXPERTS = StepTime(Line(0.004, 1e-4), Line(0.006, 0.0, 3e-5, 2e-7), ExpertWeights(0.02, 0.06), 0.03)


@st.composite
def loads(draw: st.DrawFn) -> tuple[Requests, Engine, StepTime, int, str]:
    """A few dozen requests that fit the memory alone, and replicas that they may crowd."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, block = draw(st.integers(1, 60)), draw(st.sampled_from([1, 4, 16]))
    beams = draw(st.sampled_from([1, 1, 3, 8]))
    sequences = rng.integers(1, beams + 1, n)
    prompt, output = rng.integers(1, 200, n), rng.integers(0, draw(st.sampled_from([2, 12, 40])), n)
    most = draw(st.integers(beams, beams + 20))
    tokens = max(most, draw(st.sampled_from([8, 64, 512])))
    longest = int((-(-(prompt + 1) // block) + sequences * (-(-(output + block) // block) + 1)).max())
    blocks = longest + draw(st.integers(0, 3 * longest))
    gaps = rng.exponential(draw(st.sampled_from([0.003, 0.03, 0.3])), n)
    requests = Requests.of(np.cumsum(gaps), prompt, output, sequences, device=rng.integers(0, 9, n))
    engine = Engine(blocks, tokens, most, block)
    router = draw(st.sampled_from(["least_outstanding", "round_robin", "random", "device_affine"]))
    return requests, engine, draw(st.sampled_from([ROOFLINE, EXPERTS])), draw(st.integers(1, 4)), router


@settings(max_examples=150, deadline=None)
@given(loads())
def test_compiled_replays_are_the_nodes(load: tuple[Requests, Engine, StepTime, int, str]) -> None:
    """To a billionth of a second: a run of steps in closed form rounds differently from its steps one by one."""
    requests, engine, timing, replicas, router = load
    pool, cloud = Pool(lambda: Replica(timing, engine), replicas=replicas), steady(Cloud(router=router))
    code, replica = loop(), plain(pool, cloud)
    assert code is not None
    assert replica is not None
    node = replay(requests, (pool,), cloud, Draws(3))
    run = served(code, requests, replica, replicas, assignment(requests, replicas, cloud, Draws(3)))
    assert run.wait_s == pytest.approx(node.wait_s, abs=1e-9, nan_ok=True)
    assert run.ttft_s == pytest.approx(node.ttft_s, abs=1e-9, nan_ok=True)
    assert run.latency_s == pytest.approx(node.latency_s, abs=1e-9)
    assert run.busy_s.sum() == pytest.approx(node.node.busy_gpu_seconds, abs=1e-8)
