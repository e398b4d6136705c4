"""How many servers the busiest half hour of a fleet needs: the whole of it is served, and a queue that grows is seen.

The peak of a larger fleet is many independently shifted copies of the run's own requests: a Poisson stream
(Palm-Khintchine) with the run's own mix of tokens. What else is rented is in `rental.py`.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.ahead import Ahead, begun
from fleetrec.simulator.cloud.capacity.brackets import Bracket
from fleetrec.simulator.cloud.capacity.clones import Clones
from fleetrec.simulator.cloud.capacity.peak import PEAK_S, Peak
from fleetrec.simulator.cloud.capacity.provisioning import Provision, Served, fewest
from fleetrec.simulator.cloud.capacity.rental import Rental
from fleetrec.simulator.cloud.capacity.replay import Requests
from fleetrec.simulator.cloud.capacity.servers import Servers
from fleetrec.simulator.cloud.capacity.streams import FEWEST, Stream
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Autoscale

_ABOUT = 30_000  # requests that tell a capacity roughly
_WITHIN = 0.005  # of a capacity: what is found is served, and so much more is not
_ROUGHLY = 0.03  # the same of what a short replay tells, and of the first steps away from what replicas serve at most
_HALVINGS = 8  # of the rates among which that of an autoscaler's target is looked for
_BUSIER = 3.0  # standard errors by which the requests of one half hour may exceed those of the mean one

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Capacity:
    """What rates of such requests numbers of servers hold for half an hour within the objective."""

    def __init__(self, requests: Requests, servers: Servers, draws: Draws):
        self.requests, self.servers = requests, servers
        self._known: dict[int, Bracket] = {}
        self._most: dict[int, float] = {}
        self._paces: dict[tuple[int, str, float], float] = {}
        self._held: Ahead[tuple[int, float, int], bool] = Ahead(lambda asked: self.holds(*asked), servers.side_by_side)
        self.clones = Clones(requests, draws) if bool((requests.prefix_start >= 0).any()) else None
        self._stream = Stream(requests, draws)
        self.alone = servers.alone(requests)
        self._each = servers.rates(self.stream(FEWEST, 1.0)[0])

    def stream(self, n: int, rate: float) -> tuple[Requests, Ints]:
        """`n` requests at `rate` a second, in Poisson order: as many of each kind as there are in the peak, at moments
        of which exactly so many fall into that time; and which of the peak's each is like. Where they share cached
        prefixes, about so many of devices with their own gaps."""
        return self._stream.of(n, rate) if self.clones is None else self.clones.stream(n, rate)

    def holds(self, servers: int, rate: float, most: int) -> bool:
        """Whether so many servers hold `rate` requests a second, by a replay of at most so many requests.

        They must serve as many when all are busy: a batch of long queues may be slower than one of short ones, so that
        a queue that chance has built up would stay. Where a replay is shorter than the peak, its second half counts,
        and so where caches are empty at its start.
        """
        if rate > self._busy(servers):
            return False
        n = min(max(math.ceil(rate * PEAK_S), FEWEST), most)
        whole = n >= rate * PEAK_S and self.clones is None
        return self.servers.meet(self.stream(n, rate)[0], servers, 0 if whole else n // 2)

    def _busy(self, servers: int) -> float:
        """Requests a second that so many serve at most."""
        if servers not in self._most:
            self._most[servers] = float((self.servers.kinds(servers) * self._each).sum())
        return self._most[servers]

    def of(self, servers: int) -> float:
        """The most requests a second that so many servers hold. More than a group of them hold in proportion."""
        group = min(servers, self.servers.group)
        return self._narrowed(group, None).low * servers / group

    def _narrowed(self, group: int, rates: Floats | None) -> Bracket:
        """What is known of the rate that so many hold, once it is known of each of `rates`; or to `_WITHIN`."""
        if group not in self._known:
            self._known[group] = self._begun(group, rates)
        self._known[group] = self._searched(group, self._known[group], rates, self.servers.most)
        return self._known[group]

    def _begun(self, group: int, rates: Floats | None) -> Bracket:
        """Where the search begins: at what the number next to it holds in proportion, if that is known; else at what a
        short replay tells, where it is much shorter than a whole one and more than one rate is asked for."""
        if self._known:
            near = min(self._known, key=lambda known: abs(known - group))
            return Bracket(min(self._known[near].about * group / near, self._busy(group)), 1.0 + _WITHIN, _WITHIN)
        busy = self._busy(group)
        short = min(busy * PEAK_S, self.servers.most) <= 2 * _ABOUT
        if short or (rates is not None and len(rates) == 1):
            return Bracket(busy, 1.0 + _ROUGHLY, _WITHIN)
        roughly = self._searched(group, Bracket(busy, 1.0 + _ROUGHLY, _ROUGHLY), None, _ABOUT)
        return Bracket(roughly.about, 1.0 + _WITHIN, _WITHIN)

    def _searched(self, group: int, bracket: Bracket, rates: Floats | None, most: int) -> Bracket:
        """The bracket once it is as close as is looked for, or none of `rates` is open; by replays of at most so many
        requests."""
        while (rate := bracket.to_try(rates)) is not None:
            after = {held: bracket.after(rate, held) for held in (True, False)}
            may_follow = [one.to_try(rates) for one in after.values()]
            likely = [(group, one, most) for one in may_follow if one is not None]
            bracket = after[self._held.ask((group, rate, most), *likely)]
        return bracket

    def busier(self, rates: Floats) -> Floats:
        """The rates [N] of half hours that are as busy as one in a thousand by chance, where `rates` [N], which are
        positive, are those of the mean."""
        return rates * (1.0 + _BUSIER * np.sqrt(self._spread / (rates * PEAK_S)))

    @cached_property
    def _spread(self) -> float:
        """Of the work that requests bring, beside their number."""
        alone_s = self.alone.latency_s
        mean = max(float(np.nanmean(alone_s)), 1e-12)
        return 1.0 + float(np.nanvar(alone_s)) / mean**2

    def needs(self, rates: Floats) -> Ints:
        """The fewest servers [N] for peaks of `rates` [N] requests a second in the mean."""
        needed = np.zeros(len(rates), dtype=np.int64)
        left = np.flatnonzero(rates > 0)
        busy = np.zeros(len(rates))
        busy[left] = self.busier(rates[left])
        group = self.servers.group
        for servers in range(1, group + 1):
            if len(may := left[busy[left] <= self._busy(servers)]):
                held = may[busy[may] <= self._narrowed(servers, np.unique(busy[may])).low]
                needed[held] = servers
                left = left[needed[left] == 0]
        if len(left):
            needed[left] = np.ceil(group * busy[left] / self.of(group)).astype(np.int64)
        return needed

    def served(self, servers: int, rate: float) -> Served:
        """What requests meet in a mean half hour at so many servers."""
        simulated = min(servers, self.servers.group)
        share = rate * simulated / servers
        requests, rows = self.stream(min(max(math.ceil(share * PEAK_S), FEWEST), self.servers.most), share)
        serving = begun(lambda: self.servers.serve(requests, simulated), self.servers.side_by_side)
        counts = slice(0 if self.clones is None else len(rows) // 2, None)
        headroom = self.of(servers) / rate - 1.0
        wait_s, times, utilization = serving()
        return Served(rows[counts], wait_s[counts], times.take(counts), utilization, headroom)

    def pace(self, servers: int, autoscale: Autoscale) -> float:
        """Requests a second and server at which an autoscaler of so many reads its target; at most what they hold."""
        group = min(servers, self.servers.group)
        key = group, autoscale.metric, autoscale.target
        if key not in self._paces:
            self._paces[key] = self._pace(group, autoscale)
        return self._paces[key]

    def _pace(self, group: int, autoscale: Autoscale) -> float:
        low, high = 0.0, self.of(group)
        for _ in range(_HALVINGS):
            rate = (low + high) / 2
            requests, _ = self.stream(min(_ABOUT, self.servers.most), rate)
            _, times, read = self.servers.serve(requests, group)
            if autoscale.metric == "queue":
                read = rate * float(np.mean(times.latency_s)) / group  # Little
            low, high = (rate, high) if read <= autoscale.target else (low, rate)
        return high / group


def provision_fleet(
    requests: Requests, peak: Peak, scale: float, servers: Servers, draws: Draws, rental: Rental | None = None
) -> Provision:
    """The fewest servers for the peak of a fleet `scale` times the one whose requests these are, and what of them is
    paid for: all that `rental` says, or as many as are needed.

    The requests are those of the peak at its rate, no two of one device; but where prefixes are cached, of devices with
    their own gaps, and where such a fleet stands for itself its own, one after the other, made to come as fast.
    """
    capacity = capacity_of(requests, peak, servers, draws)
    found = needed(capacity, peak, scale)
    if found.servers and capacity is not None:
        found = replace(found, served=_served(capacity, peak, scale, found.servers))
    return rented(found, servers, capacity, peak, scale, rental)


def capacity_of(requests: Requests, peak: Peak, servers: Servers, draws: Draws) -> Capacity | None:
    """What servers hold of requests like those of the peak; None where there are none."""
    return Capacity(requests.take(peak.rows), servers, draws) if len(peak.rows) else None


def needed(capacity: Capacity | None, peak: Peak, scale: float) -> Provision:
    """What takes requests at the peak, for the fleet and where users are resampled."""
    rates = peak.rates_per_s * scale
    rate = peak.per_s * scale
    if capacity is None or rate <= 0:
        return Provision(0, rates_per_s=rates, servers_of=np.zeros(len(rates), dtype=np.int64))
    hardest, alone_s = capacity.servers.objective.hardest(capacity.alone)
    if not alone_s <= hardest.at_most_s:
        return Provision(None, rate, hardest, alone_s, rates)
    if scale == 1 and capacity.clones is not None:
        at = _at_peak(capacity, rate)
        n = fewest(lambda count: count >= len(at) or capacity.servers.meet(at, count), 1)
        each = np.ceil(n * rates / rate - 1e-9).astype(np.int64)
    else:
        own = np.array([rate])
        if capacity.clones is None:
            n, *others = capacity.needs(np.append(own, rates)).tolist()
            each = np.array(others, dtype=np.int64)
        else:  # the node itself serves, at half a minute a number of replicas
            n = int(capacity.needs(own)[0])
            each = np.ceil(n * capacity.busier(np.maximum(rates, 1e-12)) / capacity.of(n)).astype(np.int64)
    return Provision(n, rate, hardest, alone_s, rates, each)


def rented(
    found: Provision,
    servers: Servers,
    capacity: Capacity | None,
    peak: Peak,
    scale: float,
    rental: Rental | None,
    paces: Sequence[float] | None = None,
) -> Provision:
    """The same with what is paid for: all that `rental` says, or as many as are needed. `paces`, requests a second that
    a replica of each autoscaler gets, are those at which it reads its target, where they are not given."""
    if found.servers is None or rental is None or rental.plain:
        return found
    n = found.servers
    if paces is None:
        paces = [0.0 if not n or capacity is None else capacity.pace(n, one) for one in rental.autoscales]
    needs = [servers.kinds(n) for n in (found.servers, *found.servers_of.tolist())]
    spared = [int(rental.spared(counts).sum()) for counts in needs]
    of_day = zip(needs, (found.peak_per_s, *found.rates_per_s.tolist()), peak.by_time_per_s * scale, strict=True)
    paid = np.array([rental.paid(counts, per_s, day, peak.bin_s, paces) for counts, per_s, day in of_day])
    return replace(found, servers=spared[0], servers_of=np.array(spared[1:]), paid=paid[0], paid_of=paid[1:])


def _at_peak(capacity: Capacity, rate: float) -> Requests:
    """A fleet's own requests, one after the other, at the rate of its peak."""
    like = capacity.requests
    own_s = like.arrival_s - like.arrival_s[0]
    return like.at(own_s * (len(like) / max(float(own_s[-1]), 1e-9) / rate))


def _served(capacity: Capacity, peak: Peak, scale: float, servers: int) -> Served:
    """What the requests of the peak meet there."""
    rate = peak.per_s * scale
    if scale == 1 and capacity.clones is not None:
        requests = _at_peak(capacity, rate)
        wait_s, times, utilization = capacity.servers.serve(requests, servers)
        return Served(peak.rows, wait_s, times, utilization, math.nan)
    served = capacity.served(servers, rate)
    return replace(served, row=peak.rows[served.row])
