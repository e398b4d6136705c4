"""The provisioned account of a run: what the fleet that it represents costs on the servers that this fleet needs.

Users are resampled, so every figure has a 95% interval, and one row a draw stands in `account.parquet`. What the
represented fleet meets on those servers is told apart from what the simulated one met on the configured ones.
"""

import math
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fleetrec.models.runtime.ahead import begun
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.capacity.objectives import ServiceObjective
from fleetrec.simulator.cloud.capacity.provisioning import Provision, Served
from fleetrec.simulator.core.costs import Cost, carbon_signal, device_cost, network_cost
from fleetrec.simulator.core.months import MONTH_S
from fleetrec.simulator.core.resampling import Resampling, interval
from fleetrec.simulator.engine.cloud_service import Service
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.results.account_names import COLUMNS, ENERGY, FIGURES
from fleetrec.simulator.results.summary import percentiles
from fleetrec.simulator.scenario import sections

_EXPECTED = (InputError, ArithmeticError, ValueError, MemoryError)
"""what figures at the ends of what is allowed may raise; anything else is a mistake in the code, which is not hidden"""

Floats = NDArray[np.float64]
Figures = dict[str, Any]


@dataclass(frozen=True)
class Account:
    """What it costs."""

    figures: Figures
    """for a summary's `cost`"""
    represented: Figures
    """what the represented fleet meets on the servers that it needs"""
    draws: pd.DataFrame
    """one row a draw of users"""
    scale: float
    """devices of that fleet for each that was simulated"""
    objective: ServiceObjective
    provision: Provision
    failed: str | None = None
    """why it could not be computed, where it could not: the run is worth keeping without it"""

    def headroom_of(self, servers: int | None) -> float | None:
        """How much more than the simulated fleet's busiest load so many servers serve at most, as a share of that load
        (0: none; -0.5: they serve half of it); None where nobody can tell."""
        needed, served = self.provision.servers, self.provision.served
        if not servers or not needed or served is None:
            return None
        return (1.0 + served.headroom) * servers / needed * self.scale - 1.0


@dataclass(frozen=True)
class Sought:
    """What the fleet that a run represents needs, while it is looked for."""

    represents: int
    """devices of that fleet"""
    scale: float
    """of them for each that was simulated"""
    objective: ServiceObjective
    users: Resampling
    """the simulated devices' users"""
    provision: Callable[[], Provision]
    """what was found, once it is"""

    @classmethod
    def begin(cls, fleet: sections.Fleet, slo: sections.Slo, prepared: Prepared, service: Service) -> "Sought":
        """Of a run that has ended; on a thread of its own where that leaves the interpreter to others."""
        population = prepared.population
        horizon_s, represents = population.stream.horizon_s, fleet.represents or population.n_devices
        scale, objective = represents / population.n_devices, ServiceObjective.of(slo)
        users = prepared.memo.get(
            ["resampled users", population.users],
            lambda: Resampling.of_rows(population.users, prepared.trained.split.log.user_ids),
        )
        how = horizon_s, scale, fleet.surge, objective, prepared.draws, users
        return cls(
            represents, scale, objective, users, begun(lambda: service.provision(*how), service.provisions_beside)
        )


def account(
    sought: Sought,
    tariffs: sections.Tariffs,
    prepared: Prepared,
    service: Service,
    requests: pd.DataFrame,
    devices: pd.DataFrame,
    interactions: NDArray[np.int64],
    training: Cost,
) -> Account:
    """Of a run that has ended, from its records. `interactions` [D] are each device's; `training` is what was spent on
    the simulated fleet."""
    horizon_s, n_devices = prepared.population.stream.horizon_s, prepared.population.n_devices
    represents, scale, objective, users = sought.represents, sought.scale, sought.objective, sought.users
    failed = None
    try:
        provision = sought.provision()
    except _EXPECTED as error:  # comes last, when hours may have been simulated
        *_, where = traceback.extract_tb(error.__traceback__)
        text = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        failed = f"{text}; {Path(where.filename).name}:{where.lineno}"
        provision = Provision(None, math.nan, rates_per_s=np.full(users.draws, math.nan))

    traffic = devices["bytes_up"].to_numpy() * network_cost(1.0, 0.0, tariffs).usd
    traffic = traffic + devices["bytes_down"].to_numpy() * network_cost(0.0, 1.0, tariffs).usd
    used = np.bincount(requests["device"], requests["gpu_seconds"], minlength=n_devices)
    of_devices = np.stack([traffic, interactions.astype(np.float64), used], axis=1)
    resampled = users.means(of_devices) * represents
    own = of_devices.sum(axis=0) * scale

    def usd(paid: Floats, of_fleet: Floats, by_use: float) -> float:
        busy = scale * of_fleet[2] / own[2] if own[2] > 0 else scale
        return service.provisioned(paid, horizon_s, busy).usd + float(of_fleet[0]) + training.usd * scale + by_use

    by_use_of = provision.by_use_usd_of if len(provision.by_use_usd_of) else np.zeros(users.draws)
    servers = np.full(users.draws, math.nan) if provision.servers is None else provision.servers_of.astype(np.float64)
    of_draws = servers[:, None] if provision.servers is None else provision.paid_counts_of
    dollars = [
        math.nan if math.isnan(row[0]) else usd(row, drawn, by_use)
        for row, drawn, by_use in zip(of_draws, resampled, by_use_of.tolist(), strict=True)
    ]
    draws = account_draws(provision.rates_per_s, servers, np.array(dollars), resampled[:, 1], horizon_s)
    n = provision.servers
    own_usd = math.nan if n is None else usd(provision.paid_counts, own, provision.by_use_usd)
    figures = account_figures(provision.peak_per_s, n, own_usd, own[1], horizon_s, represents, draws)
    drawn = Cost(joules=math.nan, gco2=math.nan)
    if n is not None:
        drawn = service.provisioned(provision.paid_counts, horizon_s, scale)
        drawn += service.by_use(provision.by_use_usd, horizon_s)
    carbon = carbon_signal(tariffs).mean(0.0, horizon_s)
    grams = drawn.gco2 + device_cost(float(devices["joules"].sum()) * scale, carbon).gco2
    figures |= dict(zip(ENERGY, (drawn.joules * MONTH_S / horizon_s, grams * MONTH_S / horizon_s), strict=True))
    represented = _represented(requests, represents, provision, objective)
    return Account(figures, represented, draws, scale, objective, provision, failed)


