"""The highest rate that servers hold, looked for: which rate to try next, where what holds one holds each lower one."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bracket:
    """What is known of it: rates up to `low` are held, and those from `high` on are not."""

    guess: float
    """where it may be"""
    stride: float
    """the factor of the next step away from there; each further step is as large as all before it"""
    within: float
    """how closely it is looked for"""
    low: float = 0.0
    high: float = math.inf

    @property
    def about(self) -> float:
        """Where it is, as well as is known."""
        known = self.low > 0 and self.high < math.inf
        return math.sqrt(self.low * self.high) if known else min(max(self.guess, self.low), self.high)

    def to_try(self, rates: Floats | None) -> float | None:
        """The rate that tells most; of `rates` [N], which rise, where it is asked for these alone. None where all is
        known: of each of them, or as closely as it is looked for."""
        if self.high <= self.low * (1.0 + self.within):
            return None
        middle = math.sqrt(self.low * self.high) if self.high < math.inf else math.inf
        if self._rises:
            aim = min(self.low * self.stride, middle)
        else:
            aim = max(self.high / self.stride, middle) if self._falls else self.guess
        if rates is None:
            return aim
        between = rates[(rates > self.low) & (rates < self.high)]
        return min(max(aim, float(between[0])), float(between[-1])) if len(between) else None

    def after(self, rate: float, held: bool) -> "Bracket":
        """What is known once a rate between them has been tried."""
        onwards = self._rises if held else self._falls
        stride = self.stride**2 if onwards else self.stride
        return replace(self, stride=stride, low=rate) if held else replace(self, stride=stride, high=rate)

    @property
    def _rises(self) -> bool:
        """Whether it is known to be above the guess, or next to it."""
        return self.low * (1.0 + self.within) >= self.guess

    @property
    def _falls(self) -> bool:
        """Whether it is known to be below."""
        return self.high <= self.guess * (1.0 + self.within)
