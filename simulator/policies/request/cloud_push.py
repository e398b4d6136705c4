"""Unasked: the cloud refreshes lists when it has nothing else to do."""

import math
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from fleetrec.simulator.policies.request.decision_points import NO_ROW
from fleetrec.simulator.scenario.sections.request import DeviceView, RequestPolicy
from fleetrec.simulator.scenario.units import Seconds


class CloudPush(RequestPolicy):
    """The cloud refreshes every list off-peak, unasked."""

    kind: Literal["cloud_push"] = "cloud_push"
    every: Seconds = Field(86400.0, gt=0, description="period of the refreshes")
    at: Seconds = Field(4 * 3600.0, description="start of the off-peak window, from each period's start")
    window: Seconds = Field(2 * 3600.0, description="pushes are spread over this long")

    needs_histories: ClassVar[bool] = True

    def problems(self) -> Iterator[tuple[str, str]]:
        if self.at + self.window > self.every:
            yield "window", "'at' + 'window' must end within 'every'; shorten them, or push less often"

    def wants(self, device: DeviceView) -> bool:
        return False

    def next_ask(self, device: DeviceView, row: int) -> int:
        return NO_ROW

    def push_period_s(self) -> float:
        return self.every

    def push_times(
        self, joined_s: NDArray[np.float64], until_s: NDArray[np.float64], horizon_s: float, draws: Any
    ) -> list[list[float]]:
        """Once a period, spread over the window."""
        periods = np.arange(math.ceil(horizon_s / self.every) + 1)
        device = np.arange(len(joined_s))[:, None]
        spread = draws.uniform("push.moment", device, periods[None, :]) * self.window
        times = periods[None, :] * self.every + self.at + spread
        taking_part = (times >= joined_s[:, None]) & (times <= until_s[:, None])
        return [row[kept].tolist() for row, kept in zip(times, taking_part, strict=True)]
