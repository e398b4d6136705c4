"""Devices like those of a run's busiest stretch, each with its own requests at its own pace, as many as make a rate.

Where prompts share cached prefixes, what a request costs depends on how long ago its device asked before, so that a
stream of single requests will not do. Seen through a window of time, the devices of a large fleet are a Poisson number
of independently shifted copies (a cluster process).
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.cloud.capacity.replay import Requests
from fleetrec.simulator.core.randomness import Draws

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Clones:
    """Of the devices of some requests."""

    def __init__(self, requests: Requests, draws: Draws):
        self._requests, self._draws = requests, draws
        self._order = np.lexsort((requests.arrival_s, requests.device))  # by device, then by time
        first_s = float(requests.arrival_s.min())
        self._since_s = requests.arrival_s[self._order] - first_s
        _, self._device = np.unique(requests.device[self._order], return_inverse=True)
        self._apart_s = float(self._since_s.max()) + 1.0  # so that all moments of a device come before the next one's
        self._place = self._device * self._apart_s + self._since_s

    def stream(self, n: int, rate: float) -> tuple[Requests, Ints]:
        """About `n` requests at `rate` a second, in order of time; and which of the requests each is like.

        A request at a random moment of the window brings along those of its device that fall into it too. A device of
        which the window sees k requests is found k times as often, so of these one in k counts.
        """
        lasts_s, tries = n / rate, 2 * n
        seed = self._draws.permutation(tries, "provisioning.clone", tries) * len(self._order) // tries
        each = np.arange(tries)
        at_s = lasts_s * self._draws.uniform("provisioning.moment", each)
        begins_s, base = self._since_s[seed] - at_s, self._device[seed] * self._apart_s
        first = np.searchsorted(self._place, base + np.maximum(begins_s, 0.0))
        end = np.searchsorted(self._place, base + np.minimum(begins_s + lasts_s, self._apart_s - 0.5))
        count = np.maximum(end - first, 1)
        kept = np.flatnonzero(self._draws.uniform("provisioning.counts", each) * count < 1)
        kept = kept[: int(np.searchsorted(np.cumsum(count[kept]), n)) + 1]
        clone = np.repeat(np.arange(len(kept)), count[kept])
        nth = np.arange(len(clone)) - np.repeat(np.cumsum(count[kept]) - count[kept], count[kept])
        place = first[kept][clone] + nth
        arrival_s = at_s[kept][clone] + self._since_s[place] - self._since_s[seed[kept]][clone]
        in_time = np.argsort(arrival_s, kind="stable")
        rows = self._order[place[in_time]]
        arrival_s = arrival_s[in_time] * (len(rows) / n)  # exactly at the rate
        return replace(self._requests.take(rows), arrival_s=arrival_s, device=clone[in_time]), rows
