"""How many replicas a load needs: the fewest that meet a latency objective, found by replaying it through the node.

The load of a larger fleet is many independently shifted copies of the run's own requests: within the busiest minutes a
Poisson stream (Palm-Khintchine) with the run's own mix of tokens. Faults and autoscaling are left out.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from models.errors import InputError
from models.progress import NullProgress, Progress
from simulator.cloud.cluster import Pool
from simulator.cloud.replay import Floats, Replayed, Requests, Watch, replay
from simulator.cloud.tickets import LlmTicket
from simulator.randomness import Draws
from simulator.scenario import sections
from simulator.scenario.units import DURATION

PEAK_S = 300.0
"""the busiest stretch of a run, for which it is provisioned"""
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
        with self.progress.task(f"{replicas} replicas" if replicas > 1 else "one replica", len(requests)) as task:

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
        """Equal service times end in order of arrival, so a request starts when the one `servers` before it ends."""
        ends: list[float] = []
        for number, arrival_s in enumerate(requests.arrival_s.tolist()):
            free_s = ends[number - servers] if number >= servers else arrival_s
            ends.append(max(arrival_s, free_s) + self.service_s)
        latency_s = np.array(ends) - requests.arrival_s
        misses = int(self.objective.misses(latency_s[warm_up:]).sum())
        return misses <= self.objective.allows(len(requests) - warm_up)


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
class Provision:
    """What a load needs. Without requests: no server."""

    servers: int | None
    """none: no number of servers meets the objective"""
    peak_per_s: float = 0.0
    """requests a second in the busiest stretch, of the whole fleet"""
    alone_s: float = math.nan
    """what the objective is about, at its percentile, for requests on an empty node"""


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
    span_s: float,
    scale: float,
    servers: Servers,
    objective: Objective,
    draws: Draws,
    sample_size: int = SAMPLE,
) -> Provision:
    """The fewest servers for the busiest five minutes of a fleet `scale` times the one whose requests these are.

    `span_s`: how long that fleet was watched, from time 0. Its first five minutes, in which all devices join at once,
    do not count unless it ends within ten or no request comes later. At scale 1 its own requests are served; otherwise
    as many as tell a percentile, Poisson at the scaled rate, drawn from the busiest minutes: no two of one device, so
    without cached prefixes.
    """
    later = np.flatnonzero(requests.arrival_s >= PEAK_S)
    if span_s > 2 * PEAK_S and len(later):
        requests = requests.take(later)
    first, end = busiest(requests.arrival_s, PEAK_S)
    peak = requests.take(slice(first, end))
    if not len(peak) or scale == 1:
        return provision(peak, servers, objective)
    rate = len(peak) / min(PEAK_S, span_s) * scale
    numbers = np.arange(sample_size)
    sample = peak.take(draws.integers(len(peak), "provisioning.request", numbers)).strangers()
    units = np.cumsum(draws.exponential("provisioning.gap", numbers))
    alone_s = _percentile(servers.alone(sample), objective)
    if not alone_s <= objective.at_most_s:
        return Provision(None, rate, alone_s)

    def meet(n: int) -> bool:
        simulated = min(n, servers.group or n)
        return servers.meet(sample.at(units / (rate * simulated / n)), simulated, sample_size // 2)

    return Provision(fewest(meet, math.floor(rate / servers.rate(sample))), rate, alone_s)


def busiest(arrival_s: Floats, window_s: float) -> tuple[int, int]:
    """[first, end) of the requests of the window of that length that holds the most; the first of several."""
    if not len(arrival_s):
        return 0, 0
    ends = np.searchsorted(arrival_s, arrival_s + window_s, side="left")
    first = int(np.argmax(ends - np.arange(len(arrival_s))))
    return first, int(ends[first])


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
