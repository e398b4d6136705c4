"""The share of decisions that a policy is told: the threshold that keeps it while the stream goes.

Held-out decisions of before the stream say at which threshold which share asks; the stream is another time and other
histories, so the fleet's cloud counts decisions and wishes to ask and publishes the threshold anew every so many of
them. Only what lies behind it is counted, so the threshold in force is a function of time alone, whoever looks and
however devices sleep; between two of them a device decides by what it knows itself.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_FIRST = 64
"""decisions after which the threshold is first published anew"""
_PRIOR = 16.0
"""decisions that weigh as much as all that was counted since the threshold was last published"""
_STEP = 0.4
"""share of the way, in log-odds, from the share that was found to the one aimed at"""
_MEMORY = 0.05
"""what was asked too often or too rarely is to be made up for in this share of all decisions so far"""
_LEAST, _WIDEST = 1e-4, 8.0
"""shares and log-odds are kept from 0 and 1 by these"""
_FURTHEST = math.log(4.0)
"""log-odds by which the share aimed at may differ from the wanted one"""


@dataclass(frozen=True)
class Curve:
    """At which threshold which share of the held-out decisions asks.

    Thresholds between those that were tried are scores that were held out, as many of them below as above: where many
    are alike but for their coins, thresholds lie close together there.
    """

    shares: Floats  # [K] rising, strictly between 0 and 1
    places: Floats  # [K] falling: where their thresholds stand among `scores`
    scores: Floats  # rising, finite

    def at(self, log_odds: float) -> float:
        """The threshold at a share of these log-odds."""
        shares = np.log(self.shares / (1.0 - self.shares))
        return float(self.scores[round(float(np.interp(log_odds, shares, self.places)))])


class Share:
    """The threshold in force."""

    def __init__(
        self, threshold: float, ratio: float = 0.0, curve: Curve | None = None, decided_s: Floats | None = None
    ):
        """`threshold`: the first one. With a `curve` it follows the wanted `ratio`; `decided_s` [N], rising, is when
        the fleet's decisions fall."""
        self.threshold = threshold
        self.asked = 0
        """wishes to ask so far"""
        self.until_s = math.inf
        """the threshold in force is so up to and including this moment"""
        self._ratio, self._curve = ratio, curve
        self._next = self._counted = self._asked = 0
        self._ends_s: list[float] = []
        self._counts: list[int] = []
        if curve is not None and decided_s is not None and 0.0 < ratio < 1.0:
            self._wanted = _log_odds(ratio)
            self._nominal = self._wanted  # log-odds of asking at this threshold in the held-out decisions
            self._plan(decided_s)

    def _plan(self, decided_s: Floats) -> None:
        """Note when the fleet has decided often enough for a new threshold, and how often it has by then."""
        count = float(_FIRST)
        while count < len(decided_s):
            end_s = float(decided_s[int(count) - 1])
            if not self._ends_s or end_s > self._ends_s[-1]:
                self._ends_s.append(end_s)
                self._counts.append(int(np.searchsorted(decided_s, end_s, side="right")))
            count += max(4.0 * math.sqrt(count), count / 32.0)
        if self._ends_s:
            self.until_s = self._ends_s[0]

    def at(self, now: float) -> float:
        """The threshold in force at `now`, which no earlier call was later than."""
        while now > self.until_s:
            self._publish(self._counts[self._next])
            self._next += 1
            self.until_s = self._ends_s[self._next] if self._next < len(self._ends_s) else math.inf
        return self.threshold

    def _publish(self, counted: int) -> None:
        """A new threshold after `counted` decisions."""
        assert self._curve is not None
        decisions, asked = counted - self._counted, self.asked - self._asked
        self._counted, self._asked = counted, self.asked
        usual = 1.0 / (1.0 + math.exp(-self._nominal))
        found = (asked + _PRIOR * usual) / (decisions + _PRIOR)
        owed = (self._ratio * counted - self.asked) / max(_MEMORY * counted, decisions)
        aim = min(max(_log_odds(self._ratio + owed), self._wanted - _FURTHEST), self._wanted + _FURTHEST)
        self._nominal += _STEP * (aim - _log_odds(found))
        self._nominal = min(max(self._nominal, -_WIDEST), _WIDEST)
        self.threshold = self._curve.at(self._nominal)


def _log_odds(share: float) -> float:
    inside = min(max(share, _LEAST), 1.0 - _LEAST)
    return math.log(inside / (1.0 - inside))
