"""Means over seeds and users with their intervals; a difference to a baseline is the mean of paired differences.

A run is a world (its seed) in which users are met. Sums and counts are by seed and source user, so clones of a user
are one cluster. Which interval, and why, is said in docs/statistics.md; their coverage is tested by simulation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

Floats = NDArray[np.float64]

ENOUGH_SEEDS = 5
"""t over seeds is used from here on: Student's factor is 2.8 at 5 seeds, 1.4 times that of many; at 3, 2.2 times"""


@dataclass(frozen=True)
class Estimates:
    """Means with standard errors and degrees of freedom, arrays of one shape; NaN errors where there is no interval."""

    mean: Floats
    error: Floats
    df: Floats
    method: str
    generalises_to: str

    def half_width(self, level: float = 0.95) -> Floats:
        """Half the width of the interval; NaN where nothing is known of it, infinite where one user says all."""
        return np.asarray(stdtrit(np.maximum(self.df, 1e-9), 0.5 + level / 2) * self.error)

    @property
    def low(self) -> Floats:
        """Lower end of the 95% interval."""
        return self.mean - self.half_width()

    @property
    def high(self) -> Floats:
        """Upper end of the 95% interval."""
        return self.mean + self.half_width()

    @property
    def p(self) -> Floats:
        """Two-sided p of a mean of zero. Without variance: 1 at zero (nothing differs), 0 elsewhere."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.where(self.error > 0, np.abs(self.mean) / self.error, np.where(self.mean == 0, 0.0, np.inf))
            found = 2 * stdtr(np.maximum(self.df, 1e-9), -t)
        return np.where(np.isnan(self.error) | np.isnan(self.mean), np.nan, found)


def over_seeds(values: Floats, seeds: Sequence[int]) -> Estimates:
    """Mean of one figure a run, values [..., S], with Student's t over the S seeds; one seed has no interval."""
    n = len(seeds)
    mean = values.mean(axis=-1)
    if n == 1:
        nothing = np.full_like(mean, np.nan)
        return Estimates(mean, nothing, nothing, "none", f"only the world of seed {seeds[0]}: one run has no interval")
    error = values.std(axis=-1, ddof=1) / np.sqrt(n)
    return Estimates(mean, error, np.full_like(mean, n - 1.0), "t over seeds", "new worlds of this log's users")


def over_users_and_seeds(sums: Floats, counts: Floats, seeds: Sequence[int]) -> Estimates:
    """Mean over seeds of each seed's mean over interactions, with the interval that so many seeds allow.

    sums [..., S, U]: of the metric over the interactions of each seed and user; counts [S, U]: how many they are.
    """
    values = sums.sum(axis=-1) / counts.sum(axis=-1)
    n = len(seeds)
    if n >= ENOUGH_SEEDS:
        return over_seeds(values, seeds)
    parts = variance_parts(sums, counts)
    users = float((counts.sum(axis=0) > 0).sum())
    mean = values.mean(axis=-1)
    if users < 2:
        one = np.full_like(mean, np.inf)
        return Estimates(mean, one, np.ones_like(mean), "none", "only this user")
    if n == 1:
        df = np.full_like(mean, users - 1)
        return Estimates(mean, np.sqrt(parts.users), df, "user clusters", f"new users in the world of seed {seeds[0]}")
    crossed = parts.seeds + parts.shared
    with np.errstate(invalid="ignore", divide="ignore"):
        df = crossed**2 / (parts.seeds**2 / (n - 1) + parts.shared**2 / (users - 1))
    by_users = parts.users >= crossed
    return Estimates(
        mean,
        np.sqrt(np.where(by_users, parts.users, crossed)),
        np.where(by_users, users - 1, df),
        "user clusters crossed with seeds",
        "new users and new worlds",
    )


@dataclass(frozen=True)
class VarianceParts:
    """Estimated variances of the mean over seeds and users, each of shape [...].

    users: of resampling users, seeds kept. cells: the same, were a user's seeds independent. seeds: of the seeds'
    means, were seeds independent. shared: what seeds have in common since they meet the same users.
    """

    users: Floats
    cells: Floats
    seeds: Floats
    shared: Floats


def variance_parts(sums: Floats, counts: Floats) -> VarianceParts:
    """Moments of a ratio's linearised residuals; sums [..., S, U], counts [S, U].

    Var = sum of the seeds' variances and of their covariances, over S^2. The spread of the S means misses the
    covariances (they move all means together); users met at several seeds show them, so
    S / (S - 1) * (users - cells) is added.
    """
    n = counts.shape[0]
    residuals = cluster_residuals(sums, counts)
    met = max(float((counts.sum(axis=0) > 0).sum()), 1.0)
    small = met / max(met - 1, 1.0)
    users = small * (residuals.sum(axis=-2) ** 2).sum(axis=-1)
    cells = small * (residuals**2).sum(axis=(-2, -1))
    if n == 1:
        return VarianceParts(users, cells, np.zeros_like(users), np.zeros_like(users))
    means = sums.sum(axis=-1) / counts.sum(axis=-1)
    shared = np.maximum(users - cells, 0.0) * n / (n - 1)
    return VarianceParts(users, cells, means.var(axis=-1, ddof=1) / n, shared)


def cluster_residuals(sums: Floats, counts: Floats) -> Floats:
    """What each seed and user [..., S, U] moves the mean over seeds of the seeds' means; each seed's add to zero."""
    totals = counts.sum(axis=-1)
    means = sums.sum(axis=-1) / totals
    return np.asarray((sums - means[..., None] * counts) / (totals[:, None] * counts.shape[0]))


def clustered_mean(values: Floats, clusters: NDArray[np.int64]) -> tuple[float, float]:
    """Mean of `values` [M] and half the width of its 95% interval, with users as clusters (clones are one user)."""
    if not len(values):
        return float("nan"), float("nan")
    _, group = np.unique(clusters, return_inverse=True)
    counts = np.bincount(group).astype(np.float64)
    sums = np.asarray(np.bincount(group, weights=values), dtype=np.float64)
    found = over_users_and_seeds(sums[None, :], counts[None, :], [0])
    return float(values.mean()), float(found.half_width())
