"""At regular intervals."""

from typing import ClassVar, Literal

from pydantic import Field

from fleetrec.simulator.scenario.sections.adapt_when import AdaptingView, AdaptWhen


class EveryInteractions(AdaptWhen):
    """At regular intervals."""

    kind: Literal["every"] = "every"
    n: int = Field(10, ge=1, description="interactions between two adaptations")

    spaced_by: ClassVar[str] = "n"

    def adapts(self, device: AdaptingView) -> bool:
        return device.new >= self.n

    def next_row(self, row: int, new: int) -> int:
        return row + max(self.n - new - 1, 0)
