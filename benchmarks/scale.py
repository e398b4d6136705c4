"""What more cores and a cluster make of a run in regions: its schedule, simulated from costs that are measured here.

    python benchmarks/scale.py [--devices 8000] [--cores 1 2 16 64] [--sharing 8] [--beside 1.05]

Runs small regions one after the other in one worker and beside each other in two, and takes from it, in processor
seconds, which other work on the machine hardly changes: a worker's start, a region, the leading process's part of it,
and by how much one worker slows another, by caches and memory bandwidth, which at most `--sharing` cores of a larger
machine share. Both tables are of schedules simulated from these, with regions handed out as by `--shards`.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})

import numpy as np
from scipy.optimize import nnls

from fleetrec.simulator.parallel.processes import processor_s
from fleetrec.simulator.policies.request.staleness import StalenessRequest
from fleetrec.simulator.preparation.candidates.item_lm import ItemLm
from fleetrec.simulator.preparation.memory_estimate import needed_bytes
from fleetrec.simulator.regions.executors import LocalShards
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.simulation import simulate

USERS, HISTORY, PER_DAY, ITEMS = 1_000, 30, 24, 1_000
MILLION_REGIONS = (8, 64)
"""numbers of equal regions that a day of a million phones is simulated in"""
PHONES, DAYS = 100_000_000, 7
WORKER_GB = 4.0
"""memory of a core of the cluster"""
MACHINE_CORES = 64


@dataclass(frozen=True)
class Costs:
    """What a run in regions takes, in processor seconds where nothing else is said."""

    start_s: float
    """of a worker: its imports"""
    region_s: float
    """of a region, however small: its part of the log, user states, the search for its replicas"""
    interaction_s: float
    """of a region, for each of its interactions"""
    leading_region_s: float
    """of the leading process for each region, and for each interaction: merging and summary"""
    leading_interaction_s: float
    beside: float
    """times as long as alone that a region takes beside one more worker"""
    written_bytes: float
    """of the run's files, for each interaction"""
    base_bytes: float
    """memory of a worker that holds no region"""

    def regions_s(self, regions: int, interactions: int) -> list[float]:
        """What each of so many equal regions takes."""
        return [self.region_s + interactions / regions * self.interaction_s] * regions

    def merging_s(self, regions: int, interactions: int) -> float:
        """What the leading process takes for all of them."""
        return regions * self.leading_region_s + interactions * self.leading_interaction_s


@dataclass(frozen=True)
class Ran:
    """One run in regions."""

    interactions: int
    workers_s: float
    leading_s: float
    written_bytes: int
    peak_bytes: int


def scenario(regions: int, devices: int) -> sections.Scenario:
    """As scenarios/million.yaml, with models that were not trained: so many equal regions of so many devices."""
    equal = [sections.Region(name=f"region {number}", share=1 / regions) for number in range(regions)]
    return sections.Scenario(
        name="scale",
        duration=86_400.0,
        workload=sections.Workload(
            synthetic=sections.SyntheticWorld(users=USERS, items=ITEMS, events_per_user=HISTORY + PER_DAY),
            split=sections.PerUserSplit(last=PER_DAY, min_history=5),
            arrivals=sections.DiurnalArrivals(per_day=PER_DAY, peak_hour=20, peak_to_mean=2),
        ),
        fleet=sections.Fleet(devices=regions * devices),
        srm=sections.Srm.of({"kind": "gru4rec", "dim": 32, "max_length": 10, "epochs": 0}),
        llm=sections.Llm(
            candidates=ItemLm(dim=32, layers=1, heads=2, max_length=20, epochs=0), served_as="llama-3.1-8b"
        ),
        cloud=sections.Cloud(gpu="h100", replicas=1, slo=sections.Slo(p95_latency=30.0)),
        regions=tuple(equal),
        policy=sections.Policy(request=StalenessRequest(threshold=5)),
        engine=sections.Engine(threads=1),
    )


def ran(regions: int, devices: int, shards: int, out: Path) -> Ran:
    """Run it on so many workers."""
    everybody_s, own_s = processor_s(), time.process_time()
    result = simulate(scenario(regions, devices), out, executor=LocalShards(shards))
    own_s = time.process_time() - own_s
    written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    peak = int(result.timing["worker_peak_rss_bytes"])
    return Ran(result.summary["interactions"], processor_s() - everybody_s - own_s, own_s, written, peak)


def imports_s() -> float:
    """Processor seconds of a worker until it can take a job."""
    before = processor_s()
    subprocess.run([sys.executable, "-c", "import fleetrec.simulator.regions.worker"], check=True)
    return processor_s() - before


