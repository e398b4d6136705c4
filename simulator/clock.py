"""SimPy's environment with one more way to wait: until a moment, to the last bit; and with less work an event.

`timeout(t - now)` ends at now + (t - now), which rounding may move; a moment of the stream must be met exactly, from
wherever it is awaited. Of what happens at one moment the sleepers come first, in their own order, however long ago
each of them fell asleep.
"""

from heapq import heappop, heappush

import simpy
from simpy.events import NORMAL, Event

_BEFORE_ALL_OTHERS = -(1 << 60)  # SimPy numbers its events from 0 up, and meets equal moments in that order


class Clock(simpy.Environment):
    """Simulated time, in seconds. Events come in SimPy's own order: by time, priority and number."""

    now: float = 0.0  # a plain attribute: SimPy's property is read millions of times a run

    def until(self, t_s: float, order: int) -> Event:
        """Fires at `t_s`, or now where that has passed; `order` >= 0 is unique among those who may wait at a time."""
        return self._at(max(t_s, self.now), _BEFORE_ALL_OTHERS + order)

    def after(self, delay_s: float) -> Event:
        """Fires after `delay_s` >= 0: SimPy's `timeout`, made with less work."""
        return self._at(self.now + delay_s, next(self._eid))

    def _at(self, t_s: float, number: int) -> Event:
        event = Event(self)
        event._ok, event._value = True, None
        heappush(self._queue, (t_s, NORMAL, number, event))
        return event

    def step(self) -> None:
        """Meet the next event."""
        if self._queue:
            self.now = self._queue[0][0]
        super().step()

    def advance(self, until_s: float) -> None:
        """Meet all that happens before `until_s` > now, then be there: as `run`, with less around each event."""
        queue = self._queue
        while queue and queue[0][0] < until_s:
            now, _, _, event = heappop(queue)
            self.now = self._now = now
            callbacks = event.callbacks
            event.callbacks = None  # type: ignore[assignment]  # as SimPy marks what has happened
            for callback in callbacks:
                callback(event)
            if not event._ok and not event.defused:
                raise event._value
        self.now = self._now = until_s
