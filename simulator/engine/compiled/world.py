"""A world whose requests are known ahead, event by event, in compiled code: what the clock and all its processes do."""

import math
import statistics

import numpy as np

from fleetrec.simulator.cloud.compiled import columns as jobs
from fleetrec.simulator.cloud.compiled import live, node
from fleetrec.simulator.cloud.compiled.events import pop
from fleetrec.simulator.cloud.compiled.live import SETTLED, WORLD, Node
from fleetrec.simulator.cloud.compiled.memory import ROW
from fleetrec.simulator.cloud.compiled.timing import KNOWN, kind_row
from fleetrec.simulator.core.compiling import Floats, Ints, compiled, inlined, kept
from fleetrec.simulator.core.randomness import Draws, seed_of
from fleetrec.simulator.engine.compiled import columns as c
from fleetrec.simulator.engine.compiled.columns import Fleet, Requests, Told
from fleetrec.simulator.engine.compiled.devices import catch_up, decide, decide_between, rank
from fleetrec.simulator.engine.compiled.links import normal_quantile, uniform
from fleetrec.simulator.engine.compiled.requests import BUCKET_S, goes_on, on_request, record, settle, sweep, wakes

__all__ = ["BUCKET_S", "c", "drawn", "go", "jobs", "kind_row", "live", "node", "prepare"]

BEGIN, ADVANCE, FINISH, CLOSE = range(4)

THERE, FULL = 0, 1
"""how far one call has come: to its end, or as far as there is room for what is to be told"""


@inlined
def _join(f: Fleet, q: Requests, told: Told, d: int, now: float) -> None:
    """The first lines of `Device.live`."""
    D, F = f.D, f.F
    D[d, c.JOINED] = 1
    F[d, c.SINCE_S] = F[d, c.LIST_TIME_S] = now
    F[d, c.NEWEST_S] = now if now > 0.0 else -math.inf
    D[d, c.AS_OF] = D[d, c.STORED]
    rank(f, told, d, now)
    if f.joining[d]:
        decide(f, q, told, d, now, True)


@inlined
def _wake(f: Fleet, q: Requests, n: Node, told: Told, d: int, now: float) -> None:
    """A device that waits goes on."""
    if f.D[d, c.JOINED]:
        catch_up(f, q, told, d, now, f.G[c.AT_INTERACTION] > 0)
        if now == f.F[d, c.ONLINE_S]:
            decide_between(f, q, told, d, now)
    else:
        _join(f, q, told, d, now)
    goes_on(f, q, n, told, d, now)


@inlined
def _events_fit(n: Node, told: Told, more: int) -> bool:
    """Whether there is room for so many events more, and for all that one event may bring about."""
    under_way = told.C[c.ROWS_USED] - told.C[c.SPARE]
    return bool(n.N[node.EVENTS] + more + 4 * under_way + len(n.S) + 64 <= len(n.times))


