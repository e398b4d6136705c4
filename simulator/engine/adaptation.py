"""One device's fine-tuning of parameters of its own, as the run goes: when it trains, and what that comes to."""

import math
from array import array
from bisect import bisect_right

from fleetrec.simulator.ranking.weight_versions import DeviceWeights
from fleetrec.simulator.records.update_log import UpdateLog
from fleetrec.simulator.scenario.sections.adapt_when import Rule


class OwnAdapter:
    """When one device began to train last, and when what it trains is ready (see `Adapter`)."""

    __slots__ = (
        "_began_s",
        "_device",
        "_log",
        "_ranks",
        "_rule",
        "_step",
        "_times",
        "_train_j",
        "_train_s",
        "_weights",
        "ready_s",
        "watches",
    )

    def __init__(
        self,
        device: int,
        rule: Rule,
        train_s: float,
        train_j: float,
        first_step: int,
        times: "array[float]",
        weights: DeviceWeights,
        log: UpdateLog,
    ):
        """Training takes `train_s` seconds and `train_j` joules; it has learnt all before `first_step`. `times` of the
        stream."""
        self._device, self._rule, self._train_s, self._train_j = device, rule, train_s, train_j
        self._step, self._began_s = first_step - 1, -math.inf
        self._times, self._weights, self._log = times, weights, log
        self.ready_s = math.inf
        self.watches = rule.watches
        self._ranks = array("d")

    def note(self, rank: int) -> None:
        """See Adapter."""
        self._ranks.append(1.0 / (rank + 1) if rank >= 0 else 0.0)

    def consider(self, row: int, step: int, now: float) -> float:
        """See Adapter."""
        if self.ready_s < math.inf:
            return 0.0
        begins_s = self._rule.begins(row, now, step - self._step, self._ranks)
        if begins_s is None:
            return 0.0
        self._step, self._began_s, self.ready_s = step, begins_s, begins_s + self._train_s
        return self._train_j

    def finish(self, version: int, weights: int) -> tuple[float, int]:
        """See Adapter."""
        now, self.ready_s = self.ready_s, math.inf
        self._log.adapted(now, self._device, version, self._train_j)
        return now, self._weights.adapt(self._device, self._step, weights)

    def restart(self, now: float) -> None:
        """See Adapter."""
        if self._began_s < now:
            self.ready_s = math.inf

    def quiet_until(self, row: int, stop: int, step: int) -> int:
        """See Adapter."""
        if self.ready_s < math.inf:
            return bisect_right(self._times, self.ready_s, row, stop)
        return min(stop, self._rule.next_row(row, step - self._step))

    def steady_until(self, row: int, end: int, step: int) -> float:
        """See Adapter."""
        if self.ready_s < math.inf:
            return self.ready_s
        row = self._rule.next_row(row, step - self._step)
        return self._times[row] if row < end else math.inf
