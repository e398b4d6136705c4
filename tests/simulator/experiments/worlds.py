"""Made worlds whose truth is known: user effects, seed effects, their interaction, clones, users met at some seeds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """Standard deviations of the effects; the mean that is to be found is 0."""

    user: float = 1.0
    seed: float = 0.1
    cell: float = 0.5
    n_users: int = 100
    met: float = 1.0
    clones: float = 0.3

    def draw(self, rng: np.random.Generator, repetitions: int, n_seeds: int) -> tuple[Floats, Floats, Floats]:
        """sums [R, S, U], counts [S, U] and the seeds' own effects [R, S]."""
        n = rng.integers(2, 40, self.n_users) * np.where(rng.random(self.n_users) < self.clones, 2.0, 1.0)
        kept = int(self.met * self.n_users)
        present = np.stack([rng.permutation(self.n_users) < kept for _ in range(n_seeds)])
        seed = self.seed * rng.standard_normal((repetitions, n_seeds, 1))
        value = (
            self.user * rng.standard_normal((repetitions, 1, self.n_users))
            + self.cell * rng.standard_normal((repetitions, n_seeds, self.n_users))
            + seed
        )
        counts = present * n
        return value * counts, counts, seed[..., 0]
