"""Savings at equal accuracy: what a family of variants pays for the baseline's worth, against what the baseline pays.

The baseline is a run as it was; the family is interpolated between its runs. Where more costs ever more, as requests
do, a line between two runs lies above what a run between them would cost, so a saving is understated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SURE = 0.95
LEAST_SHARE = 0.005  # a smaller share saved would be told as 0%


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
    """What a family saves: its price of the baseline's worth, the share of the baseline's cost saved.

    variant: the cheapest member that is as good as the baseline; below: the member under the baseline's worth, where
    the price lies between the two. low, high: of the draws in which the family is as good at all; probability: of
    being as good and saving, over all draws.
    """

    family: str
    variant: int
    below: int | None
    price: float
    share: float
    low: float
    high: float
    probability: float


def best_saving(plane: Plane, families: Mapping[str, Sequence[int]]) -> Saving | None:
    """The greatest saving of those with a probability of 0.95; else the surest, if likelier than not; else None.

    A share under half a percent is no saving.
    """
    found = [_saving(plane, label, members) for label, members in families.items()]
    likely = [
        saving for saving in found if saving is not None and saving.share > LEAST_SHARE and saving.probability > 0.5
    ]
    sure = [saving for saving in likely if saving.probability >= SURE]
    if sure:
        return max(sure, key=lambda saving: saving.share)
    return max(likely, key=lambda saving: saving.probability, default=None)


def _saving(plane: Plane, label: str, members: Sequence[int]) -> Saving | None:
    b = plane.baseline
    others = np.array([v for v in members if v != b and plane.allowed[v]], dtype=np.int64)
    as_good = others[plane.worth[others] >= plane.worth[b]]
    if not len(as_good) or plane.cost[b] <= 0:
        return None
    price = float(price_of(plane.worth[[b]], plane.worth[None, others], plane.cost[None, others])[0])
    prices = price_of(plane.worths[:, b], plane.worths[:, others], plane.costs[:, others])
    shares = 1 - prices / plane.costs[:, b]
    reached = np.isfinite(prices)
    low, high = np.quantile(shares[reached], [0.025, 0.975]) if reached.any() else (np.nan, np.nan)
    variant = int(as_good[np.argmin(plane.cost[as_good])])
    under = others[plane.worth[others] < plane.worth[b]]
    between = len(under) > 0 and price < plane.cost[variant]
    return Saving(
        family=label,
        variant=variant,
        below=int(under[np.argmax(plane.worth[under])]) if between else None,
        price=price,
        share=1 - price / float(plane.cost[b]),
        low=float(low),
        high=float(high),
        probability=float((prices < plane.costs[:, b]).mean()),
    )


def price_of(wanted: Floats, worth: Floats, cost: Floats) -> Floats:
    """Cost [B] of as much worth as wanted [B] from points worth, cost [B, F]; infinite where none is worth as much.

    Linear between neighbours in worth; a point counts at the cost of the cheapest that is worth at least as much.
    """
    order = np.argsort(worth, axis=1, kind="stable")
    worth, cost = np.take_along_axis(worth, order, axis=1), np.take_along_axis(cost, order, axis=1)
    cost = np.minimum.accumulate(cost[:, ::-1], axis=1)[:, ::-1]
    rows, above = np.arange(len(worth)), (worth < wanted[:, None]).sum(axis=1)
    high, low = np.minimum(above, worth.shape[1] - 1), np.maximum(above - 1, 0)
    gap = worth[rows, high] - worth[rows, low]
    share = np.divide(wanted - worth[rows, low], gap, out=np.ones(len(worth)), where=gap > 0)
    share = np.where(above == 0, 0.0, share)
    price = cost[rows, low] + share * (cost[rows, high] - cost[rows, low])
    return np.where(above < worth.shape[1], price, np.inf)
