"""What a device can tell a request policy about itself, beyond what it holds anyway (`DeviceView`)."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleetrec.simulator.engine.context import World

_DAY_S = 86400.0


class DeviceKnowledge:
    """Answers worked out when they are asked for."""

    __slots__ = ()
    world: "World"
    device: int
    step: int
    as_of: int
    list_time_s: float
    used_weights: int
    rankings: int
    other_j: float

    @property
    def now_s(self) -> float:
        """See DeviceView."""
        return self.world.env.now

    @property
    def time_of_day_s(self) -> float:
        """See DeviceView."""
        return self.world.env.now % _DAY_S

    @property
    def staleness(self) -> int:
        """See DeviceView."""
        return self.step - self.as_of

    @property
    def list_age_s(self) -> float:
        """See DeviceView."""
        return self.world.env.now - self.list_time_s if self.as_of >= 0 else math.inf

    @property
    def energy_j(self) -> float:
        """What its rankings, its radio and its training have used."""
        return self.rankings * self.world.compute_j[self.device] + self.other_j

    @property
    def battery_left_j(self) -> float:
        """See DeviceView."""
        return max(self.world.battery_j[self.device] - self.energy_j, 0.0)

    @property
    def battery_left(self) -> float:
        """See DeviceView."""
        whole = self.world.battery_j[self.device]
        return self.battery_left_j / whole if math.isfinite(whole) else 1.0

    @property
    def link(self) -> str:
        """See DeviceView."""
        return self.world.network.link_names[self.device]

    @property
    def online(self) -> bool:
        """See DeviceView."""
        now = self.world.env.now
        return self.world.presence.reachable_until(self.device, now) > now

    @property
    def budget_left(self) -> float:
        """See DeviceView."""
        return self.world.budget.left(self.device)

    @property
    def score(self) -> float:
        """See DeviceView."""
        if self.as_of < 0:
            return math.inf
        return self.world.scorer.doubt(self.device, self.as_of, self.step, self.used_weights)

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
        return self.world.scores.of(name, self.device, self.as_of, self.step, self.used_weights)

    def uniform(self, purpose: str) -> float:
        """See DeviceView."""
        return self.world.draws.uniform_one(purpose, self.device, self.step)
