"""A node that is asked as a run goes on, in compiled code: what LlmNode, Wakes and Deadlines do, event by event.

Its events are among those of the world around it. A request is one row for as long as anybody asks for it.
"""

import math
from typing import NamedTuple

from fleetrec.simulator.cloud.compiled import columns as c
from fleetrec.simulator.cloud.compiled.columns import NOBODY
from fleetrec.simulator.cloud.compiled.events import pop, push
from fleetrec.simulator.cloud.compiled.node import (
    ALARM,
    COMPLETED,
    OPEN,
    REJECTED,
    TIMED_OUT,
    UNFINISHED,
    changed,
    least_loaded,
    make,
    turned_away,
    wake,
)
from fleetrec.simulator.cloud.compiled.replicas import come_through, come_to, enlist, halt, join_line, next_s, remove
from fleetrec.simulator.core.compiling import Floats, Ints, compiled, inlined

# A live node's integers `N`, after those of `node`:
SUBMITTED, FRESH, LATE, SETTLED, PROMPT_TOKENS, OUTPUT_TOKENS = range(8, 14)
LIMIT, ABORT = 14, 15  # its rules: how many may wait; whether one leaves whose client has gone
OUTCOMES_TOLD = 16  # how many had each outcome, from here on
N_NODE = 21
ALARM_S = 0
SHARE, PASSED, PLACE, ROW, N_SETTLED = 0, 1, 2, 3, 4  # of a request that has left: what it used where, and its row
DONE = 5  # what a world is told with the event of a row: its request has its answer, or none
WORLD = 1 << 40
"""from here on kinds of events are the world's: eight for each row"""


class Node(NamedTuple):
    """The arrays of a live node, and the events of the world that it is in."""

    N: Ints
    S: Ints
    X: Floats
    J: Ints
    T: Floats
    K: Floats
    M: Ints
    timeline: Ints
    areas: Floats
    """of the timeline's current bin, and its times"""
    queues: Ints
    bins: Floats
    speed: Floats
    loads: Floats
    alarm: Floats
    times: Floats
    """of events, a heap"""
    numbers: Ints
    what: Ints
    value: Floats
    late_s: Floats
    """of deadlines, a heap"""
    late: Ints
    late_row: Ints
    none: Floats
    fresh: Ints
    """rows and numbers of requests whose deadlines are not among those [R x 2]"""
    settled: Floats
    """requests that have left, in that order [x N_SETTLED]"""


@compiled
def _tell(n: Node, row: int, outcome: int, now: float) -> None:
    """`LlmNode._tell` of a client that waits."""
    n.J[row, c.OUTCOME], n.T[row, c.TOLD_S] = outcome, now
    n.N[OUTCOMES_TOLD + outcome] += 1
    make(n.N, n.times, n.numbers, n.what, n.value, now, WORLD + 8 * row + DONE, 0.0)


@compiled
def passed(J: Ints, row: int) -> int:
    """Tokens of a request that have passed through the weights of its replica, as `LlmTicket.bill` counts them."""
    of_prompt = max(min(J[row, c.COMPUTED], J[row, c.PROMPT]) - J[row, c.CACHED], 0)
    return int(of_prompt + J[row, c.WIDTH] * max(J[row, c.GENERATED] - 1, 0))


@compiled
def _settle(n: Node, row: int, outcome: int, now: float) -> None:
    """`LlmNode._settle`: what it used is known, and its client is told unless that has happened."""
    N, J, T = n.N, n.J, n.T
    place = N[SETTLED]
    n.settled[place, SHARE], n.settled[place, PASSED] = T[row, c.SHARE_S], passed(J, row)
    n.settled[place, PLACE], n.settled[place, ROW] = J[row, c.MACHINE], row
    N[SETTLED] += 1
    if not math.isnan(T[row, c.STARTED_S]):
        N[PROMPT_TOKENS] += J[row, c.PROMPT]
        N[OUTPUT_TOKENS] += J[row, c.OUTPUT] * J[row, c.WIDTH]
    J[row, c.SETTLED], T[row, c.ENDED_S] = 1, now
    if J[row, c.OUTCOME] == OPEN:
        _tell(n, row, outcome, now)


@inlined
def _look(n: Node, r: int, now: float) -> None:
    """`LlmNode._look`"""
    come_through(r, n.S, n.X, n.J, n.T, n.K, n.M, now)
    job = n.S[r, c.LEFT]
    n.S[r, c.LEFT] = NOBODY
    while job != NOBODY:
        following = n.J[job, c.NEXT]
        _settle(n, job, COMPLETED, now)
        job = following


@inlined
def _changed(n: Node, r: int, now: float) -> None:
    """`LlmNode._changed`"""
    wake_s = changed(r, n.N, n.S, n.X, n.speed, n.loads, n.timeline, n.areas, n.queues, n.bins, now)
    wake(n.N, n.X, n.times, n.numbers, n.what, n.value, r, wake_s)


@inlined
def on_wake(n: Node, r: int, armed_s: float, now: float) -> None:
    """`LlmNode._on_wake`; it wakes again at `armed_s` in any case."""
    n.X[r, c.ARMED_S] = armed_s
    wake_s = next_s(r, n.S, n.X)
    if wake_s <= now:
        _look(n, r, now)
        _changed(n, r, now)
    else:
        wake(n.N, n.X, n.times, n.numbers, n.what, n.value, r, wake_s)


