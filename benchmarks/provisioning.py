"""How exact and how quick the provisioned account is: the replicas found over ten seeds, by groups of eight with 8,000
requests (as runs use), with eight times as many, and with all replicas simulated and 2,500 requests each.

    python benchmarks/provisioning.py
"""

import time

import numpy as np

from simulator.cloud.building import kind_of
from simulator.cloud.catalogue import default_catalogue
from simulator.cloud.cluster import Pool
from simulator.cloud.peak import Peak
from simulator.cloud.provisioning import SAMPLE, Objective, Replicas, provision_scaled, steady
from simulator.cloud.replay import Requests
from simulator.cloud.tokens import RequestTokens
from simulator.randomness import Draws
from simulator.scenario.sections import Cloud

# What is asked, the objective, and how many times the fleet is scaled.
CASES = {
    "beam, p95=1s": (8, 50, "p95=1s", 8000),
    "beam, p95=120ms": (8, 50, "p95=120ms", 5000),
    "beam, p95=90ms": (8, 50, "p95=90ms", 2500),
    "list, p95=4s": (400, 1, "p95=4s", 4000),
}


def found(case: str, seed: int, sample: int, group: int | None = 8) -> tuple[int, float]:
    """Replicas of Llama 3.1 8B on H100s, and the processor time that finding them took."""
    output, sequences, text, scale = CASES[case]
    objective, draws, cloud = Objective.parse(text), Draws(seed), steady(Cloud())
    model = default_catalogue().model("llama-3.1-8b")
    kind = kind_of("cloud", cloud, cloud, model, RequestTokens(860, output, sequences))
    rng = np.random.default_rng(1)
    times = np.sort(rng.uniform(0, 300, 40))
    each = np.full(len(times), output)
    requests = Requests.of(times, rng.integers(60, 860, len(times)), each, np.full(len(times), sequences))
    servers = Replicas(Pool(kind.replica), cloud, draws, objective)
    servers.group = group
    start = time.process_time()
    peak = Peak(len(times) / 300.0, np.zeros(0), np.arange(len(times)))
    result = provision_scaled(requests, peak, scale, servers, objective, draws, sample)
    return result.servers or 0, time.process_time() - start


def main() -> None:
    """Print one line a case."""
    print(f"{'case':18} {'ten seeds':>12} {'core-s each':>12} {'8 x requests':>14} {'all simulated':>14}")
    for case in CASES:
        runs = [found(case, seed, SAMPLE) for seed in range(1, 11)]
        replicas = [n for n, _ in runs]
        seconds = float(np.mean([s for _, s in runs]))
        many, _ = found(case, 1, 8 * SAMPLE)
        whole, _ = found(case, 1, 2500 * many, None)
        spread = f"{min(replicas)} to {max(replicas)}"
        print(f"{case:18} {spread:>12} {seconds:12.2f} {many:14} {whole:14}", flush=True)


if __name__ == "__main__":
    main()
