"""Bootstrap over users: weights keyed by who a user is and by the number of the draw alone.

So what is resampled of two policies, seeds or runs is paired, draw by draw. Poisson bootstrap: a user is taken
Poisson(1) times in a draw (Hanley and MacGibbon 2006). Fleets of many users are resampled in clusters of users.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.core.randomness import Draws

DRAWS = 400
"""bootstrap draws of a run"""
CLUSTERS = 4096
"""the most that are resampled: more users are put together by their keys, which leaves intervals what they are"""
INTERVAL = (0.025, 0.975)
"""the quantiles of draws that bound a 95% interval"""
_KEYED = Draws(0)
_POISSON_1 = np.cumsum([np.exp(-1.0) / float(np.prod(np.arange(1, k + 1))) for k in range(12)])

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def user_keys(labels: Sequence[Any] | NDArray[Any]) -> Ints:
    """A number for each label [U], a user's id as a string or an integer: the same in every run and process."""
    digests = (hashlib.blake2b(str(label).encode(), digest_size=8).digest() for label in labels)
    return np.fromiter((int.from_bytes(digest, "little", signed=True) for digest in digests), np.int64, len(labels))


def user_weights(labels: Sequence[Any] | NDArray[Any], draws: int = DRAWS) -> NDArray[np.uint8]:
    """How often each user [U] is taken in each draw [B]: an array [B, U] that depends on labels and draw numbers alone.

    For many users see `Resampling`, which holds clusters of them.
    """
    return _weights(user_keys(labels), draws)


def _weights(keys: Ints, draws: int) -> NDArray[np.uint8]:
    uniforms = _KEYED.uniform("resampling.user", np.arange(draws)[:, None], keys[None, :])
    return np.searchsorted(_POISSON_1, uniforms, side="right").astype(np.uint8)


@dataclass(frozen=True)
class Resampling:
    """Users [U] in clusters [C], each user alone where they are at most `CLUSTERS`, and the clusters' weights."""

    cluster: Ints
    """[U] of each user"""
    weights: NDArray[np.uint8]
    """[B, C]: how often a cluster is taken in a draw; in no draw is none taken"""

    @classmethod
    def of(cls, labels: Sequence[Any] | NDArray[Any], draws: int = DRAWS) -> "Resampling":
        """For users of these labels, of which some may be the same user (the clones of a fleet)."""
        keys = user_keys(labels)
        if len(np.unique(keys)) > CLUSTERS:
            keys %= CLUSTERS
        known, cluster = np.unique(keys, return_inverse=True)
        weights = _weights(known, draws)
        weights[~weights.any(axis=1)] = 1  # with a handful of users a draw may take nobody
        return cls(cluster, weights)

    @classmethod
    def of_rows(cls, rows: Ints, ids: NDArray[Any]) -> "Resampling":
        """The same of users [U] whose labels stand in these rows of `ids`: each label is looked at once."""
        known, place = np.unique(rows, return_inverse=True)
        of_known = cls.of(ids[known].astype(str))
        return cls(of_known.cluster[place], of_known.weights)

    @property
    def draws(self) -> int:
        """How many there are."""
        return len(self.weights)

    def totals(self, values: Floats) -> Floats:
        """The weighted sums [B] of values [U], or [B, K] of values [U, K]."""
        summed = np.zeros((self.weights.shape[1], *values.shape[1:]))
        np.add.at(summed, self.cluster, values)
        weights = self.weights.astype(np.float64)
        return np.asarray(np.einsum("bc,c...->b...", weights, summed))  # one order of sums, whatever the threads

    def means(self, values: Floats) -> Floats:
        """What `totals` are for each user that was taken."""
        users = np.maximum(self.totals(np.ones(len(self.cluster))), 1.0)
        return np.asarray(self.totals(values) / users.reshape(-1, *(1,) * (values.ndim - 1)))


def interval(draws: Floats) -> tuple[float, float]:
    """The 95% interval of resampled figures [B]."""
    low, high = np.quantile(draws, INTERVAL).tolist()
    return low, high
