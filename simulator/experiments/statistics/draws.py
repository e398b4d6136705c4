"""Joint draws of many means, for what no formula covers: who is on a front, hypervolumes, savings.

Users are resampled as whole clusters, with the same weights for every variant and seed, so pairing is kept. What seeds
add to that is drawn from a multivariate t with as many degrees of freedom as the seeds give.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simulator.experiments.statistics.estimates import ENOUGH_SEEDS, cluster_residuals

Floats = NDArray[np.float64]

N_DRAWS = 2_000
_WEIGHTS_AT_ONCE = 8_000_000


def joint_draws(
    sums: Floats, counts: Floats, figures: Floats, seeds: Sequence[int], generator: np.random.Generator
) -> tuple[Floats, Floats]:
    """Draws of the means over seeds: of a user metric [B, V] and of figures known by run only [B, V, K].

    sums [V, S, U] and counts [S, U] as in `over_users_and_seeds`; figures [V, S, K]. One seed leaves the figures as
    they are: nothing is known of how they vary.
    """
    n_variants, n_seeds, n_figures = figures.shape
    values = np.concatenate([(sums.sum(axis=-1) / counts.sum(axis=-1))[..., None], figures], axis=-1)
    columns = values.transpose(1, 0, 2).reshape(n_seeds, -1)  # [S, V * (1 + K)]
    draws = np.repeat(columns.mean(axis=0)[None, :], N_DRAWS, axis=0)
    if n_seeds < ENOUGH_SEEDS:
        draws.reshape(N_DRAWS, n_variants, -1)[..., 0] = _resampled_users(sums, counts, generator)
    if n_seeds > 1:
        draws += _seed_noise(sums, counts, columns, n_figures, generator)
    drawn = draws.reshape(N_DRAWS, n_variants, 1 + n_figures)
    return drawn[..., 0], drawn[..., 1:]


def _resampled_users(sums: Floats, counts: Floats, generator: np.random.Generator) -> Floats:
    """Means [B, V] under draws of as many users, with replacement, from those met at any seed."""
    met = np.flatnonzero(counts.sum(axis=0) > 0)
    n_users, means = len(met), np.zeros((N_DRAWS, len(sums)))
    step = max(_WEIGHTS_AT_ONCE // max(n_users, 1), 1)
    for start in range(0, N_DRAWS, step):
        n = min(step, N_DRAWS - start)
        weights = generator.multinomial(n_users, np.full(n_users, 1 / n_users), size=n).astype(np.float64)
        for s in range(counts.shape[0]):
            totals = np.maximum(weights @ counts[s, met], 1e-300)
            means[start : start + n] += (weights @ sums[:, s, met].T) / totals[:, None] / counts.shape[0]
    return means


def _seed_noise(
    sums: Floats, counts: Floats, columns: Floats, n_figures: int, generator: np.random.Generator
) -> Floats:
    """Noise [B, V * (1 + K)] with the covariance that seeds add to that of users."""
    n_seeds = len(columns)
    scale = np.sqrt(generator.chisquare(n_seeds - 1, size=(N_DRAWS, 1)) / (n_seeds - 1))
    spread = (columns - columns.mean(axis=0)) / np.sqrt(n_seeds * (n_seeds - 1))  # [S, C]; its Gram is the covariance
    if n_seeds >= ENOUGH_SEEDS:
        return np.asarray(generator.standard_normal((N_DRAWS, n_seeds)) @ spread / scale)
    # Part of the seeds' spread is that of their users, drawn already: it is taken out, as in `variance_parts`.
    residuals = cluster_residuals(sums, counts)  # [V, S, U]
    by_user, by_cell = residuals.sum(axis=1), residuals.reshape(len(sums), -1)
    users, cells = by_user @ by_user.T, by_cell @ by_cell.T
    added = spread.T @ spread
    own = np.arange(len(sums)) * (1 + n_figures)
    added[np.ix_(own, own)] += (users - cells) / (n_seeds - 1) - cells
    size, direction = np.linalg.eigh(added)
    noise = generator.standard_normal((N_DRAWS, len(size))) * np.sqrt(np.maximum(size, 0.0))
    return np.asarray(noise @ direction.T / scale)
