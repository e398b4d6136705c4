"""How often a sweep names a winner where there is none, and where there is one.

The tables of docs/background/statistics.md.

    python benchmarks/null_sweeps.py [sweeps]

Null sweeps hold policies of one law under different names: 300 users, met in every world, of 5 to 40 interactions; each
policy's coin decides anew at every interaction, so metric and requests differ by chance, in part by world (a standard
deviation of 0 or 1 times the error that one run has of users alone). A grid has families of 6 ratios each, where more
requests buy more accuracy at the same rate for all; there it is a saving that would be false. Costs are resampled with
their users, as runs keep them. In the real sweeps one policy is better by 2%, or that with 20% fewer requests, or its
family needs 30% fewer for the same.
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.experiments.comparison.cost_plane import plane_of
from fleetrec.simulator.experiments.comparison.decision import decide
from fleetrec.simulator.experiments.comparison.metric_values import Measure
from fleetrec.simulator.experiments.comparison.savings import savings
from fleetrec.simulator.experiments.statistics import Replicates

Floats = NDArray[np.float64]

N_USERS, DRAWS = 300, 100
ACCURACY, GAIN, PRICE = 0.30, 0.05, 10.0  # of no request, of asking always, of asking always per interaction
OWN, COIN = 0.10, 0.15  # deviations of a user's accuracy, and of one interaction's between two coins


@dataclass(frozen=True)
class Sweep:
    """Ratios [V] that policies ask at, and whose family each is; better, cheaper: of the last policy or family."""

    name: str
    ratios: Floats
    family: NDArray[np.int64]
    better: float = 0.0
    cheaper: float = 0.0
    baseline: int = 0


def alike(n: int, better: float = 0.0, cheaper: float = 0.0) -> Sweep:
    """n policies, each a family of its own, that ask at four interactions in ten."""
    said = "".join(
        f", one {name} by {value:.0%}" for name, value in (("better", better), ("cheaper", cheaper)) if value
    )
    return Sweep(f"{n} policies{said}", np.full(n, 0.4), np.arange(n), better, cheaper)


def grid(families: int, cheaper: float = 0.0) -> Sweep:
    """Families of policies that ask at 6 ratios."""
    ratios = np.tile(np.linspace(0.1, 1.0, 6), families)
    name = f"{families} families x 6 ratios" + (f", one cheaper by {cheaper:.0%}" if cheaper else "")
    return Sweep(name, ratios, np.repeat(np.arange(families), 6), cheaper=cheaper, baseline=2)


NULL = [alike(6), alike(12), alike(48), grid(2), grid(8)]
REAL = [alike(12, better=0.02), alike(12, cheaper=0.2, better=0.02), grid(2, cheaper=0.3)]


def main() -> None:
    """Print how often a winner was named, by the sweep, the number of seeds, and the variation over worlds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweeps", type=int, nargs="?", default=300, help="made sweeps a cell")
    sweeps, started = parser.parse_args().sweeps, time.perf_counter()
    rng = np.random.default_rng(1)
    for title, kinds in (("nothing differs: a winner is named in", NULL), ("something does: it is found in", REAL)):
        print(title)
        print(f"{'':52}" + "".join(f"{f'{n} seeds, worlds x {r:g}':>24}" for n in (1, 2, 3, 5) for r in _ratios(n)))
        for kind in kinds:
            cells = [_share(rng, kind, n, ratio, sweeps) for n in (1, 2, 3, 5) for ratio in _ratios(n)]
            print(f"{kind.name:52}" + "".join(f"{cell:24.3f}" for cell in cells))
    print(f"{sweeps} sweeps a cell; {time.perf_counter() - started:.0f} s")


def _ratios(n_seeds: int) -> tuple[float, ...]:
    """One world cannot tell what worlds add: a winner is of that world alone then, and its answer says so."""
    return (0.0,) if n_seeds == 1 else (0.0, 1.0)


def _share(rng: np.random.Generator, kind: Sweep, n_seeds: int, ratio: float, sweeps: int) -> float:
    """In what share of sweeps a winner is named: any where nothing differs, else the one that there is."""
    right = 0
    for _ in range(sweeps):
        winner = _winner(rng, kind, n_seeds, ratio)
        last = kind.family == kind.family[-1]
        right += winner is not None and (not (kind.better or kind.cheaper) or bool(last[winner]))
    return right / sweeps


def _winner(rng: np.random.Generator, kind: Sweep, n_seeds: int, ratio: float) -> int | None:
    """Draw a sweep, decide, and return the place of the winner."""
    n, replicates = len(kind.ratios), Replicates(tuple(range(n_seeds)))
    last = kind.family == kind.family[-1]
    counts = np.tile(rng.integers(5, 41, N_USERS).astype(np.float64), (n_seeds, 1))
    asked = np.clip(kind.ratios * (1 - kind.cheaper * last), 0, 1)
    truth = (ACCURACY + GAIN * kind.ratios) * (1 + kind.better * last)
    shape = (n, n_seeds, N_USERS)
    error = COIN * np.sqrt(counts[0].sum()) / counts[0].sum()
    sums = counts * (truth[:, None, None] + OWN * rng.standard_normal(N_USERS)) + COIN * np.sqrt(
        counts
    ) * rng.standard_normal(shape)
    sums += counts * ratio * error * rng.standard_normal((*shape[:2], 1))
    requests = rng.binomial(counts.astype(np.int64), asked[:, None, None], shape).astype(np.float64)
    weights = rng.poisson(1.0, (DRAWS, N_USERS)).astype(np.float64)
    shock = 1 + ratio * 0.02 * rng.standard_normal((n, n_seeds))
    costs = PRICE * requests.sum(axis=-1) / counts.sum(axis=-1) * shock
    drawn = PRICE * (requests @ weights.T) / (counts @ weights.T) * shock[..., None]
    worth = Measure(sums, counts, replicates, by_user=True)
    cost = Measure(costs[..., None], np.ones((n_seeds, 1)), replicates, by_user=False, draws=drawn)
    names = [f"v{i}" for i in range(n)]
    families = {f"f{f}": np.flatnonzero(kind.family == f).tolist() for f in np.unique(kind.family)}
    plane = plane_of(names, kind.baseline, worth, cost, 1.0, np.ones(n, dtype=bool), families.values())
    saved = savings(plane, families)
    found = decide(plane, 1.0, {"m": worth, "c": cost}, "m", "c", [], saved, None, np.ones(n, dtype=bool))
    false = found["winner_by"] == "saving" or len(families) == n  # on a grid, more requests do buy more
    return names.index(found["winner"]) if found["winner"] is not None and false else None


if __name__ == "__main__":
    main()
