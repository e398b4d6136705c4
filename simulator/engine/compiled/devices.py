"""The life of one device, in compiled code: see device.py, whose functions these are."""

import math

from fleetrec.simulator.core.compiling import compiled, inlined
from fleetrec.simulator.engine.compiled import columns as c
from fleetrec.simulator.engine.compiled.columns import NOBODY, Fleet, Requests, Told
from fleetrec.simulator.engine.compiled.links import reachable_until
from fleetrec.simulator.engine.compiled.plans import next_ask, wants

NO_SLATE = -1


@inlined
def exhausted(f: Fleet, d: int) -> bool:
    """Whether its battery is empty."""
    F = f.F
    return bool(f.D[d, c.RANKINGS] * F[d, c.COMPUTE_J] + F[d, c.OTHER_J] >= F[d, c.BATTERY_J])


@inlined
def _on_screen(f: Fleet, d: int, now: float) -> int:
    if f.F[d, c.NEXT_READY_S] < now:
        f.D[d, c.SHOWN_SLATE] = f.D[d, c.NEXT_SLATE]
    return int(f.D[d, c.SHOWN_SLATE])


@compiled
def _add_slates(f: Fleet, told: Told, d: int, step: int, n: int) -> int:
    """`SlateTable.add`"""
    place, first = told.C[c.RANKED], told.C[c.SLATES]
    told.slates[place, 0], told.slates[place, 1], told.slates[place, 2] = d, f.D[d, c.AS_OF], step
    told.slates[place, 3], told.slates[place, 5] = f.F[d, c.LIST_TIME_S], n  # by the first weights, which are 0
    told.C[c.RANKED] += 1
    told.C[c.SLATES] += n
    return int(first)


@compiled
def rank(f: Fleet, told: Told, d: int, now: float) -> int:
    """`Device._rank`"""
    D, F = f.D, f.F
    _on_screen(f, d, now)
    made = _add_slates(f, told, d, D[d, c.STEP], 1)
    D[d, c.NEXT_SLATE], D[d, c.RANKINGS] = made, D[d, c.RANKINGS] + 1
    F[d, c.NEXT_READY_S] = F[d, c.FIRST_READY_S] = now + F[d, c.COMPUTE_S]
    return made


@inlined
def rank_again(f: Fleet, told: Told, d: int, now: float) -> None:
    """`Device._rank_again`"""
    finished, first_ready_s = f.F[d, c.NEXT_READY_S] < now, f.F[d, c.FIRST_READY_S]
    rank(f, told, d, now)
    if finished:
        f.F[d, c.FIRST_READY_S] = first_ready_s


@inlined
def _interacted(
    told: Told,
    row: int,
    n: int,
    slate: int,
    seen_upto: int,
    decided: int,
    request: int,
    latency_s: float,
    compute_s: float,
) -> None:
    """`Recorder.interacted`"""
    runs, place = told.runs, told.C[c.RUNS]
    runs[place, 0], runs[place, 1], runs[place, 2], runs[place, 3] = row, n, slate, seen_upto
    runs[place, 4], runs[place, 5], runs[place, 6], runs[place, 7] = decided, request, latency_s, compute_s
    told.C[c.RUNS] += 1
    told.C[c.INTERACTIONS] += n


@inlined
def _pass(f: Fleet, d: int, decisions: int) -> None:
    if f.G[c.BUDGETED]:
        ratio, most = f.H[c.RATIO], max(f.H[c.BURST], f.H[c.RATIO])
        for _ in range(decisions):
            f.F[d, c.TOKENS] = min(f.F[d, c.TOKENS] + ratio, most)
    f.D[d, c.DECISIONS] += decisions


@inlined
def issue(f: Fleet, q: Requests, told: Told, d: int, now: float) -> int:
    """`RequestLedger.issue`: the row of the request."""
    C, R, Q = told.C, q.R, q.Q
    if C[c.SPARE]:
        C[c.SPARE] -= 1
        row = q.spare[C[c.SPARE]]
    else:
        row = C[c.ROWS_USED]
        C[c.ROWS_USED] += 1
    for column in range(c.N_REQUEST):
        R[row, column] = 0
    R[row, c.NUMBER], R[row, c.DEVICE], R[row, c.OF_STEP], R[row, c.REPLICA] = C[c.ISSUED], d, f.D[d, c.STEP], NOBODY
    R[row, c.STATE] = c.UNDER_WAY
    for column in range(c.N_REQUEST_TIMES):
        Q[row, column] = math.nan
    Q[row, c.ISSUED_S], Q[row, c.DEADLINE_S] = now, now + f.H[c.TIMEOUT_S]
    Q[row, c.BYTES_UP] = Q[row, c.BYTES_DOWN] = 0.0
    C[c.ISSUED] += 1
    return int(row)


