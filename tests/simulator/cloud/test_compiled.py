"""The compiled replay is the node, to the last bit: requests start, get their first token and end at the same times."""

import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.simulator.cloud.capacity.compiled_replay import Run, plain, served
from fleetrec.simulator.cloud.capacity.objectives import ServiceObjective
from fleetrec.simulator.cloud.capacity.replay import Replayed, Requests, replay
from fleetrec.simulator.cloud.capacity.servers import Replicas, without_faults
from fleetrec.simulator.cloud.compiled.loading import REPLAY, node_code
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.engine_profile import engine_profile
from fleetrec.simulator.cloud.hardware.engine_timing import engine_steps
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.cloud.hardware.step_time import ExpertWeights, LinearCost, StepTime, Windows
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.pools import pools_of
from fleetrec.simulator.cloud.replica.drafter import Drafter
from fleetrec.simulator.cloud.replica.jobs import Engine
from fleetrec.simulator.cloud.replica.queue_orders.priority import Priority
from fleetrec.simulator.cloud.replica.replica import Replica
from fleetrec.simulator.core.machine_code import key_of
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Cloud, DraftModel, EngineName, Llm, Ngram, Tariffs

ROOFLINE = StepTime(LinearCost(0.004, 1e-4, 2e-5, 0.0, 1e-8), LinearCost(0.011, 0.0, 3e-5, 2e-7))
EXPERTS = StepTime(LinearCost(0.004, 1e-4), LinearCost(0.006, 0.0, 3e-5, 2e-7), ExpertWeights(0.02, 0.06), 0.03)
WINDOWED = StepTime(
    LinearCost(0.004, 1e-4, 2e-5, 0.0, 1e-6), LinearCost(0.006, 0.0, 3e-5, 2e-5), windows=Windows(48, 3e-5, 2e-6)
)
GPU = default_catalogue().gpu("h100")


def under_engine(name: EngineName, model: str, gpus: int = 1, search: bool = False) -> StepTime:
    """Of a model of the catalogue."""
    profile, layout = engine_profile(name), Layout(gpus)
    spec = default_catalogue().model(model)
    return engine_steps(spec, GPU, layout, profile, profile.search if search else None)


TIMINGS = {
    "roofline": ROOFLINE,
    "experts": EXPERTS,
    "windows": WINDOWED,
    "dense": under_engine("vllm", "llama-3.1-8b"),
    "exchanges": under_engine("tensorrt_llm", "llama-3.1-8b", 4),
    "sparse": under_engine("sglang", "gpt-oss-120b", 2),
    "searches": under_engine("generative_recommender", "qwen3-0.6b", search=True),
}
DRAFTERS = [
    None,
    Drafter((0.6, 0.5, 0.4), lookup_s=0.0003),
    Drafter((0.8,), ROOFLINE),
    Drafter((0.7, 0.7), under_engine("vllm", "gpt-oss-20b"), 0.0001),
]


