"""What happens next at a node, in compiled code: events by time, then as they were made, as SimPy has them, and late
requests. Both are binary heaps of (time, number)."""

import numpy as np

from fleetrec.simulator.core.compiling import Floats, Ints, compiled, making_arrays


@compiled
def _sooner(times: Floats, numbers: Ints, one: int, other: int) -> bool:
    return bool(times[one] < times[other] or (times[one] == times[other] and numbers[one] < numbers[other]))


@compiled
def push(times: Floats, numbers: Ints, what: Ints, value: Floats, n: int, time_s: float, number: int) -> int:
    """An entry joins the first `n`: `what` and `value` of it are at its place already; how many there are now."""
    kind, extra, place = what[n], value[n], n
    while place:
        above = (place - 1) // 2
        if times[above] < time_s or (times[above] == time_s and numbers[above] < number):
            break
        times[place], numbers[place] = times[above], numbers[above]
        what[place], value[place] = what[above], value[above]
        place = above
    times[place], numbers[place], what[place], value[place] = time_s, number, kind, extra
    return n + 1


@compiled
def pop(times: Floats, numbers: Ints, what: Ints, value: Floats, n: int) -> int:
    """The first of `n` entries leaves; how many there are now."""
    n -= 1
    time_s, number, kind, extra, hole = times[n], numbers[n], what[n], value[n], 0
    while 2 * hole + 1 < n:
        below = 2 * hole + 1
        if below + 1 < n and _sooner(times, numbers, below + 1, below):
            below += 1
        if time_s < times[below] or (time_s == times[below] and number < numbers[below]):
            break
        times[hole], numbers[hole] = times[below], numbers[below]
        what[hole], value[hole] = what[below], value[below]
        hole = below
    times[hole], numbers[hole], what[hole], value[hole] = time_s, number, kind, extra
    return n


@making_arrays
def longer(values: Floats) -> Floats:
    """The same with twice the room."""
    return np.concatenate((values, np.zeros_like(values)))


@making_arrays
def longer_ints(values: Ints) -> Ints:
    """The same with twice the room."""
    return np.concatenate((values, np.zeros_like(values)))
