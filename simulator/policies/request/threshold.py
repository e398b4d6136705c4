"""By a threshold on an uncertainty score: what LSC4Rec's intelligent request and its relatives have in common."""

import math
from abc import abstractmethod
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from fleetrec.simulator.scenario.sections.request import (
    Bools,
    DevicesAhead,
    DeviceView,
    Preparation,
    RequestPolicy,
    RunningRequestPolicy,
    RunStart,
    Tuned,
    exactly_one,
)


class ThresholdRequest(RequestPolicy):
    """A request when `device.score` reaches the threshold in force."""

    needs_list: ClassVar[bool] = True

    def start(self, run: RunStart) -> RunningRequestPolicy:
        return ByThreshold(run)


class ShareOrThreshold(ThresholdRequest):
    """A request by a score, whose threshold is given or found for a share: by exactly one of the two keys."""

    if TYPE_CHECKING:  # each kind says where they stand among its keys
        ratio: float | None
        threshold: float | None

    @abstractmethod
    def scored(self) -> str:
        """Which of `SCORES` it looks at."""

    def prepare(self, before: Preparation[Tuned]) -> Tuned:
        name = self.scored()
        if self.ratio is not None:
            return before.share(name, self.ratio)
        assert self.threshold is not None
        return before.score(name, self.threshold)

    def wanted_share(self) -> float | None:
        return self.ratio

    def problems(self) -> Iterator[tuple[str, str]]:
        yield from exactly_one(self.kind, {"ratio": self.ratio, "threshold": self.threshold})


class ByThreshold:
    """Devices ask when the score of their list reaches the threshold, and sleep until then."""

    def __init__(self, run: RunStart):
        assert run.threshold is not None
        self._threshold, self._scorer = run.threshold, run.scorer
        self._step: list[int] = run.step.tolist()
        self._t_s = array("d", run.t_s.tobytes())

    def wants(self, device: DeviceView) -> bool:
        threshold = self._scorer.threshold = self._threshold.at(device.since_s)
        asks = device.score >= threshold
        self._threshold.asked += asks
        return asks

    def likely(self, ahead: DevicesAhead) -> Bools:
        """See Foreseeable."""
        return ahead.score() >= self._threshold.at(-math.inf)

    def next_ask(self, device: DeviceView, row: int) -> int:
        if device.as_of < 0 or row >= device.end:
            return row
        step = self._step[row]
        ask = row + self._scorer.next_uncertain(device.device, device.as_of, step, device.used_weights) - step
        if self._threshold.until_s == math.inf:
            return ask
        return min(ask, bisect_right(self._t_s, self._threshold.until_s, row, device.end))
