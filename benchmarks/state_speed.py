"""What a user state costs in PyTorch and in machine code, in turns, on one thread, beside its products alone.

python benchmarks/state_speed.py [--devices 5000] [--turns 6]

Fleets are those of `bench`: windows of 50 items. Prints processor microseconds a state, and what the matrix products of
the columns that are needed take at the speed of large ones in float32 (a state of SASRec without its attention).
"""

import argparse
import os
import statistics
import time

import numpy as np
import torch

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.models.sequences import window_start
from fleetrec.models.srm.base import StateModel
from fleetrec.models.srm.sasrec import SasRec
from fleetrec.simulator.benchmark.engine_speed import BenchFleet, bench_scenario
from fleetrec.simulator.core.machine_code import SWITCH
from fleetrec.simulator.ranking.quick_states import DEMANDS

LARGE = 2_048


def products_s(fleet: BenchFleet, model: StateModel) -> float:
    """Seconds that the products of all states take at the speed of large ones."""
    factors = torch.randn(LARGE, LARGE)
    spent = []
    for _ in range(5):
        started = time.process_time()
        torch.mm(factors, factors)
        spent.append(time.process_time() - started)
    lengths, first = np.diff(fleet.drawn.trained.split.log.offsets), fleet.drawn.first
    asked = filled = 0
    for start, end in zip(first.tolist(), lengths.tolist(), strict=True):
        positions = np.arange(start, end)
        starts = window_start(positions, model.max_length)
        newest = np.unique(starts, return_index=True)[1]
        asked += len(positions)
        filled += int((np.append(positions[newest[1:] - 1], end - 1) - starts[newest] + 1).sum())
    if isinstance(model, SasRec):
        terms = filled * (12 * (len(model.blocks) - 1) + 2) + asked * 10
    else:
        terms = filled * 6 * int(model.carried) + asked
    return 2.0 * terms * model.dim**2 / (2.0 * LARGE**3 / min(spent))


def main() -> None:
    """Both kinds of network."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--devices", type=int, default=5_000)
    arguments.add_argument("--turns", type=int, default=6)
    given = arguments.parse_args()
    torch.set_num_threads(1)
    for kind, dim in (("gru4rec", 32), ("sasrec", 64)):
        fleet = BenchFleet.of(bench_scenario(given.devices, kind, dim), ArtifactStore(), NullProgress())
        torch.set_num_threads(1)
        model = fleet.drawn.srm.model
        assert isinstance(model, StateModel)
        DEMANDS[type(model)].code(10**9)  # made or loaded now
        states = int(np.maximum(np.diff(fleet.drawn.trained.split.log.offsets) - fleet.drawn.first, 0).sum())
        took: dict[str, list[float]] = {"off": [], "on": []}
        for _ in range(given.turns):
            for switch, spent in took.items():
                os.environ[SWITCH] = switch
                started = time.process_time()
                fleet.prepared()
                spent.append((time.process_time() - started) / states * 1e6)
        ratio = statistics.median(new / old for old, new in zip(took["off"], took["on"], strict=True))
        print(
            f"{kind} d={dim}: PyTorch {statistics.median(took['off']):.2f} us a state, machine code "
            f"{statistics.median(took['on']):.2f} ({ratio:.2f} times), products alone "
            f"{products_s(fleet, model) / states * 1e6:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
