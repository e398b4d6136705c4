"""Whose number is looked for: replicas behind the LLM node's router, or cores behind one queue."""

import math
from dataclasses import replace
from types import ModuleType
from typing import Protocol

import numpy as np

from fleetrec.models.runtime.progress import NullProgress, Progress
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.cloud.capacity.compiled_replay import Allowed, Kinds, met, plain, served
from fleetrec.simulator.cloud.capacity.objectives import ServiceObjective, Times
from fleetrec.simulator.cloud.capacity.replay import Floats, Ints, Replayed, Requests, Watch, replay
from fleetrec.simulator.cloud.compiled.loading import REPLAY, code_for, node_code
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.node.tickets import LlmTicket
from fleetrec.simulator.cloud.replica.replica import Replica
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario import sections

GROUP = 8
"""replicas simulated for more: each group of so many gets its share of the stream"""
_MOST_OF_GROUP = 64  # of kinds in a proportion that a group does not hold to the one
_SOME = 2000  # requests that tell what times on an empty node are
_MOST = 500_000  # requests of one replay
_MOST_OF_NODE = 8000  # of one replay without compiled code
_MOST_WITH_CACHES = 16_000  # the same where caches fill in the first half
_BURST = 400, 1200  # requests at once, which tell how many a second a replica serves at most


class Servers(Protocol):
    """Whose number is looked for."""

    objective: ServiceObjective
    group: int
    """more of them than this serve independent shares of a stream"""

    @property
    def most(self) -> int:
        """Requests of one replay, at most."""

    @property
    def side_by_side(self) -> bool:
        """Whether replays on several threads take less time than one after the other."""

    def alone(self, requests: Requests) -> Times:
        """Of each request on an empty node."""

    def kinds(self, servers: int) -> Ints:
        """Of how many of each kind [K] so many consist."""

    def rates(self, requests: Requests) -> Floats:
        """Requests a second that one of each kind [K] serves at most, about."""

    def meet(self, requests: Requests, servers: int, warm_up: int = 0) -> bool:
        """Whether `servers` of them meet the objective over the requests after the first `warm_up`."""

    def serve(self, requests: Requests, servers: int) -> tuple[Floats, Times, float]:
        """Each request's wait [N] and times, and the share of the servers' time in which they are busy."""