@inlined
def _lost_offline(f: Fleet, told: Told, d: int, now: float) -> int:
    """`Requests.lost_offline`"""
    C, record, place = told.C, told.requests, told.C[c.RECORDED]
    number = C[c.ISSUED]
    for column in range(c.N_RECORDED):
        record[place, column] = 0.0
    record[place, 0], record[place, 1], record[place, 2], record[place, 3] = number, d, f.D[d, c.STEP], now
    record[place, 4] = record[place, 5] = record[place, 6] = record[place, 7] = math.nan
    record[place, 10], record[place, c.MACHINE] = NOBODY, NOBODY
    record[place, c.FIRST_TOKEN_S] = math.nan
    record[place, c.RECORDED_OUTCOME] = c.LOST
    C[c.ISSUED] += 1
    C[c.RECORDED] += 1
    return int(number)


@compiled
def decide(f: Fleet, q: Requests, told: Told, d: int, now: float, waits: bool) -> int:
    """`Device._decide`"""
    D, F, G = f.D, f.F, f.G
    asks = not D[d, c.IN_FLIGHT] and wants(f, d, now)
    _pass(f, d, 1)
    if not asks or (G[c.BUDGETED] and F[d, c.TOKENS] < 1.0 - 1e-9):
        return -1
    if G[c.FAILS_OFFLINE] and not reachable_until(f, d, now) > now:
        return _lost_offline(f, told, d, now)
    if G[c.BUDGETED]:
        F[d, c.TOKENS] -= 1.0
    D[d, c.IN_FLIGHT] = 1
    D[d, c.AGAIN] = D[d, c.AGAIN] + 1 if D[d, c.STEP] == D[d, c.ASKED_STEP] else 0
    D[d, c.ASKED_STEP] = D[d, c.STEP]
    row = issue(f, q, told, d, now)
    q.R[row, c.OF_ATTEMPT] = 1 + D[d, c.AGAIN] if D[d, c.AGAIN] else 0
    D[d, c.ASKED] = row
    number = q.R[row, c.NUMBER]
    if G[c.BLOCKING] and waits:
        D[d, c.AWAITED] = number
        ready_s = max(F[d, c.NEXT_READY_S], now + f.H[c.PATIENCE_S])
        F[d, c.FIRST_READY_S] = F[d, c.NEXT_READY_S] = ready_s
    return int(number)


@compiled
def decide_between(f: Fleet, q: Requests, told: Told, d: int, now: float) -> None:
    """`Device._decide_between`"""
    if not f.D[d, c.IN_FLIGHT] and f.D[d, c.STEP] > f.D[d, c.AS_OF] and not exhausted(f, d):
        decide(f, q, told, d, now, False)


@compiled
def _interact(f: Fleet, q: Requests, told: Told, d: int, decides: bool) -> None:
    """`Device._interact` of a user who has what the log says."""
    D, F, times, row = f.D, f.F, f.times, f.D[d, c.ROW]
    now, after = times[row], row + 1
    while after < D[d, c.END] and times[after] == now:
        after += 1
    slate, latency_s = _on_screen(f, d, now), min(F[d, c.FIRST_READY_S], now) - F[d, c.SINCE_S]
    seen_upto = D[d, c.STEP]
    D[d, c.ROW], D[d, c.STEP], D[d, c.AWAITED] = after, seen_upto + after - row, NOBODY
    F[d, c.LAST_GAP_S], F[d, c.SINCE_S] = now - F[d, c.NEWEST_S], now
    F[d, c.NEWEST_S] = now
    decided, request = NO_SLATE, -1
    if exhausted(f, d):
        F[d, c.FIRST_READY_S] = now
        slate = NO_SLATE if f.G[c.EMPTY_IS_MISS] else slate
    else:
        decided = rank(f, told, d, now)
        if decides:
            request = decide(f, q, told, d, now, True)
        elif f.G[c.AT_INTERACTION]:
            _pass(f, d, 1)
    for other in range(row, after - 1):
        _interacted(told, other, 1, slate, seen_upto, NO_SLATE, -1, latency_s, 0.0)
    _interacted(told, after - 1, 1, slate, seen_upto, decided, request, latency_s, 0.0)


