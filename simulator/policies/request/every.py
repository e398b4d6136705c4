"""At regular intervals, in decisions."""

from typing import Literal

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
)


class EveryRequest(RequestPolicy):
    """A request at regular intervals."""

    kind: Literal["every"] = "every"
    n: int = Field(5, ge=1, description="a request at every n-th decision of the device, its first included")

    def wants(self, device: DeviceView) -> bool:
        return device.decisions % self.n == 0

    def likely(self, ahead: DevicesAhead) -> Bools:
        """See Foreseeable."""
        return np.asarray(ahead.decisions % self.n == 0)

    def plan(self, steps: Ints) -> AskPlan:
        """See Planned."""
        return AskPlan(PlanKind.EVERY, number=self.n)

    def next_ask(self, device: DeviceView, row: int) -> int:
        return row + -device.decisions % self.n  # a decision has one row at least
