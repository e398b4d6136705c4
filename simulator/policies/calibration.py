"""The threshold at which a policy asks at a wanted share of decisions, found on the part of the log before the stream.

The held-out tails of the training part are replayed at zero latency: each decision looks at the list the threshold
has left the device with, so the share includes the effect that a fresh list has on the next decisions.
"""

import numpy as np
from numpy.typing import NDArray

from simulator.slates import Jobs, Slates

Ints = NDArray[np.int64]

_ROUNDS = 14


def realised_ratio(slates: Slates, users: Ints, first: Ints, end: Ints, lag: int | None, threshold: float) -> float:
    """Requests per decision when users [M] decide after each of their positions first - 1 .. end - 2.

    Each starts from a list that has not seen the newest `lag` interactions; lag None: from no list, so it asks.
    """
    step = first - 1
    as_of = step - lag if lag is not None else np.full(len(users), -1)
    requests = decisions = 0
    for _ in range(int((end - first).max(initial=0))):
        active = np.flatnonzero(step < end - 1)
        if not len(active):
            break
        nothing = np.full(len(active), -1)
        _, gaps = slates.place(
            Jobs(users[active], step[active], as_of[active], nothing, step[active], np.zeros_like(active))
        )
        asks = active[(as_of[active] < 0) | (gaps >= threshold)]
        as_of[asks] = step[asks]
        requests, decisions = requests + len(asks), decisions + len(active)
        step[active] += 1
    return requests / max(decisions, 1)


def inconsistency_threshold(
    slates: Slates, users: Ints, first: Ints, end: Ints, lag: int | None, ratio: float
) -> float:
    """The inconsistency at or above which a share `ratio` of decisions requests, by bisection."""
    if ratio <= 0.0:
        return float("inf")
    if ratio >= 1.0:
        return 0.0
    low, high = 16.0, 16.0 + 60.0  # the penalty of a whole list; two opposite orders of 100
    for _ in range(_ROUNDS):
        middle = 0.5 * (low + high)
        if realised_ratio(slates, users, first, end, lag, middle) > ratio:
            low = middle
        else:
            high = middle
    return high
