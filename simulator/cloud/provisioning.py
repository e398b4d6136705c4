"""How many replicas a load needs: the fewest that meet a latency objective, found by replaying it through the node.

The load of a larger fleet is many independently shifted copies of the run's own requests: within the busiest minutes a
Poisson stream (Palm-Khintchine) with the run's own mix of tokens. Faults and autoscaling are left out.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from models.errors import InputError
from models.progress import NullProgress, Progress
from simulator.cloud.cluster import Pool
from simulator.cloud.peak import Peak
from simulator.cloud.replay import Floats, Ints, Replayed, Requests, Watch, replay
from simulator.cloud.tickets import LlmTicket
from simulator.randomness import Draws
from simulator.scenario import sections
from simulator.scenario.units import DURATION
from simulator.wording import counted

SAMPLE = 8000
"""requests of one replay of a scaled stream; the first half is not judged: the node starts empty"""
GROUP = 8
"""replicas simulated for more: each group of so many gets its share of the stream"""
_BURST = 400  # requests that tell how many a second a replica serves at most

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
        late = values > self.at_most_s
        return late if self.measure == "tpot" else late | np.isnan(values)

    def allows(self, requests: int) -> int:
        """Misses among `requests` requests that it still allows."""
        return math.floor((1 - self.share) * requests + 1e-9)


class Servers(Protocol):
    """Whose number is looked for."""

    group: int | None
    """more of them than this serve independent shares of a stream; none: all serve one queue"""

    def alone(self, requests: Requests) -> Floats:
        """What the objective is about [N], for each request on an empty node."""

    def rate(self, requests: Requests) -> float:
        """Requests a second that one of them serves at most, about."""

    def meet(self, requests: Requests, servers: int, warm_up: int = 0) -> bool:
        """Whether `servers` of them meet the objective over the requests after the first `warm_up`."""

    def serve(self, requests: Requests, servers: int) -> tuple[Floats, Floats, float]:
        """Each request's wait and latency [N], and the share of the servers' time in which they are busy."""


class Replicas:
    """Replicas of one pool behind the node's router, under the rules of `cloud` (see `steady`)."""

    group: int | None = GROUP

    def __init__(
        self, pool: Pool, cloud: sections.Cloud, draws: Draws, objective: Objective, progress: Progress | None = None
    ):
        self.pool, self.cloud, self.draws, self.objective = pool, cloud, draws, objective
        self.progress = progress or NullProgress()

    def replayed(self, requests: Requests, replicas: int, watch: Watch | None = None) -> Replayed:
        """What becomes of all requests; see `replay` for `watch`."""
        with self.progress.task(counted(replicas, "replica"), len(requests)) as task:

            def arrived(number: int, now: float, tickets: list[LlmTicket]) -> bool:
                task.advance()
                return watch is not None and watch(number, now, tickets)

            return replay(requests, (replace(self.pool, replicas=replicas),), self.cloud, self.draws, arrived)

    def alone(self, requests: Requests) -> Floats:
        service_s = np.nan_to_num(requests.service_s, nan=-1.0)  # rows with a NaN never count as equal
        work = np.stack([requests.prompt_tokens, requests.output_tokens, requests.sequences, service_s], 1)
        _, first, kind = np.unique(work, axis=0, return_index=True, return_inverse=True)
        kinds = requests.take(first).strangers()
        far_apart = 1e5 * np.arange(len(kinds), dtype=np.float64)
        return self.objective.of(self.replayed(kinds.at(far_apart), 1))[kind.ravel()]

    def rate(self, requests: Requests) -> float:
        burst = requests.take(slice(0, _BURST))
        return len(burst) / self.replayed(burst.at(np.zeros(len(burst))), 1).end_s

    def meet(self, requests: Requests, servers: int, warm_up: int = 0) -> bool:
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

    def serve(self, requests: Requests, servers: int) -> tuple[Floats, Floats, float]:
        replayed = self.replayed(requests, servers)
        return replayed.wait_s, replayed.latency_s, replayed.node.utilization()


