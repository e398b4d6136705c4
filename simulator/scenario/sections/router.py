"""What a router is: which replica gets a request. Its kinds: simulator/cloud/node/routers/."""

from collections.abc import Hashable, Sequence
from operator import attrgetter
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.sections.kinds import Family, Kind
from fleetrec.simulator.scenario.sections.own_kinds import OwnMethod, Seen

Ints = NDArray[np.int64]


class ReplicaView(Protocol):
    """What a router may know of a replica."""

    @property
    def number(self) -> int:
        """Its place among all replicas, from 0."""

    @property
    def pool_name(self) -> str:
        """Of its kind of replicas, in `cloud.pools`; empty where there is one kind."""

    @property
    def accepting(self) -> bool:
        """Whether it takes requests."""

    @property
    def waiting(self) -> int:
        """Requests that wait there."""

    @property
    def outstanding(self) -> int:
        """Requests that wait or are served there."""

    @property
    def load(self) -> float:
        """The same over its speed."""

    @property
    def kv_share(self) -> float:
        """Share of its KV cache in use."""

    @property
    def usd_per_hour(self) -> float:
        """What its GPUs cost, the discount of a spot machine taken off."""

    def cached_tokens(self, request: "RequestView") -> int:
        """Tokens of the request's prompt that it need not compute now, since it has them in its KV cache."""


class RequestView(Protocol):
    """What a router may know of a request."""

    @property
    def number(self) -> int:
        """Its place in the order of arrival, from 0."""

    @property
    def attempt(self) -> int:
        """How often it has been started before, on replicas that were lost."""

    @property
    def device(self) -> int:
        """Who asks: its number in the fleet."""

    @property
    def prompt_tokens(self) -> int:
        """Length of its prompt."""

    @property
    def output_tokens(self) -> int:
        """Tokens that each of its sequences generates."""

    @property
    def sequences(self) -> int:
        """Sequences that it generates: beams."""

    @property
    def prefix(self) -> tuple[Hashable, int] | None:
        """Whose prompts begin as its own (a key), and over how many tokens; none where prefixes are not cached."""


class ClusterView(Protocol):
    """What a router chooses from."""

    @property
    def accepting(self) -> Sequence[ReplicaView]:
        """The replicas that take requests, in order of their numbers; there is at least one."""

    @property
    def replicas(self) -> Sequence[ReplicaView]:
        """All of them, by number."""

    @property
    def routed(self) -> int:
        """Requests that have been routed before."""

    def caching(self, request: RequestView) -> Sequence[ReplicaView]:
        """The replicas that take requests and were sent the request's prefix before, in order of their numbers."""

    def least_loaded(self) -> int:
        """Number of the least loaded replica that takes requests, the first of several; at no cost."""

    def uniform(self, purpose: str, *keys: int) -> float:
        """A random number between 0 and 1, the same in every run at one seed: keyed by purpose and numbers."""


class Router(Kind):
    """Which replica gets a request.

    A router needs `choose` alone: a function of what it sees when a request arrives, or starts anew.
    """

    family: ClassVar[Family] = Family(
        "cloud.router",
        "fleetrec.simulator.cloud.node.routers",
        "least_outstanding",
        ("choose(self, cluster, request)",),
        words=True,
    )

    in_bulk: ClassVar[bool] = False
    """whether `places` says it all where no replica ever fails: compiled code may then serve the peak's requests"""
    counts_requests: ClassVar[bool] = False
    """whether these hang on how many requests came before"""

    def choose(self, cluster: ClusterView, request: RequestView) -> int:
        """The number of a replica that takes requests."""
        raise NotImplementedError

    def places(self, device: Ints, replicas: int, draws: Any) -> Ints:
        """The replica [N] of each request, whose device is given [N]; -1: the least loaded when it arrives."""
        raise NotImplementedError

    def start(self) -> "Router | OwnRouter":
        """What runs."""
        return OwnRouter(self) if self.is_own() else self


class SeenReplica(Seen):
    """A replica as a user's own router sees it."""

    __slots__ = ()


for _name in vars(ReplicaView):
    if not _name.startswith("_"):  # read in C, since a router may look at all of them for every request
        setattr(SeenReplica, _name, property(attrgetter(f"_it.{_name}")))


class SeenCluster(Seen):
    """A cluster as a user's own router sees it."""

    __slots__ = ("_accepting", "_of", "replicas")

    def __init__(self, cluster: ClusterView):
        super().__init__(cluster)
        object.__setattr__(self, "replicas", tuple(map(SeenReplica, cluster.replicas)))
        object.__setattr__(self, "_of", None)

    @property
    def accepting(self) -> tuple[SeenReplica, ...]:
        """See ClusterView."""
        now = self._it.accepting
        if now is not self._of:
            object.__setattr__(self, "_of", now)
            object.__setattr__(self, "_accepting", tuple(self.replicas[one.number] for one in now))
        accepting: tuple[SeenReplica, ...] = self._accepting
        return accepting

    def caching(self, request: RequestView) -> list[SeenReplica]:
        """See ClusterView."""
        return [self.replicas[one.number] for one in self._it.caching(request)]


class OwnRouter:
    """A user's own router in a run: what it chooses is checked, and what it sees it can only read."""

    def __init__(self, router: Router):
        self._choose = OwnMethod(router, "choose")
        self._seen: SeenCluster | None = None

    def choose(self, cluster: ClusterView, request: RequestView) -> int:
        """See Router."""
        if self._seen is None or self._seen._it is not cluster:
            self._seen = SeenCluster(cluster)
        number = self._choose(self._seen, request)
        known = isinstance(number, int | np.integer) and not isinstance(number, bool)
        if known and 0 <= number < len(cluster.replicas) and cluster.replicas[int(number)].accepting:
            return int(number)
        raise InputError(
            f"{self._choose.place} returned {number!r:.60}; return the number of a replica in cluster.accepting"
        )
