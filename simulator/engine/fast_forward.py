"""Interactions between which nothing is decided, in one go: what a device would have come to step by step, from arrays.

Switched off (`engine.sleep: false`), every interaction is stepped through and results are the same bytes.
"""

from array import array
from bisect import bisect_left, bisect_right
from typing import NamedTuple, TypeAlias

from fleetrec.simulator.engine.interfaces import Adapter, LearningCloud

Times: TypeAlias = "array[float]"
Rows: TypeAlias = "array[int]"


class Skipped(NamedTuple):
    """What n interactions leave behind, each of which made a slate: numbers 0 to n - 1 here."""

    on_screen: int
    """the slate on screen when the last interaction came; -1: the one that was there before all of these"""
    gap_s: float
    """time between the last interaction and the one before it"""
    last_s: float
    """when the last interaction was"""


def fast_forward(times: Times, row: int, stop: int, compute_s: float, before_s: float) -> Skipped:
    """Interactions [row, stop) of the stream `times`, each at a time of its own and the one before them at `before_s`.

    A slate takes `compute_s` to make and is on screen from then on, unless the next one has been begun by that time.
    """
    newest = last = stop - 1
    while newest > row and times[newest - 1] + compute_s >= times[newest]:
        newest -= 1
    return Skipped(newest - row - 1, times[last] - (times[last - 1] if last > row else before_s), times[last])


def quiet_rows(times: Times, next_tie: Rows, row: int, end: int, until_s: float) -> int:
    """The row up to which interactions from `row` on may be skipped: they come by `until_s` and share their time with
    no other."""
    return min(bisect_right(times, until_s, row, end), next_tie[row])


def steady_row(
    times: Times, row: int, end: int, step: int, device: int, version: int, cloud: LearningCloud, own: Adapter | None
) -> int:
    """The first row from `row` on by which the device's weights may have changed: what it knew of its rankings may no
    longer hold there."""
    until_s = cloud.steady_until(device, version)
    if own is not None:
        until_s = min(until_s, own.steady_until(row, end, step))
    return bisect_left(times, until_s, row, end)
