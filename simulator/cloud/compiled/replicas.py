"""Replicas as state machines without a clock, in compiled code: see replica.py.

Each part is compiled with all that it calls, so who calls the others calls `come_to` before. And for each number that
is written out among its arguments it is compiled anew, so there are none where that would take long.
"""

import math

import numpy as np

from fleetrec.simulator.cloud.compiled import columns as c
from fleetrec.simulator.cloud.compiled.columns import NOBODY
from fleetrec.simulator.cloud.compiled.decoding import leave
from fleetrec.simulator.cloud.compiled.memory import release
from fleetrec.simulator.cloud.compiled.scheduling import before, begin, complete, head
from fleetrec.simulator.cloud.compiled.timing import SHARE, run_s, steps_until
from fleetrec.simulator.core.compiling import Floats, Ints, compiled, inlined


@compiled
def next_s(r: int, S: Ints, X: Floats) -> float:
    """`Replica.next_s`"""
    return float(X[r, c.PLANNED_END_S] if S[r, c.PLANNED] else X[r, c.END_S])


@compiled
def _come_on(r: int, S: Ints, X: Floats, J: Ints, T: Floats, K: Floats, M: Ints, now: float) -> None:
    while X[r, c.END_S] < now:
        complete(r, S, X, J, T, K, M)
        begin(r, S, X, J, T, K, M)


@inlined
def come_to(r: int, S: Ints, X: Floats, J: Ints, T: Floats, K: Floats, M: Ints, now: float) -> None:
    """`Replica.catch_up`; most often nothing is due, which must take no call."""
    if X[r, c.END_S] < now:
        _come_on(r, S, X, J, T, K, M, now)


@inlined
def come_through(r: int, S: Ints, X: Floats, J: Ints, T: Floats, K: Floats, M: Ints, now: float) -> None:
    """`Replica.advance`: with what happens at this very moment."""
    if X[r, c.END_S] <= now:
        _come_on(r, S, X, J, T, K, M, np.nextafter(now, math.inf))


@inlined
def _cut(r: int, S: Ints, X: Floats, now: float) -> None:
    S[r, c.PLANNED] = 0
    if S[r, c.STEPS] > 1 and not S[r, c.ALONE]:
        S[r, c.STEPS] = min(S[r, c.STEPS], steps_until(X, r, c.RUN, now - X[r, c.START_S]))
        X[r, c.END_S] = X[r, c.START_S] + run_s(X, r, c.RUN, S[r, c.STEPS])


