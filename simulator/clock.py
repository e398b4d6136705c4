"""SimPy's environment with one more way to wait: until a moment, to the last bit.

`timeout(t - now)` ends at now + (t - now), which rounding may move; a moment of the stream must be met exactly, from
wherever it is awaited. Of what happens at one moment the sleepers come first, in their own order, however long ago
each of them fell asleep.
"""

from heapq import heappush

import simpy
from simpy.events import NORMAL, Event

_BEFORE_ALL_OTHERS = -(1 << 60)  # SimPy numbers its events from 0 up, and meets equal moments in that order


class Clock(simpy.Environment):
    """Simulated time, in seconds."""

    def until(self, t_s: float, order: int) -> Event:
        """Fires at `t_s`, or now where that has passed; `order` >= 0 is unique among those who may wait at a time."""
        event = Event(self)
        event._ok, event._value = True, None
        heappush(self._queue, (max(t_s, self._now), NORMAL, _BEFORE_ALL_OTHERS + order, event))
        return event