@compiled
def _skip(f: Fleet, q: Requests, told: Told, d: int, until_s: float, decides: bool) -> bool:
    """`Device._skip`, with `quiet_rows` and `fast_forward`."""
    D, F, times, row = f.D, f.F, f.times, f.D[d, c.ROW]
    stop, most = row, min(D[d, c.END], f.next_tie[row])
    while stop < most and times[stop] <= until_s:
        stop += 1
    n, compute_s = stop - row, F[d, c.COMPUTE_S]
    used_j = (D[d, c.RANKINGS] + n) * F[d, c.COMPUTE_J] + F[d, c.OTHER_J]
    if n <= 0 or used_j >= F[d, c.BATTERY_J]:
        return False
    newest = last = stop - 1
    while newest > row and times[newest - 1] + compute_s >= times[newest]:
        newest -= 1
    on_screen = newest - row - 1
    gap_s, now = times[last] - (times[last - 1] if last > row else F[d, c.NEWEST_S]), times[last]
    slate, latency_s = _on_screen(f, d, times[row]), min(F[d, c.FIRST_READY_S], times[row]) - F[d, c.SINCE_S]
    seen_upto, request = D[d, c.STEP], -1
    first = _add_slates(f, told, d, seen_upto + 1, n)
    D[d, c.ROW], D[d, c.STEP], D[d, c.AWAITED] = stop, seen_upto + n, NOBODY
    D[d, c.RANKINGS] += n
    if on_screen >= 0:
        D[d, c.SHOWN_SLATE] = first + on_screen
    F[d, c.LAST_GAP_S], F[d, c.SINCE_S], F[d, c.NEWEST_S] = gap_s, now, now
    D[d, c.NEXT_SLATE] = first + n - 1
    F[d, c.FIRST_READY_S] = F[d, c.NEXT_READY_S] = now + compute_s
    if decides and now == until_s:
        _pass(f, d, n - 1)
        request = decide(f, q, told, d, now, True)
    elif f.G[c.AT_INTERACTION]:
        _pass(f, d, n)
    _interacted(told, row, n, slate, seen_upto, first, request, latency_s, compute_s)
    return True


@compiled
def catch_up(f: Fleet, q: Requests, told: Told, d: int, until_s: float, decides: bool) -> None:
    """`Device.catch_up`"""
    D, times = f.D, f.times
    while D[d, c.ROW] < D[d, c.END] and times[D[d, c.ROW]] <= until_s:
        if not _skip(f, q, told, d, until_s, decides):
            _interact(f, q, told, d, decides and times[D[d, c.ROW]] == until_s)


@inlined
def next_look(f: Fleet, d: int) -> int:
    """`Device._next_look`"""
    last = f.D[d, c.END] - 1
    if not f.G[c.AT_INTERACTION] or exhausted(f, d):
        return int(last)
    return int(min(next_ask(f, d), last))


@inlined
def land(f: Fleet, told: Told, d: int, as_of: int, issued_s: float, now: float) -> None:
    """`Device._land`"""
    if as_of < f.D[d, c.AS_OF]:
        return
    f.D[d, c.AS_OF], f.F[d, c.LIST_TIME_S] = as_of, issued_s
    if not exhausted(f, d):
        rank_again(f, told, d, now)


@inlined
def give_up_waiting(f: Fleet, d: int, now: float) -> None:
    """`Device._give_up_waiting`"""
    F = f.F
    f.D[d, c.AWAITED] = NOBODY
    ready_s = min(F[d, c.NEXT_READY_S], max(now, F[d, c.SINCE_S] + F[d, c.COMPUTE_S]))
    F[d, c.NEXT_READY_S] = F[d, c.FIRST_READY_S] = ready_s
