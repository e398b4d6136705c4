"""When users may do something, and which of these moments belong to one session: fixed before a run."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.workload.users.utility import Floats, Ints


@dataclass(frozen=True)
class Opportunities:
    """The rows of the stream that each user [D] meets: `first` to `end` - 1, in order of time."""

    t_s: Floats  # [S]
    first: Ints  # [D]
    end: Ints  # [D]
    session: Ints
    """[S] 0, 1, 2, ... of its user's sessions; -1 for a row that nobody meets"""
    following: Ints
    """[S] row at which the next session of its user begins; its `end` where there is none"""

    @classmethod
    def of(cls, t_s: Floats, first: Ints, end: Ints, pause_s: float) -> "Opportunities":
        """A session begins after each pause longer than `pause_s`."""
        session, following = np.full(len(t_s), -1), np.full(len(t_s), -1)
        rows = np.arange(len(t_s))
        user = np.searchsorted(first, rows, side="right") - 1 if len(first) else rows
        met = (user >= 0) & (rows < end[np.maximum(user, 0)])
        begins = met & ((rows == first[np.maximum(user, 0)]) | (np.diff(t_s, prepend=-np.inf) > pause_s))
        number = np.cumsum(begins)
        session[met] = number[met] - number[first[user[met]]]
        at = np.flatnonzero(begins)
        later = np.append(at, len(t_s))[np.searchsorted(at, rows[met], side="right")]
        following[met] = np.minimum(later, end[user[met]])
        return cls(t_s, first, end, session, following)

    def group_end(self, row: int, end: int) -> int:
        """The row after the last one that shares the time of `row`."""
        after = row + 1
        while after < end and self.t_s[after] == self.t_s[row]:
            after += 1
        return after

    @property
    def same_time_next(self) -> NDArray[np.bool_]:
        """[S] whether the next row has the same time."""
        return np.append(self.t_s[1:] == self.t_s[:-1], False)
