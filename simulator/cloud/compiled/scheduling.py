"""What a replica's next steps hold, in compiled code: see scheduler.py. The line is a skew heap of requests."""

import math

from fleetrec.simulator.cloud.compiled import columns as c
from fleetrec.simulator.cloud.compiled.columns import NOBODY
from fleetrec.simulator.cloud.compiled.decoding import (
    advance,
    chunks_s,
    join,
    leave,
    next_end,
    next_ending,
    opened_later,
    opened_next,
    run_after_joining,
    run_now,
    steps_within,
)
from fleetrec.simulator.cloud.compiled.memory import admit as admitted
from fleetrec.simulator.cloud.compiled.memory import hold_chunk, prefill_blocks, release, take
from fleetrec.simulator.cloud.compiled.timing import RUN_NUMBERS, run_s
from fleetrec.simulator.core.compiling import Floats, Ints, compiled, inlined

# The line


@inlined
def before(J: Ints, T: Floats, one: int, other: int) -> bool:
    """Whether a request stands before another in the order."""
    a, b = T[one, c.KEY], T[other, c.KEY]
    return bool(a < b or (a == b and J[one, c.NUMBER] < J[other, c.NUMBER]))


@compiled
def _merged(J: Ints, T: Floats, one: int, other: int) -> int:
    """The root of two heaps in one."""
    root = hook = NOBODY
    while one != NOBODY and other != NOBODY:
        if before(J, T, other, one):
            one, other = other, one
        if hook == NOBODY:
            root = one
        else:
            J[hook, c.SMALLER] = one
        hook, rest = one, J[one, c.LARGER]
        J[one, c.LARGER] = J[one, c.SMALLER]
        one = rest
    rest = other if one == NOBODY else one
    if hook == NOBODY:
        return rest
    J[hook, c.SMALLER] = rest
    return root


@inlined
def _push(r: int, S: Ints, J: Ints, T: Floats, job: int) -> None:
    J[job, c.SMALLER] = J[job, c.LARGER] = NOBODY
    S[r, c.LINE] = _merged(J, T, S[r, c.LINE], job)


@inlined
def _pop(r: int, S: Ints, J: Ints, T: Floats) -> None:
    root = S[r, c.LINE]
    J[root, c.LISTED] -= 1
    S[r, c.LINE] = _merged(J, T, J[root, c.SMALLER], J[root, c.LARGER])


@inlined
def head(r: int, S: Ints, J: Ints, T: Floats) -> int:
    """`Batching._head`"""
    while S[r, c.LINE] != NOBODY and J[S[r, c.LINE], c.STATE] != c.IN_LINE:
        _pop(r, S, J, T)
    return int(S[r, c.LINE])


@compiled
def _see(r: int, S: Ints, J: Ints, T: Floats, until_s: float) -> bool:
    seen = False
    while S[r, c.FRESH] != NOBODY and T[S[r, c.FRESH], c.ADDED_S] <= until_s:
        job = S[r, c.FRESH]
        S[r, c.FRESH] = J[job, c.NEXT]
        if J[job, c.STATE] == c.IN_LINE:
            _push(r, S, J, T, job)
            seen = True
        else:
            J[job, c.LISTED] -= 1
    return seen


@compiled
def _release_held(r: int, S: Ints, J: Ints, M: Ints) -> None:
    first = S[r, c.AT_HELD]
    for place in range(first, first + S[r, c.HELD]):
        job = S[r, place]
        J[job, c.LISTED] -= 1
        if J[job, c.ROLE] == c.PREFILLS_ALONE:
            S[r, c.RUNNING] -= J[job, c.WIDTH]  # its blocks are held until they are sent
        else:
            release(r, S, J, M, job, 0)
    S[r, c.HELD] = S[r, c.HELD_WIDTH] = 0


# The end of a run


