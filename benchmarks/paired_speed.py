"""The engine's speed in two checkouts, side by side: the same fleet in one process each, which take turns.

python benchmarks/paired_speed.py OLD_CHECKOUT NEW_CHECKOUT [--case ratio-0.5] [--devices 2000] [--turns 10]

Prints microseconds of processor an interaction, and the new over the old: the median over pairs of neighbouring turns,
which the noise of a shared machine reaches least. Compiled and imported things are warm: each side runs once before.
The cases are those of `bench --suite` in one piece and without a serving engine, with at most so many devices.
"""

import argparse
import os
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from fleetrec.simulator.benchmark.cases import SUITE

_SIDE = """
import gc, sys, tempfile, time
from pathlib import Path
if Path("fleetrec").is_dir():
    from fleetrec.simulator.benchmark.engine_speed import BenchFleet, bench_scenario
    from fleetrec.models.runtime.artifacts import ArtifactStore
    from fleetrec.models.runtime.progress import NullProgress
else:  # a checkout of before the package had one name; an installed one must not stand in for it
    from simulator.experiments.bench import BenchFleet, bench_scenario
    from models.artifacts import ArtifactStore
    from models.progress import NullProgress

devices, srm, dim, ratio, list_length, reacts = sys.argv[1:]
fleet = int(devices), srm, int(dim), float(ratio), int(list_length)
react = {"reacts": True} if reacts == "True" else {}  # versions of before users could react know no such word
fleet = BenchFleet.of(bench_scenario(*fleet, **react), ArtifactStore(), NullProgress())


def turn():
    gc.collect()
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        world = fleet.run(NullProgress(), folder=Path(folder) / "parts")
        return (time.process_time() - started) / world.recorder.interactions * 1e6


turn()
print("ready", flush=True)
for _ in sys.stdin:
    print(turn(), flush=True)
"""


def main() -> None:
    """Take turns, case by case."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("old", type=Path)
    arguments.add_argument("new", type=Path)
    arguments.add_argument("--case", action="append", help="of the suite; repeatable; all where none")
    arguments.add_argument("--devices", type=int, default=2_000, help="of a case, at most")
    arguments.add_argument("--turns", type=int, default=10)
    given = arguments.parse_args()
    for case in SUITE:
        if case.shards or case.engine or case.devices > 10_000 or (given.case and case.name not in given.case):
            continue
        fleet = replace(case, devices=min(case.devices, given.devices))
        kind = fleet.devices, fleet.srm, fleet.dim, fleet.ratio, fleet.list_length, fleet.reacts
        sides = [_side(folder.resolve(), [str(word) for word in kind]) for folder in (given.old, given.new)]
        turns = [_pair(sides, turn) for turn in range(given.turns)]
        for side in sides:
            side.communicate()
        old, new = (statistics.median(turn[i] for turn in turns) for i in (0, 1))
        ratios = sorted(turn[1] / turn[0] for turn in turns)
        print(
            f"{case.name:<12} {fleet.devices:>6,} devices  {old:7.2f} -> {new:7.2f} us an interaction, "
            f"{statistics.median(ratios):.3f} times (pairs {ratios[0]:.3f} to {ratios[-1]:.3f})",
            flush=True,
        )


def _side(checkout: Path, kind: list[str]) -> "subprocess.Popen[str]":
    """A process of that checkout's code, once it has run its fleet."""
    side = subprocess.Popen(
        [sys.executable, "-c", _SIDE, *kind],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert side.stdout is not None
    if not side.stdout.readline():
        sys.exit(f"{checkout}: the fleet of `bench` cannot be run there; what it said is above")
    return side


def _pair(sides: list["subprocess.Popen[str]"], turn: int) -> tuple[float, float]:
    """Microseconds of both at one turn, the first to run changing from turn to turn."""
    found = [0.0, 0.0]
    for i in (0, 1) if turn % 2 == 0 else (1, 0):
        stdin, stdout = sides[i].stdin, sides[i].stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write("turn\n")
        stdin.flush()
        found[i] = float(stdout.readline())
    return found[0], found[1]


if __name__ == "__main__":
    main()
