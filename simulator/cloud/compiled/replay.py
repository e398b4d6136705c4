"""A replay of hundreds of thousands of requests, in compiled code: when each starts, has its first token and ends.

The replicas are those of a node; there is no client who stops waiting, and nothing is billed or recorded. A request's
row goes to another one once it has ended, so that the rows in use stay near the processor.
"""

import math

import numpy as np

from fleetrec.simulator.cloud.compiled import columns as c
from fleetrec.simulator.cloud.compiled.columns import NOBODY
from fleetrec.simulator.cloud.compiled.replicas import come_to, enlist, join_line
from fleetrec.simulator.cloud.compiled.timing import KNOWN, kind_row
from fleetrec.simulator.core.compiling import Floats, Ints, compiled, kept_uncounted

__all__ = ["c", "kind_row", "prepare", "serve"]

STARTED, FIRST, ENDED = 0, 1, 2  # of what is told of a request
LATENCY, TTFT = 0, 1  # measures of objectives; another one is of tokens after the first


@compiled
def _late(arrived_s: float, first_s: float, ended_s: float, further: int, measure: int, bound_s: float) -> bool:
    """Whether a request that has ended misses an objective; see `Times`."""
    latency_s, ttft_s = ended_s - arrived_s, first_s - arrived_s
    if measure == LATENCY:
        return bool(latency_s > bound_s)
    if measure == TTFT:
        return bool(ttft_s > bound_s)
    return bool(further > 0 and (latency_s - ttft_s) / further > bound_s)


@kept_uncounted
def serve(
    arrival_s: Floats,
    asks: Ints,
    assigned: Ints,
    speed: Floats,
    judged: Floats,
    warm_up: int,
    told: Floats,
    S: Ints,
    X: Floats,
    J: Ints,
    T: Floats,
    K: Floats,
    M: Ints,
    request: Ints,
    missed: Ints,
) -> None:
    """Serves requests [N] on replicas `S` and `X` [R] of the kinds `K`; `J` and `T` [N] are all zeros. `told` [N x 3]
    gets when each started, had its first token and ended; without rows nothing is told.

    `asks` [N x 4]: prompt and output tokens, sequences, and the steps that tokens after the first take where drafts are
    verified. `assigned` [N] is the replica that each goes to, or -1 for the one with the fewest requests that wait or
    run over its `speed` [R], the first of several. `judged` [K x 3]: objectives, each a measure, the bound, and how
    many of the requests from number `warm_up` on may miss it. As soon as it is certain that one is missed, or that all
    will be met, no more is served. `missed` [K] counts those that have, `request` [N] gets that of each row of `J`.
    """
    n, replicas = len(arrival_s), len(speed)
    left, certain = n - warm_up, False  # left: not judged yet
    alike = True  # whether replicas are of one speed, so that the fewest requests are the least load
    for r in range(replicas):
        alike &= speed[r] == speed[0]
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
                    if len(told):
                        told[one, STARTED], told[one, FIRST] = T[job, c.STARTED_S], T[job, c.FIRST_S]
                        told[one, ENDED] = T[job, c.ENDED_S]
                    if len(judged) and one >= warm_up:
                        left -= 1
                        at_most = 0.0  # misses that are left over for the others
                        for part in range(len(judged)):
                            came_s, first_s, ended_s = arrival_s[one], T[job, c.FIRST_S], T[job, c.ENDED_S]
                            measure, bound_s = int(judged[part, 0]), judged[part, 1]
                            if _late(came_s, first_s, ended_s, J[job, c.OUTPUT] - 1, measure, bound_s):
                                missed[part] += 1
                            spared = judged[part, 2] - missed[part]
                            at_most = spared if part == 0 else min(at_most, spared)
                        certain |= at_most < 0 or left <= at_most
                    J[job, c.NEXT] = spare
                    spare, job = job, following
            load = float(S[r, c.OUTSTANDING])
            if not alike:
                load /= speed[r]
            if load < fewest:
                best, fewest = r, load
        if number == n or certain:
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


def prepare() -> None:
    """Has it compiled, or loaded."""
    none, nothing = np.zeros(0, dtype=np.int64), np.zeros((0, c.N_JOB), dtype=np.int64)
    times, kinds = np.zeros((0, c.N_TIMES)), np.zeros((0, KNOWN))
    rows = nothing, times, nothing, times, kinds, nothing
    serve(np.zeros(0), nothing, none, np.zeros(0), times, 0, times, *rows, none, none)
