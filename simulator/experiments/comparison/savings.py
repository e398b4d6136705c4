"""Savings at equal accuracy: what a family of variants pays for the baseline's reward, against what the baseline pays.

The baseline is a run as it was; the family is interpolated between its runs: a line between two of them is what a
fleet of which a part follows the one and a part the other would have. A saving is named only where it holds at every
point of a band that holds all differences of all variants at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.experiments.comparison.cost_plane import Plane

Floats = NDArray[np.float64]

LEAST_SHARE = 0.005  # a smaller share saved would be told as 0%


@dataclass(frozen=True)
class Saving:
    """What a family saves: its price of the baseline's reward, the share of the baseline's cost saved.

    variant: the cheapest member that is as good as the baseline; below: the member under the baseline's reward, where
    the price lies between the two. low: the least over the band of all variants.
    """

    family: str
    variant: int
    below: int | None
    price: float
    share: float
    low: float

    @property
    def shown(self) -> bool:
        """Whether it saves at every point of the band."""
        return self.low > 0


def savings(plane: Plane, families: Mapping[str, Sequence[int]]) -> list[Saving]:
    """What each family saves at the estimates, greatest first; a share under half a percent is no saving."""
    found = [_saving(plane, label, members) for label, members in families.items()]
    likely = [saving for saving in found if saving is not None and saving.share > LEAST_SHARE]
    return sorted(likely, key=lambda saving: -saving.share)


def _saving(plane: Plane, label: str, members: Sequence[int]) -> Saving | None:
    b = plane.baseline
    differ = [v for v in members if v != b and plane.allowed[v] and plane.alike[v] != plane.alike[b]]
    others = np.array(differ, dtype=np.int64)
    as_good = others[plane.gain[others] >= 0]
    if not len(as_good) or plane.cost[b] <= 0:
        return None
    gain, cost = plane.gain[others], plane.cost[others]
    worse, dearer = plane.reward_band[others], plane.cost_band[others]
    price, dearest = (
        float(price_of(np.zeros(1), reward[None], paid[None])[0])
        for reward, paid in ((gain, cost), (gain - worse, cost + dearer))
    )
    variant = int(as_good[np.argmin(plane.cost[as_good])])
    under = others[plane.gain[others] < 0]
    between = len(under) > 0 and price < plane.cost[variant]
    return Saving(
        family=label,
        variant=variant,
        below=int(under[np.argmax(plane.reward[under])]) if between else None,
        price=price,
        share=1 - price / float(plane.cost[b]),
        low=1 - dearest / float(plane.cost[b]),
    )


def price_of(wanted: Floats, reward: Floats, cost: Floats) -> Floats:
    """Cost [B] of as much reward as wanted [B] from points reward, cost [B, F]; infinite where none has as much.

    Linear between neighbours in reward; a point counts at the cost of the cheapest that has at least as much.
    """
    order = np.argsort(reward, axis=1, kind="stable")
    reward, cost = np.take_along_axis(reward, order, axis=1), np.take_along_axis(cost, order, axis=1)
    cost = np.minimum.accumulate(cost[:, ::-1], axis=1)[:, ::-1]
    rows, above = np.arange(len(reward)), (reward < wanted[:, None]).sum(axis=1)
    high, low = np.minimum(above, reward.shape[1] - 1), np.maximum(above - 1, 0)
    with np.errstate(invalid="ignore"):  # bands without an end
        gap = reward[rows, high] - reward[rows, low]
    share = np.divide(wanted - reward[rows, low], gap, out=np.ones(len(reward)), where=gap > 0)
    share = np.where(above == 0, 0.0, share)
    with np.errstate(invalid="ignore"):
        price = cost[rows, low] + share * (cost[rows, high] - cost[rows, low])
    return np.where(above < reward.shape[1], price, np.inf)
