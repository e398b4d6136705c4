"""Which replica gets a request: a router is a plain function with a name in `ROUTERS`.

It looks at the replicas that take requests (there is at least one) and at the request, and returns a replica's number.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from simulator.randomness import Draws
from simulator.scenario.sections import RouterName

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
    """The least loaded of many replicas in O(log n) a change: a tournament in which each node holds the lower load."""

    def __init__(self, replicas: Sequence[Routable]):
        self._first_leaf = 1 << max(len(replicas) - 1, 0).bit_length()
        self._lowest = [math.inf] * (2 * self._first_leaf)  # node 1 is the root, below node n are 2n and 2n + 1

    def changed(self, replica: Routable) -> None:
        """The load of `replica`, or whether it takes requests, is now another."""
        lowest, node = self._lowest, self._first_leaf + replica.number
        load = lowest[node] = replica.load if replica.accepting else math.inf
        while node > 1:
            other = lowest[node ^ 1]
            if other < load:
                load = other
            node >>= 1
            if lowest[node] == load:
                return
            lowest[node] = load

    def least(self) -> int:
        """The least loaded replica that takes requests, the first of several."""
        lowest, first_leaf, node = self._lowest, self._first_leaf, 1
        while node < first_leaf:
            node *= 2
            if lowest[node + 1] < lowest[node]:
                node += 1
        return node - first_leaf


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
