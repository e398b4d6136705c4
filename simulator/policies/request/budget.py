"""The budget of requests, which every policy is kept to alike."""

import math

from fleetrec.simulator.scenario import sections


class Budget:
    """A token bucket: a decision earns `ratio` tokens, a request takes one, at most `burst` tokens are kept.

    One bucket for the fleet, or one for each device. A bucket starts full, so `burst` is also the opening credit.
    """

    def __init__(self, section: sections.Budget, devices: int):
        fleet = section.scope == "fleet"
        self.ratio = section.ratio
        self.burst = section.burst if section.burst is not None else (max(1.0, 0.05 * devices) if fleet else 3.0)
        self._unlimited = section.ratio >= 1.0
        self._tokens = [self.burst] * (1 if fleet else devices)
        self._fleet = fleet

    @property
    def kept(self) -> float:
        """Tokens in all buckets."""
        return sum(self._tokens)

    def left(self, device: int) -> float:
        """Tokens in the bucket of `device`; infinite where there is no limit."""
        return math.inf if self._unlimited else self._tokens[0 if self._fleet else device]

    def deal(self, tokens: float) -> None:
        """The fleet's bucket, or a region's part of it, holds so many tokens from now on."""
        self._tokens = [tokens]

    def earn(self, device: int, decisions: int = 1) -> None:
        """So many decisions of `device` were taken."""
        if self._unlimited:
            return
        place = 0 if self._fleet else device
        for _ in range(decisions):
            self._tokens[place] = min(self._tokens[place] + self.ratio, max(self.burst, self.ratio))

    def holds(self, device: int) -> bool:
        """Whether there is a token for a request."""
        return self._unlimited or self._tokens[0 if self._fleet else device] >= 1.0 - 1e-9

    def spend(self, device: int) -> None:
        """Take a token for a request that is made."""
        if not self._unlimited:
            self._tokens[0 if self._fleet else device] -= 1.0