class Replicas:
    """Replicas of pools, in the proportion of these, behind the node's router, under the rules of `cloud` (see
    `without_faults`)."""

    def __init__(
        self,
        pools: tuple[Pool, ...],
        cloud: sections.Cloud,
        draws: Draws,
        objective: ServiceObjective,
        progress: Progress | None = None,
        fast: bool = True,
    ):
        """`fast`: in compiled code where that can serve them."""
        self.pools = tuple(replace(pool, autoscale=None, spot=None) for pool in pools)
        self.cloud, self.draws, self.objective = cloud, draws, objective
        self.progress = progress or NullProgress()
        self._shares = np.array([pool.replicas if len(pools) > 1 else 1 for pool in pools])
        whole = int(self._shares.sum() // np.gcd.reduce(self._shares))  # in proportion to the one
        self.group = min(whole * -(-GROUP // whole), _MOST_OF_GROUP)
        self._split = any(pool.decodes for pool in pools)  # none serves without one of the other kind
        self._plain = [plain(pool, cloud) if fast else None for pool in pools]
        self._fast = fast

    @property
    def _code(self) -> ModuleType | None:
        return None if None in self._plain else node_code(REPLAY)

    def kinds(self, servers: int) -> Ints:
        """By largest remainders, the first of several."""
        exact = servers * self._shares / self._shares.sum()
        counts = np.floor(exact + 1e-9).astype(np.int64)
        counts[np.argsort(counts - exact, kind="stable")[: servers - int(counts.sum())]] += 1
        return np.maximum(counts, 1) if self._split else np.asarray(counts)

    @property
    def most(self) -> int:
        if self._code is not None:
            return _MOST
        return _MOST_WITH_CACHES if self.cloud.prefix_caching else _MOST_OF_NODE

    @property
    def side_by_side(self) -> bool:
        return self._code is not None

    def replayed(self, requests: Requests, replicas: int, watch: Watch | None = None) -> Replayed:
        """What becomes of all requests at the node; see `replay` for `watch`."""
        with self.progress.task(counted(replicas, "replica"), len(requests)) as task:

            def arrived(number: int, now: float, tickets: list[LlmTicket]) -> bool:
                task.advance()
                return watch is not None and watch(number, now, tickets)

            counts = zip(self.pools, self.kinds(replicas).tolist(), strict=True)
            pools = tuple(replace(pool, replicas=count) for pool, count in counts if count)
            code = code_for(len(requests)) if self._fast and watch is None else None
            return replay(requests, pools, self.cloud, self.draws, arrived, code=code)

    def alone(self, requests: Requests) -> Times:
        if len(self.pools) > 1 or self.pools[0].pace is not None:  # the router's choice, or the moment's, decides
            some = requests.take(np.linspace(0, len(requests) - 1, min(len(requests), _SOME)).astype(np.int64))
            far_apart = 1e5 * np.arange(len(some), dtype=np.float64)
            return self.replayed(some.without_prefix_sharing().at(far_apart), self.group).times
        service_s = np.nan_to_num(requests.service_s, nan=-1.0)  # rows with a NaN never count as equal
        work = np.stack([requests.prompt_tokens, requests.output_tokens, requests.sequences, service_s], 1)
        _, first, kind = np.unique(work, axis=0, return_index=True, return_inverse=True)
        kinds = requests.take(first).without_prefix_sharing()
        far_apart = 1e5 * np.arange(len(kinds), dtype=np.float64)
        return self.replayed(kinds.at(far_apart), 1).times.take(kind.ravel())

    def rates(self, requests: Requests) -> Floats:
        few, many = (requests.take(slice(0, n)) for n in _BURST)
        if self._split:
            few_s, many_s = (self.replayed(one.at(np.zeros(len(one))), self.group).end_s for one in (few, many))
            more = (len(many) - len(few)) / max(many_s - few_s, 1e-9) if len(many) > len(few) else len(few) / few_s
            return np.full(len(self.pools), more / self.group)
        kinds = list(zip(self.pools, self._plain, strict=True))
        ends_s = np.array([[self._end_s(burst, pool, replica) for pool, replica in kinds] for burst in (few, many)])
        if len(many) == len(few):
            return np.asarray(len(few) / ends_s[0])
        return np.asarray((len(many) - len(few)) / np.maximum(ends_s[1] - ends_s[0], 1e-9))

    def _end_s(self, burst: Requests, pool: Pool, replica: Replica | None) -> float:
        """When one replica of the pool has served them all, which come at once; `replica` is a plain one."""
        at_once, code = burst.at(np.zeros(len(burst))), self._code
        if code is None or replica is None:
            latency_s = replay(at_once, (replace(pool, replicas=1),), self.cloud, self.draws).latency_s
        else:
            assigned = self.cloud.router.places(at_once.device, 1, self.draws)
            latency_s = served(code, at_once, [(replica, pool.speed, 1)], assigned, self.draws).times.latency_s
        return float(latency_s.max())

    def meet(self, requests: Requests, servers: int, warm_up: int = 0) -> bool:
        parts, judged = self.objective.parts, len(requests) - warm_up
        allowed = [(part, part.allows(judged)) for part in parts]
        code = self._code
        if code is not None:
            return met(code, requests, *self._serving(requests, servers), self.draws, allowed, warm_up)
        times = self.replayed(requests, servers, _Hopeless(allowed, warm_up)).times
        return self.objective.met(times.take(slice(warm_up, None)))

    def _serving(self, requests: Requests, servers: int) -> tuple[Kinds, Ints]:
        """For compiled code: so many replicas, and to which of them each request goes."""
        counts = zip(self._plain, self.pools, self.kinds(servers).tolist(), strict=True)
        kinds = [(replica, pool.speed, count) for replica, pool, count in counts if replica is not None]
        return kinds, self.cloud.router.places(requests.device, servers, self.draws)

    def serve(self, requests: Requests, servers: int) -> tuple[Floats, Times, float]:
        code = self._code
        if code is None:
            replayed = self.replayed(requests, servers)
            return replayed.wait_s, replayed.times, replayed.node.utilization()
        run = served(code, requests, *self._serving(requests, servers), self.draws)
        end_s = float((requests.arrival_s + run.times.latency_s).max(initial=1e-9))
        return run.wait_s, run.times, float(run.busy_s.sum()) / (end_s * servers)


class _Hopeless:
    """Whether more requests have missed an objective than may, when the node serves them one after the other."""

    def __init__(self, allowed: Allowed, first: int):
        """Requests from number `first` on are judged; TPOT, of which nothing is known before the end, never is."""
        self._allowed = [(part, most) for part, most in allowed if part.measure != "tpot"]
        self._judged, self._missed = [first] * len(self._allowed), [0] * len(self._allowed)

    def __call__(self, arrived: int, now: float, tickets: list[LlmTicket]) -> bool:
        """A request is judged once it is late or has ended."""
        for place, (part, most) in enumerate(self._allowed):
            judged = self._judged[place]
            while judged < arrived and tickets[judged].t_arrived_s + part.at_most_s < now:
                ticket = tickets[judged]
                done_s = ticket.t_finished_s if part.measure == "latency" else ticket.first_token_s(now)
                self._missed[place] += not done_s <= ticket.t_arrived_s + part.at_most_s
                judged += 1
            self._judged[place] = judged
            if self._missed[place] > most:
                return True
        return False


class Cores:
    """Cores behind one first-come queue, each request `service_s` seconds on one of them (M/D/c under Poisson load)."""

    group, most, side_by_side = 64, _MOST, False

    def __init__(self, service_s: float, objective: ServiceObjective):
        self.service_s, self.objective = service_s, objective

    def alone(self, requests: Requests) -> Times:
        return _whole(np.full(len(requests), self.service_s))

    def kinds(self, servers: int) -> Ints:
        return np.array([servers])

    def rates(self, requests: Requests) -> Floats:
        return np.array([1.0 / self.service_s])

    def meet(self, requests: Requests, servers: int, warm_up: int = 0) -> bool:
        return self.objective.met(_whole(self._latency_s(requests, servers)[warm_up:]))

    def serve(self, requests: Requests, servers: int) -> tuple[Floats, Times, float]:
        latency_s = self._latency_s(requests, servers)
        end_s = float((requests.arrival_s + latency_s).max(initial=1e-9))
        return latency_s - self.service_s, _whole(latency_s), len(requests) * self.service_s / (end_s * servers)

    def _latency_s(self, requests: Requests, servers: int) -> Floats:
        """Equal service times end in order of arrival, so request i starts when request i - `servers` ends: a running
        maximum (Lindley 1952) over every `servers`-th request."""
        n, service_s = len(requests), self.service_s
        rounds = -(-n // servers)
        arrival_s = np.full(rounds * servers, np.inf)
        arrival_s[:n] = requests.arrival_s
        earlier_s = service_s * np.arange(rounds)[:, None]
        ends_s = np.maximum.accumulate(arrival_s.reshape(rounds, servers) - earlier_s, axis=0) + earlier_s + service_s
        return np.asarray(ends_s.ravel()[:n] - requests.arrival_s)


def _whole(latency_s: Floats) -> Times:
    """Of answers that come whole: their first token is their last."""
    return Times(latency_s, latency_s, np.full(len(latency_s), math.nan))


def without_faults(cloud: sections.Cloud) -> sections.Cloud:
    """The same cloud where no replica fails and nobody is turned away."""
    admission = sections.Admission.family.default()
    return cloud.model_copy(update={"failures": None, "admission": admission, "queue_limit": 10**9})
