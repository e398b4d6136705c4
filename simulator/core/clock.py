"""SimPy's environment with processes that are lighter than its own and wait until a time, exact to the last bit.

`timeout(t - now)` ends at now + (t - now), which rounding may move; a time of the stream must be reached exactly, from
wherever it is awaited. Of what happens at one time, processes that wait for it come first, in their own order, however
long ago each of them began to wait. Late times wait in a calendar queue, so that the queue of events stays short.
"""

import math
from collections.abc import Callable, Generator
from heapq import heapify, heappop, heappush
from typing import Any

import simpy
from simpy.events import NORMAL, URGENT, Event, EventPriority

_BEFORE_ALL_OTHERS = -(1 << 60)  # SimPy numbers its events from 0 up, and meets equal moments in that order
_BUCKET_S = 64.0  # a power of two, so that no quotient is rounded
_LAST_BUCKET = float(1 << 50)

WakeTime = tuple[float, int]
"""a time, and the place among all that happens then"""
Process = Generator[Event | WakeTime, Any, None]
"""yields the times until which it waits and the events for which it waits"""


class Resumption(Event):
    """Resumes one process, over and over. Nobody interrupts it or waits for its end."""

    def __init__(self, clock: "Clock", process: Process):
        super().__init__(clock)
        self._clock, self._send = clock, process.send
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
            self._clock.defer(self, t_s, number)


class Clock(simpy.Environment):
    """Simulated time, in seconds. Events come in SimPy's own order: by time, priority and number."""

    now: float = 0.0  # a plain attribute: SimPy's property is read millions of times a run

    def __init__(self) -> None:
        super().__init__()
        self._buckets: dict[int, list[tuple[float, EventPriority, int, Event]]] = {}
        self._numbers: list[int] = []  # of the buckets, a heap
        self.near_s = 0.0  # who waits until then or longer is in a bucket, all others are in the queue

    def start(self, process: Process) -> None:
        """Begin a process, now."""
        self.schedule(Resumption(self, process), URGENT)

    def until(self, t_s: float, order: int) -> WakeTime:
        """`t_s`, or now where that has passed; `order` >= 0 is unique among those who may wake at a time."""
        return max(t_s, self.now), _BEFORE_ALL_OTHERS + order

    def after(self, delay_s: float) -> WakeTime:
        """`delay_s` >= 0 from now, at the place of a SimPy timeout that begins now."""
        return self.now + delay_s, next(self._eid)

    def defer(self, resumption: Resumption, t_s: float, number: int) -> None:
        """A process waits until this time, which is not near."""
        bucket = int(min(t_s / _BUCKET_S, _LAST_BUCKET))
        if bucket not in self._buckets:
            self._buckets[bucket] = []
            heappush(self._numbers, bucket)
        self._buckets[bucket].append((t_s, NORMAL, number, resumption))

    def _open_bucket(self, before_s: float) -> None:
        """Those in the next bucket that begins before `before_s` join the queue."""
        if self._numbers and self._numbers[0] * _BUCKET_S < before_s:
            queue, number = self._queue, heappop(self._numbers)
            queue.extend(self._buckets.pop(number))
            heapify(queue)
            self.near_s = (number + 1) * _BUCKET_S
        else:
            self.near_s = before_s

    def step(self) -> None:
        """Meet the next event."""
        while self._numbers and not (self._queue and self._queue[0][0] < self.near_s):
            self._open_bucket(math.inf)
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
            self._open_bucket(until_s)
        self.now = self._now = until_s
