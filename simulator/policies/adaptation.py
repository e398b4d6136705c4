"""When a device fine-tunes parameters of its own: at regular intervals, while idle, or when its ranks get worse.

What a device does by itself at a moment between two interactions is told when the next one is met (`Device.catch_up`):
nothing else in the world depends on it. To add a rule: a section in the scenario, a class here, a line in `rule_of`.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fleetrec.simulator.policies.request.decision_points import DecisionPoints, next_true
from fleetrec.simulator.scenario import sections


class Rule(Protocol):
    """When to adapt, as far as the stream decides it."""

    def begins(self, row: int, now: float, new: int) -> float | None:
        """When training begins after the interaction of stream row `row` at `now`, with `new` interactions since the
        last time; None: it does not."""

    def next_row(self, row: int, new: int) -> int:
        """A row of the stream, from `row` on, before which it surely does not begin, with `new` interactions before."""


@dataclass(frozen=True)
class Regularly:
    """After every n interactions."""

    n: int

    def begins(self, row: int, now: float, new: int) -> float | None:
        return now if new >= self.n else None

    def next_row(self, row: int, new: int) -> int:
        return row + max(self.n - new - 1, 0)


class Idle:
    """A while after an interaction that no other has followed until then."""

    def __init__(self, gap_s: float, min_new: int, points: DecisionPoints, horizon_s: float):
        self._gap_s, self._min_new = gap_s, min_new
        last = np.append(points.device[1:] != points.device[:-1], True)
        following_s = np.where(last, horizon_s, np.append(points.t_s[1:], horizon_s))
        pauses = following_s - points.t_s > gap_s
        self._pauses: list[bool] = pauses.tolist()
        self._next: array[int] = next_true(pauses)

    def begins(self, row: int, now: float, new: int) -> float | None:
        return now + self._gap_s if self._pauses[row] and new >= self._min_new else None

    def next_row(self, row: int, new: int) -> int:
        return self._next[row]


class Worse:
    """When the mean reciprocal rank of the newest `window` interactions is below that of the `window` before them."""

    def __init__(self, window: int, drop: float):
        self._window, self._drop = window, drop
        self._ranks: list[float] = []

    def note(self, rank: int) -> None:
        """Where the newest ordering had the item that the user has now (-1: nowhere)."""
        self._ranks.append(1.0 / (rank + 1) if rank >= 0 else 0.0)
        del self._ranks[: -2 * self._window]

    def begins(self, row: int, now: float, new: int) -> float | None:
        if new < self._window or len(self._ranks) < 2 * self._window:
            return None
        before, newest = sum(self._ranks[: self._window]), sum(self._ranks[self._window :])
        return now if newest < (1.0 - self._drop) * before else None

    def next_row(self, row: int, new: int) -> int:
        return row


def rules(section: sections.AdaptWhen, points: DecisionPoints, horizon_s: float) -> Callable[[], Rule]:
    """What gives each device its rule."""
    match section:
        case sections.EveryInteractions():
            regularly = Regularly(section.n)
            return lambda: regularly
        case sections.WhenIdle():
            idle = Idle(section.gap, section.min_new, points, horizon_s)
            return lambda: idle
        case sections.WhenWorse():
            return lambda: Worse(section.window, section.drop)
