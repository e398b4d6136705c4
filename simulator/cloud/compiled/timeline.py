"""Queue and load over time, in compiled code: see node/timeline.py."""

from fleetrec.simulator.core.compiling import Floats, Ints, compiled

BIN, LONGEST, QUEUE, BUSY, SERVED, UP = 0, 1, 2, 3, 4, 5  # a timeline's integers `B`
WIDTH_S, END_S, LAST_S, BUSY_AREA, SERVED_AREA, UP_AREA = 0, 1, 2, 3, 4, 5  # and its times `A`


@compiled
def change(B: Ints, A: Floats, queues: Ints, areas: Floats, now: float, queue: int, busy: int, served: int) -> None:
    """`Timeline.change`, where as many replicas are up as before."""
    if now >= A[END_S]:
        _advance(B, A, queues, areas, now)
    elapsed = now - A[LAST_S]
    if elapsed > 0.0:
        A[BUSY_AREA] += elapsed * B[BUSY]
        A[SERVED_AREA] += elapsed * B[SERVED]
        A[UP_AREA] += elapsed * B[UP]
        A[LAST_S] = now
    B[LONGEST] = max(B[LONGEST], queue)
    B[QUEUE], B[BUSY], B[SERVED] = queue, busy, served


@compiled
def _store(B: Ints, A: Floats, queues: Ints, areas: Floats) -> None:
    at = B[BIN]
    queues[at] = B[LONGEST]
    areas[at, 0], areas[at, 1], areas[at, 2] = A[BUSY_AREA], A[SERVED_AREA], A[UP_AREA]


@compiled
def _advance(B: Ints, A: Floats, queues: Ints, areas: Floats, now: float) -> None:
    bins = len(queues)
    while now >= bins * A[WIDTH_S]:
        _coarsen(B, A, queues, areas)
    width = A[WIDTH_S]
    target = int(now // width)
    if target > B[BIN]:
        rest = A[END_S] - A[LAST_S]
        A[BUSY_AREA] += rest * B[BUSY]
        A[SERVED_AREA] += rest * B[SERVED]
        A[UP_AREA] += rest * B[UP]
        _store(B, A, queues, areas)
        for at in range(B[BIN] + 1, target):
            queues[at] = B[QUEUE]
            areas[at, 0], areas[at, 1], areas[at, 2] = B[BUSY] * width, B[SERVED] * width, B[UP] * width
        B[BIN], A[LAST_S] = target, target * width
        B[LONGEST] = B[QUEUE]
        A[BUSY_AREA] = A[SERVED_AREA] = A[UP_AREA] = 0.0
    A[END_S] = (B[BIN] + 1) * width


@compiled
def _coarsen(B: Ints, A: Floats, queues: Ints, areas: Floats) -> None:
    _store(B, A, queues, areas)
    bins = len(queues)
    half = bins // 2
    queues[B[BIN] + 1 :] = 0
    areas[B[BIN] + 1 :] = 0.0
    for at in range(half):
        queues[at] = max(queues[2 * at], queues[2 * at + 1])
        for part in range(3):
            areas[at, part] = areas[2 * at, part] + areas[2 * at + 1, part]
    A[WIDTH_S] *= 2.0
    B[BIN] //= 2
    A[END_S] = (B[BIN] + 1) * A[WIDTH_S]
    B[LONGEST] = queues[B[BIN]]
    A[BUSY_AREA], A[SERVED_AREA], A[UP_AREA] = areas[B[BIN], 0], areas[B[BIN], 1], areas[B[BIN], 2]