@inlined
def _room(f: Fleet, q: Requests, n: Node, told: Told, longest: int) -> bool:
    """Whether there is room for all that one event may tell and bring about. `longest`: rows of the longest stream."""
    C, spread = told.C, 2 * longest + 16
    if C[c.RUNS] + spread > len(told.runs) or C[c.RANKED] + spread > len(told.slates):
        return False
    if C[c.INTERACTIONS] >= len(told.came):
        return False
    if not C[c.SPARE] and C[c.ROWS_USED] == len(q.R):
        sweep(q, n, told)
        if C[c.SPARE] < max(len(q.R) // 4, 1):
            return False
    under_way = C[c.ROWS_USED] - C[c.SPARE]
    if C[c.RECORDED] + under_way + spread > len(told.requests) or C[c.CAME] == len(told.came):
        return False
    if n.N[SETTLED] + under_way + 16 > len(n.settled) or n.N[live.LATE] + n.N[live.FRESH] + 1 > len(n.late):
        return False
    return _events_fit(n, told, 0)


@inlined
def _advance(f: Fleet, q: Requests, n: Node, told: Told, longest: int, until_s: float) -> int:
    clock, C = told.clock, told.C
    while True:
        if not _room(f, q, n, told, longest):
            return FULL
        stop_s = min(clock[c.NEAR_S], until_s)
        if n.N[node.EVENTS] and n.times[0] < stop_s:
            now, what, extra = n.times[0], n.what[0], n.value[0]
            n.N[node.EVENTS] = pop(n.times, n.numbers, n.what, n.value, n.N[node.EVENTS])
            clock[c.NOW_S] = now
            if what >= WORLD:
                on_request(f, q, n, told, (what - WORLD) // 8, (what - WORLD) % 8, now)
            elif what < node.ALARM:
                _wake(f, q, n, told, -2 - what, now)
            else:
                if what == node.ALARM:
                    live.on_alarm(n, extra, now)
                else:
                    live.on_wake(n, what, extra, now)
                settle(q, n, told)
        elif stop_s == until_s:
            return THERE
        else:
            bucket = C[c.BUCKET]
            if not _events_fit(n, told, f.waiting[bucket]):
                return FULL
            C[c.BUCKET] += 1
            clock[c.NEAR_S] = math.inf if C[c.BUCKET] == len(f.heads) else C[c.BUCKET] * BUCKET_S
            d = f.heads[bucket]
            f.heads[bucket], f.waiting[bucket] = c.NOBODY, 0
            while d != c.NOBODY:
                following = f.D[d, c.FOLLOWING]
                wakes(f, n, told, d, f.F[d, c.WAKES_S])
                d = following


@inlined
def _begin(f: Fleet, n: Node, told: Told, joins_s: Floats, horizon_s: float) -> None:
    for d in range(len(joins_s)):
        if joins_s[d] <= horizon_s:
            wakes(f, n, told, d, max(joins_s[d], 0.0))


@inlined
def _finish(f: Fleet, q: Requests, n: Node, told: Told, longest: int, end_s: float) -> int:
    C = told.C
    while C[c.CLOSED_UPTO] < len(f.D):
        if not _room(f, q, n, told, longest):
            return FULL
        catch_up(f, q, told, C[c.CLOSED_UPTO], end_s, False)
        C[c.CLOSED_UPTO] += 1
    return THERE


@inlined
def _close(q: Requests, n: Node, told: Told, in_order: Ints, under_way: Ints, end_s: float) -> None:
    R, Q = q.R, q.Q
    live.close(n, in_order, end_s)
    settle(q, n, told)
    for row in under_way:
        if R[row, c.STATE] == c.UNDER_WAY:
            if R[row, c.HAS_TICKET]:
                Q[row, c.STARTED_S] = n.T[row, jobs.STARTED_S]
                if not math.isnan(n.T[row, jobs.STARTED_S]):
                    R[row, c.REPLICA] = n.J[row, jobs.MACHINE]
            record(q, n, told, row)


@compiled
def _do(
    task: int,
    f: Fleet,
    q: Requests,
    n: Node,
    told: Told,
    longest: int,
    until_s: float,
    joins_s: Floats,
    in_order: Ints,
    under_way: Ints,
) -> int:
    if task == BEGIN:
        _begin(f, n, told, joins_s, until_s)
    elif task == ADVANCE:
        return _advance(f, q, n, told, longest, until_s)
    elif task == FINISH:
        return _finish(f, q, n, told, longest, until_s)
    else:
        _close(q, n, told, in_order, under_way, until_s)
    return THERE


@kept
def go(
    task: int,
    f: Fleet,
    q: Requests,
    n: Node,
    told: Told,
    longest: int,
    until_s: float,
    joins_s: Floats,
    in_order: Ints,
    under_way: Ints,
) -> int:
    """One of four tasks; FULL where what is told must be taken away, or room be made, before it goes on.

    BEGIN: devices wait for the moment at which they join [n], if that is not later than `until_s`. ADVANCE: all that
    happens before `until_s`. FINISH: devices tell what they have not told by then. CLOSE: the node and all requests
    end; `in_order` are the rows of those that are at the node, as they came there, and `under_way` those of all that
    have not ended for their device. `longest`: rows of the longest stream.
    """
    return _do(task, f, q, n, told, longest, until_s, joins_s, in_order, under_way)


@kept
def drawn(seed: int, numbers: Ints, p: Floats, found: Floats) -> None:
    """Numbers [N x 3] as compiled code draws them: the uniform of each device at step 3, attempt 1; the normal of each
    probability `p` [N], and its exponential."""
    for place in range(len(numbers)):
        found[place, 0] = uniform(seed, numbers[place], 3, 1)
        found[place, 1] = normal_quantile(p[place])
        found[place, 2] = math.exp(p[place])


def _same_numbers() -> bool:
    """Whether numbers come out here as they do in Python, to the last bit."""
    numbers = np.arange(2_000)
    draws = Draws(1)
    p = np.append(draws.uniform("compiled.check", numbers[:-3]), [1e-12, 1.0 - 1e-12, 0.5])
    found = np.zeros((len(numbers), 3))
    drawn(seed_of(1, "compiled.check"), numbers, p, found)
    quantile = statistics.NormalDist().inv_cdf
    expected = np.array([(0.0, quantile(one), math.exp(one)) for one in p.tolist()])
    expected[:, 0] = draws.uniform("compiled.check", numbers, 3, 1)
    return bool((found == expected).all())


def prepare() -> None:
    """Has it compiled, or loaded."""
    none, nothing = np.zeros(0, dtype=np.int64), np.zeros((0, 1), dtype=np.int64)
    times, table = np.zeros(0), np.zeros((0, 1))
    rows, flags = np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.bool_)
    counts = np.zeros(c.N_COUNTS, dtype=np.int64), np.zeros(2)
    fleet = Fleet(
        nothing,
        table,
        np.zeros(c.N_RULES, dtype=np.int64),
        np.zeros(c.N_AMOUNTS),
        times,
        rows,
        rows,
        flags,
        flags,
        flags,
        none,
        np.zeros(1, dtype=np.int64),
        times,
        nothing,
        none,
        none,
        none,
    )
    told, requests = Told(*counts, table, table, table, table), Requests(nothing, table, none, none)
    memory = np.zeros((1, ROW), dtype=np.int64)
    timeline = np.zeros(6, dtype=np.int64), np.ones(6), np.zeros(1, dtype=np.int64), np.zeros((1, 3))
    empty = Node(
        np.zeros(live.N_NODE, dtype=np.int64),
        nothing,
        table,
        nothing,
        table,
        np.zeros((0, KNOWN)),
        memory,
        *timeline,
        times,
        times,
        np.full(1, math.inf),
        times,
        none,
        none,
        times,
        times,
        none,
        none,
        times,
        nothing,
        table,
    )
    go(BEGIN, fleet, requests, empty, told, 0, 0.0, times, none, none)
    if not _same_numbers():
        raise ArithmeticError("numbers come out with other last bits in compiled code than in Python")
