"""The speed of a sweep: its wall time from cache, two workers against one, its overhead, and resuming after kill -9.

python benchmarks/sweep_speed.py [--sweep experiments/policy_sweep.yaml] [--seeds 3] [--part 8] [--kills 5]
"""

import argparse
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.experiments.folders import ExperimentFolder
from fleetrec.simulator.experiments.sweeps import Plan, make_plan, read_sweep, run_sweep
from fleetrec.simulator.experiments.sweeps.local import LocalProcesses
from fleetrec.simulator.parallel.processes import processor_s

WORKERS = 2


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--sweep", type=Path, default=Path("experiments/policy_sweep.yaml"))
    arguments.add_argument("--seeds", type=int, default=3, help="seeds of the whole sweep")
    arguments.add_argument("--part", type=int, default=8, help="variants that one and two workers are compared on")
    arguments.add_argument("--kills", type=int, default=5, help="0: leave resuming out")
    given = arguments.parse_args()
    plan = make_plan(read_sweep(given.sweep))
    plan = replace(plan, manifest=replace(plan.manifest, seeds=list(range(1, given.seeds + 1))))
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        run(part_of(plan, "always"), root / "warm", WORKERS)  # trains, and asks for every list
        wall_s, cpu_s = run(plan, root / "all", WORKERS)
        runs_s = own_seconds(root / "all")
        print(f"{plan.n_runs} runs on {WORKERS} workers: {wall_s:.1f} s wall, {cpu_s:.1f} s of processor", flush=True)
        print(f"overhead: {(WORKERS * wall_s - runs_s) / runs_s:.1%} of the runs' own {runs_s:.1f} s", flush=True)
        part = part_of(plan, "")
        part = replace(
            part, manifest=replace(part.manifest, variants=part.manifest.variants[:: max(1, 48 // given.part)])
        )
        one_s, _ = run(part, root / "one", 1)
        two_s, _ = run(part, root / "two", WORKERS)
        print(
            f"{part.n_runs} runs: {one_s:.1f} s by one worker, {two_s:.1f} s by two: {one_s / two_s:.2f} times",
            flush=True,
        )
        if given.kills:
            killed(given.sweep, root, given.kills, wall_s * 3 / given.seeds)


def part_of(plan: Plan, start: str) -> Plan:
    """The variants whose names begin with `start`, at every seed."""
    variants = [variant for variant in plan.manifest.variants if variant.name.startswith(start)]
    return replace(plan, manifest=replace(plan.manifest, variants=variants))


def run(plan: Plan, out: Path, workers: int) -> tuple[float, float]:
    """Wall and processor seconds of a sweep."""
    before, started = processor_s(), time.perf_counter()
    found = run_sweep(plan, out, LocalProcesses(workers), NullProgress(), lambda line: None)
    assert not found.failed, found.failures()
    return time.perf_counter() - started, processor_s() - before


def own_seconds(out: Path) -> float:
    """What the runs themselves took."""
    timings = [json.loads((run.folder / "timing.json").read_text()) for run in ExperimentFolder(out).runs()]
    return math.fsum(timing[name] for timing in timings for name in ("prepare_s", "simulate_s", "collect_s"))


def killed(sweep: Path, root: Path, kills: int, about_s: float) -> None:
    """Kill a sweep so many times at random moments, resume it each time, and compare it with an undisturbed one."""
    command = [sys.executable, "cli.py", "sweep", str(sweep), "--jobs", str(WORKERS), "--quiet"]
    subprocess.run([*command, "--out", str(root / "undisturbed")], check=True)
    moments = random.Random(0)
    for number in range(kills):
        process = subprocess.Popen([*command, "--out", str(root / "killed"), "--resume"])
        try:
            process.wait(moments.uniform(0.05, 2 / kills) * about_s)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        done = len(list((root / "killed").glob("runs/*/*/summary.json")))
        print(f"kill {number + 1}: {done} runs are finished", flush=True)
    subprocess.run([*command, "--out", str(root / "killed"), "--resume"], check=True)
    same = contents(root / "killed") == contents(root / "undisturbed")
    print(f"after {kills} kills: {'the same bytes' if same else 'OTHER BYTES'} as undisturbed")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file by its path, without wall-clock figures."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(("timing.", ".lock"))]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


if __name__ == "__main__":
    main()
