"""Coverage of 95% intervals, and the family error of many comparisons: the tables of docs/background/statistics.md.

    python benchmarks/interval_coverage.py [worlds] [families]

Made differences between policies have effects of users (met again in every world), of user and world, and of worlds:
a standard deviation of 0, 1 and 2 times the error that one run has of users alone. 120 users have 2 to 39 interactions
each; 30% are cloned. The truth, 0, is over new users and new worlds. 12 variants share a baseline in the families.
"""

import argparse
import time

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from fleetrec.simulator.experiments.statistics import Estimates, Replicates, holm, over_runs, over_users, variance_parts

Floats = NDArray[np.float64]
N_USERS = 120
N_VARIANTS = 12
USERS = {"users differ": (1.0, 0.3), "half of each": (0.7, 0.7), "each run differs": (0.0, 1.0)}  # user, user x world


def main() -> None:
    """Print both tables: before (Satterthwaite up to 4 seeds, then t over seeds) and now."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worlds", type=int, nargs="?", default=5000, help="made experiments a cell")
    parser.add_argument("families", type=int, nargs="?", default=1000, help="of them, those whose p-values are found")
    options, started = parser.parse_args(), time.perf_counter()
    worlds, families = options.worlds, min(options.families, options.worlds)
    rng = np.random.default_rng(1)
    print(f"{'effects of':18}{'seeds':>6}" + "".join(f"{f'worlds x {r}':>30}" for r in (0, 1, 2)))
    print(" " * 24 + f"{'coverage: was, is; family: was, is':>30}")
    for name, (user, cell) in USERS.items():
        for n_seeds in (2, 3, 4, 5, 10, 20):
            cells = [_cell(rng, worlds, families, n_seeds, user, cell, ratio) for ratio in (0.0, 1.0, 2.0)]
            told = "".join(f"{'  '.join(f'{x:.3f}' for x in found):>30}" for found in cells)
            print(f"{name:18}{n_seeds:6}{told}", flush=True)
    print(f"{worlds} worlds a cell, {families} families; {time.perf_counter() - started:.0f} s")


def _cell(
    rng: np.random.Generator, worlds: int, families: int, n_seeds: int, user: float, cell: float, ratio: float
) -> tuple[float, float, float, float]:
    """Coverage of the first difference and chance of any false finding, as it was and as it is."""
    counts = rng.integers(2, 40, N_USERS) * np.where(rng.random(N_USERS) < 0.3, 2.0, 1.0)
    error = np.sqrt((user**2 + cell**2) * (counts**2).sum()) / counts.sum()
    shape = (N_VARIANTS + 1, n_seeds, N_USERS)
    inside, wrong, before_inside, before_wrong = 0, 0, 0, 0
    replicates = Replicates(tuple(range(n_seeds)))
    for world in range(worlds):
        value = user * rng.standard_normal((shape[0], 1, N_USERS)) + cell * rng.standard_normal(shape)
        value += ratio * error * rng.standard_normal((*shape[:2], 1))
        sums, of = (value[1:] - value[0]) * counts, np.tile(counts, (n_seeds, 1)).astype(np.float64)
        now = over_users(sums, of, replicates)
        inside += bool(now.low[0] <= 0 <= now.high[0])
        half, p = _before(now, sums, of, replicates)
        before_inside += bool(abs(now.mean[0]) <= half[0])
        if world < families:
            wrong += bool((holm(now.p) < 0.05).any())
            before_wrong += bool((holm(p) < 0.05).any())
    return before_inside / worlds, inside / worlds, before_wrong / families, wrong / families


def _before(now: Estimates, sums: Floats, counts: Floats, replicates: Replicates) -> tuple[Floats, Floats]:
    """Half widths and p as they were: Satterthwaite's degrees of freedom below five seeds, t over seeds from there."""
    n = len(replicates)
    if n >= 5:
        found = over_runs(sums.sum(axis=-1) / counts.sum(axis=-1), replicates)
        variance, df = found.variance, np.full_like(now.mean, n - 1.0)
    else:
        least = variance_parts(sums, counts).users
        variance = now.users + now.worlds
        df = variance**2 / (now.worlds**2 / (n - 1) + now.users**2 / (N_USERS - 1))
        variance, df = np.maximum(variance, least), np.where(least >= variance, N_USERS - 1.0, df)
    error = np.sqrt(variance)
    return np.asarray(stdtrit(df, 0.975) * error), np.asarray(2 * stdtr(df, -np.abs(now.mean) / error))


if __name__ == "__main__":
    main()
