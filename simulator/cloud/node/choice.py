"""What a router chooses from: the replicas of a node, and the least loaded of them at no cost; what admission knows."""

import math
from collections.abc import Hashable, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import ReplicaView, RequestView


class Ask(NamedTuple):
    """What a router knows of a request: a RequestView."""

    number: int
    attempt: int
    device: int
    prompt_tokens: int
    output_tokens: int
    sequences: int
    prefix: tuple[Hashable, int] | None


class Arrival(NamedTuple):
    """What admission knows of a request: an ArrivalView."""

    number: int
    device: int
    prompt_tokens: int
    output_tokens: int
    sequences: int
    time_left_s: float
    must_wait: bool
    waiting_there: int
    running_there: int
    service_s: float
    waiting: int
    queue_limit: int
    draws: Draws

    @property
    def expected_s(self) -> float:
        """See ArrivalView."""
        ahead = self.waiting_there + 1 if self.must_wait else 0
        return self.service_s * (1.0 + ahead / max(self.running_there, 1))

    def uniform(self, purpose: str) -> float:
        """See ArrivalView."""
        return self.draws.uniform_one(purpose, self.number)


class LoadIndex:
    """The least loaded of many replicas: those of each load are the bits of one number, so that a change costs the same
    for one replica and for many."""

    def __init__(self, replicas: Sequence[ReplicaView]):
        self._load = [math.inf] * len(replicas)  # of those that take requests
        self._of_load: dict[float, int] = {}  # bits of the replicas that have it
        self._loads: list[float] = []  # heap of its keys; one that no replica has stays until it surfaces

    def changed(self, replica: ReplicaView) -> None:
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
    """The replicas to choose from, all of them by number and those that take requests: a ClusterView."""

    def __init__(self, replicas: Sequence[ReplicaView], draws: Draws):
        self.replicas, self.uniform = replicas, draws.uniform_one
        self.accepting: tuple[ReplicaView, ...] = ()
        self.loads = LoadIndex(replicas)
        self.least_loaded = self.loads.least
        self.routed = 0
        self._sent: dict[Hashable, int] = {}  # bits of the replicas that a prefix has gone to

    def sent(self, prefix: Hashable, number: int) -> None:
        """A request with this prefix goes to the replica of that number."""
        self._sent[prefix] = self._sent.get(prefix, 0) | 1 << number

    def caching(self, request: RequestView) -> list[ReplicaView]:
        """See ClusterView."""
        bits = 0 if request.prefix is None else self._sent.get(request.prefix[0], 0)
        found = []
        while bits:
            replica = self.replicas[(bits & -bits).bit_length() - 1]
            if replica.accepting:
                found.append(replica)
            bits &= bits - 1
        return found

    def update(self) -> None:
        """Some replica takes requests now, or no longer does."""
        self.accepting = tuple(replica for replica in self.replicas if replica.accepting)
