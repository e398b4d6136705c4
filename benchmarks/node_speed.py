"""Cost of a simulated request at the LLM node, from 1 to 64 replicas, at the same load per replica.

    nice -n 19 python benchmarks/node_speed.py --requests 1000000

Poisson arrivals with deadlines, prompts of 100 to 1,500 tokens and answers of 20 to 300 on Llama 3.1 8B and H100s.
Prints processor seconds, microseconds per request and requests per second of one core.
"""

import argparse
import time
from collections.abc import Generator
from typing import Any

import numpy as np
import simpy

from simulator.cloud import LlmNode
from simulator.cloud.building import pools_of
from simulator.cloud.catalogue import default_catalogue
from simulator.randomness import Draws
from simulator.scenario import sections

RATE_PER_REPLICA = 20.0  # requests a second


def run(replicas: int, requests: int) -> tuple[float, LlmNode]:
    """(processor seconds, node) of `requests` requests over `replicas` replicas."""
    generator = np.random.default_rng(1)
    gaps = generator.exponential(1 / (RATE_PER_REPLICA * replicas), requests).tolist()
    prompts = generator.integers(100, 1501, requests).tolist()
    outputs = generator.integers(20, 301, requests).tolist()
    cloud = sections.Cloud(gpu="h100", replicas=replicas)
    pools = pools_of(sections.Llm(), cloud, sections.Tariffs(), default_catalogue().model("llama-3.1-8b"))
    env = simpy.Environment()
    node = LlmNode(env, pools, cloud, Draws(1))

    def arrive() -> Generator[Any, Any, None]:
        for device, (gap, prompt, output) in enumerate(zip(gaps, prompts, outputs, strict=True)):
            yield env.timeout(gap)
            node.submit(prompt, output, deadline_s=env.now + 60.0, device=device)

    env.process(arrive())
    started = time.process_time()
    env.run()
    return time.process_time() - started, node


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000, help="requests on the most replicas")
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 4, 16, 64], help="numbers of replicas")
    arguments = parser.parse_args()
    most = max(arguments.replicas)
    for replicas in arguments.replicas:
        requests = arguments.requests if replicas == most else min(arguments.requests, 200_000)
        seconds, node = run(replicas, requests)
        each = f"{1e6 * seconds / requests:6.1f} us each  {requests / seconds:7,.0f}/s"
        print(
            f"{replicas:3d} replicas  {requests:9,d} requests  {seconds:6.1f} s  {each}  "
            f"utilization {node.utilization():.2f}  {dict(node.outcomes)}"
        )


if __name__ == "__main__":
    main()
