"""By a coin keyed by device and step: the same coin in every run at one seed."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from fleetrec.simulator.scenario.sections.request import (
    RATIOS,
    AskPlan,
    Bools,
    DevicesAhead,
    DeviceView,
    Ints,
    PlanKind,
    RequestPolicy,
    RunningRequestPolicy,
    RunStart,
)
from fleetrec.simulator.scenario.units import Share

_PURPOSE = "request.random"


class RandomRequest(RequestPolicy):
    """A coin at every decision."""

    kind: Literal["random"] = "random"
    ratio: Share = Field(0.2, description="chance of a request at each decision")

    searched: ClassVar[Mapping[str, Any]] = {"ratio": RATIOS}

    def wanted_share(self) -> float:
        return self.ratio

    def start(self, run: RunStart) -> RunningRequestPolicy:
        return _Coins(self.ratio, run)


class _Coins:
    """The coins of all decisions, tossed before the run."""

    def __init__(self, ratio: float, run: RunStart):
        self._ratio, self._run = ratio, run
        asks = run.uniform(_PURPOSE) < ratio
        self._next = run.next_of(asks)
        self._asks, self._first_row = asks.tobytes(), run.first_row.tolist()

    def wants(self, device: DeviceView) -> bool:
        newest = device.row - 1
        if newest >= self._first_row[device.device]:
            return bool(self._asks[newest])
        return self._run.uniform_one(_PURPOSE, device.device, device.step) < self._ratio

    def next_ask(self, device: DeviceView, row: int) -> int:
        return self._next[row]

    def plan(self, steps: Ints) -> AskPlan:
        """See Planned."""
        joining = self._run.uniform_of(_PURPOSE, steps) < self._ratio
        asks = np.frombuffer(self._asks, dtype=bool)
        return AskPlan(PlanKind.BY_ROW, asks=asks, asks_joining=joining, next_ask=self._next)

    def likely(self, ahead: DevicesAhead) -> Bools:
        return np.frombuffer(self._asks, dtype=bool)[ahead.rows]
