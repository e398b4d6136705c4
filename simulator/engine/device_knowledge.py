"""What a device can tell a request policy about itself, beyond what it holds anyway (`DeviceView`)."""

import math

from fleetrec.simulator.core.clock import Clock
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.engine.context import Profile
from fleetrec.simulator.fleet.link import Link
from fleetrec.simulator.policies.device_scores import DeviceScores
from fleetrec.simulator.policies.request.budget import Budget
from fleetrec.simulator.ranking.lookahead import Scorer

_DAY_S = 86400.0


class DeviceKnowledge:
    """Answers worked out when they are asked for."""

    __slots__ = ()
    device: int
    profile: Profile
    clock: Clock
    connection: Link
    budget: Budget
    scorer: Scorer
    scores: DeviceScores
    draws: Draws
    step: int
    as_of: int
    list_time_s: float
    used_weights: int
    rankings: int
    other_j: float

    @property
    def now_s(self) -> float:
        """See DeviceView."""
        return self.clock.now

    @property
    def time_of_day_s(self) -> float:
        """See DeviceView."""
        return self.clock.now % _DAY_S

    @property
    def staleness(self) -> int:
        """See DeviceView."""
        return self.step - self.as_of

    @property
    def list_age_s(self) -> float:
        """See DeviceView."""
        return self.clock.now - self.list_time_s if self.as_of >= 0 else math.inf

    @property
    def energy_j(self) -> float:
        """What its rankings, its radio and its training have used."""
        return self.rankings * self.profile.compute_j + self.other_j

    @property
    def battery_left_j(self) -> float:
        """See DeviceView."""
        return max(self.profile.battery_j - self.energy_j, 0.0)

    @property
    def battery_left(self) -> float:
        """See DeviceView."""
        whole = self.profile.battery_j
        return self.battery_left_j / whole if math.isfinite(whole) else 1.0

    @property
    def link(self) -> str:
        """See DeviceView."""
        return self.connection.kind

    @property
    def online(self) -> bool:
        """See DeviceView."""
        return self.connection.reachable(self.clock.now)

    @property
    def budget_left(self) -> float:
        """See DeviceView."""
        return self.budget.left(self.device)

    @property
    def score(self) -> float:
        """See DeviceView."""
        if self.as_of < 0:
            return math.inf
        return self.scorer.uncertainty(self.device, self.as_of, self.step, self.used_weights)

    @property
    def entropy(self) -> float:
        """See DeviceView."""
        return self._score("entropy")

    @property
    def closeness(self) -> float:
        """See DeviceView."""
        return self._score("closeness")

    @property
    def inconsistency(self) -> float:
        """See DeviceView."""
        return self._score("inconsistency")

    @property
    def rank_gap(self) -> float:
        """See DeviceView."""
        return self._score("rank_gap")

    def _score(self, name: str) -> float:
        return self.scores.of(name, self.device, self.as_of, self.step, self.used_weights)

    def uniform(self, purpose: str) -> float:
        """See DeviceView."""
        return self.draws.uniform_one(purpose, self.device, self.step)
