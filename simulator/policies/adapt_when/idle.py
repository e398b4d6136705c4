"""While the user pauses: a device that does so tells what comes after an interaction that no other has followed."""

import math
from array import array
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from fleetrec.simulator.policies.request.decision_points import DecisionPoints, next_true
from fleetrec.simulator.scenario.sections.adapt_when import AdaptWhen, Floats
from fleetrec.simulator.scenario.units import Seconds


class WhenIdle(AdaptWhen):
    """When the user pauses."""

    kind: Literal["idle"] = "idle"
    gap: Seconds = Field(1800.0, gt=0, description="time without an interaction after which the device adapts")
    min_new: int = Field(5, ge=1, description="interactions since the last adaptation, at least")

    spaced_by: ClassVar[str] = "min_new"

    def never(self, gaps_s: Floats) -> tuple[str, str] | None:
        if ((gaps_s > self.gap) & (gaps_s < math.inf)).any():
            return None
        return "gap", f"no user ever pauses for {self.gap:,.0f} s; lower it"

    def running(self, points: Any, horizon_s: float) -> "Idle":
        return Idle(self, points, horizon_s)


class Idle:
    """A while after an interaction that no other has followed until then."""

    watches = False

    def __init__(self, when: WhenIdle, points: DecisionPoints, horizon_s: float):
        self._when = when
        last = np.append(points.device[1:] != points.device[:-1], True)
        following_s = np.where(last, horizon_s, np.append(points.t_s[1:], horizon_s))
        pauses = following_s - points.t_s > when.gap
        self._pauses: list[bool] = pauses.tolist()
        self._next: array[int] = next_true(pauses)

    def begins(self, row: int, now: float, new: int, ranks: Sequence[float]) -> float | None:
        """See Rule."""
        return now + self._when.gap if self._pauses[row] and new >= self._when.min_new else None

    def next_row(self, row: int, new: int) -> int:
        """See Rule."""
        return self._next[row]
