"""Means over runs and users with their intervals; a difference to a baseline is the mean of paired differences.

A run is a world (its seed) in which users are met. Sums and counts are by run and source user, so clones of a user
are one cluster. Which interval, and why, is said in docs/background/statistics.md; their coverage is tested by
simulation.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from fleetrec.simulator.experiments.statistics.replicates import Replicates

Floats = NDArray[np.float64]

_HALVINGS = 60
_LEAST_LOG_P = -300.0
_LATE = 1 / 80
"""times df squared: chosen so that with 1 degree of freedom, the hardest, no share of worlds is covered under 94%"""


@dataclass(frozen=True)
class Estimates:
    """Means and the variances that they have from each source, arrays of one shape; NaN where nothing is known.

    users: what runs have in common since they meet the same users. worlds, trainings: from one to the next, the noise
    of a user's own runs included. least: of users alone, worlds kept; no statement on a difference goes below it.
    """

    mean: Floats
    users: Floats
    worlds: Floats
    trainings: Floats
    least: Floats
    users_df: float
    worlds_df: int
    trainings_df: int
    method: str
    generalises_to: str

    @property
    def variance(self) -> Floats:
        """Of the mean."""
        return self.users + self.worlds + self.trainings

    def _sources(self) -> Iterator[tuple[Floats, float]]:
        """Each variance with its degrees of freedom; a source that was not replicated has no variance."""
        yield self.users, self.users_df
        yield self.worlds, max(self.worlds_df, 1)
        yield self.trainings, max(self.trainings_df, 1)

    def half_width(self) -> Floats:
        """Half the width of the 95% interval; NaN where nothing is known of it, infinite where one user says all.

        Between the normal quantile and Student's of each source, by its share in the variance: Welch's (1947) first
        term. With few runs it has too wide a middle and too narrow an end: there `_LATE` lets Student's tail come in
        later and more fully, so that coverage is 94 to 96.4% whatever the shares. Far in the tails see `bound`.
        """
        normal, total = float(ndtri(0.975)) ** 2, self.variance
        shares = [
            (np.divide(part, total, out=np.zeros_like(total), where=(total > 0) & np.isfinite(total)), df)
            for part, df in self._sources()
        ]
        replicated = shares[1][0] + shares[2][0]
        spread = sum((share**2 / df for share, df in shares[1:]), np.zeros_like(total))
        df = np.divide(replicated**2, spread, out=np.ones_like(total), where=spread > 0)  # Satterthwaite's
        late = _LATE * df**2
        scale = replicated**2 * (1 + late) / (replicated**4 + late)
        squared = np.full_like(total, normal)
        for (share, df_of), by in zip(shares, (1.0, scale, scale), strict=True):
            squared = squared + (float(stdtrit(df_of, 0.975)) ** 2 - normal) * by * share**2
        return np.asarray(np.sqrt(squared * total))

    def bound(self, level: float) -> Floats:
        """Half the width of an interval that covers at least `level`, also far in the tails, where tests look.

        The half widths of the sources add in squares; so Student's tail of few worlds stays whole.
        """
        quantiles = [(part, float(stdtrit(df, 0.5 + level / 2))) for part, df in self._sources()]
        squared = sum((part * t**2 for part, t in quantiles), np.zeros_like(self.mean))
        return np.asarray(np.sqrt(np.maximum(squared, self.least * quantiles[0][1] ** 2)))

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
        """Two-sided p of a mean of zero, by `bound`. Without variance: 1 at zero (nothing differs), 0 elsewhere."""
        size = np.abs(self.mean)
        low, high = np.full_like(size, _LEAST_LOG_P), np.zeros_like(size)  # of log p
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            inside = self._bound_at(np.exp(middle)) > size
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        found = np.exp((low + high) / 2)
        found = np.where(self.variance > 0, found, np.where(size == 0, 1.0, 0.0))
        return np.where(np.isnan(self.variance) | np.isnan(self.mean), np.nan, np.where(size == 0, 1.0, found))

    def _bound_at(self, p: Floats) -> Floats:
        quantiles = [(part, -stdtrit(df, p / 2)) for part, df in self._sources()]
        squared = sum((part * t**2 for part, t in quantiles), np.zeros_like(p))
        return np.asarray(np.sqrt(np.maximum(squared, self.least * quantiles[0][1] ** 2)))


def over_runs(values: Floats, replicates: Replicates, draws: Floats | None = None) -> Estimates:
    """Mean of one figure a run, values [..., R].

    draws [..., R, B]: the same figure under B resamples of users, alike for all runs, so that the interval contains
    the sampling of users; without them it is Student's t over the runs, and one run has no interval.
    """
    mean, nothing = values.mean(axis=-1), np.zeros(values.shape[:-1])
    if len(replicates) == 1 and draws is None:
        unknown = np.full_like(mean, np.nan)
        where = f"only the world of seed {replicates.worlds[0]}: one run has no interval"
        return Estimates(mean, unknown, nothing, nothing, nothing, 1.0, 0, 0, "none", where)
    users = cells = nothing
    df = 1.0
    if draws is not None:
        users, cells = (
            draws.mean(axis=-2).var(axis=-1, ddof=1),
            draws.var(axis=-1, ddof=1).sum(axis=-1) / len(replicates) ** 2,
        )
        df = float(draws.shape[-1] - 1)
    return _estimates(values, VarianceParts(users, cells), replicates, df, draws is not None, "users resampled")


def over_users(sums: Floats, counts: Floats, replicates: Replicates) -> Estimates:
    """Mean over runs of each run's mean over interactions, for new users and whatever else was replicated.

    sums [..., R, U]: of the metric over the interactions of each run and user; counts [R, U]: how many they are.
    """
    values = sums.sum(axis=-1) / counts.sum(axis=-1)
    per_user = counts.sum(axis=0)
    if (per_user > 0).sum() < 2:
        mean, nothing = values.mean(axis=-1), np.zeros(values.shape[:-1])
        endless = np.full_like(mean, np.inf)
        return Estimates(mean, endless, nothing, nothing, nothing, 1.0, 0, 0, "none", "only this user")
    weights = per_user**2
    df = max(float(weights.sum() ** 2 / (weights**2).sum()) - 1, 1.0)  # as many users as count
    return _estimates(values, variance_parts(sums, counts), replicates, df, True, "user clusters")


@dataclass(frozen=True)
class VarianceParts:
    """Variances [...] of the mean over runs. users: of resampling users, runs kept; cells: the same, were a user's
    runs independent."""

    users: Floats
    cells: Floats


def variance_parts(sums: Floats, counts: Floats) -> VarianceParts:
    """Moments of a ratio's linearised residuals; sums [..., R, U], counts [R, U]."""
    residuals = cluster_residuals(sums, counts)
    met = max(float((counts.sum(axis=0) > 0).sum()), 1.0)
    small = met / max(met - 1, 1.0)
    return VarianceParts(small * (residuals.sum(axis=-2) ** 2).sum(axis=-1), small * (residuals**2).sum(axis=(-2, -1)))


