"""What figures of choices would be without each user in turn, for intervals of figures that are no means over users.

Coverage and Gini of a catalogue are none, and a bootstrap has them wrong: a draw leaves out one user in e, and who is
drawn twice takes nothing new. Leaving out one user at a time gives a variance that is right, or too large in
expectation, whatever the figure, so long as users are alike and their order does not count (Efron and Stein 1981).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

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

    def without_each(self, nth: int, of: int) -> Floats:
        """Coverage, Gini and means [U, 2 + V] of stretch `nth` of `of` stretches of equally many choices each, if each
        of the users had not been: NaN where nothing would be left of it."""
        total, many = len(self.item), np.bincount(self.user, minlength=self.n_users)
        begin, end = nth * (total // of), (nth + 1) * (total // of)
        counts = np.bincount(self.item[begin:end], minlength=self.n_items)
        left = (total - many) // of
        user, place, sign = self._changes(begin, end, left * nth, left * (nth + 1))
        summed = self.values[begin:end].sum(axis=0) + np.stack(
            [np.bincount(user, sign * column[place], minlength=self.n_users) for column in self.values.T], axis=1
        )
        key, back = np.unique(user * self.n_items + self.item[place], return_inverse=True)
        change = np.rint(np.bincount(back, sign, minlength=len(key))).astype(np.int64)
        user, item, change = (held[change != 0] for held in (key // self.n_items, key % self.n_items, change))
        after = counts[item] + change
        covered = (after > 0).astype(np.float64) - (counts[item] > 0)
        known = np.where(left > 0, left, np.nan)
        coverage = (counts > 0).sum() + np.bincount(user, covered, minlength=self.n_users)
        unlike = self._unlike(counts, user, counts[item], after)
        return np.column_stack(
            [
                np.where(left > 0, coverage / self.n_items, np.nan),
                unlike / (self.n_items * known),
                summed / known[:, None],
            ]
        )

    def _changes(self, begin: int, end: int, now_begin: Ints, now_end: Ints) -> tuple[Ints, Ints, Floats]:
        """What comes to the choices from `begin` to `end`, or goes, where each user in turn is left out and they are
        those from `now_begin` to `now_end` [U] of the others: users, places of choices, and 1 or -1 [C]."""
        own = np.arange(begin, end)
        parts = [(self.user[own], own, np.full(len(own), -1.0))]
        for old, now, comes in ((begin, now_begin, -1.0), (end, now_end, 1.0)):
            at = self._place_among_others(now)
            user, nth = ragged(np.abs(at - old))
            place = np.minimum(at, old)[user] + nth
            others = self.user[place] != user
            parts.append((user[others], place[others], np.where(at > old, comes, -comes)[user[others]]))
        user, place, sign = (np.concatenate(column) for column in zip(*parts, strict=True))
        return user, place, sign

    def _place_among_others(self, nth: Ints) -> Ints:
        """Before how many choices [U] the `nth` [U] of those of all others stands, for each user."""
        many = np.bincount(self.user, minlength=self.n_users)
        place = np.argsort(self.user, kind="stable")  # by user, in the order of time
        _, earlier = ragged(many)
        before = place - earlier < nth[self.user[place]]
        return nth + np.bincount(self.user[place][before], minlength=self.n_users)

    def _unlike(self, counts: Ints, user: Ints, before: Ints, after: Ints) -> Floats:
        """Sums [U] of the differences of all pairs of `counts`, if items of a user had been taken `after` times [C] and
        not `before`: they are that of F(n - F) over levels, F of the n items being at or below the level."""
        n = len(counts)
        largest = int(max(counts.max(initial=0), after.max(initial=0)))
        upto = np.cumsum(np.bincount(counts, minlength=largest + 1))
        passed, nth = ragged(np.abs(after - before))
        level = np.minimum(before, after)[passed] + nth
        sign = np.where(after < before, 1.0, -1.0)[passed]
        key, back = np.unique(user[passed] * (largest + 1) + level, return_inverse=True)
        more = np.bincount(back, sign, minlength=len(key))
        moved = more * (n - 2 * upto[key % (largest + 1)]) - more**2
        return np.asarray(
            (upto * (n - upto)).sum() + np.bincount(key // (largest + 1), moved, minlength=self.n_users), np.float64
        )


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
        half = float(ndtri(0.975)) * float(np.sqrt((moved_by(without) ** 2).sum() * users / (users - 1)))
    return [max(value - half, least), min(value + half, most)]
