"""Dollars a month of each way to serve a run's requests, for a fleet of any size.

The run says which requests its devices make. Own GPUs are provisioned for the peak of the fleet by replaying that load,
as the account of a run is; an API is paid by the token; nobody serves the SRM alone.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.api.price import bill
from fleetrec.simulator.cloud.api.prompt_cache import PromptCache, prefixes_of
from fleetrec.simulator.cloud.capacity.objectives import ServiceObjective
from fleetrec.simulator.cloud.capacity.overflow import with_overflow
from fleetrec.simulator.cloud.capacity.peak import Peak
from fleetrec.simulator.cloud.capacity.provisioning import Provision
from fleetrec.simulator.cloud.capacity.rental import Rental, paid_for
from fleetrec.simulator.cloud.capacity.replay import Requests
from fleetrec.simulator.cloud.capacity.servers import Replicas, without_faults
from fleetrec.simulator.cloud.capacity.servers_needed import Capacity, capacity_of, needed, rented
from fleetrec.simulator.cloud.hardware.catalogue import served_model
from fleetrec.simulator.cloud.hardware.models import ModelSpec
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.pools import pools_of
from fleetrec.simulator.cloud.tokens import history_prefix, llm_request_tokens
from fleetrec.simulator.core.costs import Cost, carbon_signal, grams_co2, network_cost
from fleetrec.simulator.core.months import MONTH_S
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.core.resampling import Resampling, interval
from fleetrec.simulator.results.run_result import asked_of_llm
from fleetrec.simulator.scenario import sections

Way = Literal["gpus", "autoscaled", "spot", "api", "overflow", "none"]
WAYS: tuple[Way, ...] = get_args(Way)
"""own GPUs that are always there, as many as the load needs, on spare capacity; a hosted API; own GPUs and the API for
what they cannot take; nobody: the SRM alone"""
OF_GPUS: tuple[Way, ...] = ("gpus", "autoscaled", "spot", "overflow")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Monthly:
    """What one way costs a fleet in a month of 30 days; intervals are at 95%, over users that are resampled."""

    way: Way
    fleet: int
    usd: float
    """serving, traffic and training; NaN where no number of replicas meets the objective"""
    low: float
    high: float
    usd_per_1k_interactions: float
    replicas: int | None
    """own ones; None: no number meets the objective"""
    gpu_joules: float
    """of own GPUs, idle or not, and of the API; NaN where the run has not served all its requests on those GPUs, or the
    API does not tell its own"""
    gco2: float
    refused: float
    """the share of the requests that the API's own limits would refuse at least; the bill is as if they were wide"""
    draws: Floats
    """of the dollars [B], paired over ways, fleets and policies of the same users"""


class Asked(NamedTuple):
    """What a fleet does in a month."""

    interactions: float
    requests: float


@dataclass(frozen=True)
class Terms:
    """What of a scenario bills depend on."""

    llm: sections.Llm
    cloud: sections.Cloud
    tariffs: sections.Tariffs
    surge: float
    pushed: bool
    """whether the cloud makes the requests, unasked"""
    horizon_s: float
    """over which they came"""
    represents: int
    """devices of the fleet that the simulated one stands for"""


