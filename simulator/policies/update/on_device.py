"""On-device updates: devices adapt parameters of their own."""

from typing import Literal

from fleetrec.simulator.scenario.sections.update import Adaptation, UpdateSchedule


class OnDeviceUpdate(UpdateSchedule, Adaptation):
    """Devices adapt."""

    kind: Literal["on_device"] = "on_device"

    @property
    def adaptation(self) -> Adaptation:
        return self