@compiled
def leave_batch(r: int, S: Ints, X: Floats, J: Ints, T: Floats, job: int, end_s: float, state: int) -> None:
    """`Batching._leave_batch`"""
    if job == S[r, c.PARTIAL]:
        S[r, c.PARTIAL] = NOBODY
    T[job, c.SHARE_S] += J[job, c.WIDTH] * (X[r, c.CLOCK] - T[job, c.JOINED_S])
    J[job, c.STATE] = state
    if state != c.IN_LINE:
        T[job, c.ENDED_S] = end_s
        S[r, c.OUTSTANDING] -= 1
        J[job, c.NEXT] = NOBODY
        if S[r, c.LEFT] == NOBODY:
            S[r, c.LEFT] = job
        else:
            J[S[r, c.LEFT_LAST], c.NEXT] = job
        S[r, c.LEFT_LAST] = job


@inlined
def _finish(r: int, S: Ints, X: Floats, J: Ints, T: Floats, job: int, end_s: float) -> None:
    leave_batch(r, S, X, J, T, job, end_s, c.FINISHED)
    S[r, S[r, c.AT_HELD] + S[r, c.HELD]] = job
    S[r, c.HELD] += 1
    S[r, c.HELD_WIDTH] += J[job, c.WIDTH]
    J[job, c.LISTED] += 1


@inlined
def _chunk_done(r: int, S: Ints, X: Floats, J: Ints, T: Floats, K: Floats, job: int, end_s: float) -> None:
    if J[job, c.COMPUTED] < J[job, c.PREFILL]:
        S[r, c.PARTIAL] = job
        return
    if job == S[r, c.PARTIAL]:
        S[r, c.PARTIAL] = NOBODY
    if math.isnan(T[job, c.FIRST_S]):
        T[job, c.FIRST_S] = end_s
    generated = J[job, c.GENERATED] + 1
    if generated >= J[job, c.OUTPUT]:
        _finish(r, S, X, J, T, job, end_s)
        return
    J[job, c.STATE] = c.IN_DECODE
    join(r, S, X, K, J, job, generated)


@compiled
def _remove_leaving(r: int, S: Ints, X: Floats, J: Ints, T: Floats, K: Floats, M: Ints, end_s: float) -> None:
    first = S[r, c.AT_LEAVING]
    for place in range(first, first + S[r, c.LEAVING]):
        job = S[r, place]
        J[job, c.LISTED] -= 1
        if J[job, c.STATE] == c.IN_DECODE:
            leave(r, S, X, K, J, job)
        elif J[job, c.STATE] != c.IN_PREFILL:
            continue
        leave_batch(r, S, X, J, T, job, end_s, c.REMOVED)
        release(r, S, J, M, job, 0)
    S[r, c.LEAVING] = 0


@inlined
def complete(r: int, S: Ints, X: Floats, J: Ints, T: Floats, K: Floats, M: Ints) -> None:
    """`Batching._complete`"""
    steps, end_s = S[r, c.STEPS], X[r, c.END_S]
    if steps:
        elapsed = end_s - X[r, c.START_S]
        X[r, c.BUSY_S] += elapsed
        X[r, c.CLOCK] += elapsed / (S[r, c.RUNNING] - S[r, c.HELD_WIDTH])
    if S[r, c.HELD]:
        _release_held(r, S, J, M)
    if steps:
        if S[r, c.PAUSED]:
            S[r, c.PAUSED] = 0
        else:
            if steps > 1:
                take(r, S, J, M, opened_later(r, S, steps))
            advance(r, S, X, steps)
        first = S[r, c.AT_PREFILLS]
        for place in range(first, first + S[r, c.PREFILLS]):
            _chunk_done(r, S, X, J, T, K, S[r, place], end_s)
        S[r, c.PREFILLS] = 0
        while S[r, c.DECODING] and next_end(r, S) <= S[r, c.STEP]:
            job = next_ending(r, S)
            leave(r, S, X, K, J, job)
            _finish(r, S, X, J, T, job, end_s)
    if S[r, c.LEAVING]:
        _remove_leaving(r, S, X, J, T, K, M, end_s)
    if S[r, c.HELD] and not S[r, c.ASYNC]:
        _release_held(r, S, J, M)