class MonthlyBills:
    """The bills of a run's requests; what replicas hold is found once, for fleets of all sizes."""

    def __init__(
        self,
        terms: Terms,
        requests: pd.DataFrame,
        devices: pd.DataFrame,
        interactions: Ints,
        training_usd: float,
        draws: Draws,
    ):
        """`interactions` are each device's [D]; `training_usd` is what trainings cost the simulated fleet; `draws` are
        those of the run."""
        if terms.llm.served_as is None:
            raise InputError("llm.served_as: own GPUs are charged as a model; name one of the catalogue")
        self._terms, self._training_usd = terms, training_usd
        self._n, self._users = len(devices), Resampling.of(devices["user"].to_numpy())
        self._interactions = interactions.astype(np.float64)
        self._draws = draws
        self._arrived = asked_of_llm(requests)
        self._asking = np.bincount(requests["device"], requests["usd_network"], minlength=self._n)
        self._traffic = _traffic(terms.tariffs, devices) - self._asking  # all but that of requests
        self._gpu_s = np.bincount(requests["device"], requests["gpu_seconds"], minlength=self._n)
        self._carbon = carbon_signal(terms.tariffs).mean(0.0, terms.horizon_s)

    @property
    def represents(self) -> int:
        """Devices of the fleet that the simulated one stands for."""
        return self._terms.represents

    @property
    def ways(self) -> list[Way]:
        """Those that the scenario has: without `cloud.api` there is none to call."""
        return [way for way in WAYS if self._terms.cloud.api is not None or way not in ("api", "overflow")]

    def asked_per_month(self, fleet: int) -> Asked:
        """What a fleet of this size does in a month."""
        times = fleet / self._n * MONTH_S / self._terms.horizon_s
        return Asked(float(self._interactions.sum()) * times, len(self._arrived) * times)

    def at(self, fleet: int, ways: Sequence[Way] | None = None) -> dict[Way, Monthly]:
        """The bills of a fleet of this size."""
        return {way: self._bill(way, fleet) for way in ways or self.ways}

    # ------------------------------------------------------------------------------------------ one bill

    def _bill(self, way: Way, fleet: int) -> Monthly:
        """The rest of the bill is in proportion to what devices do: traffic, and tokens of an API."""
        scale, months, draws = fleet / self._n, MONTH_S / self._terms.horizon_s, self._users.draws
        asking = self._asking if way != "none" else 0.0
        by_use = self._api_usd if way == "api" else np.zeros(self._n)
        each = np.stack([self._traffic + asking + by_use, self._interactions, self._gpu_s], axis=1)
        own, drawn = each.sum(axis=0) * scale, self._users.means(each) * fleet
        usd = float(own[0]) + self._training_usd * scale
        of_draws = drawn[:, 0] + self._training_usd * scale
        replicas = 0
        kept, by_api = Cost(), scale if way == "api" else 0.0
        if way in OF_GPUS:
            found = self._provision(way, scale)
            if found.servers is None:
                nan = math.nan
                return Monthly(way, fleet, nan, nan, nan, nan, None, nan, nan, 0.0, np.full(draws, nan))
            replicas = found.servers
            times = scale * drawn[:, 2] / own[2] if own[2] > 0 else np.full(draws, scale)
            kept = self._kept(way, found.paid_counts, scale)
            usd += kept.usd + found.by_use_usd
            by_api = found.by_use_usd / float(self._api_usd.sum()) if found.by_use_usd else 0.0
            of_draws = of_draws + self._kept_usd(way, found.paid_counts_of, times)
            of_draws = of_draws + (found.by_use_usd_of if len(found.by_use_usd_of) else 0.0)
        low, high = interval(of_draws * months)
        per_1k = 1000 * usd / max(float(own[1]), 1.0)
        joules = self._api_joules * by_api if by_api else 0.0
        spent = kept + Cost(joules=joules, gco2=grams_co2(joules, self._carbon))
        if way in OF_GPUS and self._terms.cloud.kind != "gpus":
            spent = Cost(joules=math.nan, gco2=math.nan)
        energy = spent.joules * months, spent.gco2 * months
        refused = self._refused(scale, replicas) if way in ("api", "overflow") else 0.0
        return Monthly(way, fleet, usd * months, low, high, per_1k, replicas, *energy, refused, of_draws * months)

    def _refused(self, scale: float, servers: int) -> float:
        """The share of the requests beyond what so many own servers take that the API's limits refuse at the least, by
        the rates of the run's time: calls that come again ask for no less."""
        api, rates_per_s = self._terms.cloud.api, self._peak.by_time_per_s[0] * (scale / self._terms.surge)
        assert api is not None
        assert api.price is not None
        if not len(self._arrived) or api.price.batch_of(self._terms.pushed) is not None or not rates_per_s.any():
            return 0.0
        whole = self._needed(scale) if servers else None
        taken = servers * whole.peak_per_s / whole.servers if whole is not None and whole.servers else 0.0
        table, limits = self._arrived, api.limits
        tokens = float((table["prompt_tokens"] + table["output_tokens"]).mean())
        took_s = float((table["t_finished_s"] - table["t_started_s"])[table["t_started_s"].notna()].mean())
        allowed = [math.inf if limits.requests_per_minute is None else limits.requests_per_minute / 60.0]
        allowed += [] if limits.tokens_per_minute is None else [limits.tokens_per_minute / 60.0 / tokens]
        allowed += [] if limits.concurrent is None or not took_s > 0 else [limits.concurrent / took_s]
        return float(np.maximum(rates_per_s - taken - min(allowed), 0.0).sum() / rates_per_s.sum())

    def _kept(self, way: Way, paid: Floats, times: float) -> Cost:
        """Replicas of each kind [K] that serve so many times what was served here."""
        gpus = paid * [pool.gpus_per_replica for pool in self._pools(way)]
        busy_gpu_s = float(self._gpu_s.sum()) * times * gpus / max(float(gpus.sum()), 1e-300)
        drawn = self._arrived["joules"][self._arrived["gpu_seconds"] > 0]
        energy = float(drawn.sum()) * times, self._terms.tariffs, self._carbon
        return paid_for(self._pools(way), paid, self._terms.horizon_s, busy_gpu_s.tolist(), *energy)

    def _kept_usd(self, way: Way, paid_of: Floats, times: Floats) -> Floats:
        """The dollars of each draw [B]; without a tariff for energy they are rent alone."""
        if self._terms.tariffs.energy_kwh:
            return np.array([self._kept(way, row, busy).usd for row, busy in zip(paid_of, times, strict=True)])
        return paid_of @ [self._terms.horizon_s * pool.gpus_per_replica * pool.rent_usd for pool in self._pools(way)]

    def _provision(self, way: Way, scale: float) -> Provision:
        """What GPUs are rented, in some way; with an API's bill for what goes over."""
        found, cloud = self._needed(scale), self._cloud(way)
        scaled = [machines.autoscale is not None for _, machines in _on_gpus(self._terms.cloud).machines()]
        rental, paces = Rental(cloud, scale), None
        if way == "autoscaled" and not any(scaled):  # as many as the objective needs at each moment, one at least
            rental, paces = Rental(cloud, 1.0), [math.inf] * len(scaled)
        found = rented(found, self._servers, self._capacity, self._peak, scale, rental, paces)
        if way != "overflow" or not found.servers or not len(self._arrived):
            return found
        request_usd = float(self._api_usd.sum()) / len(self._arrived)
        rates = self._peak.by_time_per_s * (scale / self._terms.surge)
        horizon_s = self._terms.horizon_s
        return with_overflow(found, rates, lambda paid: self._kept(way, paid, 0.0).usd, request_usd, horizon_s)

    @cached_property
    def _needed(self) -> Callable[[float], Provision]:
        return cache(lambda scale: needed(self._capacity, self._peak, scale))

    # ------------------------------------------------------------------------------------------ what serves

    def _cloud(self, way: Way) -> sections.Cloud:
        """The scenario's GPUs, rented in some way: with its own autoscaler or spot capacity, where it has them."""
        return with_rental(self._terms.cloud, way)

    @cached_property
    def _pools(self) -> Callable[[Way], tuple[Pool, ...]]:
        llm, tariffs = self._terms.llm, self._terms.tariffs
        timed = llm.candidates.brings_latency()
        return cache(lambda way: pools_of(llm, self._cloud(way), tariffs, self._model, timed))

    @cached_property
    def _model(self) -> ModelSpec:
        return served_model(self._terms.llm.served_as, None)

    @cached_property
    def _servers(self) -> Replicas:
        cloud = self._cloud("gpus")
        return Replicas(self._pools("gpus"), without_faults(cloud), self._draws, ServiceObjective.of(cloud.slo))

    @cached_property
    def _peak(self) -> Peak:
        asked_s = np.where(self._arrived["t_issued_s"] > 0, self._arrived["t_arrived_s"], 0.0)
        device = self._arrived["device"].to_numpy().astype(np.int64)
        return Peak.of(asked_s, device, self._terms.horizon_s, self._users).times(self._terms.surge)

    @cached_property
    def _capacity(self) -> Capacity | None:
        return capacity_of(self._requests, self._peak, self._servers, self._draws)

    @cached_property
    def _requests(self) -> Requests:
        """As they came to the cloud."""
        table, llm = self._arrived, self._terms.llm
        sequences = sequences_of(llm)
        written = table["output_tokens"].to_numpy().astype(np.int64) // sequences
        took_s = (table["t_finished_s"] - table["t_started_s"]).to_numpy()
        prefix = self._prefixes if self._terms.cloud.prefix_caching else None
        return Requests.of(
            table["t_arrived_s"].to_numpy(),
            table["prompt_tokens"].to_numpy().astype(np.int64),
            written,
            np.full(len(table), sequences),
            took_s if llm.candidates.brings_latency() else None,
            table["device"].to_numpy().astype(np.int64),
            np.full(len(table), float(self._terms.pushed)),
            None if prefix is None else prefix[:, 0],
            None if prefix is None else prefix[:, 1],
        )

    @cached_property
    def _prefixes(self) -> Ints | None:
        """Where each prompt's history begins, and the tokens up to its end [N, 2]; None where nobody knows."""
        llm = self._terms.llm
        if llm.candidates.recorded or llm.candidates.title_prompt() is not None or _own_tokens(llm):
            return None
        prefix = cache(lambda n: history_prefix(llm.prompt, n))
        steps = self._arrived["step"].to_numpy().astype(np.int64)
        return np.array([prefix(n) for n in (steps + 1).tolist()], dtype=np.int64).reshape(-1, 2)

    @property
    def _api_usd(self) -> Floats:
        """What the requests of each device [D] cost at the API, whose cache keeps what they share."""
        return self._at_api[0]

    @property
    def _api_joules(self) -> float:
        """What they take there; NaN where nobody tells."""
        return self._at_api[1]

    @cached_property
    def _at_api(self) -> tuple[Floats, float]:
        api, table = self._terms.cloud.api, self._arrived
        if self._terms.cloud.kind == "api":  # it was called
            usd = np.bincount(table["device"], table["usd"], minlength=self._n).astype(np.float64)
            return usd, float(table["joules"].sum(skipna=False))
        assert api is not None
        assert api.price is not None
        cache_of = (
            PromptCache(api.prompt_cache) if api.prompt_cache is not None and self._prefixes is not None else None
        )
        batched = api.price.batch_of(self._terms.pushed) is not None
        usd, joules = np.zeros(self._n), 0.0
        columns = ("device", "t_arrived_s", "prompt_tokens", "output_tokens")
        rows = zip(*(table[name].tolist() for name in columns), strict=True)
        for number, (device, t_s, prompt, output) in enumerate(rows):
            cached = 0
            if cache_of is not None and self._prefixes is not None and not batched:
                start, tokens = self._prefixes[number].tolist()
                instruction = self._terms.llm.prompt.instruction_tokens
                cached = min(cache_of.read(prefixes_of(device, start, tokens, instruction), t_s), prompt)
            usd[device] += bill(api.price, prompt, cached, output, batched).usd
            joules += math.nan if api.energy is None else api.energy.joules(prompt, cached, output)
        return usd, joules


