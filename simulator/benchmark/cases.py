"""The cases of the engine's speed test: one built-in fleet, of which one thing at a time is changed.

Its cloud is timed by the plain roofline, so that speeds compare with those of versions which knew no serving engine.

Imports nothing heavy: to compare what was measured needs no PyTorch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.preparation.memory_estimate import needed_bytes
from fleetrec.simulator.scenario.sections import EngineName

INTERACTIONS = 30
"""of each device, about"""
_FIXED_BYTES = 600_000_000


@dataclass(frozen=True)
class Case:
    """A fleet to be simulated: how many devices, the SRM and its dimension, requests per interaction, items a list,
    four regions shared out to so many processes, where not 0, the serving engine of the cloud, where there is
    one, and whether users choose what they are shown."""

    name: str
    devices: int = 10_000
    srm: str = "gru4rec"
    dim: int = 32
    ratio: float = 0.2
    list_length: int = 50
    shards: int = 0
    engine: EngineName | None = None
    reacts: bool = False

    @property
    def needed_bytes(self) -> int:
        """Memory that it takes, about, libraries, models and users included."""
        return _FIXED_BYTES * max(self.shards, 1) + needed_bytes(self.devices, INTERACTIONS * self.devices)


BASE = Case("devices-10k")

SUITE = (
    replace(BASE, name="devices-1k", devices=1_000),
    BASE,
    replace(BASE, name="devices-100k", devices=100_000),
    replace(BASE, name="devices-1m", devices=1_000_000),
    replace(BASE, name="srm-sasrec", srm="sasrec", dim=64),
    replace(BASE, name="srm-din", srm="din", devices=1_000),
    replace(BASE, name="ratio-0.05", ratio=0.05),
    replace(BASE, name="ratio-0.5", ratio=0.5),
    replace(BASE, name="list-20", list_length=20),
    replace(BASE, name="list-200", list_length=200),
    replace(BASE, name="engine-generative_recommender", engine="generative_recommender"),
    replace(BASE, name="users-choose", reacts=True),
    replace(BASE, name="shards-1", shards=1),
    replace(BASE, name="shards-2", shards=2),
)


def chosen_cases(only: Sequence[str]) -> tuple[Case, ...]:
    """The cases whose names begin with one of `only`; all where there is none. InputError where a word finds none."""
    for word in only:
        if not any(case.name.startswith(word) for case in SUITE):
            raise InputError(f"--only {word}: no case begins so; there are {', '.join(case.name for case in SUITE)}")
    return tuple(case for case in SUITE if not only or case.name.startswith(tuple(only)))
