"""Replays of hundreds of thousands of requests: the plain replicas of a pool in compiled code, where there is any.

What it cannot serve (`plain` says), and any machine without it, is served by the node itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.cloud.capacity.objectives import Times
from fleetrec.simulator.cloud.capacity.replay import Requests
from fleetrec.simulator.cloud.compiled.serving import replica_rows
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.replica.replica import Replica
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.objectives import MEASURES, Objective
from fleetrec.simulator.scenario.sections import Cloud

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Allowed = Sequence[tuple[Objective, int]]
"""objectives, and how many requests may miss each"""


@dataclass(frozen=True)
class Run:
    """What became of requests: arrays [N], NaN where it did not happen."""

    wait_s: Floats
    """arrival to the start of service"""
    times: Times
    busy_s: Floats
    """[R] seconds in which each replica served"""


def plain(pool: Pool, cloud: Cloud) -> Replica | None:
    """A replica of the pool, if compiled code can serve it: in order of arrival, without cached prefixes, each step
    composed when it begins and as long as it always is, behind a router that can be told beforehand."""
    replica = pool.replica()
    if not isinstance(replica, Replica) or not cloud.router.in_bulk or pool.link is not None or pool.decodes:
        return None
    if pool.pace is not None:
        return None
    engine = replica.engine
    special = engine.prefix_caching or engine.async_scheduling or not engine.order.by_arrival
    return None if special else replica


Kinds = Sequence[tuple[Replica, float, int]]
"""what replicas of each kind are, their speed for the router, and how many there are"""


def served(code: ModuleType, requests: Requests, kinds: Kinds, assigned: Ints, draws: Draws) -> Run:
    """All requests, served by replicas of some kinds."""
    told = np.full((len(requests), 3), np.nan)
    times, _ = _replayed(code, requests, kinds, assigned, draws, (), 0, told)
    wait_s, ttft_s, latency_s = (told - requests.arrival_s[:, None]).T
    return Run(wait_s, Times.of(latency_s, ttft_s, requests.output_tokens), times[:, code.c.BUSY_S])


def met(
    code: ModuleType, requests: Requests, kinds: Kinds, assigned: Ints, draws: Draws, allowed: Allowed, warm_up: int
) -> bool:
    """Whether no more of the requests after the first `warm_up` miss an objective than are allowed to. They are served
    until that is certain."""
    _, missed = _replayed(code, requests, kinds, assigned, draws, allowed, warm_up, np.zeros((0, 3)))
    return all(count <= most for count, (_, most) in zip(missed.tolist(), allowed, strict=True))


def _replayed(
    code: ModuleType,
    requests: Requests,
    kinds: Kinds,
    assigned: Ints,
    draws: Draws,
    allowed: Allowed,
    warm_up: int,
    told: Floats,
) -> tuple[Floats, Ints]:
    """The times of the replicas, and how many requests have missed each objective; see `serve` for `told`."""
    replicas, speeds, counts = zip(*kinds, strict=True)
    drafter = next((kind.engine.drafter for kind in replicas if kind.engine.drafter is not None), None)
    steps, ring = requests.output_tokens - 1, 0
    if drafter is not None:
        steps = drafter.law.draw_all(steps, draws, "cloud.speculation")
        ring = int(steps.max(initial=0)) + 2
    asks = np.stack([requests.prompt_tokens, requests.output_tokens, requests.sequences, steps], axis=1)
    machines, times, rows = replica_rows(code.c, code.kind_row, replicas, counts, ring)
    n, c = len(requests), code.c
    jobs, job_times = np.zeros((n, c.N_JOB), dtype=np.int64), np.zeros((n, c.N_JOB_TIMES))
    speed = np.repeat(np.array(speeds, dtype=np.float64), counts)
    arrival_s = np.ascontiguousarray(requests.arrival_s, dtype=np.float64)
    judged = np.array([(MEASURES.index(part.measure), part.late_s, most) for part, most in allowed], dtype=np.float64)
    work = (
        arrival_s,
        asks.astype(np.int64, copy=False),
        np.asarray(assigned, dtype=np.int64),
        speed,
        judged.reshape(-1, 3),
    )
    nothing = np.zeros((1, 1), dtype=np.int64)
    request, missed = np.empty(n, dtype=np.int64), np.zeros(len(allowed), dtype=np.int64)
    code.serve(*work, warm_up, told, machines, times, jobs, job_times, rows, nothing, request, missed)
    return times, missed
