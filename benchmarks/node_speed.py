"""Cost of a simulated request at the LLM node, from 1 to 64 replicas, in processor time of one core.

    python benchmarks/node_speed.py [--requests 1000000] [--apart | --compiled]
    python benchmarks/node_speed.py --flat 5 [--requests 100000]
    python benchmarks/node_speed.py --trace shared/data/llm/azure_2023_conv.csv [--turns 5] [--engine vllm]
        [--speculation | --router | --pools] [--compiled]

Poisson arrivals with deadlines, prompts of 100 to 1,500 tokens and answers of 20 to 300 on Llama 3.1 8B and H100s, 20 a
second and replica. `--compiled` serves them as requests that are known before, in compiled code; what loading that
takes is not counted. `--apart` adds as many nodes of one replica each, one after the other and then at the same
simulated time. `--flat K` takes all sizes in turns, K times, and prints the median cost of a request: with 20 a second
and replica, so with 64 times the traffic for 64 replicas, and with 20 a second in all, whatever the number of replicas.
`--trace` serves a request trace at ten times its rate on four replicas, plain and with all that `FEATURES` names, or
with drafts, a router that knows prefixes, or pools for prefill and decode alone; in turns, so that what else the
machine does slows all alike; under `--compiled` in compiled code where that knows them, else by the node itself.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from fleetrec.simulator.cloud.capacity.replay import Requests, replay
from fleetrec.simulator.cloud.capacity.traces import read_trace
from fleetrec.simulator.cloud.compiled.loading import node_code
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.node.llm_node import LlmNode
from fleetrec.simulator.cloud.pools import pools_of
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.engine.run import fewer_collections
from fleetrec.simulator.scenario import sections

RATE_PER_REPLICA = 20.0  # requests a second
_ACCEPTANCE = (0.8, 0.72, 0.65, 0.6)
_TWO = {"replicas": 2}
_PLAIN = "plain"
FEATURES: dict[str, dict[str, dict[str, Any]]] = {
    "speculation": {
        "drafts by n-grams": {"speculation": {"kind": "ngram", "tokens": 4, "acceptance": _ACCEPTANCE}},
        "drafts of llama-3.2-1b": {
            "speculation": {"kind": "draft_model", "model": "llama-3.2-1b", "tokens": 4, "acceptance": _ACCEPTANCE}
        },
    },
    "router": {
        "cached prefixes": {"prefix_caching": True},
        "cached prefixes, prefix_aware": {"prefix_caching": True, "router": "prefix_aware"},
    },
    "pools": {"two for prefill, two for decode": {"disaggregation": {"prefill": _TWO, "decode": _TWO}}},
}
"""keys of `cloud`, by the option that asks for them"""


def begin(env: simpy.Environment, replicas: int, requests: int, rate: float, seed: int = 1) -> LlmNode:
    """A node of `replicas` replicas that `requests` requests will come to, `rate` a second."""
    cloud, pools = _machines(replicas)
    node = LlmNode(env, pools, cloud, Draws(1))

    def arrive() -> Generator[Any, Any, None]:
        columns = (column.data for column in _load(requests, rate, seed))
        for gap, prompt, output in zip(*columns, strict=True):
            yield env.timeout(gap)
            node.submit(prompt, output, deadline_s=env.now + 60.0)

    env.process(arrive())
    return node


def _machines(replicas: int) -> tuple[sections.Cloud, tuple[Pool, ...]]:
    cloud = sections.Cloud(gpu="h100", engine=None, replicas=replicas)
    return cloud, pools_of(sections.Llm(), cloud, sections.Tariffs(), default_catalogue().model("llama-3.1-8b"))


def _load(requests: int, rate: float, seed: int = 1) -> tuple[NDArray[Any], ...]:
    """Seconds between arrivals, prompts and answers [N]."""
    rng = np.random.default_rng(seed)
    return rng.exponential(1 / rate, requests), rng.integers(100, 1501, requests), rng.integers(20, 301, requests)


def run_compiled(replicas: int, requests: int, rate: float) -> tuple[float, LlmNode]:
    """See `run`; the requests are known before."""
    cloud, pools = _machines(replicas)
    gaps, prompts, outputs = _load(requests, rate)
    load = Requests.of(np.cumsum(gaps), prompts, outputs)
    code = node_code()
    started = time.process_time()
    done = replay(load, pools, cloud, Draws(1), deadline_s=load.arrival_s + 60.0, code=code)
    return time.process_time() - started, done.node


def seconds(start: Callable[[simpy.Environment], object]) -> float:
    """Processor seconds of a simulation that `start` sets up."""
    env = simpy.Environment()
    start(env)
    with fewer_collections():
        started = time.process_time()
        env.run()
        return time.process_time() - started


def run(replicas: int, requests: int, rate: float) -> tuple[float, LlmNode]:
    """(processor seconds, node) of `requests` requests over `replicas` replicas, `rate` a second."""
    nodes: list[LlmNode] = []
    return seconds(lambda env: nodes.append(begin(env, replicas, requests, rate))), nodes[0]


def run_apart(nodes: int, requests: int) -> tuple[float, float]:
    """Processor seconds of nodes of one replica each that share nothing: one after the other, at the same time."""
    start = partial(begin, replicas=1, requests=requests // nodes, rate=RATE_PER_REPLICA)
    one_by_one = sum(seconds(partial(start, seed=seed)) for seed in range(nodes))
    return one_by_one, seconds(lambda env: [start(env, seed=seed) for seed in range(nodes)])


def flat(sizes: list[int], requests: int, turns: int) -> None:
    """Prints the median cost of a request for each number of replicas, and over that of the first."""
    loads = ("a replica", "in all")
    cases = [(load, replicas) for load in loads for replicas in sizes]
    took: dict[tuple[str, int], list[float]] = {case: [] for case in cases}
    for _ in range(turns):
        for load, replicas in cases:
            rate = RATE_PER_REPLICA * (replicas if load == "a replica" else 1)
            took[load, replicas].append(1e6 * run(replicas, requests, rate)[0] / requests)
    for load in loads:
        first = statistics.median(took[load, sizes[0]])
        for replicas in sizes:
            of = took[load, replicas]
            middle = statistics.median(of)
            print(
                f"{RATE_PER_REPLICA:.0f} a second {load:9s}  {replicas:3d} replicas  {middle:6.1f} us each "
                f"({min(of):.1f} to {max(of):.1f})  {middle / first:.2f} times {sizes[0]}"
            )


def traced(path: Path, turns: int, engine: str | None, features: list[str], in_compiled_code: bool) -> None:
    """Prints requests a second of a trace with each of the features, the best of `turns`, and the median over turns of
    the time over that of the plain node in the same turn."""
    cases: dict[str, dict[str, Any]] = {_PLAIN: {}}
    for feature in features:
        cases |= FEATURES[feature]
    requests, _ = read_trace(path)
    requests = replace(
        requests.at(requests.arrival_s / 10),
        device=np.arange(len(requests)) % 500,
        prefix_start=np.zeros(len(requests), dtype=np.int64),
        prefix_tokens=requests.prompt_tokens // 2,
    )
    model = default_catalogue().model("llama-3.1-8b")
    took: dict[str, list[float]] = {case: [] for case in cases}
    code = node_code() if in_compiled_code else None
    for _ in range(turns):
        for name, keys in cases.items():
            cloud = _cloud(keys, engine)
            pools = pools_of(sections.Llm(), cloud, sections.Tariffs(), model)
            with fewer_collections():
                started = time.process_time()
                replay(requests, pools, cloud, Draws(1), code=code)
                took[name].append(time.process_time() - started)
    for name, turns_s in took.items():
        times = statistics.median(own / plain for own, plain in zip(turns_s, took[_PLAIN], strict=True))
        print(f"{name:32s} {len(requests) / min(turns_s):7,.0f}/s  {times:.2f} times plain")


def _cloud(keys: dict[str, Any], engine: str | None) -> sections.Cloud:
    """Four replicas with those keys, of the engine or, without one, of the scenario's default."""
    served_by = {} if engine is None else {"engine": engine}
    if "disaggregation" in keys:
        pools = {part: {**machines, **served_by} for part, machines in keys["disaggregation"].items()}
        return sections.Cloud.model_validate({"disaggregation": pools})
    return sections.Cloud.model_validate({"replicas": 4, **keys, **served_by})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000_000, help="requests on the most replicas")
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 4, 16, 64], help="numbers of replicas")
    parser.add_argument("--apart", action="store_true", help="also as many nodes that share nothing")
    parser.add_argument("--compiled", action="store_true", help="in compiled code")
    parser.add_argument("--flat", type=int, metavar="K", help="only the median cost of K turns, at two loads")
    parser.add_argument("--trace", type=Path, help="a request trace instead")
    parser.add_argument("--turns", type=int, default=5, help="over the trace with each feature")
    parser.add_argument("--engine", help="of the replicas that serve the trace; default: the scenario's")
    for feature, cases in FEATURES.items():
        parser.add_argument(f"--{feature}", action="store_true", help=f"only, beside plain: {', '.join(cases)}")
    arguments = parser.parse_args()
    if arguments.trace:
        asked = [feature for feature in FEATURES if getattr(arguments, feature)]
        traced(arguments.trace, arguments.turns, arguments.engine, asked or list(FEATURES), arguments.compiled)
        return
    if arguments.flat:
        flat(arguments.replicas, min(arguments.requests, 200_000), arguments.flat)
        return
    most = max(arguments.replicas)
    for replicas in arguments.replicas:
        requests = arguments.requests if replicas == most else min(arguments.requests, 200_000)
        of = run_compiled if arguments.compiled else run
        took_s, node = of(replicas, requests, RATE_PER_REPLICA * replicas)
        each = f"{1e6 * took_s / requests:6.1f} us each  {requests / took_s:7,.0f}/s"
        apart = ""
        if arguments.apart:
            one_by_one, together = (1e6 * s / requests for s in run_apart(replicas, requests))
            apart = f"  apart: one by one {one_by_one:.1f} us, at the same time {together:.1f} us"
        print(
            f"{replicas:3d} replicas  {requests:9,d} requests  {took_s:6.1f} s  {each}  "
            f"utilization {node.utilization():.2f}  {dict(node.outcomes)}{apart}",
            flush=True,
        )


if __name__ == "__main__":
    main()
