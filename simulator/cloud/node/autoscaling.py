"""How many replicas a pool has: replicas x measured / target, looked at regularly, after Kubernetes' autoscaler.

Scaling out is immediate. Scaling in goes to the most that was wanted during the cooldown, so that a lull of a moment
ends nothing. A pool within a tenth of its target stays as it is.
"""

import math
from collections import deque
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

from fleetrec.simulator.cloud.node.cluster import Cluster, Pool
from fleetrec.simulator.scenario.sections import Autoscale

TOLERANCE = 0.1  # Kubernetes' default


class Reading(NamedTuple):
    """What an autoscaler sees of its pool."""

    up: int
    """replicas that take requests"""
    busy_s: float
    """busy seconds of its replicas since the last look"""
    up_s: float
    """seconds that its replicas could serve since the last look"""
    requests: int
    """requests that wait or are served at its replicas, or that no replica takes"""


def utilization(reading: Reading) -> float:
    """Share of their time in which replicas were busy."""
    return reading.busy_s / reading.up_s if reading.up_s > 0 else 0.0


def queue(reading: Reading) -> float:
    """Requests that wait or are served, per replica."""
    return reading.requests / max(reading.up, 1)


METRICS: dict[str, Callable[[Reading], float]] = {"utilization": utilization, "queue": queue}


class Autoscaler:
    """How many replicas are wanted, from one reading after the other."""

    def __init__(self, section: Autoscale):
        self._section = section
        self._wanted: deque[tuple[float, int]] = deque()  # (time, replicas) over the cooldown

    def wanted(self, now: float, reading: Reading, usable: int) -> int:
        """Replicas to have from now on, where `usable` serve or start."""
        section = self._section
        ratio = METRICS[section.metric](reading) / section.target
        replicas = usable if abs(ratio - 1.0) <= TOLERANCE else math.ceil(max(reading.up, 1) * ratio - 1e-9)
        if not reading.up:  # nothing serves yet, so nothing can be told from how busy it is
            replicas = max(replicas, usable)
        replicas = min(max(replicas, section.min), section.max)
        self._wanted.append((now, replicas))
        while self._wanted[0][0] < now - section.cooldown:
            self._wanted.popleft()
        return max(replicas, min(usable, max(replicas for _, replicas in self._wanted)))


def autoscale(
    cluster: Cluster, pool: Pool, section: Autoscale, unplaced: Callable[[], int]
) -> Generator[Any, Any, None]:
    """Looks after a pool until the node closes. `unplaced`: requests that no replica takes."""
    env, machines, scaler = cluster.env, cluster.of(pool), Autoscaler(section)
    busy_s = up_s = 0.0
    while True:
        yield env.timeout(section.period)
        if cluster.closed:
            return
        now = env.now
        busy_before_s, up_before_s = busy_s, up_s
        busy_s = sum(machine.replica.busy_until(now) for machine in machines)
        up_s = sum(machine.up_until(now) for machine in machines)
        up = sum(machine.accepting for machine in machines)
        requests = sum(machine.replica.outstanding for machine in machines) + unplaced()
        reading = Reading(up, busy_s - busy_before_s, up_s - up_before_s, requests)
        cluster.scale(pool, scaler.wanted(now, reading, sum(machine.usable for machine in machines)))
