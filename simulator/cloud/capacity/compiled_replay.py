"""Replays of hundreds of thousands of requests: the plain replicas of a pool in compiled code, where there is any.

The compiler is loaded when a replay first asks for it; what it makes is an artifact like others, loaded as it was
written or not at all. What it cannot serve (`plain` says), and any machine without it, is served by the node itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.cloud.capacity.objectives import Times
from fleetrec.simulator.cloud.capacity.replay import Requests
from fleetrec.simulator.cloud.compiled.loading import machine_code
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


def loop() -> ModuleType | None:
    """The compiled code; None where there is no compiler or it fails."""
    return machine_code(LOOP)


LOOP = "fleetrec.simulator.cloud.capacity.compiled_loop"
"""looked up where it is asked for, since it imports the compiler"""


def plain(pool: Pool, cloud: Cloud) -> Replica | None:
    """A replica of the pool, if compiled code can serve it: in order of arrival, without cached prefixes, each step
    composed when it begins, behind a router that can be told beforehand."""
    replica = pool.replica()
    if not isinstance(replica, Replica) or not cloud.router.in_bulk or pool.link is not None or pool.decodes:
        return None
    engine = replica.engine
    special = engine.prefix_caching or engine.async_scheduling or not engine.order.by_arrival
    return None if special else replica


def served(
    code: ModuleType,
    requests: Requests,
    kinds: Sequence[tuple[Replica, float, int]],
    assigned: Ints,
    draws: Draws,
    allowed: Allowed = (),
) -> Run:
    """All requests, served by replicas of some kinds: what each is, its speed for the router, and how many there are.
    It is given up once more than are allowed to have missed an objective."""
    counts = [number for _, _, number in kinds]
    told_of = zip(*(_told(code, kind) for kind, _, _ in kinds), strict=True)
    engines, rows = (np.repeat(np.array(part), counts, axis=0) for part in told_of)
    speed = np.repeat(np.array([speed for _, speed, _ in kinds], dtype=np.float64), counts)
    jobs = np.zeros((len(requests), 11), dtype=np.int64)
    jobs[:, 0], jobs[:, 1], jobs[:, 2] = requests.prompt_tokens, requests.output_tokens, requests.sequences
    jobs[:, 3] = _decode_steps(requests, kinds, draws)
    jobs[:, 5] = requests.prompt_tokens
    arrival_s = np.ascontiguousarray(requests.arrival_s, dtype=np.float64)
    told, busy_s = code.serve(
        arrival_s, jobs, np.asarray(assigned, dtype=np.int64), speed, engines, rows, _judged(allowed)
    )
    wait_s, ttft_s, latency_s = (told - requests.arrival_s[:, None]).T
    return Run(wait_s, Times.of(latency_s, ttft_s, requests.output_tokens), busy_s)


def _decode_steps(requests: Requests, kinds: Sequence[tuple[Replica, float, int]], draws: Draws) -> Ints:
    """How many steps the tokens after the first take: as many, or as the node draws them where drafts are verified."""
    further = requests.output_tokens - 1
    drafter = next((kind.engine.drafter for kind, _, _ in kinds if kind.engine.drafter is not None), None)
    return further if drafter is None else drafter.law.draw_all(further, draws, "cloud.speculation")


def _told(code: ModuleType, replica: Replica) -> tuple[Ints, Floats]:
    """An engine's limits and the time of its steps, as `serve` takes them."""
    engine, drafter = replica.engine, replica.engine.drafter
    drafts, draft, lookup_s = (0, None, 0.0) if drafter is None else (drafter.tokens, drafter.steps, drafter.lookup_s)
    limits = [engine.max_batched_tokens, engine.max_sequences, engine.block_tokens, engine.kv_blocks]
    limits += [engine.window_tokens, drafts, draft is not None, engine.separate_prefill, engine.reserve_output]
    row = [*code.step_row(replica.timing), *code.step_row(draft), lookup_s, engine.window_share]
    return np.array(limits, dtype=np.int64), np.array(row, dtype=np.float64)


def _judged(allowed: Allowed) -> Floats:
    """As `serve` takes them."""
    rows = [(MEASURES.index(part.measure), part.late_s, most) for part, most in allowed]
    return np.array(rows, dtype=np.float64).reshape(-1, 3)
