"""When a hosted API is not there: a timeline that is fixed before the run, whoever asks."""

from bisect import bisect_right

import numpy as np

from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import ApiOutages

_AT_ONCE = 64


class Outages:
    """From the end of one to the next passes an exponential time; so does each. They are drawn as time goes on."""

    def __init__(self, outages: ApiOutages | None, draws: Draws):
        self._section, self._draws = outages, draws
        self._begins: list[float] = []
        self._ends: list[float] = []

    def next_s(self, now: float) -> tuple[float, float]:
        """(begin, end) of the outage under way, or of the next one; infinite where there is none."""
        if self._section is None:
            return np.inf, np.inf
        while not self._ends or self._ends[-1] <= now:
            self._extend(self._section)
        place = bisect_right(self._ends, now)
        return self._begins[place], self._ends[place]

    def _extend(self, section: ApiOutages) -> None:
        numbers = np.arange(len(self._ends), len(self._ends) + _AT_ONCE)
        calm_s = section.every * self._draws.exponential("cloud.api.calm", numbers)
        length_s = section.length * self._draws.exponential("cloud.api.outage", numbers)
        before_s = self._ends[-1] if self._ends else 0.0
        ends = before_s + np.cumsum(calm_s + length_s)
        self._ends.extend(ends.tolist())
        self._begins.extend((ends - length_s).tolist())
