"""How many replicas a load needs: the fewest that meet a latency objective, found by replaying it.

`capacity.py` looks for those of a fleet's peak, `provision` here for those of one stream of requests.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress, Progress
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.cloud.capacity.compiled_replay import Run, loop, plain, served
from fleetrec.simulator.cloud.capacity.replay import Floats, Ints, Replayed, Requests, Watch, replay
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.node.tickets import LlmTicket
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.units import DURATION

GROUP = 8
"""replicas simulated for more: each group of so many gets its share of the stream"""
_MOST = 500_000  # requests of one replay
_MOST_OF_NODE = 8000  # of one replay without compiled code
_BURST = 400, 1200  # requests at once, which tell how many a second a replica serves at most

Measure = Literal["latency", "ttft", "tpot"]


@dataclass(frozen=True)
class Objective:
    """At least `share` of the requests have a `measure` of at most `at_most_s` seconds."""

    share: float
    at_most_s: float
    measure: Measure = "latency"

    @classmethod
    def parse(cls, text: str) -> "Objective":
        """`p95=1s`, `ttft_p99=200ms`, `tpot_p50=30ms`; InputError for anything else."""
        name, _, bound = text.partition("=")
        measure, _, percentile = name.strip().rpartition("_p") if "_" in name else ("latency", "", name.strip()[1:])
        try:
            share, at_most_s = float(percentile) / 100, DURATION.read(bound)
        except ValueError:
            share, at_most_s = math.nan, math.nan
        known = measure in ("latency", "ttft", "tpot") and (name.strip().startswith("p") or "_p" in name)
        if not known or not 0 < share < 1 or not at_most_s > 0:
            raise InputError(f"--slo {text}: not an objective; write p95=1s, p99=2s, ttft_p95=200ms or tpot_p50=30ms")
        return cls(share, at_most_s, measure)  # type: ignore[arg-type]

    def __str__(self) -> str:
        measure = "latency" if self.measure == "latency" else self.measure.upper()
        return f"p{100 * self.share:g} {measure} of at most {DURATION.show(self.at_most_s)}"

    def of(self, replayed: Replayed) -> Floats:
        """What it is about, for each request."""
        return {"latency": replayed.latency_s, "ttft": replayed.ttft_s, "tpot": replayed.tpot_s}[self.measure]

    def misses(self, values: Floats) -> NDArray[np.bool_]:
        """Those that take longer, or never end; where a measure has no meaning (TPOT of one token) it is met."""
        late = values > self.late_s
        return late if self.measure == "tpot" else late | np.isnan(values)

    @property
    def late_s(self) -> float:
        """What takes longer is late: the bound, and a billionth of it for the rounding of sums."""
        return self.at_most_s * (1 + 1e-9)

    def allows(self, requests: int) -> int:
        """Misses among `requests` requests that it still allows."""
        return math.floor((1 - self.share) * requests + 1e-9)


class Servers(Protocol):
    """Whose number is looked for."""

    group: int
    """more of them than this serve independent shares of a stream"""

    @property
    def most(self) -> int:
        """Requests of one replay, at most."""

    def alone(self, requests: Requests) -> Floats:
        """What the objective is about [N], for each request on an empty node."""

    def rate(self, requests: Requests) -> float:
        """Requests a second that one of them serves at most, about."""

    def meet(self, requests: Requests, servers: int, warm_up: int = 0) -> bool:
        """Whether `servers` of them meet the objective over the requests after the first `warm_up`."""

    def serve(self, requests: Requests, servers: int) -> tuple[Floats, Floats, float]:
        """Each request's wait and latency [N], and the share of the servers' time in which they are busy."""


class Replicas:
    """Replicas of one pool behind the node's router, under the rules of `cloud` (see `without_faults`)."""

    group = GROUP

    def __init__(
        self,
        pool: Pool,
        cloud: sections.Cloud,
        draws: Draws,
        objective: Objective,
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

    def alone(self, requests: Requests) -> Floats:
        service_s = np.nan_to_num(requests.service_s, nan=-1.0)  # rows with a NaN never count as equal
        work = np.stack([requests.prompt_tokens, requests.output_tokens, requests.sequences, service_s], 1)
        _, first, kind = np.unique(work, axis=0, return_index=True, return_inverse=True)
        kinds = requests.take(first).without_prefix_sharing()
        far_apart = 1e5 * np.arange(len(kinds), dtype=np.float64)
        return self.objective.of(self.replayed(kinds.at(far_apart), 1))[kind.ravel()]

    def rate(self, requests: Requests) -> float:
        few, many = (requests.take(slice(0, n)) for n in _BURST)
        if len(many) == len(few):
            return len(few) / self._end_s(few)
        return (len(many) - len(few)) / max(self._end_s(many) - self._end_s(few), 1e-9)

    def _end_s(self, burst: Requests) -> float:
        return self.replayed(burst.at(np.zeros(len(burst))), 1).end_s

    def meet(self, requests: Requests, servers: int, warm_up: int = 0) -> bool:
        if self._code is None or self.objective.measure != "latency":
            return self._node_meets(requests, servers, warm_up)
        judged = len(requests) - warm_up
        run = self._run(requests, servers, self.objective.late_s, self.objective.allows(judged) + warm_up)
        return int(self.objective.misses(run.latency_s[warm_up:]).sum()) <= self.objective.allows(judged)

    def _run(self, requests: Requests, servers: int, late_s: float = math.inf, most: int = 1 << 62) -> Run:
        assert self._plain is not None
        code = loop()
        assert code is not None
        assigned = self.cloud.router.places(requests.device, servers, self.draws)
        return served(code, requests, self._plain, servers, assigned, late_s, most)

    def serve(self, requests: Requests, servers: int) -> tuple[Floats, Floats, float]:
        if self._code is None:
            replayed = self.replayed(requests, servers)
            return replayed.wait_s, replayed.latency_s, replayed.node.utilization()
        run = self._run(requests, servers)
        end_s = float((requests.arrival_s + run.latency_s).max(initial=1e-9))
        return run.wait_s, run.latency_s, float(run.busy_s.sum()) / (end_s * servers)

    def _node_meets(self, requests: Requests, servers: int, warm_up: int) -> bool:
        objective, allowed = self.objective, self.objective.allows(len(requests) - warm_up)
        judged = warm_up  # requests before this one have been judged
        missed = 0

        def hopeless(arrived: int, now: float, tickets: list[LlmTicket]) -> bool:
            """Whether too many have missed already; a request is judged once it is late or has ended."""
            nonlocal judged, missed
            while judged < arrived and tickets[judged].t_arrived_s + objective.at_most_s < now:
                ticket = tickets[judged]
                done_s = ticket.t_finished_s if objective.measure == "latency" else ticket.first_token_s(now)
                missed += not done_s <= ticket.t_arrived_s + objective.at_most_s
                judged += 1
            return missed > allowed

        watch = None if objective.measure == "tpot" else hopeless
        values = objective.of(self.replayed(requests, servers, watch))
        return int(objective.misses(values[warm_up:]).sum()) <= allowed


class Cores:
    """Cores behind one first-come queue, each request `service_s` seconds on one of them (M/D/c under Poisson load)."""

    group, most = 64, _MOST

    def __init__(self, service_s: float, objective: Objective):
        self.service_s, self.objective = service_s, objective

    def alone(self, requests: Requests) -> Floats:
        return np.full(len(requests), self.service_s)

    def rate(self, requests: Requests) -> float:
        return 1.0 / self.service_s

    def meet(self, requests: Requests, servers: int, warm_up: int = 0) -> bool:
        misses = int(self.objective.misses(self._latency_s(requests, servers)[warm_up:]).sum())
        return misses <= self.objective.allows(len(requests) - warm_up)

    def serve(self, requests: Requests, servers: int) -> tuple[Floats, Floats, float]:
        latency_s = self._latency_s(requests, servers)
        end_s = float((requests.arrival_s + latency_s).max(initial=1e-9))
        return latency_s - self.service_s, latency_s, len(requests) * self.service_s / (end_s * servers)

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


def fewest(meet: Callable[[int], bool], guess: int) -> int:
    """The fewest servers that meet an objective which more servers meet too: to the one up to 200, to 1% above.

    `guess`, a number that is likely too small, costs least. There must be a number that meets it.
    """
    low, high, stride = 0, max(guess, 1), max(guess // 8, 1)  # `low` does not meet it, `high` does in the end
    if meet(high):
        while low == 0 and high > 1:
            lower = max(high - stride, high // 2)
            stride *= 2
            low, high = (low, lower) if meet(lower) else (lower, high)
    else:
        low, high = high, high + stride
        while not meet(high):
            stride *= 2
            low, high = high, high + stride
    while high - low > max(1, (high - 1) // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if meet(middle) else (middle, high)
    return high


@dataclass(frozen=True)
class Served:
    """What requests of the busiest stretch meet at the servers that it needs; arrays [N]."""

    row: Ints
    """which request of the run it is like"""
    wait_s: Floats
    """from the cloud's ingress queue to the start of service"""
    latency_s: Floats
    """from the cloud's ingress queue to the last token"""
    utilization: float
    """share of the servers' time in which they serve at least one request"""
    headroom: float
    """how much more of the same they serve within the objective, as a share of the load"""


@dataclass(frozen=True)
class Provision:
    """What a load needs. Without requests: no server."""

    servers: int | None
    """none: no number of servers meets the objective"""
    peak_per_s: float = 0.0
    """requests a second in the busiest stretch, of the whole fleet"""
    alone_s: float = math.nan
    """what the objective is about, at its percentile, for requests on an empty node"""
    rates_per_s: Floats = field(default_factory=lambda: np.zeros(0))
    """`peak_per_s` where users are resampled [B]"""
    servers_of: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """the servers that each of those rates needs [B]"""
    served: Served | None = None
    """none where there are no servers"""


def provision(requests: Requests, servers: Servers, objective: Objective) -> Provision:
    """The fewest servers for exactly these requests."""
    if not len(requests):
        return Provision(0)
    rate = len(requests) / max(requests.span_s, 1e-9)
    alone_s = percentile(servers.alone(requests), objective)
    if not alone_s <= objective.at_most_s:
        return Provision(None, rate, alone_s)
    most = len(requests)  # one each is as good as an empty node
    guess = min(most, math.floor(rate / servers.rate(requests)))
    return Provision(fewest(lambda n: n >= most or servers.meet(requests, n), guess), rate, alone_s)


def percentile(values: Floats, objective: Objective) -> float:
    """The smallest value that `share` of them do not exceed."""
    known = np.sort(values[~np.isnan(values)])
    return float(known[len(known) - 1 - objective.allows(len(known))]) if len(known) else 0.0


def without_faults(cloud: sections.Cloud) -> sections.Cloud:
    """The same cloud with its first kind of replicas alone, always there, and nobody turned away."""
    kind = cloud.pools[0] if cloud.pools else cloud
    machines = {name: getattr(kind, name) for name in sections.Machines.model_fields}
    alike = {"pools": (), "autoscale": None, "spot": None, "failures": None}
    return cloud.model_copy(update={**machines, **alike, "admission": sections.QueueLimitOnly(), "queue_limit": 10**9})


def left_out(cloud: sections.Cloud, scale: float) -> list[str]:
    """What of a cloud the account of a fleet `scale` times its own leaves out, in words."""
    kind = cloud.pools[0] if cloud.pools else cloud
    parts = {
        "pools after the first": len(cloud.pools) > 1,
        "autoscaling": kind.autoscale is not None,
        "spot prices and preemptions": kind.spot is not None,
        "failures": cloud.failures is not None,
        "admission control": not isinstance(cloud.admission, sections.QueueLimitOnly),
        "cached prefixes": cloud.prefix_caching and scale != 1,
    }
    return [what for what, there in parts.items() if there]
