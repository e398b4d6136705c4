"""How many replicas of each kind are rented for those that a peak needs: spares for what is lost now and then, and over
the day as many as an autoscaler keeps. See docs/how-to/provisioning.md.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy  # loads special where it is used: most runs need none of it
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.core.costs import Cost, energy_cost
from fleetrec.simulator.scenario import sections

_OF_MISSES = 0.1  # of the misses that an objective allows: what replicas that are lost may cause

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Availability(NamedTuple):
    """Of one replica in the long run, as shares of time."""

    accepting: float
    """it takes requests"""
    paid: float
    """it is paid for"""

    @classmethod
    def of(cls, machines: sections.Machines, failures: sections.Failures | None) -> "Availability":
        """By renewal: from the end of an outage to the next warning passes an exponential time, of which the cold start
        is lost; then come the notice and the time until there is a machine again. What was taken is not paid for."""
        accepting = paid = 1.0
        outages = []
        if machines.spot is not None and machines.spot.taken_per_hour > 0:
            up_s, spot = 3600.0 / machines.spot.taken_per_hour, machines.spot
            outages.append((up_s, spot.notice + spot.replacement))
            paid -= spot.replacement / (up_s + spot.notice + spot.replacement)
        if failures is not None:
            outages.append((failures.every, failures.repair))
        for up_s, down_s in outages:
            accepting *= up_s * math.exp(-machines.cold_start / up_s) / (up_s + down_s)
        return cls(accepting, paid)


def with_spares(needed: int, accepting: float, may_lack: float) -> int:
    """The fewest machines of which `needed` take requests but for a share `may_lack` of the time, where each does at a
    share `accepting` of it."""
    if needed < 1 or accepting >= 1:
        return needed
    low, high = needed - 1, needed
    while scipy.special.bdtr(needed - 1, high, accepting) > may_lack:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if scipy.special.bdtr(needed - 1, middle, accepting) > may_lack else (low, middle)
    return high


def highest_of_late(rates: Floats, bin_s: float, cooldown_s: float) -> Floats:
    """The highest of rates [T], in bins of `bin_s`, over the last `cooldown_s`; straight lines between bins."""
    bins = len(rates)
    whole = min(int(cooldown_s / bin_s), bins)
    windows = sliding_window_view(np.concatenate([np.full(whole, rates[0]), rates]), whole + 1)
    at = np.arange(bins)
    return np.asarray(np.maximum(windows.max(axis=-1), np.interp(at - cooldown_s / bin_s, at, rates)))


def paid_for(
    pools: Sequence[Pool],
    paid: Floats,
    horizon_s: float,
    busy_gpu_s: Sequence[float],
    busy_joules: float,
    tariffs: sections.Tariffs,
    gco2_per_kwh: float,
) -> Cost:
    """Rent and energy of `paid` replicas of each kind [K] over `horizon_s`, in which the GPUs of each kind are busy for
    `busy_gpu_s` [K] in all and draw `busy_joules` then; idle ones draw what idle ones do. Where that is longer than
    they are paid for, since few phones fill no batch and many do, they draw as much as in the time that is paid."""
    rent, idle_joules = Cost(), 0.0
    for pool, servers, busy_s in zip(pools, paid.tolist(), busy_gpu_s, strict=True):
        paid_s, gpus, power = servers * horizon_s, pool.gpus_per_replica, pool.power
        rent += Cost(usd=paid_s * gpus * pool.rent_usd, gpu_seconds=paid_s * gpus)
        if power is not None:
            idle_joules += power.idle_joules(max(paid_s - busy_s / gpus, 0.0))
    busy_joules *= min(1.0, rent.gpu_seconds / max(math.fsum(busy_gpu_s), 1e-300))
    return rent + energy_cost(busy_joules + idle_joules, tariffs, gco2_per_kwh)


class Rental:
    """What is rented of each kind [K] for a fleet `scale` times the one whose cloud it is."""

    def __init__(self, cloud: sections.Cloud, scale: float):
        self._kinds = [machines for _, machines in cloud.machines()]
        self._available = [Availability.of(machines, cloud.failures) for machines in self._kinds]
        self._may_lack = _OF_MISSES * min(1.0 - part.share for part in cloud.slo.parts)
        self._scale = scale

    @property
    def plain(self) -> bool:
        """Replicas of one kind that are always there, all the time."""
        return len(self._kinds) == 1 and not self.autoscales and self._available[0] == (1.0, 1.0)

    @property
    def autoscales(self) -> list[sections.Autoscale]:
        """Those of its kinds that have one."""
        return [machines.autoscale for machines in self._kinds if machines.autoscale is not None]

    def spared(self, needed: Ints) -> Ints:
        """Of each kind [K] so many that `needed` of them take requests."""
        each = zip(needed.tolist(), self._available, strict=True)
        return np.array([with_spares(n, kind.accepting, self._may_lack) for n, kind in each], dtype=np.int64)

    def paid(self, needed: Ints, per_s: float, day: Floats, bin_s: float, paces: Sequence[float]) -> Floats:
        """Those that are paid for [K], in the mean over the rates of a day [T] in bins of `bin_s`, where `needed` [K]
        meet the objective at the peak of `per_s`.

        Those without an autoscaler are there all the time. The others share what is over so that each replica gets
        `paces` requests a second, one of each autoscaler, at which its metric reads its target; less where the
        objective asks for that at the peak. They follow the load at once when it rises, and after the cooldown when it
        falls. Limits are those of the scenario for each of its fleets.
        """
        spared = self.spared(needed)
        scaled = [number for number, machines in enumerate(self._kinds) if machines.autoscale is not None]
        kept = spared.astype(np.float64)
        fixed, moving = int(needed.sum() - needed[scaled].sum()), int(needed[scaled].sum())
        for number, pace in zip(scaled, paces, strict=True):
            section = self._kinds[number].autoscale
            assert section is not None
            if not moving or not needed[number]:
                continue
            late = highest_of_late(day, bin_s, section.cooldown)
            wanted = (late / min(pace, per_s / needed.sum()) - fixed) * (needed[number] / moving)
            most = max(math.ceil(section.max * self._scale), int(needed[number]))
            there = np.clip(np.ceil(wanted - 1e-9), math.ceil(section.min * self._scale), most)
            kept[number] = there.mean() * spared[number] / needed[number]
        return kept * [kind.paid for kind in self._available]
