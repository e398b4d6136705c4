"""A replica whose requests bring their service time along, as a table of answers with measured latencies does.

`slots` requests are served at once, each for its own time, whatever else is served; the others wait in order of
arrival. Theory's M/M/c, M/D/1 and M/G/1 are this.
"""

import math
from collections import OrderedDict
from collections.abc import Hashable
from heapq import heappop, heappush
from typing import Protocol

from fleetrec.simulator.cloud.replica.jobs import Job


class Serving(Protocol):
    """What a fleet needs of one replica: a passive state machine that is looked at at `next_s()` and when it changes.

    See `Replica`, which serves step by step, for what each method does.
    """

    outstanding: int
    waiting: int

    def add(self, job: Job, now: float) -> None: ...
    def remove(self, job: Job, now: float) -> bool: ...
    def next_s(self) -> float: ...
    def catch_up(self, now: float) -> None: ...
    def advance(self, now: float) -> list[Job]: ...
    def halt(self, now: float) -> list[Job]: ...
    def busy_until(self, now: float) -> float: ...
    def share_until(self, job: Job, now: float) -> float: ...
    def cached_tokens(self, prefix: tuple[Hashable, int], prompt_tokens: int) -> int: ...
    @property
    def kv_share(self) -> float: ...
    @property
    def max_sequences(self) -> int: ...


class TimedReplica:
    """Slots for jobs of known service time; see `Serving`. A job's share: busy time divided by the jobs served."""

    def __init__(self, slots: int):
        self.slots = slots
        self.outstanding = 0
        self.waiting = 0
        self._line: OrderedDict[int, Job] = OrderedDict()
        self._running: dict[int, Job] = {}
        self._ends: list[tuple[float, int]] = []  # heap; entries of removed jobs stay until they surface
        self._left: list[Job] = []
        self._added = 0
        self._busy_s = 0.0
        self._share_s = 0.0  # grows by elapsed time over jobs served
        self._changed_s = 0.0

    @property
    def kv_share(self) -> float:
        """Share of the slots in use."""
        return len(self._running) / self.slots

    @property
    def max_sequences(self) -> int:
        """Jobs that are served at once."""
        return self.slots

    def next_s(self) -> float:
        while self._ends and self._ends[0][1] not in self._running:
            heappop(self._ends)
        return self._ends[0][0] if self._ends else math.inf

    def catch_up(self, now: float) -> None:
        """All that happens is told."""

    def cached_tokens(self, prefix: tuple[Hashable, int], prompt_tokens: int) -> int:
        """Nothing is computed, so nothing is kept."""
        return 0

    def add(self, job: Job, now: float) -> None:
        if not 0.0 <= job.service_s < math.inf:
            raise ValueError(f"service time {job.service_s} s")
        job._number = self._added
        job.t_added_s = now
        self._added += 1
        self.outstanding += 1
        if len(self._running) < self.slots:
            self._start(job, now)
        else:
            self._line[job._number] = job
            self.waiting += 1

    def remove(self, job: Job, now: float) -> bool:
        order = job._number
        if self._line.pop(order, None) is not None:
            self.waiting -= 1
            self.outstanding -= 1
            job.t_finished_s = now
            return True
        if order not in self._running:
            return False
        self._end(order, now)
        self._next(now)
        return True

    def advance(self, now: float) -> list[Job]:
        while (end_s := self.next_s()) <= now:
            self._end(heappop(self._ends)[1], end_s)
            self._next(end_s)
        left = self._left
        if left:
            self._left = []
        return left

    def halt(self, now: float) -> list[Job]:
        self._account(now)
        jobs = [job for _, job in sorted((self._running | self._line).items())]
        for job in jobs:
            job.busy_share_s = self.share_until(job, now)
            job.t_finished_s = now
        self._running.clear()
        self._line.clear()
        self._ends.clear()
        self.outstanding = self.waiting = 0
        return jobs

    def busy_until(self, now: float) -> float:
        return self._busy_s + (now - self._changed_s if self._running else 0.0)

    def share_until(self, job: Job, now: float) -> float:
        if job._number not in self._running:
            return job.busy_share_s
        return self._share_s + (now - self._changed_s) / len(self._running) - job._clock

    def _account(self, now: float) -> None:
        if self._running:
            elapsed = now - self._changed_s
            self._busy_s += elapsed
            self._share_s += elapsed / len(self._running)
        self._changed_s = now

    def _start(self, job: Job, now: float) -> None:
        self._account(now)
        job.t_started_s = now
        job._clock = self._share_s
        job._computed, job._generated = job.prompt_tokens, job.output_tokens  # how far it has got is not known
        self._running[job._number] = job
        heappush(self._ends, (now + job.service_s, job._number))

    def _end(self, order: int, now: float) -> None:
        self._account(now)
        job = self._running.pop(order)
        job.busy_share_s = self._share_s - job._clock
        job.t_finished_s = now
        self.outstanding -= 1
        self._left.append(job)

    def _next(self, now: float) -> None:
        if self._line:
            self.waiting -= 1
            self._start(self._line.popitem(last=False)[1], now)
