"""Variants on the plane of cost and reward, with a band that holds all their differences to the baseline at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.experiments.comparison.metric_values import Measure

Floats = NDArray[np.float64]

LEVEL = 0.95


def band_level(comparisons: int) -> float:
    """The level of each of so many intervals of which one end is asked, so that all ends hold at once with 95%."""
    return 1 - 2 * (1 - LEVEL) / max(comparisons, 1)


@dataclass(frozen=True)
class Plane:
    """Variants on the plane of cost and reward (the metric, with its sign changed where less is better).

    reward, cost: [V]; allowed: [V], known at every seed and within the limits.
    reward_band, cost_band: [V], half widths of differences to the baseline, each at `level`, so that with 95% nobody
    is shown to be better, or as good for less, who is not; infinite where nothing is known of how a difference varies.
    alike: [V], the first variant that does not differ from each in any run.
    """

    names: list[str]
    baseline: int
    reward: Floats
    cost: Floats
    reward_band: Floats
    cost_band: Floats
    allowed: NDArray[np.bool_]
    alike: NDArray[np.int64]
    level: float

    @property
    def gain(self) -> Floats:
        """The reward of each variant beyond the baseline's, [V]."""
        return np.asarray(self.reward - self.reward[self.baseline])

    @property
    def extra(self) -> Floats:
        """What each variant costs beyond the baseline, [V]."""
        return np.asarray(self.cost - self.cost[self.baseline])

    def shown_better(self) -> NDArray[np.bool_]:
        """The variants [V] whose reward is above the baseline's at every point of the band."""
        return np.asarray(self.allowed & (self.gain > self.reward_band))

    def shown_to_differ(self) -> NDArray[np.bool_]:
        """The variants [V] that differ from the baseline in reward or cost at every point of the band."""
        return np.asarray((np.abs(self.gain) > self.reward_band) | (np.abs(self.extra) > self.cost_band))


def plane_of(
    names: Sequence[str],
    baseline: int,
    reward: Measure,
    cost: Measure,
    sign: float,
    allowed: NDArray[np.bool_],
    families: Iterable[Sequence[int]],
) -> Plane:
    """The plane of a metric (sign: -1 where less of it is better) and a cost of which less is better."""
    alike = _alike([reward, cost])
    level = band_level(_comparisons(alike, baseline, families))
    reward_band, cost_band = _band(reward, baseline, level), _band(cost, baseline, level)
    return Plane(list(names), baseline, sign * reward.means, cost.means, reward_band, cost_band, allowed, alike, level)


def _comparisons(alike: NDArray[np.int64], baseline: int, families: Iterable[Sequence[int]]) -> int:
    """How many ends of intervals may mislead: those that do not differ are one variant.

    A variant alone is named falsely only where one end of its two is wrong: that of its reward, unless it is truly as
    good, else that of its cost. Between two runs of a family the ends of both may be.
    """
    ends = {int(alike[v]): 2 if len(members) > 1 else 1 for members in families for v in members}
    return sum(count for v, count in ends.items() if v != alike[baseline])


def _alike(held: Sequence[Measure]) -> NDArray[np.int64]:
    """The first variant [V] that no run tells from each."""
    first: dict[tuple[bytes, ...], int] = {}
    keys = [tuple(measure.sums[v].tobytes() for measure in held) for v in range(len(held[0].sums))]
    return np.array([first.setdefault(key, v) for v, key in enumerate(keys)], dtype=np.int64)


def _band(measure: Measure, baseline: int, level: float) -> Floats:
    """Half widths [V] of the differences to the baseline; none where two do not differ in any run."""
    found = measure.difference(baseline).bound(level)
    same = (measure.sums == measure.sums[baseline]).all(axis=(1, 2))
    return np.where(same, 0.0, np.where(np.isnan(found), np.inf, found))
