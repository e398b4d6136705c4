"""A replay of hundreds of thousands of requests, in compiled code: when each starts, has its first token and ends.

The replicas are those of a node; there is no client who stops waiting, and nothing is billed or recorded. A request's
row goes to another one once it has ended, so that the rows in use stay near the processor.
"""

import math

import numpy as np

from fleetrec.simulator.cloud.compiled import columns as c
from fleetrec.simulator.cloud.compiled.columns import NOBODY, Floats, Ints, compiled, kept
from fleetrec.simulator.cloud.compiled.replicas import come_to, enlist, join_line
from fleetrec.simulator.cloud.compiled.timing import KNOWN, kind_row

__all__ = ["c", "kind_row", "prepare", "serve"]

STARTED, FIRST, ENDED = 0, 1, 2  # of what is told of a request
LATENCY, TTFT = 0, 1  # measures of objectives; another one is of tokens after the first


@compiled
def _late(told: Floats, number: int, arrived_s: float, further: int, measure: int, bound_s: float) -> bool:
    """Whether a request that has ended misses an objective."""
    if measure == LATENCY:
        return bool(told[number, ENDED] - arrived_s > bound_s)
    if measure == TTFT:
        return bool(told[number, FIRST] - arrived_s > bound_s)
    return bool(further > 0 and (told[number, ENDED] - told[number, FIRST]) / further > bound_s)


@kept
def serve(
    arrival_s: Floats,
    asks: Ints,
    assigned: Ints,
    speed: Floats,
    judged: Floats,
    S: Ints,
    X: Floats,
    J: Ints,
    T: Floats,
    K: Floats,
    M: Ints,
) -> Floats:
    """When each request [N] started, had its first token and ended, [N x 3], on replicas `S` and `X` [R] of the kinds
    `K`. `J` and `T` [N] are all zeros.

    `asks` [N x 4]: prompt and output tokens, sequences, and the steps that tokens after the first take where drafts are
    verified. `assigned` [N] is the replica that each goes to, or -1 for the one with the fewest requests that wait or
    run over its `speed` [R], the first of several. `judged` [K x 3]: objectives, each a measure, the bound, and how
    many requests may miss it; once more have, it is given up.
    """
    n, replicas = len(arrival_s), len(speed)
    told = np.full((n, 3), np.nan)
    request = np.empty(n, dtype=np.int64)  # of each row
    missed, hopeless = np.zeros(len(judged), dtype=np.int64), False
    spare, used = NOBODY, 0  # the first of those rows that have been given back, each with the next; rows ever in use
    for number in range(n + 1):
        now = arrival_s[number] if number < n else math.inf
        best, fewest = 0, math.inf
        for r in range(replicas):
            if X[r, c.END_S] < now:
                come_to(r, S, X, J, T, K, M, now)
                job = S[r, c.LEFT]
                S[r, c.LEFT] = NOBODY
                while job != NOBODY:
                    one, following = request[job], J[job, c.NEXT]
                    told[one, STARTED], told[one, FIRST] = T[job, c.STARTED_S], T[job, c.FIRST_S]
                    told[one, ENDED] = T[job, c.ENDED_S]
                    for part in range(len(judged)):
                        measure, bound_s = int(judged[part, 0]), judged[part, 1]
                        if _late(told, one, arrival_s[one], J[job, c.OUTPUT] - 1, measure, bound_s):
                            missed[part] += 1
                            hopeless |= missed[part] > judged[part, 2]
                    J[job, c.NEXT] = spare
                    spare, job = job, following
            load = S[r, c.OUTSTANDING] / speed[r]
            if load < fewest:
                best, fewest = r, load
        if number == n or hopeless:
            break
        if spare == NOBODY:
            job, used = used, used + 1
        else:
            job, spare = spare, J[spare, c.NEXT]
        request[job] = number
        J[job, c.PROMPT] = J[job, c.PREFILL] = asks[number, 0]
        J[job, c.OUTPUT], J[job, c.WIDTH], J[job, c.DECODE_STEPS] = asks[number, 1], asks[number, 2], asks[number, 3]
        J[job, c.GENERATED] = J[job, c.COMPUTED] = J[job, c.BLOCKS] = J[job, c.TIMES] = 0
        T[job, c.STARTED_S] = T[job, c.FIRST_S] = math.nan
        r = best if assigned[number] < 0 else assigned[number]
        enlist(r, S, J, K, job)
        join_line(r, S, X, J, T, job, now)
    return told


def prepare() -> None:
    """Has it compiled, or loaded."""
    none, nothing = np.zeros(0, dtype=np.int64), np.zeros((0, c.N_JOB), dtype=np.int64)
    times, kinds = np.zeros((0, c.N_TIMES)), np.zeros((0, KNOWN))
    serve(np.zeros(0), nothing, none, np.zeros(0), times, nothing, times, nothing, times, kinds, nothing)
