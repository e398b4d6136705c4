"""Which replica gets a request: a router is a plain function with a name in `ROUTERS`.

It looks at the replicas that take requests (there is at least one) and at the request, and returns one of them.
"""

from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from typing import NamedTuple, Protocol

from simulator.randomness import Draws
from simulator.scenario.sections import RouterName

_PROBES = 64  # places that an affine device tries before it takes the least loaded replica


class Routable(Protocol):
    """What a router may know of a replica."""

    number: int
    accepting: bool
    stamp: int
    """raised whenever `load` or `accepting` changes"""

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
    """The least loaded of many replicas in O(log n) a change: a heap whose outdated entries are skipped."""

    def __init__(self, replicas: Sequence[Routable]):
        self._replicas = replicas
        self._heap: list[tuple[float, int, int]] = []

    def changed(self, replica: Routable) -> None:
        """The load of `replica`, or whether it takes requests, is now another."""
        replica.stamp += 1
        if replica.accepting:
            heappush(self._heap, (replica.load, replica.number, replica.stamp))
            if len(self._heap) > 8 * len(self._replicas) + 64:
                self._heap = [(r.load, r.number, r.stamp) for r in self._replicas if r.accepting]
                heapify(self._heap)

    def least(self) -> int:
        """Number of the least loaded replica that takes requests, the first of them in number."""
        heap, replicas = self._heap, self._replicas
        while replicas[heap[0][1]].stamp != heap[0][2]:
            heappop(heap)
        return heap[0][1]


class Choice[R: Routable]:
    """The replicas to choose from: all of them by number, and those that take requests, in order of number."""

    def __init__(self, replicas: Sequence[R], draws: Draws):
        self.replicas, self.draws = replicas, draws
        self.accepting: list[R] = []
        self.loads = LoadIndex(replicas)
        self.turn = 0

    def update(self) -> None:
        """Some replica takes requests now, or no longer does."""
        self.accepting = [replica for replica in self.replicas if replica.accepting]


def round_robin[R: Routable](choice: Choice[R], ask: Ask) -> R:
    """One after the other."""
    choice.turn += 1
    return choice.accepting[(choice.turn - 1) % len(choice.accepting)]


def random[R: Routable](choice: Choice[R], ask: Ask) -> R:
    """Any, with equal chances."""
    uniform = choice.draws.uniform_one("cloud.router", ask.number, ask.attempt)
    return choice.accepting[int(uniform * len(choice.accepting))]


def least_outstanding[R: Routable](choice: Choice[R], ask: Ask) -> R:
    """The one with the fewest requests that wait or are served, over its speed; the first of several."""
    return choice.replicas[choice.loads.least()]


def least_kv[R: Routable](choice: Choice[R], ask: Ask) -> R:
    """The one whose KV cache is emptiest, then the least loaded, then the first. Looks at each of them."""
    return min(choice.accepting, key=lambda replica: (replica.kv_share, replica.load, replica.number))


def device_affine[R: Routable](choice: Choice[R], ask: Ask) -> R:
    """The device's own, for the sake of its cached prefix.

    Each device has a sequence of places of its own, drawn over all replicas, and goes to the first that takes requests:
    where a replica comes or goes, only the devices that it serves move.
    """
    for probe in range(_PROBES):
        uniform = choice.draws.uniform_one("cloud.affinity", ask.device, probe)
        replica = choice.replicas[int(uniform * len(choice.replicas))]
        if replica.accepting:
            return replica
    return least_outstanding(choice, ask)


def router_of[R: Routable](name: RouterName) -> Callable[[Choice[R], Ask], R]:
    """The router of that name."""
    return ROUTERS[name]


ROUTERS: dict[RouterName, Callable[..., object]] = {}
