"""When a device fine-tunes parameters of its own: at regular intervals, while idle, or when its ranks get worse.

What a device does by itself at a moment between two interactions is told when the next one is met (`Device.catch_up`):
nothing else in the world depends on it. To add a rule: a section in the scenario, a class here, a line in `rule_of`.
"""

import math
from array import array
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fleetrec.simulator.policies.request.registry import Moments, next_true
from fleetrec.simulator.scenario import sections

if TYPE_CHECKING:
    from fleetrec.simulator.engine.device import Device


class Rule(Protocol):
    """When to adapt, as far as the stream decides it."""

    def begins(self, row: int, now: float, new: int) -> float | None:
        """When training begins after the interaction of stream row `row` at `now`, with `new` interactions since the
        last time; None: it does not."""

    def next_row(self, row: int, new: int) -> int:
        """A row of the stream, from `row` on, before which it surely does not begin, with `new` interactions before."""


@dataclass(frozen=True)
class Regularly:
    """After every n interactions."""

    n: int

    def begins(self, row: int, now: float, new: int) -> float | None:
        return now if new >= self.n else None

    def next_row(self, row: int, new: int) -> int:
        return row + max(self.n - new - 1, 0)


class Idle:
    """A while after an interaction that no other has followed until then."""

    def __init__(self, gap_s: float, min_new: int, moments: Moments, horizon_s: float):
        self._gap_s, self._min_new = gap_s, min_new
        last = np.append(moments.device[1:] != moments.device[:-1], True)
        following_s = np.where(last, horizon_s, np.append(moments.t_s[1:], horizon_s))
        pauses = following_s - moments.t_s > gap_s
        self._pauses: list[bool] = pauses.tolist()
        self._next: array[int] = next_true(pauses)

    def begins(self, row: int, now: float, new: int) -> float | None:
        return now + self._gap_s if self._pauses[row] and new >= self._min_new else None

    def next_row(self, row: int, new: int) -> int:
        return self._next[row]


class Worse:
    """When the mean reciprocal rank of the newest `window` interactions is below that of the `window` before them."""

    def __init__(self, window: int, drop: float):
        self._window, self._drop = window, drop
        self._ranks: list[float] = []

    def note(self, rank: int) -> None:
        """Where the newest ordering had the item that the user has now (-1: nowhere)."""
        self._ranks.append(1.0 / (rank + 1) if rank >= 0 else 0.0)
        del self._ranks[: -2 * self._window]

    def begins(self, row: int, now: float, new: int) -> float | None:
        if new < self._window or len(self._ranks) < 2 * self._window:
            return None
        before, newest = sum(self._ranks[: self._window]), sum(self._ranks[self._window :])
        return now if newest < (1.0 - self._drop) * before else None

    def next_row(self, row: int, new: int) -> int:
        return row


def rules(section: sections.AdaptWhen, moments: Moments, horizon_s: float) -> Callable[[], Rule]:
    """What gives each device its rule."""
    match section:
        case sections.EveryInteractions():
            regularly = Regularly(section.n)
            return lambda: regularly
        case sections.WhenIdle():
            idle = Idle(section.gap, section.min_new, moments, horizon_s)
            return lambda: idle
        case sections.WhenWorse():
            return lambda: Worse(section.window, section.drop)


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
