"""What users are: whether they do what the log says or react to what they see. Kinds: workload/user_kinds/."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.sections.kinds import Family, Kind
from fleetrec.simulator.scenario.sections.own_kinds import OwnMethod, Seen

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class SlateView(Protocol):
    """What a user sees and knows when it comes to the screen. Items are numbered from 0."""

    @property
    def items(self) -> Ints:
        """The items on the screen, best first; none where it is not ready."""

    @property
    def ready(self) -> bool:
        """Whether there is a slate on the screen, and no spinner."""

    @property
    def waited_s(self) -> float:
        """How long the screen took to be ready after the user's newest item; how long it has been taking so far where
        it is not ready."""

    @property
    def history(self) -> Ints:
        """The items that the user has had, oldest first."""

    @property
    def time_of_day_s(self) -> float:
        """Seconds since midnight."""

    @property
    def user(self) -> int:
        """The number of the user's device in the fleet, from 0."""

    @property
    def opportunity(self) -> int:
        """0, 1, 2, ... of the moments at which the user could do something, those that it missed included."""

    @property
    def session(self) -> int:
        """0, 1, 2, ... of its sessions, those that it missed included."""

    @property
    def n_items(self) -> int:
        """Items in the catalogue."""

    def attributes(self, item: int) -> tuple[str, ...]:
        """Words that the log has for an item: genres, tags, categories. The run ends with a line where it has none of
        any item."""

    def utility(self, items: ArrayLike) -> Floats:
        """What items [K] are worth to the user now, in the model of users who choose (docs/how-to/users.md): the truth
        of the built-in world, or what was fitted on the log, which takes a minute when it is first asked for."""

    def gumbel(self, items: ArrayLike) -> Floats:
        """Standard Gumbel noise [K] of items, keyed by user, opportunity and item: that of users who choose."""

    def uniform(self, purpose: str) -> float:
        """A number between 0 and 1 that is keyed by purpose, user and opportunity, whatever happened before."""


@dataclass(frozen=True)
class Leave:
    """The user ends its session, and comes back at the first opportunity that is not before `for_s` seconds have
    passed; 0: at the next session."""

    for_s: float = 0.0


STOP = "stop"
Answer = int | Leave | str | None
"""an item, nothing, or an end: `STOP` for good"""


class Users(Kind):
    """What a user does at each opportunity.

    Users of your own need `next` alone: each device has an object of the class, which may keep what it likes. The
    attributes say what they are.
    """

    family: ClassVar[Family] = Family(
        "workload.users", "fleetrec.simulator.workload.user_kinds", "replay", ("next(self, slate, now)",), words=True
    )

    reacts: ClassVar[bool] = True
    """whether what they do hangs on what they are shown"""
    session_pause_s: ClassVar[float] = 1800.0
    """time without an opportunity after which the next one begins a new session"""

    def pause_s(self) -> float:
        """`session_pause_s`, where no key says otherwise."""
        return self.session_pause_s

    def next(self, slate: SlateView, now: float) -> Any:
        """What a user of your own does: the number of the item that it takes (one of the screen, or another, which it
        has found by itself), None for nothing, "leave" or `Leave(for_s=...)` to end the session, or "stop" for good.
        `now`: seconds since the run began."""
        raise NotImplementedError

    def problems(self) -> Iterator[tuple[str, str]]:
        """(key of its own, what is wrong and how to mend it) of values that do not go together."""
        yield from ()


class OwnUsers:
    """A fleet of users of the user's own in a run, an object each: what they answer is checked."""

    def __init__(self, users: Users, first: int, count: int, n_items: int):
        """Of the devices `first` to `first` + `count` - 1 of the fleet."""
        made = [users.own_behaviour() for _ in range(count)]
        self._each = [own.model_copy() if own is users else own for own in made]
        self._next, self._first, self._n_items = OwnMethod(users, "next", self), first, n_items

    def next(self, slate: Any, now: float) -> Any:
        """Asks whose screen it is."""
        return self._each[slate.user - self._first].next(slate, now)

    def answer(self, slate: SlateView, now: float) -> Answer:
        """See `Users.next`."""
        given = self._next(Seen(slate), now)
        if given is None or (isinstance(given, str) and given == STOP):
            return given
        if isinstance(given, str) and given == "leave":
            return Leave()
        if isinstance(given, Leave) and isinstance(given.for_s, int | float) and 0 <= given.for_s < math.inf:
            return given
        if isinstance(given, int | np.integer) and not isinstance(given, bool) and 0 <= given < self._n_items:
            return int(given)
        raise InputError(
            f'{self._next.place} returned {given!r:.60}; return an item from 0 to {self._n_items - 1}, None, "leave", '
            'Leave(for_s=3600) or "stop"'
        )
