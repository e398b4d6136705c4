"""Where the processor time of an interaction goes, part by part, on one thread.

    python benchmarks/interaction_cost.py [--case devices-10k] [--case srm-sasrec] [--devices 10000]

runs fleets of `bench --suite` with machine code loaded and models untrained: once to fill caches, once with a look at
the clock, and once under Python's profiler, which counts a call of machine code as a whole and hardly slows it. With
FLEETREC_COMPILED=off all is done in Python and PyTorch, of which only `whole` is worth reading: the profiler makes
Python look slower than it is.
"""

import argparse
import cProfile
import pstats
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.benchmark.cases import SUITE
from fleetrec.simulator.benchmark.engine_speed import BenchFleet, bench_scenario
from fleetrec.simulator.benchmark.runner import make_code

PARTS = {
    "states": ("ranking/compiled/", "quick_states.py", "prefixes.py", "models/srm/", "torch"),
    "devices, links, requests, LLM node": (
        "engine/compiled/",
        "known_world.py",
        "cloud/compiled/",
        "cloud/",
        "engine/",
    ),
    "rankings": ("compiled_place.py", "one_pass.py", "simulator/ranking/"),
    "records": ("simulator/records/", "pyarrow"),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", help="of the suite, repeatable; none: devices-10k and srm-sasrec")
    parser.add_argument("--devices", type=int, default=10_000)
    args = parser.parse_args()
    make_code()
    for name in args.case or ("devices-10k", "srm-sasrec"):
        case = replace(next(case for case in SUITE if case.name == name), devices=args.devices)
        scenario = bench_scenario(case.devices, case.srm, case.dim, case.ratio, case.list_length)
        fleet = BenchFleet.of(scenario, ArtifactStore(), NullProgress())
        torch.set_num_threads(1)  # the profiler sees one
        _run(fleet)
        seconds, interactions = _run(fleet)
        print(f"{name}, processor µs an interaction: whole {1e6 * seconds / interactions:.2f}")
        profile = cProfile.Profile(time.process_time)
        profile.enable()
        _, interactions = _run(fleet)
        profile.disable()
        for part, spent in _parts(profile).items():
            print(f"  {1e6 * spent / interactions:6.2f}  {part}")


def _run(fleet: BenchFleet) -> tuple[float, int]:
    """Processor seconds of a run, and its interactions."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        world = fleet.run(NullProgress(), folder=Path(folder) / "parts", keeps_all=False)
        return time.process_time() - started, world.recorder.interactions


def _parts(profile: cProfile.Profile) -> dict[str, float]:
    """Seconds of each part: of a call, those outside the calls that it makes."""
    spent = dict.fromkeys([*PARTS, "the rest: set-up, and lists drawn for the bench"], 0.0)
    for (file, _, function), (_, _, own_s, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        where = f"{file} {function}".replace("\\", "/")
        part = next((part for part, names in PARTS.items() if any(name in where for name in names)), None)
        spent[part or list(spent)[-1]] += own_s
    return spent


if __name__ == "__main__":
    main()
