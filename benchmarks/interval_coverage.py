"""How often 95% intervals cover the truth in made worlds of users and seeds: the table of docs/statistics.md.

    python benchmarks/interval_coverage.py [repetitions]

Worlds have user effects, seed effects and their interaction (standard deviations), 120 users with 2 to 39 interactions
each, of whom 30% are cloned; a share of the users is met at each seed. The truth is the mean over new users and worlds.
"""

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from simulator.experiments.statistics import joint_draws, over_seeds, over_users_and_seeds, variance_parts

Floats = NDArray[np.float64]
N_USERS = 120
BOOTSTRAPPED = 300  # worlds in which the bootstraps are tried
WORLDS = {  # user, seed, cell, share of users met at a seed
    "no seed effects": (1.0, 0.0, 0.5, 1.0),
    "small seed effects": (1.0, 0.05, 0.5, 1.0),
    "seeds like users": (1.0, 0.15, 0.5, 1.0),
    "seeds dominate": (0.5, 1.0, 0.5, 1.0),
    "users alike": (0.1, 0.0, 1.0, 1.0),
    "30% of users met": (1.0, 0.05, 0.5, 0.3),
}


def main() -> None:
    """Print coverage and median half width by world, number of seeds and method."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repetitions", type=int, nargs="?", default=4000)
    repetitions = parser.parse_args().repetitions
    rng = np.random.default_rng(1)
    heads = ("t over seeds", "two-way, z", "crossed (used)", "pigeonhole", "joint draws (used)")
    print(f"{'world':20}{'seeds':>6}" + "".join(f"{head:>20}" for head in heads))
    for name, effects in WORLDS.items():
        for n_seeds in (2, 3, 4):
            sums, counts = world(rng, repetitions, n_seeds, *effects)
            cells = [covered(*halves) for halves in (t_over_seeds(sums, counts), two_way(sums, counts))]
            found = over_users_and_seeds(sums, counts, range(n_seeds))
            cells.append(covered(found.low, found.high))
            cells.append(covered(*each(pigeonhole, sums, counts, rng)))
            cells.append(covered(*each(joint, sums, counts, rng)))
            print(f"{name:20}{n_seeds:6}" + "".join(f"{share:12.3f} ({half:5.2f})" for share, half in cells))


def world(
    rng: np.random.Generator, repetitions: int, n_seeds: int, user: float, seed: float, cell: float, met: float
) -> tuple[Floats, Floats]:
    """sums [R, S, U] and counts [S, U]; the true mean is 0."""
    n = rng.integers(2, 40, N_USERS) * np.where(rng.random(N_USERS) < 0.3, 2.0, 1.0)
    present = np.stack([rng.permutation(N_USERS) < int(met * N_USERS) for _ in range(n_seeds)])
    value = user * rng.standard_normal((repetitions, 1, N_USERS)) + seed * rng.standard_normal(
        (repetitions, n_seeds, 1)
    )
    counts = np.where(present, n, 0.0)
    return (value + cell * rng.standard_normal((repetitions, n_seeds, N_USERS))) * counts, counts


def covered(low: Floats, high: Floats) -> tuple[float, float]:
    """Share of intervals that hold 0, and their median half width."""
    return float(np.mean((low <= 0) & (high >= 0))), float(np.median(high - low) / 2)


def t_over_seeds(sums: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Student's t of the seeds' means: it knows nothing of new users."""
    found = over_seeds(sums.sum(-1) / counts.sum(-1), range(len(counts)))
    return found.low, found.high


def two_way(sums: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Cluster-robust in two ways (Cameron, Gelbach and Miller 2011) with the normal quantile."""
    parts = variance_parts(sums, counts)
    half = 1.96 * np.sqrt(np.maximum(parts.seeds + parts.users - parts.cells, parts.users))
    mean = (sums.sum(-1) / counts.sum(-1)).mean(-1)
    return mean - half, mean + half


def each(
    method: Callable[[Floats, Floats, np.random.Generator], Floats],
    sums: Floats,
    counts: Floats,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Percentile intervals of a method's draws, world by world."""
    ends = [np.quantile(method(one, counts, rng), [0.025, 0.975]) for one in sums[:BOOTSTRAPPED]]
    return np.array(ends)[:, 0], np.array(ends)[:, 1]


def pigeonhole(sums: Floats, counts: Floats, rng: np.random.Generator) -> Floats:
    """Resample users and seeds independently (Owen 2007); sums [S, U]."""
    n_seeds = len(counts)
    weights = rng.multinomial(N_USERS, np.full(N_USERS, 1 / N_USERS), size=500).astype(np.float64)
    chosen = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=500) / n_seeds
    return np.asarray((chosen * (weights @ sums.T) / (weights @ counts.T)).sum(axis=1))


def joint(sums: Floats, counts: Floats, rng: np.random.Generator) -> Floats:
    """The draws behind probabilities and savings."""
    drawn, _ = joint_draws(sums[None], counts, np.zeros((1, len(counts), 0)), range(len(counts)), rng, 500)
    return drawn[:, 0]


if __name__ == "__main__":
    main()