# The start of a run


@inlined
def _make_room(r: int, S: Ints, X: Floats, J: Ints, T: Floats, K: Floats, M: Ints) -> bool:
    preempted = False
    while S[r, c.SEQUENCES] or S[r, c.PARTIAL] != NOBODY:
        needed = opened = opened_next(r, S)
        victim = S[r, c.PARTIAL]
        if victim != NOBODY:
            budget = S[r, c.TOKENS] - S[r, c.SEQUENCES] * S[r, c.EACH]
            end = min(J[victim, c.PREFILL], J[victim, c.COMPUTED] + budget)
            needed += prefill_blocks(r, S, J, victim, end) - J[victim, c.BLOCKS] - J[victim, c.SHARED]
        if needed <= S[r, c.FREE]:
            take(r, S, J, M, opened)
            return preempted
        first = S[r, c.AT_ENDING]
        for place in range(first, first + S[r, c.DECODING]):
            if victim == NOBODY or before(J, T, victim, S[r, place]):
                victim = S[r, place]
        resumes_from = J[victim, c.COMPUTED]
        if J[victim, c.STATE] == c.IN_DECODE:
            leave(r, S, X, K, J, victim)
            resumes_from = J[victim, c.PROMPT] + J[victim, c.GENERATED] - 1
        leave_batch(r, S, X, J, T, victim, X[r, c.END_S], c.IN_LINE)
        release(r, S, J, M, victim, resumes_from)
        J[victim, c.TIMES] += 1
        J[victim, c.PREFILL] = J[victim, c.PROMPT] + J[victim, c.WIDTH] * J[victim, c.GENERATED]
        S[r, c.PREEMPTIONS] += 1
        S[r, c.WAITING] += 1
        J[victim, c.LISTED] += 1
        _push(r, S, J, T, victim)
        preempted = True
    return preempted


@inlined
def _admit(r: int, S: Ints, X: Floats, J: Ints, T: Floats, K: Floats, M: Ints, job: int, budget: int) -> bool:
    if S[r, c.RUNNING] + J[job, c.WIDTH] > S[r, c.MOST]:
        return False
    decodes = J[job, c.ROLE] == c.DECODES and not J[job, c.TIMES]
    if (decodes and J[job, c.WIDTH] > budget) or not admitted(r, S, J, M, job):
        return False
    _pop(r, S, J, T)
    S[r, c.WAITING] -= 1
    S[r, c.RUNNING] += J[job, c.WIDTH]
    T[job, c.JOINED_S] = X[r, c.CLOCK]
    J[job, c.STATE] = c.IN_PREFILL
    if math.isnan(T[job, c.STARTED_S]):
        T[job, c.STARTED_S] = X[r, c.END_S]
    if decodes:
        hold_chunk(r, S, J, M, job, J[job, c.PREFILL])
        J[job, c.STATE] = c.IN_DECODE
        join(r, S, X, K, J, job, J[job, c.GENERATED])
    return True


@compiled
def _chunks(
    r: int, S: Ints, X: Floats, J: Ints, T: Floats, K: Floats, M: Ints, admit: bool
) -> tuple[int, int, int, int]:
    """`Batching._chunks`; no tokens: None."""
    budget = S[r, c.TOKENS]
    if not S[r, c.SEPARATE]:
        budget -= S[r, c.SEQUENCES] * S[r, c.EACH]
    tokens = ends = context = pairs = 0
    job = S[r, c.PARTIAL]
    while True:
        if job == NOBODY:
            if not admit or budget <= 0:
                break
            job = head(r, S, J, T)
            if job == NOBODY or not _admit(r, S, X, J, T, K, M, job, budget):
                break
            if J[job, c.STATE] == c.IN_DECODE:
                budget -= J[job, c.WIDTH]
                job = NOBODY
                continue
        start = J[job, c.COMPUTED]
        end = min(J[job, c.PREFILL], start + budget)
        if end > start:
            hold_chunk(r, S, J, M, job, end)
            budget -= end - start
            tokens += end - start
            context += end
            pairs += (end * (end + 1) - start * (start + 1)) // 2
            ends += end == J[job, c.PREFILL]
            S[r, S[r, c.AT_PREFILLS] + S[r, c.PREFILLS]] = job
            S[r, c.PREFILLS] += 1
        job = NOBODY
    S[r, c.PASSED] += tokens
    return tokens, ends, context, pairs