def account_draws(
    rates_per_s: Floats, servers: Floats, usd: Floats, interactions: Floats, horizon_s: float
) -> pd.DataFrame:
    """The table of draws, from columns [B]; dollars are those of `horizon_s`."""
    per_1k, per_month = 1000 * usd / np.maximum(interactions, 1), usd * MONTH_S / horizon_s
    columns = (np.arange(len(usd), dtype=np.int32), rates_per_s, servers, usd, interactions, per_1k, per_month)
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def account_figures(
    per_s: float,
    servers: int | None,
    usd: float,
    interactions: float,
    horizon_s: float,
    represents: int,
    draws: pd.DataFrame,
) -> Figures:
    """The figures of the whole fleet, and the 95% intervals of its draws. No servers meet the objective: no dollars."""
    values: dict[str, float | None] = {
        "requests_per_s": per_s,
        "replicas": servers,
        "usd": usd,
        "usd_per_1k_interactions": 1000 * usd / max(interactions, 1),
        "usd_per_month": usd * MONTH_S / horizon_s,
    }
    figures: Figures = {}
    for column, name in FIGURES.items():
        low, high = interval(draws[column].to_numpy())
        figures |= {name: values[column], f"{name}_low": low, f"{name}_high": high}
    return figures | {"devices_per_replica": represents / servers if servers else None}


def summed_draws(regions: list[pd.DataFrame], training_usd: float, horizon_s: float) -> pd.DataFrame:
    """The draws of a fleet from those of its regions; trainings, which are the fleet's, on top."""
    sums = [np.sum([draws[name].to_numpy() for draws in regions], axis=0) for name in COLUMNS[1:5]]
    rates_per_s, servers, usd, interactions = sums
    return account_draws(rates_per_s, servers, usd + training_usd, interactions, horizon_s)


def worst_of(regions: list[Figures], represents: int) -> Figures:
    """The represented fleet of regions that have clouds of their own: its latencies, use and headroom are those of the
    region where they are worst, figure by figure."""
    servers = [one["replicas"] for one in regions]
    return {
        "devices": represents,
        "replicas": None if None in servers else sum(servers),
        "requests_per_s": of_known([one["requests_per_s"] for one in regions], math.fsum),
        **{
            name: {p: of_known([one.get(name, {}).get(p) for one in regions], max) for p in ("p50", "p95", "p99")}
            for name in ("latency_s", "node_s", "queue_s", "ttft_s", "tpot_s")
            if any(name in one for one in regions)
        },
        "utilization": of_known([one["utilization"] for one in regions], max),
        "headroom": of_known([one["headroom"] for one in regions], min),
    }


def of_known(values: list[float | None], which: Callable[[list[float]], float]) -> float | None:
    """`which` of those that are known; None where none is."""
    known = [value for value in values if value is not None]
    return which(known) if known else None


def _represented(requests: pd.DataFrame, represents: int, provision: Provision, objective: ServiceObjective) -> Figures:
    """The represented fleet in its busiest stretch on the servers that it needs: not the simulated phones. TTFT and
    TPOT are told where the objective speaks of them."""
    served = provision.served
    return {
        "devices": represents,
        "replicas": provision.servers,
        **({} if provision.paid is None else {"replicas_paid": float(provision.paid.sum())}),
        "requests_per_s": provision.peak_per_s,
        "latency_s": percentiles(_answered_s(requests, served) if served else np.zeros(0)),
        "node_s": percentiles(served.times.latency_s if served else np.zeros(0)),
        "queue_s": percentiles(served.wait_s if served else np.zeros(0)),
        **{
            f"{measure}_s": percentiles(served.times.measured(measure) if served else np.zeros(0))
            for measure in dict.fromkeys(part.measure for part in objective.parts)
            if measure != "latency"
        },
        "utilization": served.utilization if served else None,
        "headroom": served.headroom if served else None,
    }


def _answered_s(requests: pd.DataFrame, served: Served) -> Floats:
    """From asking to the list's landing [N]: the network's part is that of the requests which those served are like."""
    arrived_s = requests["t_arrived_s"].to_numpy()
    at_the_door = np.flatnonzero(np.isfinite(arrived_s))
    like = at_the_door[np.argsort(arrived_s[at_the_door], kind="stable")][served.row]
    delivered_s, issued_s, finished_s = (
        requests[name].to_numpy()[like] for name in ("t_delivered_s", "t_issued_s", "t_finished_s")
    )
    network_s = (delivered_s - issued_s) - (finished_s - arrived_s[like])
    return np.asarray(served.times.latency_s + network_s, dtype=np.float64)
