"""What figures of choices would be without each user in turn, for intervals of figures that are no means over users.

Coverage and Gini of a catalogue are none, and a bootstrap has them wrong: a draw leaves out one user in e, and who is
drawn twice takes nothing new. Leaving out one user at a time gives a variance that is right, or too large in
expectation, whatever the figure, so long as users are alike and their order does not count (Efron and Stein 1981).
"""

from dataclasses import dataclass

import numpy as np
import scipy  # loads special where it is used: most runs need none of it
from numpy.typing import NDArray

from fleetrec.models.runtime.ragged import ragged

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Taken:
    """Choices [M] in the order of time."""

    user: Ints
    """[M] from 0"""
    item: Ints  # [M]
    values: Floats
    """[M, V] of what the mean is told"""
    n_users: int
    n_items: int

    def without_each(self, begin: int, end: int) -> Floats:
        """Coverage, Gini and means [U, 2 + V] of the choices from `begin` to `end`, if each of the users had not been:
        NaN where nothing would be left of them.

        A stretch of a run holds a fixed share of its choices. So of coverage and Gini, which hang on how many choices
        they are of, it is taken out what a user has in the stretch beyond the stretch's share of all that it took, at
        what a choice moves them on average: a figure without the user is of as many choices as it would be.
        """
        total = end - begin
        user, item, values = self.user[begin:end], self.item[begin:end], self.values[begin:end]
        own = np.bincount(user, minlength=self.n_users)
        beyond = own - np.bincount(self.user, minlength=self.n_users) * (total / len(self.item))
        left = np.where(total > own, total - own, np.nan)
        counts = np.bincount(item, minlength=self.n_items)
        key, times = np.unique(user * self.n_items + item, return_counts=True)
        user_of, before = key // self.n_items, counts[key % self.n_items]
        lost = np.bincount(user_of[before == times], minlength=self.n_users)
        coverage = ((counts > 0).sum() - lost) / self.n_items + beyond * (counts == 1).sum() / (total * self.n_items)
        unlike = self._unlike(counts, user_of, before, before - times)
        gini = unlike / (self.n_items * left) - beyond * _gini_by_one(counts)
        sums = [column.sum() - np.bincount(user, column, minlength=self.n_users) for column in values.T]
        return np.column_stack([np.where(left > 0, coverage, np.nan), gini, *(column / left for column in sums)])

    def _unlike(self, counts: Ints, user: Ints, before: Ints, after: Ints) -> Floats:
        """Sums [U] of the differences of all pairs of `counts`, if items of a user had been taken only `after` times
        [C] and not `before`: they are that of F(n - F) over levels, F of the n items being at or below the level."""
        n, upto = len(counts), np.cumsum(np.bincount(counts))
        passed, nth = ragged(before - after)
        key, more = np.unique(user[passed] * len(upto) + after[passed] + nth, return_counts=True)
        moved = more * (n - 2 * upto[key % len(upto)]) - more**2
        return np.asarray((upto * (n - upto)).sum() + np.bincount(key // len(upto), moved, minlength=self.n_users))


def _gini_by_one(counts: Ints) -> float:
    """How far Gini moves on average where one choice is taken from `counts`, each of them alike."""
    n, total, upto = len(counts), int(counts.sum()), np.cumsum(np.bincount(counts))
    if total < 2:
        return float("nan")
    unlike, taken = (upto * (n - upto)).sum(), counts[counts > 0]
    one_less = unlike + (taken * (n - 2 * upto[taken - 1] - 1)).sum() / total
    return float(one_less / (n * (total - 1)) - unlike / (n * total))


def moved_by(without: Floats) -> Floats:
    """How far each user [U] moves a figure that is `without` [U] where the user is left out; these add to nothing, and
    their squares, times U / (U - 1), to the figure's variance."""
    users = len(without)
    return np.asarray((without.mean() - without) * (users - 1) / users)


def interval_without(value: float, without: Floats, least: float, most: float) -> list[float]:
    """The 95% interval of a figure, between `least` and `most`, that is `without` [U] each of its users."""
    users = len(without)
    half = float("inf")
    if users > 1:
        half = float(scipy.special.ndtri(0.975)) * float(np.sqrt((moved_by(without) ** 2).sum() * users / (users - 1)))
    return [max(value - half, least), min(value + half, most)]
