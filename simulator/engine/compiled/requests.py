"""One request from the decision to ask to its one outcome, in compiled code: see request_process.py and device.py.

A request waits for one event at a time; where Python's process goes on from a `yield`, a function here is called.
"""

import math

from fleetrec.simulator.cloud.compiled import columns as jobs
from fleetrec.simulator.cloud.compiled import live
from fleetrec.simulator.cloud.compiled.events import push
from fleetrec.simulator.cloud.compiled.live import DONE, WORLD, Node
from fleetrec.simulator.cloud.compiled.node import COMPLETED, EVENTS, MADE, OPEN, TIMED_OUT
from fleetrec.simulator.core.compiling import compiled, inlined
from fleetrec.simulator.engine.compiled import columns as c
from fleetrec.simulator.engine.compiled.columns import NOBODY, Fleet, Requests, Told
from fleetrec.simulator.engine.compiled.devices import (
    catch_up,
    decide_between,
    give_up_waiting,
    land,
    next_look,
)
from fleetrec.simulator.engine.compiled.links import message_s, next_online, next_reachable, reachable_until, uniform

# What an event of a request means; DONE is the node's:
BACK, IS_LOST, IS_LATE, ARRIVES, LANDS = range(5)
_FIRST_OF_ALL = -(1 << 60)
BUCKET_S = 64.0


@compiled
def wakes(f: Fleet, n: Node, told: Told, d: int, time_s: float) -> None:
    """A device waits until then, before all others that wake then: `Clock.until` and `Clock.defer`."""
    if time_s >= told.clock[c.NEAR_S]:
        bucket = int(min(time_s / BUCKET_S, float(len(f.heads) - 1)))
        f.F[d, c.WAKES_S], f.D[d, c.FOLLOWING] = time_s, f.heads[bucket]
        f.heads[bucket] = d
        f.waiting[bucket] += 1
        return
    n.what[n.N[EVENTS]], n.value[n.N[EVENTS]] = -2 - d, 0.0
    n.N[EVENTS] = push(n.times, n.numbers, n.what, n.value, n.N[EVENTS], time_s, _FIRST_OF_ALL + d)


@compiled
def _after(n: Node, row: int, kind: int, now: float, delay_s: float) -> None:
    """`Clock.after`"""
    n.what[n.N[EVENTS]], n.value[n.N[EVENTS]] = WORLD + 8 * row + kind, 0.0
    n.N[EVENTS] = push(n.times, n.numbers, n.what, n.value, n.N[EVENTS], now + delay_s, n.N[MADE])
    n.N[MADE] += 1


@inlined
def _begin(f: Fleet, q: Requests, n: Node, told: Told, row: int, now: float) -> None:
    """`Requests.process`, from its beginning."""
    d, deadline_s = q.R[row, c.DEVICE], q.Q[row, c.DEADLINE_S]
    if reachable_until(f, d, now) > now:
        _send(f, q, n, told, row, now)
        return
    back_s = min(next_reachable(f, d, now), deadline_s)
    _after(n, row, IS_LOST if back_s >= deadline_s else BACK, now, back_s - now)


@inlined
def _spend(f: Fleet, q: Requests, told: Told, d: int, joules: float, now: float) -> None:
    """`Device.spend`"""
    catch_up(f, q, told, d, now, False)
    f.F[d, c.OTHER_J] += joules


@compiled
def _send(f: Fleet, q: Requests, n: Node, told: Told, row: int, now: float) -> None:
    d, step, deadline_s = q.R[row, c.DEVICE], q.R[row, c.OF_STEP], q.Q[row, c.DEADLINE_S]
    items = min(step + 1, f.G[c.HISTORY_ITEMS])
    if f.G[c.STORES_HISTORY] and f.D[d, c.AS_OF] >= 0:
        items = min(items, step - f.D[d, c.AS_OF])
    q.Q[row, c.BYTES_UP] = f.H[c.OVERHEAD_BYTES] + f.H[c.ITEM_BYTES] * max(items, 0)
    draw = uniform(f.G[c.UP_SEED], d + f.G[c.FIRST_DEVICE], step, q.R[row, c.OF_ATTEMPT])
    up_s = message_s(f, d, draw, q.Q[row, c.BYTES_UP], f.F[d, c.UP_BYTE_S], now)
    if up_s == math.inf:
        _after(n, row, IS_LOST, now, max(deadline_s - now, 0.0))
        return
    _spend(f, q, told, d, f.F[d, c.RADIO_W] * up_s, now)
    if now + up_s >= deadline_s:
        _after(n, row, IS_LATE, now, deadline_s - now)
    else:
        _after(n, row, ARRIVES, now, up_s)


