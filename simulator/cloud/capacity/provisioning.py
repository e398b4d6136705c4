"""How many servers a load needs: the fewest that meet an objective, found by replaying it.

`servers_needed.py` looks for those of a fleet's peak, `provision` here for those of one stream of requests.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fleetrec.simulator.cloud.capacity.objectives import Times
from fleetrec.simulator.cloud.capacity.replay import Floats, Ints, Requests
from fleetrec.simulator.cloud.capacity.servers import Servers
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.objectives import Objective
from fleetrec.simulator.scenario.units import DURATION


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
    times: Times
    """from the cloud's ingress queue on"""
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
    hardest: Objective | None = None
    """the objective that requests on an empty node come nearest to, or exceed most"""
    alone_s: float = math.nan
    """what it is about, at its percentile, on an empty node"""
    rates_per_s: Floats = field(default_factory=lambda: np.zeros(0))
    """`peak_per_s` where users are resampled [B]"""
    servers_of: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """the servers that each of those rates needs [B]"""
    served: Served | None = None
    """none where there are no servers"""
    paid: Floats | None = None
    """servers of each kind [K] that are paid for, in the mean over the run's time; none: `servers`, of one kind"""
    paid_of: Floats | None = None
    """the same where users are resampled [B, K]"""
    by_use_usd: float = 0.0
    """what is paid by use beside servers, over the run's time: a hosted API"""
    by_use_usd_of: Floats = field(default_factory=lambda: np.zeros(0))
    """the same where users are resampled [B]; none: 0"""

    @property
    def paid_counts(self) -> Floats:
        """Servers of each kind [K] that are paid for."""
        return np.array([float(self.servers or 0)]) if self.paid is None else self.paid

    @property
    def paid_counts_of(self) -> Floats:
        """The same where users are resampled [B, K]."""
        return self.servers_of[:, None].astype(np.float64) if self.paid_of is None else self.paid_of

    @property
    def misses(self) -> bool:
        """Whether what serves, of which no number is looked for, exceeds the objective."""
        return self.servers == 0 and self.hardest is not None and self.alone_s > self.hardest.late_s

    @property
    def excess(self) -> str:
        """By how much the objective is exceeded on an empty node, in words."""
        assert self.hardest is not None
        what, bound_s = self.hardest.what, self.hardest.at_most_s
        times = f", {self.alone_s / bound_s:.3g} times the {DURATION.show(bound_s)} asked for" if bound_s else ""
        return f"the {what} is {self.alone_s:.3g} s{times}"


def provision(requests: Requests, servers: Servers) -> Provision:
    """The fewest servers for exactly these requests."""
    if not len(requests):
        return Provision(0)
    rate = len(requests) / max(requests.span_s, 1e-9)
    hardest, alone_s = servers.objective.hardest(servers.alone(requests))
    if not alone_s <= hardest.at_most_s:
        return Provision(None, rate, hardest, alone_s)
    most = len(requests)  # one each is as good as an empty node
    guess = min(most, math.floor(rate / float(servers.rates(requests).max())))
    return Provision(fewest(lambda n: n >= most or servers.meet(requests, n), guess), rate, hardest, alone_s)


def left_out(cloud: sections.Cloud) -> list[str]:
    """What of a cloud the account leaves out, in words."""
    parts = {
        "admission control": not cloud.admission.limit_alone,
        "fairness between tenants": cloud.order.by_tenant,
    }
    return [what for what, there in parts.items() if there]
