"""Requests like those of a peak, in Poisson order: one sequence, which comes faster or slower.

Neither the order nor the gaps hang on how many requests there are: a lower rate is the beginning of a higher one,
stretched in time, so that what holds a rate holds each lower one. (Exactly so many requests fall into their time. That
moves a rate, against one half a percent above, by a fortieth of this half percent in the mean for 300,000 requests, and
by a third of it for `FEWEST`.)
"""

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.cloud.capacity.replay import Requests
from fleetrec.simulator.core.randomness import Draws

FEWEST = 2000
"""requests that tell a percentile"""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Stream:
    """In rounds, each as long as all before it: a round has as many of each request as the next, in random order."""

    def __init__(self, requests: Requests, draws: Draws):
        """`requests` [L], of which there is at least one, are those that all are like."""
        self._like, self._draws = requests, draws
        self._rows = np.zeros(0, dtype=np.int64)
        self._requests = requests.take(self._rows)
        self._came = np.zeros(0)  # when, at one a second

    def of(self, n: int, rate: float) -> tuple[Requests, Ints]:
        """The first `n` at `rate` a second, and which of the requests each is like. May be called side by side."""
        rows, requests, came = self._rows, self._requests, self._came
        while len(rows) < n:
            size = len(rows) or len(self._like) * -(-FEWEST // len(self._like))
            order = self._draws.permutation(size, "provisioning.request", len(rows))
            self._rows = rows = np.concatenate([rows, order * len(self._like) // size])
        some = n + 1 + n // 8
        if len(requests) < min(some, len(rows)):
            self._requests = requests = self._like.take(rows[:some])
        if len(came) <= n:
            self._came = came = np.cumsum(self._draws.exponential("provisioning.gap", np.arange(some)))
        return requests.take(slice(0, n)).at(came[:n] * (n / rate / came[n])), rows[:n]