@st.composite
def loads(draw: st.DrawFn) -> tuple[Requests, Engine, StepTime, int, str]:
    """A few dozen requests that fit the memory alone, and replicas that they may crowd."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, block = draw(st.integers(1, 60)), draw(st.sampled_from([1, 4, 16]))
    timing, drafter = TIMINGS[draw(st.sampled_from(sorted(TIMINGS)))], draw(st.sampled_from(DRAFTERS))
    beams = draw(st.sampled_from([1, 1, 3, 8])) if drafter is None else 1
    each = 1 if drafter is None else drafter.tokens + 1
    sequences = rng.integers(1, beams + 1, n)
    prompt, output = rng.integers(1, 200, n), rng.integers(0, draw(st.sampled_from([2, 12, 40])), n)
    most = draw(st.integers(beams, beams + 20))
    tokens = max(most * each, draw(st.sampled_from([8, 64, 512])))
    window, share = draw(st.sampled_from([(0, 0.0), (32, 0.6)]))
    a_window = share * (window // block + 2)
    longest = -(-(prompt + 1) // block) + sequences * (-(-(output + block + each) // block) + 1 + a_window)
    blocks = math.ceil(longest.max()) + draw(st.integers(0, 3 * math.ceil(longest.max())))
    gaps = rng.exponential(draw(st.sampled_from([0.003, 0.03, 0.3])), n)
    requests = Requests.of(np.cumsum(gaps), prompt, output, sequences, device=rng.integers(0, 9, n))
    engine = Engine(
        blocks,
        tokens,
        most,
        block,
        drafter=drafter,
        separate_prefill=draw(st.booleans()),
        reserve_output=draw(st.booleans()),
        window_tokens=window,
        window_share=share,
    )
    router = draw(st.sampled_from(["least_outstanding", "round_robin", "random", "device_affine", "prefix_aware"]))
    return requests, engine, timing, draw(st.integers(1, 4)), router


def _assert_same(run: Run, node: Replayed) -> None:
    np.testing.assert_array_equal(run.wait_s, node.wait_s)
    np.testing.assert_array_equal(run.times.ttft_s, node.ttft_s)
    np.testing.assert_array_equal(run.times.latency_s, node.latency_s)
    assert run.busy_s.tolist() == [machine.replica.busy_until(node.end_s) for machine in node.node.machines]


@settings(max_examples=250, deadline=None)
@given(loads())
def test_compiled_replays_are_the_nodes(load: tuple[Requests, Engine, StepTime, int, str]) -> None:
    requests, engine, timing, replicas, router = load
    pool = Pool(lambda: Replica(timing, engine), replicas=replicas, drafter=engine.drafter)
    cloud, code = without_faults(Cloud(router=router)), node_code(REPLAY)
    replica = plain(pool, cloud)
    assert code is not None
    assert replica is not None
    node = replay(requests, (pool,), cloud, Draws(3))
    assigned = cloud.router.places(requests.device, replicas, Draws(3))
    run = served(code, requests, [(replica, 1.0, replicas)], assigned, Draws(3))
    _assert_same(run, node)


def test_replays_that_crowd_the_memory_preempt_as_the_node_does() -> None:
    """Eight beams of 60 tokens each in 60 blocks: sixteen requests at once preempt one another."""
    n = 16
    requests = Requests.of(0.001 * np.arange(n), np.full(n, 40), np.full(n, 60), np.full(n, 2))
    pool, cloud = Pool(lambda: Replica(ROOFLINE, Engine(60, 64, 32, 4))), without_faults(Cloud())
    code, replica = node_code(REPLAY), plain(pool, cloud)
    assert code is not None
    assert replica is not None
    node = replay(requests, (pool,), cloud, Draws(1))
    assert node.preemptions.sum() > 3
    run = served(code, requests, [(replica, 1.0, 1)], np.full(n, -1), Draws(1))
    _assert_same(run, node)


@settings(max_examples=50, deadline=None)
@given(loads(), st.integers(1, 3), st.sampled_from([1.0, 0.6, 0.25]))
def test_compiled_replays_of_several_kinds_are_the_nodes(
    load: tuple[Requests, Engine, StepTime, int, str], others: int, speed: float
) -> None:
    """The second kind is slower, and has more memory, a smaller budget and other blocks."""
    requests, engine, timing, replicas, router = load
    slower = StepTime(LinearCost(0.01, 3e-4), LinearCost(0.02, 0.0, 1e-5))
    most, drafter = engine.max_sequences + 2, engine.drafter
    limits = Engine(20_000, max(most * (1 if drafter is None else drafter.tokens + 1), 30), most, 8, drafter=drafter)
    pools = (
        Pool(lambda: Replica(timing, engine), replicas=replicas, drafter=drafter),
        Pool(lambda: Replica(slower, limits), replicas=others, speed=speed, drafter=drafter, name="slower"),
    )
    cloud, code = without_faults(Cloud(router=router)), node_code(REPLAY)
    assert code is not None
    node = replay(requests, pools, cloud, Draws(3))
    kinds = [(replica, pool.speed, pool.replicas) for pool in pools if (replica := plain(pool, cloud)) is not None]
    assigned = cloud.router.places(requests.device, replicas + others, Draws(3))
    run = served(code, requests, kinds, assigned, Draws(3))
    _assert_same(run, node)


@pytest.mark.parametrize("text", ["p90=8ms", "ttft_p50=5ms", "tpot_p80=1ms", "p90=1s,ttft_p50=5ms,tpot_p60=1200us"])
def test_a_replay_is_given_up_only_where_the_node_too_misses_the_objective(text: str) -> None:
    """Rates from idle to overloaded; in between, each objective turns from met to missed once."""
    rng, n = np.random.default_rng(5), 400
    like = Requests.of(np.zeros(n), rng.integers(1, 90, n), rng.integers(1, 9, n))
    objective = ServiceObjective.parse(text)
    timing = StepTime(LinearCost(0.0005, 1e-5), LinearCost(1e-9))
    pool = Pool(lambda: Replica(timing, Engine(999, max_sequences=6)))
    fast, node = (Replicas((pool,), without_faults(Cloud()), Draws(1), objective, fast=fast) for fast in (True, False))
    assert fast.most > node.most  # the node does not stand in for it
    gaps = rng.exponential(size=n)
    met = []
    for rate in np.geomspace(20, 4000, 12):
        at = like.at(np.cumsum(gaps) / rate)
        met.append(fast.meet(at, 2, 50))
        assert met[-1] == node.meet(at, 2, 50) == objective.met(node.serve(at, 2)[1].take(slice(50, None)))
    assert met == sorted(met, reverse=True)
    assert len(set(met)) == 2


@pytest.mark.parametrize(
    ("model", "cloud"),
    [
        ("llama-3.1-8b", Cloud()),
        ("llama-3.1-8b", Cloud(engine="sglang", router="prefix_aware")),
        ("gpt-oss-120b", Cloud(gpu="h200", engine="tensorrt_llm", gpus_per_replica=2)),
        ("llama-3.1-8b", Cloud(gpu="h100", speculation=DraftModel(model="llama-3.2-1b", tokens=3, acceptance=0.7))),
        ("llama-3.1-8b", Cloud(engine=None, speculation=Ngram(tokens=3, acceptance=0.5))),
    ],
)
def test_accounts_of_engines_windows_and_drafts_are_served_in_compiled_code(model: str, cloud: Cloud) -> None:
    llm = Llm.model_validate({"generation": "list"})
    (pool,) = pools_of(llm, cloud, Tariffs(), default_catalogue().model(model))
    judged = (without_faults(cloud), Draws(1), ServiceObjective.parse("p95=20s"))
    servers, slow = (Replicas((pool,), *judged, fast=fast) for fast in (True, False))
    requests = Requests.of(np.arange(40) * 0.3, np.full(40, 700), np.full(40, 60))
    assert servers.rates(requests) == slow.rates(requests)
    _, fast, _ = servers.serve(requests, 2)
    node = servers.replayed(requests, 2).times
    assert servers.most == 500_000
    np.testing.assert_array_equal(fast.latency_s, node.latency_s)


@pytest.mark.parametrize(
    "engine",
    [Engine(99, prefix_caching=True), Engine(99, async_scheduling=True), Engine(99, order=Priority())],
)
def test_what_compiled_code_lacks_is_left_to_the_node(engine: Engine) -> None:
    assert plain(Pool(lambda: Replica(ROOFLINE, engine)), without_faults(Cloud())) is None


def test_without_a_compiler_the_node_serves_and_one_line_says_so() -> None:
    """In a process of its own, where numba cannot be imported; and nothing loads it before a replay asks for it."""
    program = """
