"""A node that serves requests known before, in compiled code: what LlmNode, Wakes and Deadlines do, event by event."""

import math

import numpy as np

from fleetrec.simulator.cloud.compiled import columns as c
from fleetrec.simulator.cloud.compiled.columns import NOBODY
from fleetrec.simulator.cloud.compiled.events import longer, longer_ints, pop, push
from fleetrec.simulator.cloud.compiled.memory import REPLICA, ROW, SAME, cached_tokens, chain_at, first_row
from fleetrec.simulator.cloud.compiled.replicas import (
    arrive,
    come_through,
    come_to,
    enlist,
    halt,
    join_line,
    next_s,
    remove,
    sent,
)
from fleetrec.simulator.cloud.compiled.timeline import change
from fleetrec.simulator.cloud.compiled.timing import KNOWN, kind_row
from fleetrec.simulator.core.compiling import Floats, Ints, compiled, kept

__all__ = ["BY_PREFIX", "OUTCOMES", "ROW", "c", "kind_row", "prepare", "serve"]

OPEN, COMPLETED, TIMED_OUT, REJECTED, UNFINISHED = 0, 1, 2, 3, 4
OUTCOMES = {COMPLETED: "completed", TIMED_OUT: "timed_out", REJECTED: "rejected", UNFINISHED: "unfinished"}
WAITING, SERVED, BUSY, TOLD, BILLED, EVENTS, MADE, LEFT = 0, 1, 2, 3, 4, 5, 6, 7  # a node's integers `N`
BY_PREFIX = -2
ALARM, ARRIVAL = -1, -2  # of the kinds of events; others are replicas that wake, and below, arrivals of caches


@compiled
def _tell(N: Ints, J: Ints, T: Floats, number: int, outcome: int, now: float) -> None:
    J[number, c.OUTCOME], T[number, c.TOLD_S] = outcome, now
    N[TOLD] += 1


@compiled
def _settle(N: Ints, J: Ints, T: Floats, order: Ints, number: int, outcome: int, now: float) -> None:
    J[number, c.SETTLED] = 1
    order[N[BILLED]] = J[number, c.NEWEST]
    N[BILLED] += 1
    if J[number, c.OUTCOME] == OPEN:
        _tell(N, J, T, number, outcome, now)


@compiled
def make(
    N: Ints, times: Floats, numbers: Ints, what: Ints, value: Floats, time_s: float, kind: int, extra: float
) -> None:
    """An event comes at that time: an alarm for the deadline `extra`, or a look at a replica that wakes again then."""
    what[N[EVENTS]], value[N[EVENTS]] = kind, extra
    N[EVENTS] = push(times, numbers, what, value, N[EVENTS], time_s, N[MADE])
    N[MADE] += 1


@compiled
def wake(N: Ints, X: Floats, times: Floats, numbers: Ints, what: Ints, value: Floats, r: int, time_s: float) -> None:
    """`Wakes.at`"""
    if time_s < X[r, c.ARMED_S]:
        make(N, times, numbers, what, value, time_s, r, X[r, c.ARMED_S])
        X[r, c.ARMED_S] = time_s


@compiled
def count(r: int, N: Ints, S: Ints, speed: Floats, loads: Floats) -> None:
    """`LlmNode._count`, where anything has changed."""
    waiting, outstanding = S[r, c.WAITING], S[r, c.OUTSTANDING]
    waiting_before, outstanding_before = S[r, c.COUNTED_WAITING], S[r, c.COUNTED]
    if waiting != waiting_before or outstanding != outstanding_before:
        served, served_before = outstanding - waiting, outstanding_before - waiting_before
        N[WAITING] += waiting - waiting_before
        N[SERVED] += served - served_before
        N[BUSY] += (1 if served > 0 else 0) - (1 if served_before > 0 else 0)
        S[r, c.COUNTED_WAITING], S[r, c.COUNTED] = waiting, outstanding
        loads[r] = outstanding / speed[r]


@compiled
def least_loaded(loads: Floats, first: int, end: int) -> int:
    """The least loaded of some replicas, the first of several."""
    least = first
    for other in range(first + 1, end):
        if loads[other] < loads[least]:
            least = other
    return least


