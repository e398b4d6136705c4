"""At the start of a session: when the user comes back after a pause."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

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
)
from fleetrec.simulator.scenario.units import Seconds


class SessionStartRequest(RequestPolicy):
    """A request at the first interaction after a pause."""

    kind: Literal["session_start"] = "session_start"
    gap: Seconds = Field(1800.0, description="a pause at least this long starts a session")

    searched: ClassVar[Mapping[str, Any]] = {"gap": (60, 300, 1800, 7200, 21600)}

    def start(self, run: RunStart) -> RunningRequestPolicy:
        return _Pauses(self.gap, run)


class _Pauses:
    """Also when the device joins, which is after a long pause."""

    def __init__(self, gap_s: float, run: RunStart):
        self._gap_s = gap_s
        self._next = run.next_of(run.gaps_s() >= gap_s)

    def wants(self, device: DeviceView) -> bool:
        return device.last_gap_s >= self._gap_s

    def likely(self, ahead: DevicesAhead) -> Bools:
        """See Foreseeable."""
        return ahead.last_gap_s >= self._gap_s

    def plan(self, steps: Ints) -> AskPlan:
        """See Planned."""
        return AskPlan(PlanKind.BY_PAUSE, seconds=self._gap_s, next_ask=self._next)

    def next_ask(self, device: DeviceView, row: int) -> int:
        return self._next[row]
