"""SimPy's environment with stories, which are lighter than its processes and sleep until a moment, to the last bit.

`timeout(t - now)` ends at now + (t - now), which rounding may move; a moment of the stream must be met exactly, from
wherever it is awaited. Of what happens at one moment the sleepers come first, in their own order, however long ago
each of them fell asleep. Who wakes late waits in the box of that minute, so that the queue of events stays short.
"""

import math
from collections.abc import Callable, Generator
from heapq import heapify, heappop, heappush
from typing import Any

import simpy
from simpy.events import NORMAL, URGENT, Event, EventPriority

_BEFORE_ALL_OTHERS = -(1 << 60)  # SimPy numbers its events from 0 up, and meets equal moments in that order
_BOX_S = 64.0  # a power of two, so that no quotient is rounded
_LAST_BOX = float(1 << 50)

Moment = tuple[float, int]
"""a time, and the place among all that happens then"""
Story = Generator[Event | Moment, Any, None]
"""yields the moments until which it sleeps and the events for which it waits"""


class Sleeper(Event):
    """Goes through a story. Nobody interrupts it or waits for its end."""

    def __init__(self, clock: "Clock", story: Story):
        super().__init__(clock)
        self._clock, self._send = clock, story.send
        self._wakes: list[Callable[[Any], None]] = [self._go_on]
        self._ok, self._value, self.callbacks = True, None, self._wakes

    def _go_on(self, event: Event) -> None:
        self.callbacks = self._wakes
        try:
            awaited = self._send(event._value)
            while isinstance(awaited, Event):
                if awaited.callbacks is not None:
                    awaited.callbacks.append(self._go_on)
                    return
                awaited = self._send(awaited._value)  # it has happened before
        except StopIteration:
            self._wakes.clear()  # so that it is freed with its last user
            return
        t_s, number = awaited
        if t_s < self._clock.near_s:
            heappush(self._clock._queue, (t_s, NORMAL, number, self))
        else:
            self._clock.put_off(self, t_s, number)


class Clock(simpy.Environment):
    """Simulated time, in seconds. Events come in SimPy's own order: by time, priority and number."""

    now: float = 0.0  # a plain attribute: SimPy's property is read millions of times a run

    def __init__(self) -> None:
        super().__init__()
        self._boxes: dict[int, list[tuple[float, EventPriority, int, Event]]] = {}
        self._numbers: list[int] = []  # of the boxes, a heap
        self.near_s = 0.0  # who sleeps until then or longer is put off into a box, all others are in the queue

    def tell(self, story: Story) -> None:
        """Begin a story, now."""
        self.schedule(Sleeper(self, story), URGENT)

    def until(self, t_s: float, order: int) -> Moment:
        """`t_s`, or now where that has passed; `order` >= 0 is unique among those who may wake at a time."""
        return max(t_s, self.now), _BEFORE_ALL_OTHERS + order

    def after(self, delay_s: float) -> Moment:
        """`delay_s` >= 0 from now, at the place of a SimPy timeout that begins now."""
        return self.now + delay_s, next(self._eid)

    def put_off(self, sleeper: Sleeper, t_s: float, number: int) -> None:
        """`sleeper` sleeps until this moment, which is not near."""
        box = int(min(t_s / _BOX_S, _LAST_BOX))
        if box not in self._boxes:
            self._boxes[box] = []
            heappush(self._numbers, box)
        self._boxes[box].append((t_s, NORMAL, number, sleeper))

    def _open_box(self, before_s: float) -> None:
        """Those in the next box that begins before `before_s` join the queue."""
        if self._numbers and self._numbers[0] * _BOX_S < before_s:
            queue, number = self._queue, heappop(self._numbers)
            queue.extend(self._boxes.pop(number))
            heapify(queue)
            self.near_s = (number + 1) * _BOX_S
        else:
            self.near_s = before_s

    def step(self) -> None:
        """Meet the next event."""
        while self._numbers and not (self._queue and self._queue[0][0] < self.near_s):
            self._open_box(math.inf)
        if self._queue:
            self.now = self._queue[0][0]
        super().step()

    def advance(self, until_s: float) -> None:
        """Meet all that happens before `until_s` > now, then be there: as `run`, with less around each event."""
        queue = self._queue
        while True:
            stop_s = min(self.near_s, until_s)
            while queue and queue[0][0] < stop_s:
                now, _, _, event = heappop(queue)
                self.now = self._now = now
                callbacks = event.callbacks
                event.callbacks = None  # type: ignore[assignment]  # as SimPy marks what has happened
                for callback in callbacks:
                    callback(event)
                if not event._ok and not event.defused:
                    raise event._value
            if stop_s == until_s:
                break
            self._open_box(until_s)
        self.now = self._now = until_s