@compiled
def changed(
    r: int,
    N: Ints,
    S: Ints,
    X: Floats,
    speed: Floats,
    loads: Floats,
    B: Ints,
    A: Floats,
    queues: Ints,
    areas: Floats,
    now: float,
) -> float:
    """`LlmNode._changed`; when the replica must be looked at."""
    count(r, N, S, speed, loads)
    following_s = next_s(r, S, X)
    if following_s > now:
        change(B, A, queues, areas, now, N[WAITING], N[BUSY], N[SERVED])
    return following_s


@compiled
def _hand_over(
    r: int, N: Ints, S: Ints, X: Floats, J: Ints, T: Floats, K: Floats, number: int, m: int, now: float
) -> float:
    """`Handover.begin`: a request whose prompt a replica has computed goes on at another; when it has come there."""
    answer = len(J) // 2 + number
    J[number, c.NEWEST], T[answer, c.FIRST_S] = answer, T[number, c.FIRST_S]
    enlist(m, S, J, K, answer)
    J[answer, c.COMES] = 1
    S[m, c.COMING] += 1
    X[r, c.LINK_FREE_S] = max(now, X[r, c.LINK_FREE_S]) + J[number, c.PROMPT] * X[r, c.LINK_TOKEN_S]
    arrives_s = X[r, c.LINK_FREE_S] + X[r, c.LINK_LATENCY_S]
    return float(now + (arrives_s - now))


