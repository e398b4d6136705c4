"""Joint draws of many means, for what no formula covers: who is on a front, hypervolumes, savings.

Users are resampled with the same weights for every variant, figure and run, so pairing is kept. What worlds and
trainings add to that is drawn from a multivariate t with as many degrees of freedom as the fewest of them give.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.experiments.statistics.replicates import Replicates

Floats = NDArray[np.float64]

N_DRAWS = 2_000


def resampled(sums: Floats, counts: Floats, weights: Sequence[NDArray[np.uint8]]) -> Floats:
    """A user metric under B resamples of users, [V, R, B]; sums [V, R, U], counts [R, U], weights [B, U] by run."""
    found = np.empty((*sums.shape[:2], len(weights[0])))
    for r, held in enumerate(weights):
        taken = held.astype(np.float64).T
        found[:, r] = sums[:, r] @ taken / np.maximum(counts[r] @ taken, 1e-300)
    return found


def joint_draws(
    values: Floats,
    by_users: Floats,
    replicates: Replicates,
    generator: np.random.Generator,
    n_draws: int = N_DRAWS,
) -> Floats:
    """Draws [N, C] of the means over runs of C figures.

    values [R, C]: of each run; by_users [B, R, C]: under resamples of users, equal to `values` where nothing is known
    of how a figure varies with them. N is rounded to a multiple of B. Columns that are alike in all of it are drawn
    alike, to the last bit.
    """
    together = np.concatenate([values[None], by_users])  # [1 + B, R, C]
    _, first, back = np.unique(together.reshape(-1, together.shape[-1]), axis=1, return_index=True, return_inverse=True)
    own = together[..., first]
    means = own[1:].mean(axis=1)  # [B, C]
    drawn = np.tile(means + (own[0].mean(axis=0) - means.mean(axis=0)), (max(n_draws // len(means), 1), 1))
    if len(replicates) > 1:
        drawn += _noise(own[0], own[1:], replicates, generator, len(drawn))
    return np.asarray(drawn[:, np.ravel(back)])


def _noise(values: Floats, by_users: Floats, replicates: Replicates, generator: np.random.Generator, n: int) -> Floats:
    """Noise [N, C] with the covariance that worlds and trainings add to that of users.

    Part of the runs' spread is that of their users, drawn already: it is taken out, as in `Estimates`.
    """
    n_runs, n_columns = values.shape
    grid = values.reshape(len(replicates.worlds), replicates.n_trainings, n_columns)
    added = np.zeros((n_columns, n_columns))
    for axis, count in ((1, len(replicates.worlds)), (0, replicates.n_trainings)):
        if count > 1:
            level = grid.mean(axis=axis)
            level = (level - level.mean(axis=0)) / np.sqrt(count * (count - 1))
            added += level.T @ level
    centred = (by_users - by_users.mean(axis=0)) / np.sqrt(max(len(by_users) - 1, 1))  # [B, R, C]
    mean = centred.mean(axis=1)
    users = mean.T @ mean
    cells = np.einsum("brc,brd->cd", centred, centred, optimize=True) / n_runs**2
    added += (users - cells) / (n_runs - 1) - cells
    size, direction = np.linalg.eigh(added)
    noise = generator.standard_normal((n, n_columns)) * np.sqrt(np.maximum(size, 0.0))
    df = min(count - 1 for count in (len(replicates.worlds), replicates.n_trainings) if count > 1)
    scale = np.sqrt(generator.chisquare(df, size=(n, 1)) / df)
    return np.asarray(noise @ direction.T / scale)