import sys
sys.modules["numba"] = None
import numpy as np
from fleetrec.simulator.cloud.compiled.loading import REPLAY, node_code
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.replica.jobs import Engine
from fleetrec.simulator.cloud.capacity.objectives import ServiceObjective
from fleetrec.simulator.cloud.capacity.servers import Replicas, without_faults
from fleetrec.simulator.cloud.capacity.replay import Requests
from fleetrec.simulator.cloud.replica.replica import Replica
from fleetrec.simulator.cloud.hardware.step_time import LinearCost, StepTime
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Cloud, DraftModel, EngineName, Llm, Ngram, Tariffs
pool = Pool(lambda: Replica(StepTime(LinearCost(1.0), LinearCost(0.0)), Engine(99)))
servers = Replicas((pool,), without_faults(Cloud()), Draws(1), ServiceObjective.parse("p95=1.5"))
requests = Requests.of(np.arange(9.0) * 2, np.full(9, 4), np.full(9, 1))
print(servers.meet(requests, 1), servers.meet(requests.at(np.zeros(9)), 1), node_code(REPLAY) is None)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["True", "True", "True"]
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("warning: requests are served without compiled code")


def test_damaged_machine_code_is_not_run_and_one_line_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The compiler's own cache is pickled and has no sums: a flipped bit would crash, mislead, or end it for good.
    What is damaged is a copy of what this session has compiled; where nothing is left it is compiled."""
    assert node_code(REPLAY) is not None
    kept, copied = (store.folder("compiled", key_of(REPLAY)) for store in (ArtifactStore(), ArtifactStore(tmp_path)))
    shutil.copytree(kept, copied)
    assert ArtifactStore(tmp_path).open("compiled", key_of(REPLAY)) == copied
    damaged = next(path for path in copied.rglob("*.nbc") if ".serve-" in path.name)
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    assert ArtifactStore(tmp_path).open("compiled", key_of(REPLAY)) is None
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{damaged.name} has changed); it is removed and built again" in said
    assert not copied.exists()