def _on_gpus(cloud: sections.Cloud) -> sections.Cloud:
    return cloud.model_copy(update={"kind": "gpus"})


def with_rental(cloud: sections.Cloud, way: Way) -> sections.Cloud:
    """The GPUs of `cloud` rented in this way: an autoscaler or spot capacity of its own is kept, where that is asked
    for, and left out elsewhere."""

    def rented_so(machines: sections.Machines) -> dict[str, Any]:
        spot = (machines.spot or sections.Spot()) if way == "spot" else None
        autoscale = (machines.autoscale or sections.Autoscale()) if way == "autoscaled" else None
        return {"spot": spot, "autoscale": autoscale}

    pools = tuple(pool.model_copy(update=rented_so(pool)) for pool in cloud.pools)
    split = cloud.disaggregation
    if split is not None:
        parts = {name: getattr(split, name) for name in ("prefill", "decode")}
        split = split.model_copy(update={n: part.model_copy(update=rented_so(part)) for n, part in parts.items()})
    return _on_gpus(cloud).model_copy(update={"pools": pools, "disaggregation": split, **rented_so(cloud)})


def sequences_of(llm: sections.Llm) -> int:
    """Sequences that each request of a scenario generates."""
    if _own_tokens(llm):
        return getattr(llm.candidates, "beams", None) or llm.list_length
    return llm_request_tokens(llm, 0).sequences


def _own_tokens(llm: sections.Llm) -> bool:
    """Whether requests have the tokens of the model that makes the lists, not the scenario's."""
    return llm.candidates.own_tokens and llm.generation is None


def _traffic(tariffs: sections.Tariffs, devices: pd.DataFrame) -> Floats:
    usd = devices["bytes_up"] * network_cost(1.0, 0.0, tariffs).usd
    return np.asarray(usd + devices["bytes_down"] * network_cost(0.0, 1.0, tariffs).usd)
