"""One metric of every variant, in the form that its intervals need."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.experiments.statistics import Estimates, over_seeds, over_users_and_seeds

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measure:
    """Sums [V, S, U] and counts [S, U] by seed and user; where only runs have the metric, U is 1 and counts are 1."""

    sums: Floats
    counts: Floats
    seeds: Sequence[int]
    by_user: bool

    @property
    def by_seed(self) -> Floats:
        """The metric of each run, [V, S]."""
        return np.asarray(self.sums.sum(axis=-1) / self.counts.sum(axis=-1))

    @property
    def means(self) -> Floats:
        """Mean over seeds, [V]."""
        return np.asarray(self.by_seed.mean(axis=-1))

    def estimate(self, sums: Floats) -> Estimates:
        """Mean and interval of sums [..., S, U] of this metric: a variant's, a difference's, a mixture's."""
        if self.by_user:
            return over_users_and_seeds(sums, self.counts, self.seeds)
        return over_seeds(sums[..., 0], self.seeds)
