"""The devices of a run as arrays: whose log each replays, its class, and how fast and at what power it computes.

Every draw is keyed by the device, so a device is the same whatever the size of the fleet around it. Speeds are
log-normal about their class's median (docs/background/grounding.md).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario import sections

_COLUMNS = ("user", "class_index", "speed_flops", "overhead_s", "power_w", "battery_j", "memory_bytes")


@dataclass(frozen=True)
class FleetTable:
    """Arrays over the devices 0..D-1."""

    user: NDArray[np.int64]  # [D] index among the streamed users
    class_index: NDArray[np.int64]  # [D] into class_names
    class_names: tuple[str, ...]
    speed_flops: NDArray[np.float64]  # [D] effective FLOP/s
    overhead_s: NDArray[np.float64]  # [D] fixed time of one inference call
    power_w: NDArray[np.float64]  # [D] extra power while computing
    battery_j: NDArray[np.float64]  # [D] energy this app may use; inf: no limit
    memory_bytes: NDArray[np.float64]  # [D]

    @property
    def n_devices(self) -> int:
        return len(self.user)

    def part(self, first: int, end: int) -> "FleetTable":
        """The devices first .. end - 1, as a fleet of their own."""
        kept = {name: getattr(self, name)[first:end] for name in _COLUMNS}
        return replace(self, **kept)

    def compute_seconds(self, flops: ArrayLike) -> NDArray[np.float64]:
        """Time of one call of `flops` (scalar or [D]) on every device, [D]: overhead + FLOPs / speed."""
        return self.overhead_s + np.asarray(flops, dtype=np.float64) / self.speed_flops

    def compute_joules(self, seconds: ArrayLike) -> NDArray[np.float64]:
        """Energy of computing for `seconds` (scalar or [D]) on every device, [D]."""
        return self.power_w * np.asarray(seconds, dtype=np.float64)


def build_fleet(section: sections.Fleet, n_users: int, draws: Draws) -> FleetTable:
    """The fleet of a scenario over n_users (at least 1) streamed users."""
    device = np.arange(section.devices)
    classes = section.classes
    edges = np.cumsum([cls.share for cls in classes])
    class_index = np.searchsorted(edges[:-1], draws.uniform("fleet.class", device), side="right").astype(np.int64)

    def per_device(values: list[float]) -> NDArray[np.float64]:
        return np.array(values, dtype=np.float64)[class_index]

    spread = per_device([cls.speed_spread for cls in classes])
    return FleetTable(
        user=_users_of_devices(section.devices, n_users, draws),
        class_index=class_index,
        class_names=tuple(cls.name for cls in classes),
        speed_flops=per_device([cls.speed for cls in classes]) * np.exp(spread * draws.normal("fleet.speed", device)),
        overhead_s=per_device([cls.overhead for cls in classes]),
        power_w=per_device([cls.power for cls in classes]),
        battery_j=per_device([math.inf if cls.battery is None else cls.battery for cls in classes]),
        memory_bytes=per_device([cls.memory for cls in classes]),
    )


def _users_of_devices(n_devices: int, n_users: int, draws: Draws) -> NDArray[np.int64]:
    """Up to n_users devices: a keyed sample in user order. More: every user once, then clones, evenly spread."""
    if n_devices <= n_users:
        return np.sort(draws.first_of(n_devices, n_users, "fleet.users"))
    whole, rest = divmod(n_devices, n_users)
    everyone = np.tile(np.arange(n_users), whole)
    return np.concatenate([everyone, np.sort(draws.first_of(rest, n_users, "fleet.clones", whole))])
