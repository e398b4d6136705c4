"""Whose number is looked for: replicas behind the LLM node's router, or cores behind one queue."""

import math
from dataclasses import replace
from types import ModuleType
from typing import Protocol

import numpy as np

from fleetrec.models.runtime.progress import NullProgress, Progress
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.cloud.capacity.compiled_replay import Allowed, Run, loop, plain, served
from fleetrec.simulator.cloud.capacity.objectives import ServiceObjective, Times
from fleetrec.simulator.cloud.capacity.replay import Floats, Replayed, Requests, Watch, replay
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.node.tickets import LlmTicket
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario import sections

GROUP = 8
"""replicas simulated for more: each group of so many gets its share of the stream"""
_MOST = 500_000  # requests of one replay
_MOST_OF_NODE = 8000  # of one replay without compiled code
_BURST = 400, 1200  # requests at once, which tell how many a second a replica serves at most


class Servers(Protocol):
    """Whose number is looked for."""

    objective: ServiceObjective
    group: int
    """more of them than this serve independent shares of a stream"""

    @property
    def most(self) -> int:
        """Requests of one replay, at most."""

    def alone(self, requests: Requests) -> Times:
        """Of each request on an empty node."""

    def rate(self, requests: Requests) -> float:
        """Requests a second that one of them serves at most, about."""

    def meet(self, requests: Requests, servers: int, warm_up: int = 0) -> bool:
        """Whether `servers` of them meet the objective over the requests after the first `warm_up`."""

    def serve(self, requests: Requests, servers: int) -> tuple[Floats, Times, float]:
        """Each request's wait [N] and times, and the share of the servers' time in which they are busy."""


class Replicas:
    """Replicas of one pool behind the node's router, under the rules of `cloud` (see `without_faults`)."""

    group = GROUP

    def __init__(
        self,
        pool: Pool,
        cloud: sections.Cloud,
        draws: Draws,
        objective: ServiceObjective,
        progress: Progress | None = None,
        fast: bool = True,
    ):
        """`fast`: in compiled code where that can serve them."""
        self.pool, self.cloud, self.draws, self.objective = pool, cloud, draws, objective
        self.progress = progress or NullProgress()
        self._plain = plain(pool, cloud) if fast else None

    @property
    def _code(self) -> ModuleType | None:
        return loop() if self._plain is not None else None

    @property
    def most(self) -> int:
        return _MOST if self._code is not None else _MOST_OF_NODE

    def replayed(self, requests: Requests, replicas: int, watch: Watch | None = None) -> Replayed:
        """What becomes of all requests at the node; see `replay` for `watch`."""
        with self.progress.task(counted(replicas, "replica"), len(requests)) as task:

            def arrived(number: int, now: float, tickets: list[LlmTicket]) -> bool:
                task.advance()
                return watch is not None and watch(number, now, tickets)

            return replay(requests, (replace(self.pool, replicas=replicas),), self.cloud, self.draws, arrived)

    def alone(self, requests: Requests) -> Times:
        service_s = np.nan_to_num(requests.service_s, nan=-1.0)  # rows with a NaN never count as equal
        work = np.stack([requests.prompt_tokens, requests.output_tokens, requests.sequences, service_s], 1)
        _, first, kind = np.unique(work, axis=0, return_index=True, return_inverse=True)
        kinds = requests.take(first).without_prefix_sharing()
        far_apart = 1e5 * np.arange(len(kinds), dtype=np.float64)
        return self.replayed(kinds.at(far_apart), 1).times.take(kind.ravel())

    def rate(self, requests: Requests) -> float:
        few, many = (requests.take(slice(0, n)) for n in _BURST)
        if len(many) == len(few):
            return len(few) / self._end_s(few)
        return (len(many) - len(few)) / max(self._end_s(many) - self._end_s(few), 1e-9)

    def _end_s(self, burst: Requests) -> float:
        return self.replayed(burst.at(np.zeros(len(burst))), 1).end_s

    def meet(self, requests: Requests, servers: int, warm_up: int = 0) -> bool:
        parts, judged = self.objective.parts, len(requests) - warm_up
        allowed = [(part, part.allows(judged)) for part in parts]
        if self._code is None:
            times = self.replayed(requests, servers, _Hopeless(allowed, warm_up)).times
        else:
            times = self._run(requests, servers, [(part, most + warm_up) for part, most in allowed]).times
        return self.objective.met(times.take(slice(warm_up, None)))

    def _run(self, requests: Requests, servers: int, allowed: Allowed = ()) -> Run:
        assert self._plain is not None
        code = loop()
        assert code is not None
        assigned = self.cloud.router.places(requests.device, servers, self.draws)
        return served(code, requests, self._plain, servers, assigned, allowed)

    def serve(self, requests: Requests, servers: int) -> tuple[Floats, Times, float]:
        if self._code is None:
            replayed = self.replayed(requests, servers)
            return replayed.wait_s, replayed.times, replayed.node.utilization()
        run = self._run(requests, servers)
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

    group, most = 64, _MOST

    def __init__(self, service_s: float, objective: ServiceObjective):
        self.service_s, self.objective = service_s, objective

    def alone(self, requests: Requests) -> Times:
        return _whole(np.full(len(requests), self.service_s))

    def rate(self, requests: Requests) -> float:
        return 1.0 / self.service_s

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
    """The same cloud with its first kind of replicas alone, always there, and nobody turned away."""
    kind = cloud.pools[0] if cloud.pools else cloud
    machines = {name: getattr(kind, name) for name in sections.Machines.model_fields}
    alike = {"pools": (), "autoscale": None, "spot": None, "failures": None}
    admission = sections.Admission.family.default()
    return cloud.model_copy(update={**machines, **alike, "admission": admission, "queue_limit": 10**9})