@compiled
def _window_blocks(r: int, S: Ints, J: Ints, job: int, share: float) -> int:
    """`Engine.window_blocks`"""
    block, output = S[r, c.BLOCK], J[job, c.OUTPUT]
    window = -(-S[r, c.WINDOW] // block) + 1
    first = min(window, -(-(J[job, c.PROMPT] + output) // block))
    further = min(window, -(-output // block) + 1)
    return int(np.ceil(share * (first + (J[job, c.WIDTH] - 1) * further)))


@compiled
def enlist(r: int, S: Ints, J: Ints, K: Floats, job: int) -> None:
    """`Replica._enlist`; the request fits."""
    share = K[S[r, c.KIND], SHARE]
    if share > 0:
        J[job, c.WINDOWED] = _window_blocks(r, S, J, job, share)
    J[job, c.STATE], J[job, c.NUMBER], J[job, c.MACHINE] = c.IN_LINE, S[r, c.NUMBERS], r
    S[r, c.NUMBERS] += 1
    S[r, c.OUTSTANDING] += 1
    S[r, c.WAITING] += 1


@compiled
def join_line(r: int, S: Ints, X: Floats, J: Ints, T: Floats, job: int, now: float) -> None:
    """`Replica._join`"""
    T[job, c.ADDED_S], J[job, c.NEXT] = now, NOBODY
    J[job, c.LISTED] += 1
    if S[r, c.FRESH] == NOBODY:
        S[r, c.FRESH] = job
    else:
        J[S[r, c.FRESH_LAST], c.NEXT] = job
    S[r, c.FRESH_LAST] = job
    if X[r, c.END_S] == math.inf:
        X[r, c.START_S] = X[r, c.END_S] = now
        S[r, c.STEPS] = 0
    else:
        first = head(r, S, J, T)
        if first == NOBODY or before(J, T, job, first):
            _cut(r, S, X, now)


@compiled
def arrive(r: int, S: Ints, X: Floats, J: Ints, T: Floats, job: int, now: float) -> None:
    """`Replica.arrive`"""
    if J[job, c.COMES]:
        J[job, c.COMES] = 0
        S[r, c.COMING] -= 1
        join_line(r, S, X, J, T, job, now)


@compiled
def sent(r: int, S: Ints, X: Floats, J: Ints, M: Ints, job: int, now: float) -> bool:
    """`Replica.sent`"""
    S[r, c.RUNNING] += J[job, c.WIDTH]  # it runs no more, and `release` counts it off
    release(r, S, J, M, job, 0)
    waited = X[r, c.END_S] == math.inf and S[r, c.WAITING] > 0
    if waited:
        X[r, c.START_S] = X[r, c.END_S] = now
        S[r, c.STEPS] = 0
    return bool(waited)


@compiled
def remove(r: int, S: Ints, X: Floats, J: Ints, T: Floats, job: int, now: float) -> None:
    """`Replica.remove`"""
    state = J[job, c.STATE]
    if state == c.IN_LINE:
        J[job, c.STATE], T[job, c.ENDED_S] = c.REMOVED, now
        S[r, c.COMING] -= J[job, c.COMES]
        J[job, c.COMES] = 0
        S[r, c.WAITING] -= 1
        S[r, c.OUTSTANDING] -= 1
        _cut(r, S, X, now)
    elif (state == c.IN_PREFILL or state == c.IN_DECODE) and not J[job, c.LEAVES]:
        J[job, c.LEAVES] = 1
        J[job, c.LISTED] += 1
        S[r, S[r, c.AT_LEAVING] + S[r, c.LEAVING]] = job
        S[r, c.LEAVING] += 1
        _cut(r, S, X, now)


@compiled
def _stop(r: int, S: Ints, X: Floats, J: Ints, T: Floats, job: int, now: float) -> None:
    T[job, c.SHARE_S] += J[job, c.WIDTH] * (X[r, c.CLOCK] - T[job, c.JOINED_S])
    J[job, c.STATE], T[job, c.ENDED_S] = c.REMOVED, now


@compiled
def halt(r: int, S: Ints, X: Floats, J: Ints, T: Floats, K: Floats, now: float) -> None:
    """`Replica.halt` of a replica at which nobody waits."""
    if S[r, c.STEPS]:
        elapsed = now - X[r, c.START_S]
        X[r, c.BUSY_S] = X[r, c.BUSY_S] + elapsed
        X[r, c.CLOCK] = X[r, c.CLOCK] + elapsed / (S[r, c.RUNNING] - S[r, c.HELD_WIDTH])
        if not S[r, c.ALONE] and now > X[r, c.START_S]:
            S[r, c.STEP] += steps_until(X, r, c.RUN, elapsed) - 1
    partial = S[r, c.PARTIAL]
    for place in range(S[r, c.PREFILLS]):
        job = S[r, S[r, c.AT_PREFILLS] + place]
        _stop(r, S, X, J, T, job, now)
        if job == partial:
            partial = NOBODY
    if partial != NOBODY:
        _stop(r, S, X, J, T, partial, now)
    while S[r, c.DECODING]:
        job = S[r, S[r, c.AT_ENDING]]
        _stop(r, S, X, J, T, job, now)
        leave(r, S, X, K, J, job)
    S[r, c.OUTSTANDING] = S[r, c.WAITING] = S[r, c.RUNNING] = S[r, c.STEPS] = 0
    X[r, c.END_S] = math.inf
