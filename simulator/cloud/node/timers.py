"""When a node looks at what: its replicas, and the deadlines of its requests. Few events serve many such moments."""

import math
from collections.abc import Callable, Mapping
from heapq import heappop, heappush
from typing import Any

from simpy import Environment, Event, Timeout
from simpy.events import NORMAL

from fleetrec.simulator.cloud.node.cluster import Machine
from fleetrec.simulator.cloud.node.tickets import LlmTicket

_FEW = 64


class Wakes:
    """Looks at machines at the moments that they name, to the last bit."""

    def __init__(self, env: Environment, look: Callable[[Machine], None]):
        self._env, self._look = env, look
        self._callbacks: list[Callable[[Any], None]] = [self._on_event]
        self._spare: list[Event] = []  # events that have served and may serve again

    def at(self, machine: Machine, t_s: float) -> None:
        """Looks at `machine` then, unless it looks sooner: then `look` sees what is to be done later."""
        armed = machine.armed
        if armed and armed[-1] <= t_s:
            return
        armed.append(t_s)
        event = self._spare.pop() if self._spare else Event(self._env)
        event._ok, event._value, event.callbacks = True, machine, self._callbacks
        heappush(self._env._queue, (t_s, NORMAL, next(self._env._eid), event))

    def _on_event(self, event: Event) -> None:
        machine: Machine = event._value
        self._spare.append(event)
        machine.armed.pop()
        self._look(machine)


class Deadlines:
    """One timer serves all deadlines: it is set for the earliest one and moved on when it goes off.

    Most requests end long before their deadline, so they are put in order of deadline only when the timer goes off.
    """

    def __init__(self, env: Environment, open_tickets: Mapping[int, LlmTicket], late: Callable[[LlmTicket], None]):
        """`open_tickets` by number: those that have not ended. `late` is called at the deadline of each of them whose
        client still waits."""
        self._env, self._open, self._late = env, open_tickets, late
        self._new: list[int] = []  # numbers of requests since the last alarm, many of which may have ended
        self._most = _FEW  # of them before those of ended requests are swept out
        self._due: list[tuple[float, int]] = []  # heap of those before; entries of ended requests surface in time
        self._alarm_s = math.inf

    def add(self, ticket: LlmTicket) -> None:
        """An open request with a deadline."""
        if len(self._new) >= self._most:
            self._new = [number for number in self._new if number in self._open]
            self._most = 2 * len(self._new) + _FEW
        self._new.append(ticket.number)
        if ticket.deadline_s < self._alarm_s:
            self._set(ticket.deadline_s)

    def _set(self, deadline_s: float) -> None:
        self._alarm_s = deadline_s
        Timeout(self._env, deadline_s - self._env.now, deadline_s).callbacks.append(self._on_alarm)

    def _on_alarm(self, event: Event) -> None:
        if event.value != self._alarm_s:  # an earlier deadline came after this timer was set
            return
        alarm_s, self._alarm_s = self._alarm_s, math.inf
        due = self._due
        for number in self._new:
            ticket = self._open.get(number)
            if ticket is not None:
                heappush(due, (ticket.deadline_s, number))
        self._new.clear()
        while due:
            deadline_s, number = due[0]
            ticket = self._open.get(number)
            waits = ticket is not None and ticket.served is None
            if waits and deadline_s > alarm_s:
                self._set(deadline_s)
                return
            heappop(due)
            if ticket is not None and waits:
                self._late(ticket)