@compiled
def _answer(f: Fleet, q: Requests, n: Node, told: Told, row: int, now: float) -> None:
    """Its list begins to travel down."""
    d, deadline_s = q.R[row, c.DEVICE], q.Q[row, c.DEADLINE_S]
    q.Q[row, c.BYTES_DOWN] = f.H[c.ANSWER_BYTES]
    draw = uniform(f.G[c.DOWN_SEED], d + f.G[c.FIRST_DEVICE], q.R[row, c.OF_STEP], q.R[row, c.OF_ATTEMPT])
    down_s = message_s(f, d, draw, q.Q[row, c.BYTES_DOWN], f.F[d, c.DOWN_BYTE_S], now)
    if down_s == math.inf:
        _after(n, row, IS_LOST, now, max(deadline_s - now, 0.0))
        return
    _spend(f, q, told, d, f.F[d, c.RADIO_W] * down_s, now)
    if now + down_s > deadline_s:
        _after(n, row, IS_LATE, now, max(deadline_s - now, 0.0))
    else:
        _after(n, row, LANDS, now, down_s)


@inlined
def _arrive(f: Fleet, q: Requests, n: Node, told: Told, row: int, now: float) -> None:
    R, Q, d, step = q.R, q.Q, q.R[row, c.DEVICE], q.R[row, c.OF_STEP]
    Q[row, c.ARRIVED_S] = now
    if f.G[c.STORES_LISTS] and f.D[d, c.STORED] == step:
        Q[row, c.STARTED_S] = Q[row, c.FINISHED_S] = now
        _answer(f, q, n, told, row, now)
        return
    prompt, output, sequences = f.tokens[step + 1, 0], f.tokens[step + 1, 1], f.tokens[step + 1, 2]
    came, place = told.came, told.C[c.CAME]
    came[place, 0], came[place, 1] = Q[row, c.ISSUED_S], now
    came[place, 2], came[place, 3], came[place, 4], came[place, 5] = prompt, output, sequences, d
    told.C[c.CAME] += 1
    R[row, c.HAS_TICKET], R[row, c.PROMPT_TOKENS], R[row, c.OUTPUT_TOKENS] = 1, prompt, output * sequences
    outcome = live.submit(n, row, f.assigned[d], prompt, output, sequences, Q[row, c.DEADLINE_S], now)
    if outcome != OPEN:
        served(f, q, n, told, row, now)


@inlined
def served(f: Fleet, q: Requests, n: Node, told: Told, row: int, now: float) -> None:
    """What comes after `served = yield record.ticket.done`."""
    R, Q, J, T, d = q.R, q.Q, n.J, n.T, q.R[row, c.DEVICE]
    Q[row, c.STARTED_S], Q[row, c.FINISHED_S] = T[row, jobs.STARTED_S], T[row, jobs.TOLD_S]
    if not math.isnan(T[row, jobs.STARTED_S]):
        R[row, c.REPLICA] = J[row, jobs.MACHINE]
    outcome = J[row, jobs.OUTCOME]
    if outcome != COMPLETED:
        _end(f, q, n, told, row, c.TIMED_OUT if outcome == TIMED_OUT else c.REJECTED, now)
        return
    if f.G[c.STORES_LISTS]:
        f.D[d, c.STORED] = max(R[row, c.OF_STEP], f.D[d, c.STORED])
    _answer(f, q, n, told, row, now)


@compiled
def record(q: Requests, n: Node, told: Told, row: int) -> None:
    """`RequestLedger._record`; the row is free once no replica lists it."""
    R, Q, C, T, J = q.R, q.Q, told.C, n.T, n.J
    to, place = told.requests, told.C[c.RECORDED]
    to[place, 0], to[place, 1], to[place, 2] = R[row, c.NUMBER], R[row, c.DEVICE], R[row, c.OF_STEP]
    to[place, 3], to[place, 4], to[place, 5] = Q[row, c.ISSUED_S], Q[row, c.ARRIVED_S], Q[row, c.STARTED_S]
    to[place, 6], to[place, 7] = Q[row, c.FINISHED_S], Q[row, c.DELIVERED_S]
    to[place, 8], to[place, 9], to[place, 10] = R[row, c.PROMPT_TOKENS], R[row, c.OUTPUT_TOKENS], R[row, c.REPLICA]
    to[place, 11], to[place, 12] = Q[row, c.BYTES_UP], Q[row, c.BYTES_DOWN]
    to[place, c.RECORDED_OUTCOME] = R[row, c.OUTCOME]
    to[place, c.SHARE_S] = to[place, c.PASSED] = 0.0
    to[place, c.FIRST_TOKEN_S], to[place, c.MACHINE] = math.nan, NOBODY
    if R[row, c.HAS_TICKET]:
        to[place, c.SHARE_S], to[place, c.PASSED] = T[row, jobs.SHARE_S], live.passed(J, row)
        to[place, c.MACHINE] = J[row, jobs.MACHINE]
        to[place, c.TICKET_STARTED_S], to[place, c.TICKET_FINISHED_S] = T[row, jobs.STARTED_S], T[row, jobs.ENDED_S]
        if not math.isnan(T[row, jobs.STARTED_S]):
            to[place, c.FIRST_TOKEN_S] = T[row, jobs.FIRST_S]
    C[c.RECORDED] += 1
    R[row, c.STATE] = c.ENDED
    if R[row, c.HAS_TICKET] and J[row, jobs.LISTED]:
        q.zombies[C[c.ZOMBIES]] = row
        C[c.ZOMBIES] += 1
    else:
        _free(q, told, row)


