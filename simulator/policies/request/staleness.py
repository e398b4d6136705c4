"""By the age of the list, in interactions or in time."""

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from fleetrec.simulator.scenario.sections.request import (
    AskPlan,
    Bools,
    DevicesAhead,
    DeviceView,
    Ints,
    PlanKind,
    RequestPolicy,
    RunningRequestPolicy,
    RunStart,
    exactly_one,
)
from fleetrec.simulator.scenario.units import Seconds


class StalenessRequest(RequestPolicy):
    """A request when the list is old, by exactly one of `threshold` and `age`."""

    kind: Literal["staleness"] = "staleness"
    threshold: int | None = Field(None, ge=1, description="interactions the list has not seen")
    age: Seconds | None = Field(None, description="age of the list in time")

    searched: ClassVar[Mapping[str, Any]] = {"threshold": (1, 2, 3, 4, 6, 8, 12, 20)}

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from exactly_one(self.kind, {"threshold": self.threshold, "age": self.age})

    def start(self, run: RunStart) -> RunningRequestPolicy:
        return _Old(self.threshold or math.inf, math.inf if self.age is None else self.age, run)


class _Old:
    """Lists that have not seen `threshold` interactions, or are older than `age_s`."""

    def __init__(self, threshold: float, age_s: float, run: RunStart):
        self._threshold, self._age_s = threshold, age_s
        self._t_s = run.t_s.tolist() if age_s < math.inf else []

    def wants(self, device: DeviceView) -> bool:
        return device.step - device.as_of >= self._threshold or device.list_age_s >= self._age_s

    def likely(self, ahead: DevicesAhead) -> Bools:
        """See Foreseeable."""
        age_s = np.where(ahead.as_of >= 0, ahead.since_s - ahead.list_time_s, math.inf)
        return np.asarray((ahead.steps - ahead.as_of >= self._threshold) | (age_s >= self._age_s))

    def plan(self, steps: Ints) -> AskPlan:
        """See Planned."""
        if self._threshold < math.inf:
            return AskPlan(PlanKind.BY_STALENESS, number=int(self._threshold))
        return AskPlan(PlanKind.BY_AGE, seconds=self._age_s)

    def next_ask(self, device: DeviceView, row: int) -> int:
        if self._threshold < math.inf:
            return row + max(device.as_of + int(self._threshold) - device.step - 1, 0)
        if device.as_of < 0:
            return row
        sent_s = device.list_time_s
        return bisect_left(self._t_s, self._age_s, row, device.end, key=lambda t_s: t_s - sent_s)
