"""Savings at equal accuracy: what a variant costs against what the baseline's family would pay for the same worth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.experiments.frontier import nondominated

Floats = NDArray[np.float64]

SURE = 0.95


@dataclass(frozen=True)
class Plane:
    """Variants on the plane of cost and worth (the metric, with its sign changed where less is better).

    worth, cost: [V]; worths, costs: joint draws [B, V]; allowed: [V], known at every seed and within the limits.
    """

    names: list[str]
    baseline: int
    worth: Floats
    cost: Floats
    worths: Floats
    costs: Floats
    allowed: NDArray[np.bool_]


@dataclass(frozen=True)
class Saving:
    """Share of the price saved, with its 95% interval, and the chance that it is a saving at no loss of worth."""

    price: float
    share: float
    low: float
    high: float
    probability: float


def best_saving(plane: Plane, family: Sequence[int]) -> tuple[int, Saving] | None:
    """The variant that saves most of those that save with probability 0.95; else the surest, if likelier than not.

    Variants count that are at least as good as the baseline and cost less than its `family` would pay for as much
    worth. None where there is none.
    """
    others = [v for v in family if plane.allowed[v] or v == plane.baseline]
    kin = np.isin(np.arange(len(plane.names)), family)  # members are compared with the baseline alone
    shares = _shares(plane.worth, plane.cost, others, plane.baseline, kin)
    drawn = np.stack(
        [
            _shares(worth, cost, others, plane.baseline, kin)
            for worth, cost in zip(plane.worths, plane.costs, strict=True)
        ]
    )
    chance = ((drawn > 0) & (plane.worths >= plane.worths[:, [plane.baseline]])).mean(axis=0)
    fit = plane.allowed & (plane.worth >= plane.worth[plane.baseline]) & (shares > 0)
    fit = fit & (chance > 0.5)
    if not fit.any():
        return None
    surely = fit & (chance >= SURE)
    v = int(np.argmax(np.where(surely, shares, -np.inf) if surely.any() else np.where(fit, chance, -np.inf)))
    low, high = np.quantile(drawn[:, v], [0.025, 0.975])
    price = plane.cost[v] / (1 - shares[v]) if shares[v] < 1 else plane.cost[plane.baseline]
    return v, Saving(float(price), float(shares[v]), float(low), float(high), float(chance[v]))


def _shares(worth: Floats, cost: Floats, family: Sequence[int], baseline: int, kin: NDArray[np.bool_]) -> Floats:
    """1 - cost / price for each variant [V]: the price of its worth is linear between members of the family's front.

    Above the most accurate member the price is that member's cost, so what it saves is understated.
    """
    price = price_of(worth, worth[family], cost[family])
    price = np.where(kin, cost[baseline], price)
    return np.asarray(1 - np.divide(cost, price, out=np.full_like(cost, np.inf), where=price > 0))


def price_of(wanted: Floats, worth: Floats, cost: Floats) -> Floats:
    """Cost of each wanted worth on the front of points (worth, cost); the costs of its ends beyond them."""
    kept = np.flatnonzero(nondominated(np.stack([cost, -worth], axis=-1)))
    kept = kept[np.argsort(worth[kept], kind="stable")]
    return np.asarray(np.interp(wanted, worth[kept], cost[kept]))
