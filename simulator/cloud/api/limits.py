"""Rate limits of an account: token buckets that refuse with the time after which they would not, and a count."""

import math
from dataclasses import dataclass

from fleetrec.simulator.scenario.sections import ApiLimits


@dataclass
class TokenBucket:
    """Holds at most `size` and is full at first; `per_s` flows in. Nothing is taken unless all of it is there."""

    per_s: float
    size: float

    def __post_init__(self) -> None:
        self._held, self._at_s = self.size, 0.0

    def lacks_s(self, amount: float, now: float) -> float:
        """Seconds until it holds so much; 0: it does; infinite: it never will."""
        if amount > self.size:
            return math.inf
        self._held = min(self._held + (now - self._at_s) * self.per_s, self.size)
        self._at_s = now
        return max(amount - self._held, 0.0) / self.per_s

    def take(self, amount: float) -> None:
        """Of what it holds."""
        self._held -= amount


class Limits:
    """What an account may ask for now; `running` requests count as long as they are answered."""

    def __init__(self, limits: ApiLimits):
        self._requests, self._tokens = (
            None if per_minute is None else TokenBucket(per_minute / 60.0, per_minute / 60.0 * limits.burst)
            for per_minute in (limits.requests_per_minute, limits.tokens_per_minute)
        )
        self._concurrent = math.inf if limits.concurrent is None else limits.concurrent
        self.running = 0

    def refused_for_s(self, tokens: int, now: float) -> float | None:
        """None: a request of so many tokens is let in, and counts. Else it is refused, with the Retry-After that is
        told: 0 where nobody can say when one of those that run will end."""
        pairs = [(bucket, amount) for bucket, amount in ((self._requests, 1), (self._tokens, tokens)) if bucket]
        wait_s = max((bucket.lacks_s(amount, now) for bucket, amount in pairs), default=0.0)
        if wait_s > 0 or self.running >= self._concurrent:
            return wait_s
        for bucket, amount in pairs:
            bucket.take(amount)
        self.running += 1
        return None
