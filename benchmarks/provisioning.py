"""How exact and how quick the provisioned count is: over a hundred seeds, what R - 1, R and R + 1 replicas meet in
peaks of half an hour that were not looked at when R was found; whether they recover from twenty seconds of requests
that stand at the door when the peak begins; and what the node itself finds.

    python benchmarks/provisioning.py [--seeds 100] [--case "beam, p95=1s"]
"""

import argparse
import time
from collections import Counter

import numpy as np

from fleetrec.simulator.cloud.capacity.objectives import ServiceObjective
from fleetrec.simulator.cloud.capacity.peak import PEAK_S, Peak
from fleetrec.simulator.cloud.capacity.replay import Requests
from fleetrec.simulator.cloud.capacity.servers import Replicas, without_faults
from fleetrec.simulator.cloud.capacity.servers_needed import Capacity, provision_fleet
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.pools import kind_of
from fleetrec.simulator.cloud.tokens import RequestTokens
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Cloud

PROMPTS = (60, 860)
"""tokens of prompts, the second not included"""
LONG = (700, 800)
BURST_S = 20.0
# Output tokens, sequences, objective, requests a second, prompts.
CASES = {
    "beam, p95=1s, edge": (8, 50, "p95=1s", 108.7, PROMPTS),  # all but what three replicas hold
    "beam, p95=1s": (8, 50, "p95=1s", 378.0, PROMPTS),
    "beam, p95=1s, long": (8, 50, "p95=1s", 378.0, LONG),
    "beam, p95=1s, more": (8, 50, "p95=1s", 1067.0, PROMPTS),
    "beam, p95=120ms": (8, 50, "p95=120ms", 667.0, PROMPTS),
    "beam, p95=90ms": (8, 50, "p95=90ms", 333.0, PROMPTS),
    "list, p95=4s": (400, 1, "p95=4s", 100.0, PROMPTS),
    "list, mixed": (400, 1, "p95=6s,ttft_p99=200ms,tpot_p50=9ms", 100.0, PROMPTS),
}


def requests_of(output: int, sequences: int, prompts: tuple[int, int]) -> Requests:
    """Forty requests with prompts of some length between two."""
    rng = np.random.default_rng(1)
    each = np.full(40, output)
    return Requests.of(np.sort(rng.uniform(0, 300, 40)), rng.integers(*prompts, 40), each, np.full(40, sequences))


def replicas_of(output: int, sequences: int, objective: ServiceObjective, seed: int, fast: bool = True) -> Replicas:
    """Llama 3.1 8B on H100s."""
    cloud, model = without_faults(Cloud(engine=None)), default_catalogue().model("llama-3.1-8b")
    kind = kind_of("cloud", cloud, cloud, model, RequestTokens(860, output, sequences))
    return Replicas((Pool(kind.replica),), cloud, Draws(seed), objective, fast=fast)


def on_time(requests: Requests, servers: Replicas, n: int, rate: float, seed: int) -> bool:
    """Whether the objective is met in one half hour of Poisson arrivals, at `n` replicas that are all simulated."""
    rng = np.random.default_rng(seed)
    count = rng.poisson(rate * PEAK_S)
    at = requests.take(rng.integers(len(requests), size=count)).at(np.sort(rng.uniform(0, PEAK_S, count)))
    return servers.meet(at, n)


def recovers(requests: Requests, servers: Replicas, n: int, rate: float, seed: int) -> bool:
    """Whether the objective is met in the last ten minutes of a peak that began with a queue."""
    rng = np.random.default_rng(seed)
    arrivals_s = np.sort(rng.uniform(0, PEAK_S, rng.poisson(rate * PEAK_S)))
    arrivals_s = np.concatenate([np.zeros(int(rate * BURST_S)), arrivals_s])
    at = requests.take(rng.integers(len(requests), size=len(arrivals_s))).at(arrivals_s)
    _, times, _ = servers.serve(at, n)
    return servers.objective.met(times.take(np.flatnonzero(arrivals_s > PEAK_S - 600.0)))


def main() -> None:
    """Print one line a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--case", choices=list(CASES), help="one case alone")
    options = parser.parse_args()
    seeds, cases = options.seeds, {name: CASES[name] for name in CASES if options.case in (None, name)}
    print(
        f"{'case':20} {'replicas':>16} {'core-s':>7} {'met at R-1':>11} {'at R':>6} {'at R+1':>7} "
        f"{'recovers with':>14} {'by the node':>12}"
    )
    for case, (output, sequences, text, rate, prompts) in cases.items():
        objective, requests = ServiceObjective.parse(text), requests_of(output, sequences, prompts)
        peak = Peak(rate, np.array([rate]), np.arange(len(requests)))
        found: Counter[int] = Counter()
        met = [0, 0, 0]
        seconds = 0.0
        for seed in range(1, seeds + 1):
            servers = replicas_of(output, sequences, objective, seed)
            began = time.process_time()
            n = provision_fleet(requests, peak, 1.0, servers, Draws(seed)).servers or 0
            seconds += time.process_time() - began
            found[n] += 1
            for place, count in enumerate((n - 1, n, n + 1)):
                met[place] += on_time(requests, servers, count, rate, 1000 + seed)
        usual = found.most_common(1)[0][0]
        counts = range(max(usual - 3, 1), usual + 1)
        least = next((n for n in counts if recovers(requests, servers, n, rate, 1)), None)
        node = Capacity(requests, replicas_of(output, sequences, objective, 1, fast=False), Draws(1))
        spread = ", ".join(f"{n} ({times})" for n, times in sorted(found.items()))
        print(
            f"{case:20} {spread:>16} {seconds / seeds:7.2f} {met[0]:11} {met[1]:6} {met[2]:7} "
            f"{least or 'none':>14} {node.needs(np.array([rate]))[0]:12}",
            flush=True,
        )


if __name__ == "__main__":
    main()