@inlined
def begin(r: int, S: Ints, X: Floats, J: Ints, T: Floats, K: Floats, M: Ints) -> None:
    """`Batching._begin`"""
    now = X[r, c.END_S]
    if S[r, c.PLANNED]:
        take(r, S, J, M, opened_next(r, S))
        X[r, c.START_S], X[r, c.END_S] = now, X[r, c.PLANNED_END_S]
        for k in range(RUN_NUMBERS):
            X[r, c.RUN + k] = X[r, c.PLAN + k]
        S[r, c.STEPS], S[r, c.ALONE], S[r, c.PLANNED] = S[r, c.PLANNED], 0, 0
        return
    if S[r, c.FRESH] != NOBODY:
        if S[r, c.ASYNC] and S[r, c.STEPS]:
            last_s = X[r, c.START_S]
            _see(r, S, J, T, last_s if S[r, c.ALONE] else last_s + run_s(X, r, c.RUN, S[r, c.STEPS] - 1))
        else:
            _see(r, S, J, T, now)
    preempted, chunks = False, (0, 0, 0, 0)
    if S[r, c.SEPARATE]:
        chunks = _chunks(r, S, X, J, T, K, M, not preempted)
        S[r, c.PAUSED] = 1 if chunks[0] else 0
    if not chunks[0]:
        preempted = _make_room(r, S, X, J, T, K, M)
        chunks = _chunks(r, S, X, J, T, K, M, not preempted)
    if not S[r, c.PREFILLS] and not S[r, c.SEQUENCES] and (S[r, c.HELD] or S[r, c.FRESH] != NOBODY):
        _release_held(r, S, J, M)
        _see(r, S, J, T, now)
        chunks = _chunks(r, S, X, J, T, K, M, not S[r, c.SEQUENCES])
    X[r, c.START_S] = now
    tokens, ends, read, pairs = chunks
    if tokens:
        S[r, c.ALONE], S[r, c.STEPS] = 1, 1
        if S[r, c.FRESH] != NOBODY:
            _see(r, S, J, T, now)
        X[r, c.END_S] = now + chunks_s(r, S, X, K, tokens, ends, read, pairs, S[r, c.PAUSED] > 0)
        last = S[r, S[r, c.AT_PREFILLS] + S[r, c.PREFILLS] - 1]
        waits = S[r, c.WAITING] or S[r, c.HELD] or J[last, c.COMPUTED] < J[last, c.PREFILL]
        if not (waits or S[r, c.ASYNC] or S[r, c.PAUSED]):
            steps = run_after_joining(r, S, X, K, J, c.PLAN, S[r, c.FREE])
            S[r, c.PLANNED] = steps
            if steps:
                X[r, c.PLANNED_END_S] = X[r, c.END_S] + run_s(X, r, c.PLAN, steps)
    elif S[r, c.SEQUENCES]:
        changes = (S[r, c.FRESH] != NOBODY and _see(r, S, J, T, now)) or preempted or S[r, c.HELD] > 0
        run_now(r, S, X, K, c.RUN)
        S[r, c.ALONE] = 0
        S[r, c.STEPS] = 1 if changes and S[r, c.WAITING] > S[r, c.COMING] else steps_within(r, S, S[r, c.FREE])
        X[r, c.END_S] = now + run_s(X, r, c.RUN, S[r, c.STEPS])
    else:
        S[r, c.STEPS] = 0
        X[r, c.END_S] = math.inf
