"""When a device asks, by a plan that is known before the run, in compiled code: see `AskPlan` in
scenario/sections/request.py, whose kinds these are."""

from fleetrec.simulator.core.compiling import inlined
from fleetrec.simulator.engine.compiled import columns as c
from fleetrec.simulator.engine.compiled.columns import Fleet

BY_ROW, BY_STALENESS, BY_AGE, EVERY, BY_PAUSE, NEVER = range(6)


@inlined
def wants(f: Fleet, d: int, now: float) -> bool:
    """`RunningRequestPolicy.wants`"""
    D, plan = f.D, f.G[c.PLAN]
    if plan == BY_ROW:
        newest = D[d, c.ROW] - 1
        return bool(f.asks[newest]) if newest >= f.first_row[d] else bool(f.asks_joining[d])
    if plan == BY_STALENESS:
        return bool(D[d, c.AS_OF] < 0 or D[d, c.STEP] - D[d, c.AS_OF] >= f.G[c.PLAN_NUMBER])
    if plan == BY_AGE:
        return bool(D[d, c.AS_OF] < 0 or now - f.F[d, c.LIST_TIME_S] >= f.H[c.PLAN_S])
    if plan == EVERY:
        return bool(D[d, c.DECISIONS] % f.G[c.PLAN_NUMBER] == 0)
    if plan == BY_PAUSE:
        return bool(f.F[d, c.LAST_GAP_S] >= f.H[c.PLAN_S])
    return False


@inlined
def next_ask(f: Fleet, d: int) -> int:
    """`RequestPolicy.next_ask` from the next row on."""
    D, plan, row, end = f.D, f.G[c.PLAN], f.D[d, c.ROW], f.D[d, c.END]
    if plan in (BY_ROW, BY_PAUSE):
        return int(f.next_ask[row])
    if plan == BY_STALENESS:
        return int(row + max(D[d, c.AS_OF] + f.G[c.PLAN_NUMBER] - D[d, c.STEP] - 1, 0))
    if plan == EVERY:
        return int(row + -D[d, c.DECISIONS] % f.G[c.PLAN_NUMBER])
    if plan == BY_AGE and D[d, c.AS_OF] >= 0:
        while row < end and f.times[row] - f.F[d, c.LIST_TIME_S] < f.H[c.PLAN_S]:
            row += 1
    return int(end if plan == NEVER else row)