@compiled
def _look(
    r: int,
    first: int,
    N: Ints,
    S: Ints,
    X: Floats,
    J: Ints,
    T: Floats,
    K: Floats,
    M: Ints,
    speed: Floats,
    loads: Floats,
    order: Ints,
    times: Floats,
    numbers: Ints,
    what: Ints,
    value: Floats,
    now: float,
) -> None:
    """`LlmNode._look` at a replica that has come to now: requests that have left it end here, or go on elsewhere."""
    job = S[r, c.LEFT]
    S[r, c.LEFT] = NOBODY
    while job != NOBODY:
        following = J[job, c.NEXT]
        if J[job, c.ROLE] == c.PREFILLS_ALONE and J[job, c.STATE] == c.FINISHED:
            order[N[BILLED]] = job
            N[BILLED] += 1
            m = least_loaded(loads, first, len(S))
            come_to(m, S, X, J, T, K, M, now)
            comes_s = _hand_over(r, N, S, X, J, T, K, job, m, now)
            count(m, N, S, speed, loads)
            make(N, times, numbers, what, value, comes_s, ARRIVAL - job, 0.0)
        else:
            _settle(N, J, T, order, job if job < len(J) // 2 or first == len(S) else job - len(J) // 2, COMPLETED, now)
        job = following


@compiled
def turned_away(r: int, N: Ints, S: Ints, J: Ints, job: int, limit: int) -> bool:
    """`Entrance.turns_away`"""
    if N[WAITING] < limit:
        return False
    line = S[r, c.WAITING]
    return bool(line > 0 or (S[r, c.OUTSTANDING] - line + 1) * J[job, c.WIDTH] > S[r, c.MOST])


@kept
def serve(
    assigned: Ints,
    speed: Floats,
    weight: float,
    imbalance: float,
    limit: int,
    abort: bool,
    S: Ints,
    X: Floats,
    J: Ints,
    T: Floats,
    K: Floats,
    M: Ints,
    B: Ints,
    A: Floats,
    queues: Ints,
    areas: Floats,
    every: int,
    free: Ints,
    first: int,
) -> tuple[float, Ints]:
    """Serves the requests `J` and `T` [N] in order of arrival, on replicas `S` and `X` [R] of the kinds `K`, until all
    have been told: when that was, and the jobs in the order in which they left. `M` is the memory of prefixes. From
    number `first` on, replicas go on with what those before compute; the second half of `J` is then of these jobs.

    `assigned` [N] is the replica that each goes to, -1 for the one with the fewest requests over its `speed` [R], or -2
    for the one with the highest score by `weight` and `imbalance` (see PrefixAware);
    `limit` how many may wait, and `abort` whether one leaves whose client has gone. `B`, `A`, `queues` and `areas` are
    the node's timeline. At each `every`th arrival the free blocks of all replicas go into a row of `free`.
    """
    n, replicas = len(assigned), len(S)
    N = np.zeros(8, dtype=np.int64)
    order = np.zeros(len(J), dtype=np.int64)
    loads = np.zeros(replicas)
    most = 8  # events that one event makes, at most
    for r in range(replicas):
        most = max(most, 8 + 2 * S[r, c.MOST])
    room = 4 * replicas + 2 * most
    times, numbers = np.zeros(room), np.zeros(room, dtype=np.int64)
    what, value = np.zeros(room, dtype=np.int64), np.zeros(room)
    late_s, late = np.zeros(n + 1), np.zeros(n + 1, dtype=np.int64)
    nothing, none = np.zeros(n + 1, dtype=np.int64), np.zeros(n + 1)
    lates = seen = 0  # deadlines in the heap; requests whose deadlines have come into it
    for r in range(replicas):
        if S[r, c.CACHING]:
            first_row(r, S, M)
    number, now, alarm_s = 0, 0.0, math.inf
    arrives_s, made = 0.0, -1  # the next arrival, and its place among the events
    while True:
        if N[EVENTS] + most > room:
            times, numbers, what, value = longer(times), longer_ints(numbers), longer_ints(what), longer(value)
            room = len(times)
        if N[EVENTS] and (times[0] < arrives_s or (times[0] == arrives_s and numbers[0] < made)):
            if number == n and N[TOLD] == n and times[0] > now:
                break
            now, r, extra = times[0], what[0], value[0]
            N[EVENTS] = pop(times, numbers, what, value, N[EVENTS])
            if r <= ARRIVAL:  # `Handover._on_arrival`
                came, r = ARRIVAL - r, J[ARRIVAL - r, c.MACHINE]
                come_to(r, S, X, J, T, K, M, now)
                if sent(r, S, X, J, M, came, now):
                    wake(N, X, times, numbers, what, value, r, now)
                r = J[n + came, c.MACHINE]
                come_to(r, S, X, J, T, K, M, now)
                arrive(r, S, X, J, T, n + came, now)
                wake(N, X, times, numbers, what, value, r, next_s(r, S, X))
                continue
            if r != ALARM:
                X[r, c.ARMED_S] = extra
                wake_s = next_s(r, S, X)
                if wake_s <= now:
                    come_through(r, S, X, J, T, K, M, now)
                    _look(r, first, N, S, X, J, T, K, M, speed, loads, order, times, numbers, what, value, now)
                    wake_s = changed(r, N, S, X, speed, loads, B, A, queues, areas, now)
                wake(N, X, times, numbers, what, value, r, wake_s)
                continue
            if extra != alarm_s:
                continue
            until_s, alarm_s = alarm_s, math.inf
            while seen < number:
                if T[seen, c.DEADLINE_S] < math.inf and J[seen, c.STATE] != c.NEW and not J[seen, c.SETTLED]:
                    lates = push(late_s, late, nothing, none, lates, T[seen, c.DEADLINE_S], seen)
                seen += 1
            while lates:
                if N[EVENTS] + most > room:
                    times, numbers, what, value = longer(times), longer_ints(numbers), longer_ints(what), longer(value)
                    room = len(times)
                late_one, at_s = late[0], late_s[0]
                waits = J[late_one, c.OUTCOME] == OPEN
                if waits and at_s > until_s:
                    alarm_s = at_s
                    make(N, times, numbers, what, value, now + (at_s - now), ALARM, at_s)
                    break
                lates = pop(late_s, late, nothing, none, lates)
                if not waits:
                    continue
                job = NOBODY
                while job != J[late_one, c.NEWEST]:  # else it was handed over at this very moment
                    job = J[late_one, c.NEWEST]
                    r = J[job, c.MACHINE]
                    come_through(r, S, X, J, T, K, M, now)
                    _look(r, first, N, S, X, J, T, K, M, speed, loads, order, times, numbers, what, value, now)
                    if J[late_one, c.OUTCOME] == OPEN and job == J[late_one, c.NEWEST]:
                        started = not math.isnan(T[job, c.STARTED_S])
                        if started:
                            _tell(N, J, T, late_one, TIMED_OUT, now)
                        if abort or not started:
                            remove(r, S, X, J, T, job, now)
                            come_through(r, S, X, J, T, K, M, now)
                            _look(r, first, N, S, X, J, T, K, M, speed, loads, order, times, numbers, what, value, now)
                            if not math.isnan(T[job, c.ENDED_S]) and not J[late_one, c.SETTLED]:
                                _settle(N, J, T, order, late_one, TIMED_OUT, now)
                    wake_s = changed(r, N, S, X, speed, loads, B, A, queues, areas, now)
                    wake(N, X, times, numbers, what, value, r, wake_s)
            continue
        if number == n:
            break
        now = max(now, arrives_s)
        if made < 0 and T[0, c.ARRIVED_S] > now:  # the first comes later than at once
            arrives_s, made = now + (T[0, c.ARRIVED_S] - now), N[MADE]
            N[MADE] += 1
            continue
        at_s = T[number, c.DEADLINE_S]
        r = assigned[number]
        if r < 0:
            by_prefix, r = r == BY_PREFIX, least_loaded(loads, 0, first)
            chain = M[J[number, c.PREFIX], 0] if by_prefix and J[number, c.PREFIX] else 0
            least, best = r, 0.0
            while chain:  # as PrefixAware scores them; without cached blocks none is above the least loaded
                other, following = M[chain, REPLICA], M[chain, SAME]
                if other < first and loads[other] <= imbalance * (loads[least] + 1.0):
                    come_to(other, S, X, J, T, K, M, now)
                    chain = chain_at(other, M, J[number, c.PREFIX])
                    cached = cached_tokens(other, S, J, M, chain, number) if chain else 0
                    score = cached / J[number, c.PROMPT] - weight * (loads[other] - loads[least]) / (loads[other] + 1.0)
                    equal = score == best and (loads[other], other) < (loads[r], r)
                    if score > best or equal:
                        r, best = other, score
                chain = following
        if turned_away(r, N, S, J, number, limit):
            _tell(N, J, T, number, REJECTED, now)
        else:
            come_to(r, S, X, J, T, K, M, now)
            enlist(r, S, J, K, number)
            join_line(r, S, X, J, T, number, now)
            wake_s = changed(r, N, S, X, speed, loads, B, A, queues, areas, now)
            wake(N, X, times, numbers, what, value, r, wake_s)
            if at_s < alarm_s:
                alarm_s = at_s
                make(N, times, numbers, what, value, now + (at_s - now), ALARM, at_s)
        if number % every == 0:
            for r in range(replicas):
                come_to(r, S, X, J, T, K, M, now)
                free[number // every, r] = S[r, c.FREE]
        T[number, c.ARRIVED_S], number = now, number + 1
        if number == n:
            arrives_s = math.inf
        elif T[number, c.ARRIVED_S] > now:
            arrives_s, made = now + (T[number, c.ARRIVED_S] - now), N[MADE]
            N[MADE] += 1
        else:
            arrives_s, made = now, -1  # no event comes between
    for r in range(replicas):
        come_through(r, S, X, J, T, K, M, now)
        _look(r, first, N, S, X, J, T, K, M, speed, loads, order, times, numbers, what, value, now)
        halt(r, S, X, J, T, K, now)
        changed(r, N, S, X, speed, loads, B, A, queues, areas, now)
    for job in range(n):
        if J[job, c.STATE] != c.NEW and not J[job, c.SETTLED]:
            _settle(N, J, T, order, job, UNFINISHED, now)
    change(B, A, queues, areas, now, N[WAITING], N[BUSY], N[SERVED])
    return now, order[: N[BILLED]]


def prepare() -> None:
    """Has it compiled, or loaded."""
    none, nothing = np.zeros(0, dtype=np.int64), np.zeros((0, 0), dtype=np.int64)
    jobs = np.zeros((0, c.N_JOB), dtype=np.int64), np.zeros((0, c.N_JOB_TIMES))
    timeline = np.zeros(6, dtype=np.int64), np.ones(6), np.zeros(1, dtype=np.int64), np.zeros((1, 3))
    replicas = np.zeros((0, c.N_ENGINE), dtype=np.int64), np.zeros((0, c.N_TIMES))
    memory = np.zeros((1, ROW), dtype=np.int64)
    rules = (none, np.zeros(0), 1.0, 1.0, 0, False)
    serve(*rules, *replicas, *jobs, np.zeros((0, KNOWN)), memory, *timeline, 1, nothing, 0)