@inlined
def _give_up(n: Node, row: int, now: float) -> None:
    """`LlmNode._give_up`: a client stops waiting that has not been told."""
    r = n.J[row, c.MACHINE]
    _look(n, r, now)
    if n.J[row, c.OUTCOME] == OPEN:
        started = not math.isnan(n.T[row, c.STARTED_S])
        if started:
            _tell(n, row, TIMED_OUT, now)
        if n.N[ABORT] or not started:
            remove(r, n.S, n.X, n.J, n.T, row, now)
            _look(n, r, now)
            if not math.isnan(n.T[row, c.ENDED_S]) and not n.J[row, c.SETTLED]:
                _settle(n, row, TIMED_OUT, now)
    _changed(n, r, now)


@inlined
def _set_alarm(n: Node, deadline_s: float, now: float) -> None:
    """`Deadlines._set`"""
    n.alarm[ALARM_S] = deadline_s
    make(n.N, n.times, n.numbers, n.what, n.value, now + (deadline_s - now), ALARM, deadline_s)


@inlined
def _waits(n: Node, row: int, ticket: int) -> bool:
    """Whether the client of this ticket still waits, whose row may be another's by now."""
    return bool(n.J[row, c.TICKET] == ticket and n.J[row, c.OUTCOME] == OPEN)


@inlined
def on_alarm(n: Node, deadline_s: float, now: float) -> None:
    """`Deadlines._on_alarm`"""
    N = n.N
    if deadline_s != n.alarm[ALARM_S]:
        return
    n.alarm[ALARM_S] = math.inf
    for place in range(N[FRESH]):
        row, ticket = n.fresh[place, 0], n.fresh[place, 1]
        if _waits(n, row, ticket):
            n.late_row[N[LATE]] = row
            N[LATE] = push(n.late_s, n.late, n.late_row, n.none, N[LATE], n.T[row, c.DEADLINE_S], ticket)
    N[FRESH] = 0
    while N[LATE]:
        at_s, ticket, row = n.late_s[0], n.late[0], n.late_row[0]
        waits = _waits(n, row, ticket)
        if waits and at_s > deadline_s:
            _set_alarm(n, at_s, now)
            return
        N[LATE] = pop(n.late_s, n.late, n.late_row, n.none, N[LATE])
        if waits:
            _give_up(n, row, now)


@inlined
def _sweep(n: Node) -> None:
    """Those whose clients no longer wait leave the list of fresh deadlines."""
    kept = 0
    for place in range(n.N[FRESH]):
        row, ticket = n.fresh[place, 0], n.fresh[place, 1]
        if _waits(n, row, ticket):
            n.fresh[kept, 0], n.fresh[kept, 1] = row, ticket
            kept += 1
    n.N[FRESH] = kept


@inlined
def submit(n: Node, row: int, r: int, prompt: int, output: int, sequences: int, deadline_s: float, now: float) -> int:
    """`LlmNode.submit`: a request arrives now and goes to replica `r`, or to the least loaded one where that is -1;
    its outcome if it is turned away, else OPEN: then an event says when it has its own."""
    N, J, T = n.N, n.J, n.T
    for column in range(c.N_JOB):
        J[row, column] = 0
    for column in range(c.N_JOB_TIMES):
        T[row, column] = 0.0
    J[row, c.PROMPT] = J[row, c.PREFILL] = prompt
    J[row, c.OUTPUT], J[row, c.WIDTH], J[row, c.MACHINE], J[row, c.TICKET] = output, sequences, NOBODY, N[SUBMITTED]
    T[row, c.STARTED_S] = T[row, c.FIRST_S] = T[row, c.ENDED_S] = T[row, c.TOLD_S] = math.nan
    T[row, c.ARRIVED_S], T[row, c.DEADLINE_S] = now, deadline_s
    N[SUBMITTED] += 1
    if r < 0:
        r = least_loaded(n.loads, 0, len(n.S))
    if turned_away(r, N, n.S, J, row, N[LIMIT]):
        J[row, c.OUTCOME], T[row, c.TOLD_S], J[row, c.SETTLED] = REJECTED, now, 1
        N[OUTCOMES_TOLD + REJECTED] += 1
        return REJECTED
    come_to(r, n.S, n.X, J, T, n.K, n.M, now)
    enlist(r, n.S, J, n.K, row)
    join_line(r, n.S, n.X, J, T, row, now)
    _changed(n, r, now)
    if N[FRESH] == len(n.fresh):
        _sweep(n)
    n.fresh[N[FRESH], 0], n.fresh[N[FRESH], 1] = row, J[row, c.TICKET]
    N[FRESH] += 1
    if deadline_s < n.alarm[ALARM_S]:
        _set_alarm(n, deadline_s, now)
    return OPEN


@inlined
def close(n: Node, still_open: Ints, now: float) -> None:
    """`LlmNode.close`; `still_open` are the rows of those that have not left, in order of arrival."""
    for r in range(len(n.S)):
        _look(n, r, now)
        halt(r, n.S, n.X, n.J, n.T, n.K, now)
        _changed(n, r, now)
    for row in still_open:
        if not n.J[row, c.SETTLED]:
            _settle(n, row, UNFINISHED, now)