@inlined
def _free(q: Requests, told: Told, row: int) -> None:
    q.R[row, c.STATE] = c.FREE
    q.spare[told.C[c.SPARE]] = row
    told.C[c.SPARE] += 1


@inlined
def sweep(q: Requests, n: Node, told: Told) -> None:
    """Rows that no replica lists any more are free."""
    kept = 0
    for place in range(told.C[c.ZOMBIES]):
        row = q.zombies[place]
        if n.J[row, jobs.LISTED]:
            q.zombies[kept] = row
            kept += 1
        else:
            _free(q, told, row)
    told.C[c.ZOMBIES] = kept


@inlined
def settle(q: Requests, n: Node, told: Told) -> None:
    """`RequestLedger.settle` of those that have just left the node."""
    while told.C[c.SEEN] < n.N[live.SETTLED]:
        row = int(n.settled[told.C[c.SEEN], live.ROW])
        if q.R[row, c.STATE] == c.CONCLUDED:
            record(q, n, told, row)
        told.C[c.SEEN] += 1


@compiled
def _end(f: Fleet, q: Requests, n: Node, told: Told, row: int, outcome: int, now: float) -> None:
    """`Requests._end` and what comes after it: the device learns of it, and perhaps asks again at once."""
    R, d = q.R, q.R[row, c.DEVICE]
    R[row, c.OUTCOME] = outcome if now <= f.F[d, c.LEFT_S] else c.ABANDONED
    completed = R[row, c.OUTCOME] == c.COMPLETED
    catch_up(f, q, told, d, now, False)
    f.D[d, c.IN_FLIGHT] = 0
    step, number = R[row, c.OF_STEP], R[row, c.NUMBER]
    if completed:
        land(f, told, d, step, q.Q[row, c.ISSUED_S], now)
    elif f.D[d, c.AWAITED] == number:
        give_up_waiting(f, d, now)
    if R[row, c.HAS_TICKET] and not n.J[row, jobs.SETTLED]:
        R[row, c.STATE] = c.CONCLUDED
    else:
        record(q, n, told, row)
    if f.G[c.AT_ANSWER] and completed and f.D[d, c.STEP] > step:
        decide_between(f, q, told, d, now)


@compiled
def goes_on(f: Fleet, q: Requests, n: Node, told: Told, d: int, now: float) -> None:
    """A device that has done what was to be done sends what it has decided to ask, or waits for its next interaction:
    the loop of `Device.live`."""
    asked = f.D[d, c.ASKED]
    if asked != NOBODY:
        f.D[d, c.ASKED] = NOBODY
        _begin(f, q, n, told, asked, now)
    elif f.D[d, c.ROW] < f.D[d, c.END]:
        f.F[d, c.ONLINE_S] = next_online(f, d, now) if f.G[c.ONLINE] else math.inf
        wakes(f, n, told, d, max(min(f.times[next_look(f, d)], f.F[d, c.ONLINE_S]), now))


@inlined
def on_request(f: Fleet, q: Requests, n: Node, told: Told, row: int, kind: int, now: float) -> None:
    """An event of a request."""
    d = q.R[row, c.DEVICE]
    if kind == BACK:
        _send(f, q, n, told, row, now)
    elif kind == ARRIVES:
        _arrive(f, q, n, told, row, now)
    elif kind == DONE:
        served(f, q, n, told, row, now)
    elif kind == IS_LOST:
        _end(f, q, n, told, row, c.LOST, now)
    elif kind == IS_LATE:
        _end(f, q, n, told, row, c.TIMED_OUT, now)
    else:
        q.Q[row, c.DELIVERED_S] = now
        _end(f, q, n, told, row, c.COMPLETED, now)
    if not f.D[d, c.IN_FLIGHT] or f.D[d, c.ASKED] != NOBODY:
        goes_on(f, q, n, told, d, now)
