"""One device's fine-tuning of parameters of its own, as the run goes."""

import math
from bisect import bisect_right
from typing import TYPE_CHECKING

from fleetrec.simulator.policies.adaptation import Rule, Worse

if TYPE_CHECKING:
    from fleetrec.simulator.engine.device import Device


class OwnAdapter:
    """One device's fine-tuning: when it began last, and when what it learns is ready."""

    __slots__ = ("_began_s", "_rule", "_step", "_train_j", "_train_s", "adaptations", "joules", "ready_s", "watches")

    def __init__(self, rule: Rule, train_s: float, train_j: float, first_step: int):
        """Training takes `train_s` seconds and `train_j` joules; it has learnt all before `first_step`."""
        self._rule, self._train_s, self._train_j = rule, train_s, train_j
        self._step, self._began_s = first_step - 1, -math.inf
        self.ready_s = math.inf
        self.watches = isinstance(rule, Worse)
        self.joules, self.adaptations = 0.0, 0

    def watch(self, device: "Device") -> None:
        """The user is about to have the next item: note where the newest ordering has it."""
        if isinstance(self._rule, Worse) and not device.exhausted:
            scorer = device.world.scorer
            self._rule.note(scorer.rank(device.device, device.as_of, device.step, device.used_weights))

    def consider(self, device: "Device", row: int, now: float) -> None:
        """After the interaction of stream row `row`: begin to train now, or later if nothing else happens, or not."""
        if self.ready_s < math.inf or device.exhausted:
            return
        begins_s = self._rule.begins(row, now, device.step - self._step)
        if begins_s is None:
            return
        self._step, self._began_s, self.ready_s = device.step, begins_s, begins_s + self._train_s
        device.other_j += self._train_j
        self.joules += self._train_j

    def finish(self, device: "Device") -> None:
        """Training is over: the device ranks with what it learnt."""
        now, self.ready_s = self.ready_s, math.inf
        weights = device.world.weights.adapt(device.device, self._step, device.weights)
        self.adaptations += 1
        device.world.log.adapted(now, device.device, device.version, self._train_j)
        device.install(weights, now)

    def restart(self, now: float) -> None:
        """The weights that it began from are replaced: what it is learning is lost."""
        if self._began_s < now:
            self.ready_s = math.inf

    def calm_until(self, device: "Device", row: int, stop: int) -> int:
        """The row of the stream in [row, stop] up to which nothing of this happens, rows before `stop` being calm."""
        if self.ready_s < math.inf:
            return bisect_right(device.world.t_s, self.ready_s, row, stop)
        return min(stop, self._rule.next_row(row, device.step - self._step))

    def steady_until(self, device: "Device") -> float:
        """A moment before which the device surely keeps its weights."""
        if self.ready_s < math.inf:
            return self.ready_s
        row = self._rule.next_row(device.row, device.step - self._step)
        return device.world.t_s[row] if row < device.end else math.inf
