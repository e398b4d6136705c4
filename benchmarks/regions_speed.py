"""One run in four equal regions: one process against several, the same bytes.

    python benchmarks/regions_speed.py --warm      # trains nothing, but fills the cache with candidate lists
    python benchmarks/regions_speed.py [--devices 24000] [--shards 2] [--barriers]

Every process computes on one thread. Timed is all of `simulate` from models and lists in the cache to files on disk,
the start of the worker processes included. `--barriers`: the regions meet every hour, in a budget of the fleet.
"""

import argparse
import filecmp
import os
import tempfile
import time
from pathlib import Path

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})

from fleetrec.simulator.policies.request.random import RandomRequest
from fleetrec.simulator.preparation.candidates.item_lm import ItemLm
from fleetrec.simulator.regions.executors import Executor, LocalShards
from fleetrec.simulator.results.run_result import TABLES
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.simulation import simulate

INTERACTIONS, HISTORY, ITEMS, CLONES = 40, 20, 2_000, 4


def scenario(devices: int, barriers: bool) -> sections.Scenario:
    """GRU4Rec d=32, 50 candidates, a request ratio of 0.2, about 40 interactions a device; four devices a user."""
    return sections.Scenario(
        name="regions_speed",
        duration=86_400.0,
        workload=sections.Workload(
            synthetic=sections.SyntheticWorld(
                users=max(devices // CLONES, 1), items=ITEMS, events_per_user=HISTORY + INTERACTIONS
            ),
            split=sections.PerUserSplit(last=INTERACTIONS, min_history=5),
            arrivals=sections.PoissonArrivals(per_day=INTERACTIONS),
        ),
        fleet=sections.Fleet(devices=devices),
        srm=sections.Srm.of({"kind": "gru4rec", "dim": 32, "max_length": 10, "epochs": 0}),
        llm=sections.Llm(
            candidates=ItemLm(dim=32, layers=1, heads=2, max_length=20, epochs=0),
            list_length=50,
            served_as="llama-3.1-8b",
        ),
        cloud=sections.Cloud(engine=None, replicas=max(1, devices // 4_000), slo=sections.Slo(p95_latency=30.0)),
        regions=tuple(sections.Region(name=name, share=0.25) for name in ("east", "north", "south", "west")),
        policy=sections.Policy(
            request=RandomRequest(ratio=0.2),
            budget=sections.Budget(ratio=0.5 if barriers else 1.0),
        ),
        engine=sections.Engine(threads=1),
    )


def timed(run: sections.Scenario, out: Path, executor: Executor | None) -> float:
    """Wall seconds of a run."""
    started = time.perf_counter()
    result = simulate(run, out, executor=executor)
    took = time.perf_counter() - started
    parts = ", ".join(f"{name[:-2]} {result.timing[name]:.1f} s" for name in ("prepare_s", "simulate_s", "collect_s"))
    regions = ", ".join(f"{took_s:.1f}" for took_s in result.timing["region_s"].values())
    workers, n = result.timing["workers"], result.summary["interactions"]
    peak = result.timing["worker_peak_rss_bytes"] / 1e9
    print(f"{workers} process(es): {took:.1f} s ({parts}), {n / took:,.0f} interactions/s, {peak:.2f} GB each")
    print(f"  wall time of each region, with what its process loads first: {regions} s", flush=True)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=24_000)
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--barriers", action="store_true")
    parser.add_argument("--warm", action="store_true")
    given = parser.parse_args()
    run = scenario(given.devices, given.barriers)
    with tempfile.TemporaryDirectory() as folder:
        one, many = Path(folder) / "one", Path(folder) / "many"
        alone_s = timed(run, one, None)
        if given.warm:
            return
        shared_s = timed(run, many, LocalShards(given.shards))
        files = [*(f"{name}.parquet" for name in TABLES), "cloud_by_region.parquet", "summary.json", "scenario.yaml"]
        _, different, missing = filecmp.cmpfiles(one, many, files, shallow=False)
        same = "the same bytes" if not different and not missing else f"DIFFERENT: {different + missing}"
        print(f"{given.shards} shards: {alone_s / shared_s:.2f} times as fast, {same}")


if __name__ == "__main__":
    main()