def measured(devices: int) -> Costs:
    """Costs on this machine, from two and four regions of so many devices and from two of three times as many: those
    not below nothing that come nearest to all three."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ran(2, devices, 1, folder / "warm")  # candidate lists go to the cache, and machine code where it is made
        two, few = ran(2, devices, 1, folder / "two"), ran(4, devices, 1, folder / "few")
        many, beside = ran(2, 3 * devices, 1, folder / "many"), ran(4, devices, 2, folder / "beside")
    start_s, runs = imports_s(), (two, few, many)
    sizes = np.array([(regions, run.interactions) for regions, run in zip((2, 4, 2), runs, strict=True)], dtype=float)
    (region_s, interaction_s), _ = nnls(sizes, np.array([run.workers_s - start_s for run in runs]))
    (leading_region_s, leading_interaction_s), _ = nnls(sizes, np.array([run.leading_s for run in runs]))
    return Costs(
        start_s,
        float(region_s),
        float(interaction_s),
        float(leading_region_s),
        float(leading_interaction_s),
        max((beside.workers_s - 2 * start_s) / (few.workers_s - start_s), 1.0),
        few.written_bytes / few.interactions,
        max(few.peak_bytes - needed_bytes(devices, few.interactions // 4), 0.0),
    )


def scheduled_s(regions_s: Sequence[float], workers: int, start_s: float, beside: float, sharing: int) -> float:
    """Wall seconds until so many workers, each on a core of its own, have simulated regions that take so long alone.

    The largest go first, each to the worker that has the least so far, as `Shards` hands them out. A worker is slowed
    by each other one that is busy among the `sharing` cores which share a memory.
    """
    left = [start_s] * workers
    for region_s in sorted(regions_s, reverse=True):
        least = left.index(min(left))
        left[least] += region_s
    now = 0.0
    while any(left):
        busy = [worker for worker in range(workers) if left[worker]]
        neighbours = [worker // sharing for worker in busy]
        slow = [1.0 + (beside - 1.0) * (neighbours.count(group) - 1) for group in neighbours]
        ends_s = min(left[worker] * times for worker, times in zip(busy, slow, strict=True))
        for worker, times in zip(busy, slow, strict=True):
            rest_s = left[worker] - ends_s / times
            left[worker] = rest_s if rest_s > 1e-9 * left[worker] else 0.0
        now += ends_s
    return now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=8_000, help="of a small region that is measured")
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2, 16, 64])
    parser.add_argument("--sharing", type=int, default=8, help="cores that share a memory's bandwidth")
    parser.add_argument("--beside", type=float, help="times as long beside one more worker; none: as measured")
    parser.add_argument("--machines", type=int, default=4, help=f"of {MACHINE_CORES} cores, in the cluster")
    parser.add_argument("--usd", type=float, default=0.058, help="of an hour of a core with 4 GB")
    given = parser.parse_args()
    costs = measured(given.devices)
    print(f"a worker's start: {costs.start_s:.2f} s; {costs.base_bytes / 1e9:.2f} GB before its first region")
    print(f"a region: {costs.region_s:.2f} s and {1e6 * costs.interaction_s:.1f} us an interaction")
    merging = f"{costs.leading_region_s:.3f} s and {1e6 * costs.leading_interaction_s:.2f} us an interaction"
    print(f"merging and summary of a region: {merging}; {costs.written_bytes:.0f} bytes an interaction")
    print(f"a region beside one more worker: {costs.beside:.3f} times as long\n")
    if given.beside is not None:
        costs = replace(costs, beside=given.beside)
    print_million(costs, given.cores, given.sharing)
    print_cluster(costs, given.machines, given.sharing, given.usd)


def print_million(costs: Costs, cores: Sequence[int], sharing: int) -> None:
    """A day of a million phones on one machine."""
    interactions = 1_000_000 * PER_DAY
    print("| cores | regions | in regions | merging and summary | whole | times one core | share of the cores |")
    print("|---|---|---|---|---|---|---|")
    for count in MILLION_REGIONS:
        alone_s, merging_s = 0.0, costs.merging_s(count, interactions)
        for core in cores:
            workers = min(core, count)
            parallel_s = scheduled_s(
                costs.regions_s(count, interactions), workers, costs.start_s, costs.beside, sharing
            )
            whole_s = parallel_s + merging_s
            alone_s = alone_s or whole_s
            row = f"{parallel_s:.0f} s | {merging_s:.0f} s | {whole_s:.0f} s | {alone_s / whole_s:.2f}"
            print(f"| {core} | {count} | {row} | {alone_s / whole_s / core:.0%} |")


def print_cluster(costs: Costs, machines: int, sharing: int, usd: float) -> None:
    """A hundred million phones for a week on machines of a cluster."""
    interactions, room = PHONES * PER_DAY * DAYS, WORKER_GB * 1e9 - costs.base_bytes
    phones = int(room / needed_bytes(1, PER_DAY * DAYS))
    count = math.ceil(PHONES / phones)
    workers, regions_s = machines * MACHINE_CORES, costs.regions_s(count, interactions)
    parallel_s = scheduled_s(regions_s, workers, costs.start_s, costs.beside, sharing)
    merging_s, written = costs.merging_s(count, interactions), interactions * costs.written_bytes
    hours = parallel_s / 3600
    print(f"\n{PHONES:,} phones for {DAYS} days: {interactions / 1e9:.1f} billion interactions")
    print(f"{count:,} regions of {phones:,} phones, which fill {WORKER_GB:g} GB a core each")
    print(f"{workers} cores: {hours:.2f} h, {workers * hours:,.0f} core-hours, {workers * hours * usd:,.0f} dollars")
    print(f"memory of all workers {workers * WORKER_GB / 1e3:.2f} TB; records {written / 1e12:.2f} TB")
    print(f"merging and summary by one process, as it is: {merging_s / 3600:.1f} h")
    print(f"one column of the summary in memory: {8 * interactions / 1e9:.0f} GB")


if __name__ == "__main__":
    main()