def cluster_residuals(sums: Floats, counts: Floats) -> Floats:
    """What each run and user [..., R, U] moves the mean over runs of the runs' means; each run's add to zero."""
    totals = counts.sum(axis=-1)
    means = sums.sum(axis=-1) / totals
    return np.asarray((sums - means[..., None] * counts) / (totals[:, None] * counts.shape[0]))


def _estimates(
    values: Floats, parts: VarianceParts, replicates: Replicates, df: float, users: bool, of_users: str
) -> Estimates:
    """Var = sum of the runs' variances and of their covariances, over R^2. The spread of R means misses the
    covariances (they move all means together); users met in several runs show them, so R / (R - 1) * (users - cells)
    is added. With one run, users are all that is known."""
    mean, n = values.mean(axis=-1), len(replicates)
    if n == 1:
        nothing = np.zeros_like(mean)
        where = replicates.generalises_to(users)
        return Estimates(mean, parts.users, nothing, nothing, parts.users, df, 0, 0, of_users, where)
    shared = np.maximum(parts.users - parts.cells, 0.0) * n / (n - 1)
    worlds, trainings = between(values, replicates)
    over = " and ".join(replicates.sources)
    return Estimates(
        mean,
        shared,
        worlds,
        trainings,
        parts.users,
        df,
        len(replicates.worlds) - 1,
        replicates.n_trainings - 1,
        f"{of_users} crossed with {over}" if users else f"t over {over}",
        replicates.generalises_to(users),
    )


def between(values: Floats, replicates: Replicates) -> tuple[Floats, Floats]:
    """Variances [...] of the mean of values [..., R] from worlds and from trainings, by the mean squares of both.

    What the two have in common (their interaction) is counted once, with the worlds where there are several.
    """
    n_worlds, n_trainings = len(replicates.worlds), replicates.n_trainings
    grid = values.reshape(*values.shape[:-1], n_worlds, n_trainings)
    by_world, by_training = grid.mean(axis=-1), grid.mean(axis=-2)
    nothing = np.zeros(values.shape[:-1])
    if n_worlds == 1:
        return nothing, by_training.var(axis=-1, ddof=1) / n_trainings
    worlds = by_world.var(axis=-1, ddof=1) / n_worlds
    if n_trainings == 1:
        return worlds, nothing
    mean = grid.mean(axis=(-2, -1), keepdims=True)
    rest = grid - by_world[..., None] - by_training[..., None, :] + mean
    joint = (rest**2).sum(axis=(-2, -1)) / ((n_worlds - 1) * (n_trainings - 1)) / (n_worlds * n_trainings)
    return worlds, np.maximum(by_training.var(axis=-1, ddof=1) / n_trainings - joint, 0.0)
