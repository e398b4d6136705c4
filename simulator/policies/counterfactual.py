"""Requests replayed at zero latency: for each user, every decision met with every list that could be in hand.

A list is the one that a user begins with (number 0) or that of its n-th decision (number n + 1, 0-based n). Used on the
held-out interactions to find a policy's threshold, and for bounds and comparisons that know the stream.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.ragged import ragged
from fleetrec.simulator.policies.request.share import Curve
from fleetrec.simulator.ranking.slates import Queries
from fleetrec.simulator.ranking.weight_versions import FIRST_WEIGHTS

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_WIDEST, _POINTS = 6.0, 25
"""log-odds between which shares are looked at, and how many of them"""


@dataclass(frozen=True)
class Decisions:
    """Users' decisions after steps first .. first + count - 1, with the list that each begins with."""

    users: Ints  # [U]
    first: Ints  # [U] step of the first decision
    count: Ints  # [U]
    begins_with: Ints  # [U] what that list has seen; -1: no list

    @property
    def base(self) -> Ints:
        """[U + 1]: where the pairs (decision, list) of each user begin, those of one decision after the other."""
        return np.concatenate([[0], np.cumsum(self.count * (self.count + 1))])

    def pair(self, user: Ints, decision: Ints, number: Ints) -> Ints:
        """Place of the pair of decision and list `number` of users (as places in `users`); broadcasts."""
        return self.base[user] + decision * (self.count[user] + 1) + number

    def pairs(self) -> tuple[Ints, Ints, Ints]:
        """(user, decision, list) of every pair that can be: a list is at most as new as the decision's own."""
        user, within = ragged(self.count * (self.count + 1))
        decision, number = np.divmod(within, self.count[user] + 1)
        real = number <= decision + 1
        return user[real], decision[real], number[real]

    def queries(self, user: Ints, decision: Ints, number: Ints, next_items: Ints) -> Queries:
        """Those pairs as slates that the user's next item is placed in."""
        step = self.first[user] + decision
        as_of = np.where(number == 0, self.begins_with[user], self.first[user] + number - 1)
        return Queries(self.users[user], step, as_of, next_items, step, np.full(len(step), FIRST_WEIGHTS))


def replay(decisions: Decisions, asks: Bools) -> tuple[Bools, Ints]:
    """What happens when the device asks in pairs `asks` [P]: whether each decision asked, and the list that the next
    item meets; both over users one after the other [sum of counts]."""
    users = np.arange(len(decisions.users))
    starts = np.cumsum(decisions.count) - decisions.count
    asked = np.zeros(int(decisions.count.sum()), dtype=bool)
    shown = np.zeros(len(asked), dtype=np.int64)
    number = np.zeros(len(users), dtype=np.int64)
    for decision in range(int(decisions.count.max(initial=0))):
        here = users[decisions.count > decision]
        now = asks[decisions.pair(here, np.asarray(decision), number[here])]
        number[here[now]] = decision + 1
        asked[starts[here] + decision], shown[starts[here] + decision] = now, number[here]
    return asked, shown


def threshold_for(decisions: Decisions, scores: Floats, ratio: float) -> float:
    """The least score [P] at or above which a share `ratio` of decisions asks at most, by bisection over replays.

    Each decision meets the list that the threshold has left the device with, so a fresh list's effect on later
    decisions counts.
    """
    if ratio <= 0.0:
        return float("inf")
    values = np.unique(scores[np.isfinite(scores)])
    if ratio >= 1.0 or not len(values):
        return float("-inf")
    low, high = -1, len(values) - 1
    while high - low > 1:
        middle = (low + high) // 2
        asked, _ = replay(decisions, scores >= values[middle])
        if asked.mean() > ratio:
            low = middle
        else:
            high = middle
    return float(values[high])


def curve_for(decisions: Decisions, scores: Floats, ratio: float) -> Curve:
    """At which score [P] which share of decisions asks; the wanted `ratio`, between 0 and 1, is one of the shares."""
    odds = np.linspace(-_WIDEST, _WIDEST, _POINTS)
    shares = np.unique(np.append(1.0 / (1.0 + np.exp(-odds)), ratio))
    thresholds = [threshold_for(decisions, scores, share) for share in shares.tolist()]
    values = np.unique(scores[np.isfinite(scores)])
    places = np.minimum.accumulate(np.searchsorted(values, thresholds)).astype(np.float64)
    return Curve(shares, places, values)
