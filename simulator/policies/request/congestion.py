"""By staleness, backing off while the cloud is slow: each device knows its own answers alone."""

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
from pydantic import Field

from fleetrec.simulator.scenario.sections.request import Bools, DevicesAhead, DeviceView, RequestPolicy
from fleetrec.simulator.scenario.units import Seconds


class CongestionRequest(RequestPolicy):
    """A request by staleness that backs off while the device's own answers come late."""

    kind: Literal["congestion"] = "congestion"
    threshold: int = Field(2, ge=1, description="interactions the list has not seen, when answers come in time")
    late: Seconds = Field(5.0, gt=0, description="an answer that takes longer, or never comes, is late")
    backoff: float = Field(2.0, ge=1, description="a late answer multiplies the threshold by this, one in time divides")
    longest: int = Field(64, ge=1, description="largest threshold")

    def late_s(self) -> float:
        return self.late

    def problems(self) -> Iterator[tuple[str, str]]:
        if self.longest < self.threshold:
            text = f"{self.longest} is below 'threshold' {self.threshold}, which grows"
            yield "longest", f"{text}; set at least {self.threshold}"

    def _enough(self, late_answers: int) -> int:
        if self.backoff == 1.0:
            return min(self.threshold, self.longest)
        most = math.log(self.longest / self.threshold) / math.log(self.backoff)
        if late_answers >= most:
            return self.longest
        return math.ceil(self.threshold * self.backoff**late_answers)

    def wants(self, device: DeviceView) -> bool:
        return device.as_of < 0 or device.step - device.as_of >= self._enough(device.late_answers)

    def likely(self, ahead: DevicesAhead) -> Bools:
        """See Foreseeable."""
        late, of = np.unique(ahead.late_answers, return_inverse=True)
        enough = np.array([self._enough(answers) for answers in late.tolist()], dtype=np.int64)[of]
        return np.asarray((ahead.as_of < 0) | (ahead.steps - ahead.as_of >= enough))

    def next_ask(self, device: DeviceView, row: int) -> int:
        if device.as_of < 0:
            return row
        return row + max(device.as_of + self._enough(device.late_answers) - device.step - 1, 0)
