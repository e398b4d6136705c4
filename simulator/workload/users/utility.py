"""What users who choose want: the interface between a model of users and the engine in which they live.

A model of users says what each item is worth to a user now. Its two implementations are the truth of the built-in world
and a model fitted on a log. Everything is vectorised over queries, one a user at one opportunity, and must come out the
same whatever else is in the batch: compute in tiles of one shape, or in float64, and round to `GRID` at the end.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.core.machine_code import Demand

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
State = NDArray[Any]
"""[M, S], a row for each user, of any one type: what a model keeps of a history that grows"""

GRID = 2.0**-20
_PAYS = 25_000
"""screens that take as much longer without compiled code as it takes to load, with the compiler: 0.4 s"""
_PAYS_TO_COMPILE = 200_000
CHOICES = Demand(
    "fleetrec.simulator.workload.users.compiled_choices",
    "users choose without compiled code",
    _PAYS,
    _PAYS_TO_COMPILE,
)
"""screens that users have looked at"""


def on_grid(utilities: Floats) -> Floats:
    """The nearest multiples of `GRID`: sums that differ in their last bits become equal. -inf stays."""
    scaled = np.asarray(utilities * (1.0 / GRID))  # GRID is a power of two: nothing is rounded but by rint
    np.rint(scaled, out=scaled)
    scaled *= GRID
    return scaled


@dataclass(frozen=True)
class Past:
    """What users [M] had before the run: those of user number m are `items[offsets[m] : offsets[m + 1]]`."""

    users: Ints
    """[M] the place in the log of each; several may share one, who draw moods of their own"""
    offsets: Ints  # [M + 1]
    items: Ints  # [E]
    times: Floats
    """[E] seconds, in the log's clock; they fall to zero at the start of the run"""


@dataclass(frozen=True)
class Moments:
    """When users look at a screen; every array has one entry a query [M]."""

    user: Ints
    """number of the user in the run: its row of the `Past`"""
    opportunity: Ints
    """0, 1, 2, ... of its opportunities: the same moment in the user's life, whatever was chosen before"""
    session: Ints
    """0, 1, 2, ... of its sessions, those that it stayed away from included"""
    t_s: Floats
    """simulated time"""

    def take(self, index: Any) -> "Moments":
        """The queries at `index`."""
        columns = self.user, self.opportunity, self.session, self.t_s
        return Moments(*(column[index] for column in columns))


@dataclass(frozen=True)
class Laws:
    """How users behave beside what they want. Utilities are in the unit of a standard Gumbel's scale."""

    skip: float = 2.0
    """utility of taking nothing"""
    organic: float = 0.1
    """share of opportunities at which a user looks for something by itself and not at the slate"""
    examination: float = 1.0
    """an item at place j (0, 1, ...) of the screen is weighed with (j + 1)^-examination"""
    patience: float = 4.0
    """skips and waits in a session after which one leaves it, in the mean"""
    satisfied: float = 4.0
    """utility of what was taken at which satisfaction neither rises nor falls"""
    unmet: float = -2.0
    """what a skip or a wait does to satisfaction, as a choice does whose utility is so far from `satisfied`"""
    memory: float = 0.8
    """share of its satisfaction that a user keeps from one opportunity to the next"""
    returns: float = 1.0
    """log-odds of coming to a session, at a satisfaction of 0"""
    returns_by_satisfaction: float = 1.0
    """what a unit of satisfaction adds to them"""
    churns: float = -5.0
    """log-odds of leaving for good after a session, at a satisfaction of 0"""
    churns_by_satisfaction: float = -1.0
    """what a unit of satisfaction adds to them"""


class UserModel(Protocol):
    """What items are worth to users, and how these behave."""

    @property
    def n_items(self) -> int: ...
    @property
    def laws(self) -> Laws:
        """Those that the model knows of; a scenario may say otherwise."""
        ...

    def initial(self, past: Past) -> State:
        """States [M, S] of users after their past."""
        ...

    def advance(self, state: State, some: Ints, at: Moments, items: Ints) -> None:
        """`some` [M] of these users' states [U, S] become those after each has taken one more item [M]."""
        ...

    def of(self, state: State, at: Moments, items: Ints) -> Floats:
        """Utilities [M, K] of items [M, K] on `GRID`; -inf where an item is -1."""
        ...

    def catalogue(self, state: State, at: Moments) -> Floats:
        """Utilities [M, n_items] of all items, equal to those of `of`."""
        ...

    def best(self, state: State, at: Moments, hidden: NDArray[np.bool_], count: int) -> Floats:
        """Utilities [M, count] of the best items that are not `hidden` [M, n_items], falling; -inf past the last."""
        ...


def largest(utilities: Floats, count: int) -> Floats:
    """The `count` largest [M, count] of `utilities` [M, K], falling; -inf past the last."""
    short = count - utilities.shape[1]
    if short > 0:
        utilities = np.pad(utilities, ((0, 0), (0, short)), constant_values=-np.inf)
    return -np.sort(-np.partition(utilities, utilities.shape[1] - count, axis=1)[:, -count:], axis=1)
