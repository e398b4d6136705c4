"""Never: the baseline of a fleet that asks for nothing."""

from typing import ClassVar, Literal

from fleetrec.simulator.policies.request.decision_points import NO_ROW
from fleetrec.simulator.scenario.sections.request import AskPlan, DeviceView, Ints, PlanKind, RequestPolicy


class NeverRequest(RequestPolicy):
    """No requests: the preloaded list is all a device ever has."""

    kind: Literal["never"] = "never"

    asks: ClassVar[bool] = False

    def wants(self, device: DeviceView) -> bool:
        return False

    def plan(self, steps: Ints) -> AskPlan:
        """See Planned."""
        return AskPlan(PlanKind.NEVER)

    def next_ask(self, device: DeviceView, row: int) -> int:
        return NO_ROW
