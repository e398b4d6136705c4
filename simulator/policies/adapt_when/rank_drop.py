"""By the ranks that the device's orders gave to what its user went on to have."""

from typing import ClassVar, Literal

from pydantic import Field

from fleetrec.simulator.scenario.sections.adapt_when import AdaptingView, AdaptWhen
from fleetrec.simulator.scenario.units import Share


class WhenWorse(AdaptWhen):
    """When the device's recent ranks get worse."""

    kind: Literal["rank_drop"] = "rank_drop"
    window: int = Field(10, ge=2, description="interactions of which mean reciprocal ranks are compared")
    drop: Share = Field(0.2, description="share by which the newest window's mean is below that of the one before")

    watches: ClassVar[bool] = True
    spaced_by: ClassVar[str] = "window"
    spaces_at_first: ClassVar[int] = 2

    def adapts(self, device: AdaptingView) -> bool:
        if device.new < self.window or len(device.ranks) < 2 * self.window:
            return False
        before, newest = device.ranks[-2 * self.window : -self.window], device.ranks[-self.window :]
        return sum(newest) < (1.0 - self.drop) * sum(before)
