"""How fast a replica is from moment to moment, where its steps do not always take what their step times say: a program
that shares its machine, a collection of garbage, a clock that is turned down.

The pace is one of time and not of steps: it holds for a stretch, whatever is served then, and all that is under way in
it takes as much longer. So a run of steps stays one event, and what hits one request hits those beside it. Speeds are
as they were measured, one stretch after the other, and runs of them are drawn whole: what is over at once and what
lasts stay as they were (a block bootstrap, Kunsch 1989).
"""

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from fleetrec.simulator.core.randomness import Draws

_BLOCK = 1024
"""stretches that are drawn together"""
_KEPT = 4
"""blocks that are remembered: time runs on"""


@dataclass(frozen=True)
class PaceLaw:
    """The law of a replica's speed."""

    stretch_s: float
    """for which a speed holds"""
    run: int
    """stretches that follow one another as they were measured; then it goes on at another place, drawn at random"""
    speeds: tuple[float, ...]
    """as shares of what the step times say, in the order in which they were measured; 0.5: steps take twice as long"""

    @property
    def spread(self) -> float:
        """Standard deviation of the speeds over their mean."""
        return float(np.std(self.speeds) / np.mean(self.speeds))


class Pace:
    """One replica's speed over time; the same whenever it is asked, in whatever order."""

    def __init__(self, law: PaceLaw, draws: Draws, place: int):
        """Of the replica at a place of its node."""
        self._stretch_s, self._run, self._speeds = law.stretch_s, law.run, np.array(law.speeds)
        self._draws, self._place = draws, place
        self._blocks: dict[int, tuple[list[float], list[float]]] = {}  # speeds, and work done before each stretch

    def work_s(self, start_s: float, end_s: float) -> float:
        """Seconds of work, as step times count them, that are done between two moments."""
        first, last = (int(at_s // self._stretch_s) // _BLOCK for at_s in (start_s, end_s))
        between_s = sum(self._block(number)[1][-1] for number in range(first, last))
        return max(between_s + self._done_s(end_s) - self._done_s(start_s), 0.0)

    def end_s(self, start_s: float, work_s: float) -> float:
        """When so much work is done that begins at a moment."""
        if work_s <= 0.0:
            return start_s
        number = int(start_s // self._stretch_s) // _BLOCK
        left_s = self._done_s(start_s) + work_s
        while left_s > (whole_s := self._block(number)[1][-1]):
            left_s -= whole_s
            number += 1
        speeds, done_s = self._block(number)
        place = max(bisect_left(done_s, left_s) - 1, 0)
        at_s = (number * _BLOCK + place) * self._stretch_s
        return max(at_s + (left_s - done_s[place]) / speeds[place], start_s)

    def _done_s(self, at_s: float) -> float:
        """Work from the beginning of a moment's block to it."""
        stretch = int(at_s // self._stretch_s)
        number, place = divmod(stretch, _BLOCK)
        speeds, done_s = self._block(number)
        return done_s[place] + speeds[place] * max(at_s - stretch * self._stretch_s, 0.0)

    def _block(self, number: int) -> tuple[list[float], list[float]]:
        known = self._blocks.get(number)
        if known is None:
            run, place = np.divmod(number * _BLOCK + np.arange(_BLOCK), self._run)
            begins = self._draws.integers(len(self._speeds), "cloud.pace", self._place, run)
            speeds = self._speeds[(begins + place) % len(self._speeds)]
            done_s = np.concatenate([[0.0], np.cumsum(speeds * self._stretch_s)])
            known = self._blocks[number] = speeds.tolist(), done_s.tolist()
            if len(self._blocks) > _KEPT:
                del self._blocks[next(iter(self._blocks))]
        return known
