"""When a device adapts the small model by itself. The kinds: simulator/policies/adapt_when/.

What a device does at a moment between two interactions is told when the next one is met: nothing else in the world
depends on it.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.scenario.sections.kinds import Family, Kind
from fleetrec.simulator.scenario.sections.own_kinds import OwnMethod, yes_or_no

Floats = NDArray[np.float64]


class AdaptingView(NamedTuple):
    """What a device knows when it may adapt, after an interaction."""

    now_s: float
    """seconds since the run began"""
    new: int
    """interactions since it last adapted, or since it joined"""
    ranks: Sequence[float]
    """where its newest order had each item that the user went on to have, oldest first: 1 for the first place, 1/2 for
    the second and so on, 0 where it was not there; kept for what has `watches` alone"""


class Rule(Protocol):
    """When to adapt, as far as the stream decides it."""

    watches: bool
    """whether it looks at ranks"""

    def begins(self, row: int, now: float, new: int, ranks: Sequence[float]) -> float | None:
        """When training begins after the interaction of stream row `row` at `now`, with `new` interactions since the
        last time and what AdaptingView calls ranks; None: it does not."""

    def next_row(self, row: int, new: int) -> int:
        """A row of the stream, from `row` on, before which it surely does not begin, with `new` interactions before."""


class AdaptWhen(Kind):
    """When a device adapts.

    It needs `adapts` alone, which is asked after each interaction.
    """

    family: ClassVar[Family] = Family(
        "policy.update.when", "fleetrec.simulator.policies.adapt_when", "every", ("adapts(self, device)",)
    )

    watches: ClassVar[bool] = False
    """whether it looks at ranks, which a device then makes and keeps for it"""
    spaced_by: ClassVar[str] = ""
    """the key that gives the fewest interactions between two adaptations; empty: one is enough"""
    spaces_at_first: ClassVar[int] = 1
    """so many times that before the first one"""

    def adapts(self, device: AdaptingView) -> bool:
        """Whether it begins to adapt now."""
        raise NotImplementedError

    def next_row(self, row: int, new: int) -> int:
        """See Rule."""
        return row

    def never(self, gaps_s: Floats) -> tuple[str, str] | None:
        """Key and reason for which nobody ever adapts whose users have these gaps [S] between interactions."""
        return None

    def running(self, points: Any, horizon_s: float) -> Rule:
        """What decides in a run. `points`: where devices meet interactions (policies/request/decision_points.py)."""
        return Asked(self)


class Asked:
    """A kind that is asked after each interaction; what a user's own answers is checked."""

    def __init__(self, when: AdaptWhen):
        self.watches, self.next_row = when.watches, when.next_row
        self._adapts = OwnAdapts(when) if when.is_own() else when.adapts

    def begins(self, row: int, now: float, new: int, ranks: Sequence[float]) -> float | None:
        """See Rule."""
        return now if self._adapts(AdaptingView(now, new, ranks)) else None


class OwnAdapts:
    """A user's own `adapts`: what it answers is checked."""

    def __init__(self, when: AdaptWhen):
        self._adapts = OwnMethod(when, "adapts")

    def __call__(self, device: AdaptingView) -> bool:
        return yes_or_no(self._adapts(device._replace(ranks=tuple(device.ranks))), self._adapts.place)