class Cores:
    """Cores behind one first-come queue, each request `service_s` seconds on one of them (M/D/c under Poisson load)."""

    group: int | None = None

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
        busy_s = len(requests) * self.service_s
        end_s = float((requests.arrival_s + latency_s).max(initial=0.0))
        return latency_s - self.service_s, latency_s, busy_s / max(end_s * servers, 1e-9)

    def _latency_s(self, requests: Requests, servers: int) -> Floats:
        """Equal service times end in order of arrival, so a request starts when the one `servers` before it ends."""
        ends: list[float] = []
        for number, arrival_s in enumerate(requests.arrival_s.tolist()):
            free_s = ends[number - servers] if number >= servers else arrival_s
            ends.append(max(arrival_s, free_s) + self.service_s)
        return np.array(ends) - requests.arrival_s


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
    while high - low > max(1, high // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if meet(middle) else (middle, high)
    return high


@dataclass(frozen=True)
class Served:
    """What requests of the busiest stretch meet at the servers that it needs; arrays [N]."""

    row: Ints
    """which request of the run it is like"""
    wait_s: Floats
    """from the cloud's door to the start of service"""
    latency_s: Floats
    """from the cloud's door to the last token"""
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
    alone_s = _percentile(servers.alone(requests), objective)
    if not alone_s <= objective.at_most_s:
        return Provision(None, rate, alone_s)
    most = len(requests)  # one each is as good as an empty node
    guess = min(most, math.floor(rate / servers.rate(requests)))
    return Provision(fewest(lambda n: n >= most or servers.meet(requests, n), guess), rate, alone_s)


def provision_scaled(
    requests: Requests,
    peak: Peak,
    scale: float,
    servers: Servers,
    objective: Objective,
    draws: Draws,
    sample_size: int = SAMPLE,
) -> Provision:
    """The fewest servers for the busiest stretch of a fleet `scale` times the one whose requests these are.

    At scale 1 the requests of `peak` are served; otherwise as many as tell a percentile, Poisson at the scaled rate,
    drawn from them: no two of one device, so without cached prefixes.
    """
    rates = peak.rates_per_s * scale
    if not len(peak.rows):
        return Provision(0, 0.0, math.nan, rates, np.zeros(len(rates), dtype=np.int64))
    rate, numbers = peak.per_s * scale, np.arange(sample_size)
    rows = peak.rows if scale == 1 else peak.rows[draws.integers(len(peak.rows), "provisioning.request", numbers)]
    sample = requests.take(rows)
    if scale == 1:
        found = provision(sample, servers, objective)
        at = sample
    else:
        sample = sample.strangers()
        units = np.cumsum(draws.exponential("provisioning.gap", numbers))
        found = _stationary(sample, units, rate, servers, objective)
        simulated = min(found.servers or 0, servers.group or found.servers or 0)
        at = sample.at(units / (rate * simulated / max(found.servers or 0, 1))) if simulated else sample
    if not found.servers:
        return replace(found, rates_per_s=rates)
    wait_s, latency_s, utilization = servers.serve(at, min(found.servers, servers.group or found.servers))
    each = np.ceil(found.servers * rates / rate - 1e-9).astype(np.int64)
    served = Served(rows, wait_s, latency_s, utilization, found.servers * servers.rate(sample) / rate - 1.0)
    return replace(found, rates_per_s=rates, servers_of=each, served=served)


def _stationary(sample: Requests, units: Floats, rate: float, servers: Servers, objective: Objective) -> Provision:
    """The fewest servers for a Poisson stream of such requests, whose gaps at one a second are those of `units`."""
    alone_s = _percentile(servers.alone(sample), objective)
    if not alone_s <= objective.at_most_s:
        return Provision(None, rate, alone_s)

    def meet(n: int) -> bool:
        simulated = min(n, servers.group or n)
        return servers.meet(sample.at(units / (rate * simulated / n)), simulated, len(sample) // 2)

    return Provision(fewest(meet, math.floor(rate / servers.rate(sample))), rate, alone_s)


def _percentile(values: Floats, objective: Objective) -> float:
    """The smallest value that `share` of them do not exceed."""
    known = np.sort(values[~np.isnan(values)])
    return float(known[len(known) - 1 - objective.allows(len(known))]) if len(known) else 0.0


def steady(cloud: sections.Cloud) -> sections.Cloud:
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
        "spot prices and takings": kind.spot is not None,
        "failures": cloud.failures is not None,
        "admission control": not isinstance(cloud.admission, sections.QueueLimitOnly),
        "cached prefixes": cloud.prefix_caching and scale != 1,
    }
    return [what for what, there in parts.items() if there]
