"""Always: the freshest lists that requests can bring."""

from typing import Literal

import numpy as np

from fleetrec.simulator.scenario.sections.request import (
    AskPlan,
    Bools,
    DevicesAhead,
    DeviceView,
    Ints,
    PlanKind,
    RequestPolicy,
)


class AlwaysRequest(RequestPolicy):
    """A request at every decision."""

    kind: Literal["always"] = "always"

    def wants(self, device: DeviceView) -> bool:
        return True

    def likely(self, ahead: DevicesAhead) -> Bools:
        """See Foreseeable."""
        return np.ones(len(ahead.rows), dtype=bool)

    def plan(self, steps: Ints) -> AskPlan:
        """See Planned."""
        return AskPlan(PlanKind.EVERY, number=1)

    def known_share(self) -> float:
        return 1.0
