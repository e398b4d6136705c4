"""Cost of a simulated request at the LLM node, from 1 to 64 replicas, at the same load per replica.

    nice -n 19 python benchmarks/node_speed.py --requests 1000000 [--apart]

Poisson arrivals with deadlines, prompts of 100 to 1,500 tokens and answers of 20 to 300 on Llama 3.1 8B and H100s.
Prints processor seconds, microseconds per request and requests per second of one core. `--apart` adds as many nodes of
one replica each, one after the other and then at the same simulated time: what is left of the difference is memory.
"""

import argparse
import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import numpy as np
import simpy

from simulator.cloud import LlmNode
from simulator.cloud.building import pools_of
from simulator.cloud.catalogue import default_catalogue
from simulator.randomness import Draws
from simulator.scenario import sections
from simulator.simulation import fewer_collections

RATE_PER_REPLICA = 20.0  # requests a second


def begin(env: simpy.Environment, replicas: int, requests: int, seed: int = 1) -> LlmNode:
    """A node of `replicas` replicas that `requests` requests will come to."""
    generator = np.random.default_rng(seed)
    gaps = memoryview(generator.exponential(1 / (RATE_PER_REPLICA * replicas), requests))
    prompts = memoryview(generator.integers(100, 1501, requests))
    outputs = memoryview(generator.integers(20, 301, requests))
    cloud = sections.Cloud(gpu="h100", replicas=replicas)
    pools = pools_of(sections.Llm(), cloud, sections.Tariffs(), default_catalogue().model("llama-3.1-8b"))
    node = LlmNode(env, pools, cloud, Draws(1))

    def arrive() -> Generator[Any, Any, None]:
        for gap, prompt, output in zip(gaps, prompts, outputs, strict=True):
            yield env.timeout(gap)
            node.submit(prompt, output, deadline_s=env.now + 60.0)

    env.process(arrive())
    return node


def seconds(start: Callable[[simpy.Environment], object]) -> float:
    """Processor seconds of a simulation that `start` sets up."""
    env = simpy.Environment()
    start(env)
    with fewer_collections():
        started = time.process_time()
        env.run()
        return time.process_time() - started


def run(replicas: int, requests: int) -> tuple[float, LlmNode]:
    """(processor seconds, node) of `requests` requests over `replicas` replicas."""
    nodes: list[LlmNode] = []
    return seconds(lambda env: nodes.append(begin(env, replicas, requests))), nodes[0]


def run_apart(nodes: int, requests: int) -> tuple[float, float]:
    """Processor seconds of nodes of one replica each that share nothing: one after the other, at the same time."""
    each = requests // nodes
    one_by_one = sum(seconds(partial(begin, replicas=1, requests=each, seed=seed)) for seed in range(nodes))
    return one_by_one, seconds(lambda env: [begin(env, 1, each, seed) for seed in range(nodes)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1_000_000, help="requests on the most replicas")
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 4, 16, 64], help="numbers of replicas")
    parser.add_argument("--apart", action="store_true", help="also as many nodes that share nothing")
    arguments = parser.parse_args()
    most = max(arguments.replicas)
    for replicas in arguments.replicas:
        requests = arguments.requests if replicas == most else min(arguments.requests, 200_000)
        took_s, node = run(replicas, requests)
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
