"""Which replica gets a request: a router is a plain function with a name in `ROUTERS`.

It looks at the replicas that take requests (there is at least one) and at the request, and returns a replica's number.
"""

import math
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import NamedTuple, Protocol

from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import RouterName

_PROBES = 64  # places that an affine device tries before it takes the least loaded replica


class Routable(Protocol):
    """What a router may know of a replica."""

    @property
    def number(self) -> int:
        """Its place among all replicas."""

    @property
    def accepting(self) -> bool:
        """Whether it takes requests."""

    @property
    def load(self) -> float:
        """Requests that wait or are served, over the replica's speed."""

    @property
    def kv_share(self) -> float:
        """Share of its KV cache in use, as of its last change."""


class Ask(NamedTuple):
    """What a router may know of a request."""

    number: int
    attempt: int
    device: int


class LoadIndex:
    """The least loaded of many replicas: those of each load are the bits of one number, so that a change costs the same
    for one replica and for many."""

    def __init__(self, replicas: Sequence[Routable]):
        self._load = [math.inf] * len(replicas)  # of those that take requests
        self._of_load: dict[float, int] = {}  # bits of the replicas that have it
        self._loads: list[float] = []  # heap of its keys; one that no replica has stays until it surfaces

    def changed(self, replica: Routable) -> None:
        """The load of `replica`, or whether it takes requests, is now another."""
        number, of_load = replica.number, self._of_load
        load, before = replica.load if replica.accepting else math.inf, self._load[number]
        if load == before:
            return
        self._load[number] = load
        bit = 1 << number
        if before < math.inf:
            of_load[before] ^= bit
        if load in of_load:
            of_load[load] |= bit
        elif load < math.inf:
            of_load[load] = bit
            heappush(self._loads, load)

    def least(self) -> int:
        """The least loaded replica that takes requests, the first of several."""
        of_load, loads = self._of_load, self._loads
        while not (bits := of_load[loads[0]]):
            del of_load[heappop(loads)]
        return (bits & -bits).bit_length() - 1


class Choice:
    """The replicas to choose from: all of them by number, and those that take requests, in order of number."""

    def __init__(self, replicas: Sequence[Routable], draws: Draws):
        self.replicas, self.draws = replicas, draws
        self.accepting: list[Routable] = []
        self.loads = LoadIndex(replicas)
        self.turn = 0

    def update(self) -> None:
        """Some replica takes requests now, or no longer does."""
        self.accepting = [replica for replica in self.replicas if replica.accepting]


Router = Callable[[Choice, Ask], int]


def round_robin(choice: Choice, ask: Ask) -> int:
    """One after the other."""
    choice.turn += 1
    return choice.accepting[(choice.turn - 1) % len(choice.accepting)].number


def random(choice: Choice, ask: Ask) -> int:
    """Any, with equal chances."""
    uniform = choice.draws.uniform_one("cloud.router", ask.number, ask.attempt)
    return choice.accepting[int(uniform * len(choice.accepting))].number


def least_outstanding(choice: Choice, ask: Ask) -> int:
    """The one with the fewest requests that wait or are served, over its speed; the first of several."""
    return choice.loads.least()


def least_kv(choice: Choice, ask: Ask) -> int:
    """The one whose KV cache is emptiest, then the least loaded, then the first. Looks at each of them."""
    return min(choice.accepting, key=lambda replica: (replica.kv_share, replica.load, replica.number)).number


def device_affine(choice: Choice, ask: Ask) -> int:
    """The device's own, for the sake of its cached prefix.

    Each device has a sequence of places, drawn over all replicas, and goes to the first that takes requests: where a
    replica comes or goes, only the devices that it serves move.
    """
    for probe in range(_PROBES):
        place = int(choice.draws.uniform_one("cloud.affinity", ask.device, probe) * len(choice.replicas))
        if choice.replicas[place].accepting:
            return place
    return choice.loads.least()


ROUTERS: dict[RouterName, Router] = {
    "round_robin": round_robin,
    "random": random,
    "least_outstanding": least_outstanding,
    "least_kv": least_kv,
    "device_affine": device_affine,
}
