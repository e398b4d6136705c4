"""Who answers requests: own GPUs, or for the slate `cloud_srm` CPU cores that run the SRM over the catalogue.

A hosted API, alone or beside GPUs, is in `api_service.py`.
"""

import math
from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import simpy
from numpy.typing import NDArray

from fleetrec.simulator.cloud.api.node import ApiNode
from fleetrec.simulator.cloud.capacity.arrived import Arrived
from fleetrec.simulator.cloud.capacity.objectives import ServiceObjective
from fleetrec.simulator.cloud.capacity.peak import Peak
from fleetrec.simulator.cloud.capacity.provisioning import Provision, left_out
from fleetrec.simulator.cloud.capacity.rental import Rental, paid_for
from fleetrec.simulator.cloud.capacity.replay import Requests
from fleetrec.simulator.cloud.capacity.servers import Cores, Replicas, Servers, without_faults
from fleetrec.simulator.cloud.capacity.servers_needed import provision_fleet
from fleetrec.simulator.cloud.hardware.catalogue import served_model
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.node.cpu_node import CpuNode
from fleetrec.simulator.cloud.node.llm_node import LlmNode
from fleetrec.simulator.cloud.node.queueing import Ticket
from fleetrec.simulator.cloud.node.tickets import LlmTicket
from fleetrec.simulator.cloud.pools import kinds_of, pools_of, slow_beams
from fleetrec.simulator.cloud.tokens import RequestTokens
from fleetrec.simulator.core.costs import JOULES_PER_KWH, Cost, carbon_signal, cpu_cost, energy_cost, grams_co2
from fleetrec.simulator.core.notes import Note
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.core.resampling import Resampling
from fleetrec.simulator.core.signals import Constant
from fleetrec.simulator.engine.asked import Asked, RequestReader
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.records.schemas import RequestRecord, ServingCost
from fleetrec.simulator.scenario import sections

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
LateCost = Callable[[Ticket], None]


class Submitted(NamedTuple):
    """A request as the cloud has taken it in."""

    ticket: Ticket
    as_of: int
    """what its answer has seen"""
    prompt_tokens: int = 0
    output_tokens: int = 0


class Service(ABC):
    """Takes requests into the cloud's ingress queue and tells what serving them used."""

    node: CpuNode | LlmNode | ApiNode

    def timeout_s(self, request_timeout_s: float, pushed: bool) -> float:
        """How long a device, or a push, waits for an answer."""
        return request_timeout_s

    def close(self, now: float) -> None:
        """End it at the horizon: what is open is unfinished."""
        self.node.close(now)

    @property
    def queue_length(self) -> int:
        """Requests that wait."""
        return self.node.queue_length

    @abstractmethod
    def submit(self, record: RequestRecord, deadline_s: float) -> Submitted:
        """Queue a request."""

    @abstractmethod
    def cost_of(self, ticket: Ticket) -> ServingCost:
        """What serving a request has used."""

    def used(self, requests: pd.DataFrame, horizon_s: float) -> Cost:
        """What serving the requests (columns usd, joules, gco2, gpu_seconds) cost."""
        return Cost(usd=float(requests["usd"].sum()))

    @abstractmethod
    def kept(self, horizon_s: float) -> Cost:
        """What keeping the replicas for `horizon_s` costs, idle time included."""

    @abstractmethod
    def provision(
        self, horizon_s: float, scale: float, surge: float, objective: ServiceObjective, draws: Draws, users: Resampling
    ) -> Provision:
        """The fewest replicas (cores) that meet the objective for a fleet `scale` times this one, whose devices' users
        are resampled, when `surge` times its busiest load comes."""

    @property
    def provisions_beside(self) -> bool:
        """Whether `provision` leaves the interpreter to others for most of its time."""
        return False

    @abstractmethod
    def provisioned(self, paid: Floats, horizon_s: float, scale: float) -> Cost:
        """What `paid` replicas of each kind [K] (cores) cost in `horizon_s` while they serve `scale` times what was
        served here."""

    def by_use(self, usd: float, horizon_s: float) -> Cost:
        """What is drawn for so many dollars that are paid by use, and not for servers."""
        return Cost()

    def peak_notes(self, per_s: float) -> list[Note]:
        """What is to be asked for, for a fleet with so many requests a second at its peak."""
        return []

    def not_provisioned(self) -> list[str]:
        """What of the scenario's cloud the provisioned account leaves out, in words."""
        return []

    def notes(self) -> list[Note]:
        """What of the requests' tokens is to be known, once they have been served."""
        return []

    def answerable(self, device: int, step: int) -> bool:
        """Whether the cloud has an answer at all to a request of this device at this step."""
        return True

    @abstractmethod
    def load(self, horizon_s: float) -> dict[str, Any]:
        """The `cloud` section of a summary."""

    def up_s(self, horizon_s: float) -> float:
        """Seconds in which its servers could serve, by which the shares of time of several services are weighed."""
        return 0.0

    def timeline(self) -> pd.DataFrame:
        """Queue and busy replicas over time: t_s, queue, busy, in_service, up; a row holds until the next."""
        return pd.DataFrame(self.node.timeline())

    @property
    @abstractmethod
    def cost_label(self) -> str:
        """Whose speed and price is charged."""


class LlmService(Service):
    """The LLM node: own GPUs."""

    node: LlmNode

    def __init__(
        self,
        env: simpy.Environment,
        llm: sections.Llm,
        cloud: sections.Cloud,
        tariffs: sections.Tariffs,
        prepared: Prepared,
        reader: RequestReader,
        late_cost: LateCost,
    ):
        self._model = served_model(llm.served_as, prepared.architecture)
        timed = llm.candidates.brings_latency()
        self._kind = kinds_of(llm, cloud, self._model)[0][1]
        self._pools = pools_of(llm, cloud, tariffs, self._model, timed)
        self.node = LlmNode(env, self._pools, cloud, prepared.draws, late_cost, prepared.population.fleet.class_index)
        self._arrived = Arrived()
        self._llm, self._cloud, self._tariffs = llm, cloud, tariffs
        self._memo = prepared.memo
        self._carbon = carbon_signal(tariffs)
        self.reader = reader

    @property
    def pools(self) -> tuple[Pool, ...]:
        """Its pools of replicas."""
        return self._pools

    def submit(self, record: RequestRecord, deadline_s: float) -> Submitted:
        return self.serve(record, self.reader.read(record), deadline_s)

    def serve(self, record: RequestRecord, asked: Asked, deadline_s: float) -> Submitted:
        """Queue a request that has been read."""
        prompt, output, sequences = asked[:3]
        service_s = asked.latency_s
        if self.reader.from_table and math.isnan(service_s):
            service_s = self._kind.alone_s(RequestTokens(prompt, output, sequences))
        prefix, first, shared = None, -1, 0
        if self._cloud.prefix_caching and asked.prefix_start >= 0:
            first, shared = asked.prefix_start, asked.prefix_tokens
            prefix = ((record.device, first), shared)
        priority = 1.0 if record.pushed else 0.0
        counts = prompt, output, sequences, record.device
        self._arrived.add(record.t_issued_s, self.node.env.now, counts, service_s, priority, first, shared)
        ticket = self.node.submit(prompt, output, sequences, service_s, deadline_s, record.device, priority, prefix)
        return Submitted(ticket, asked.as_of, prompt, output * sequences)

    def have_come(self, rows: Floats) -> None:
        """Requests [N x 6] that compiled code has served: see `Arrived.add_plain`."""
        self.reader.read_any |= len(rows) > 0
        self._arrived.add_plain(rows)

    def grams(self, joules: Floats, started_s: Floats, finished_s: Floats) -> Floats:
        """Grams of CO2 of requests [N] that drew so much from start to finish, as `cost_of` has it."""
        grams, drew = np.zeros(len(joules)), np.flatnonzero(joules)
        if isinstance(self._carbon, Constant):
            grams[drew] = joules[drew] / JOULES_PER_KWH * self._carbon.value
            return grams
        each = zip(joules[drew].tolist(), started_s[drew].tolist(), finished_s[drew].tolist(), strict=True)
        grams[drew] = [grams_co2(drawn, self._carbon.mean(start, end)) for drawn, start, end in each]
        return grams

    def cost_of(self, ticket: Ticket) -> ServingCost:
        assert isinstance(ticket, LlmTicket)
        gco2 = 0.0
        if ticket.joules:
            gco2 = grams_co2(ticket.joules, self._carbon.mean(ticket.t_started_s, ticket.t_finished_s))
        return ServingCost(ticket.gpu_seconds, ticket.usd, ticket.joules, gco2)

    def notes(self) -> list[Note]:
        slow = slow_beams(self._llm, self._cloud, self._model) if self.reader.read_any else []
        return [*self.reader.notes(), *slow]

    def answerable(self, device: int, step: int) -> bool:
        return self.reader.answerable(device, step)

    def used(self, requests: pd.DataFrame, horizon_s: float) -> Cost:
        sums = {name: float(requests[name].sum()) for name in ("joules", "gco2", "gpu_seconds")}
        return super().used(requests, horizon_s) + Cost(**sums)

    def kept(self, horizon_s: float) -> Cost:
        joules = self.node.busy_joules + self.node.idle_joules
        energy = energy_cost(joules, self._tariffs, self._carbon.mean(0.0, horizon_s))
        return energy + Cost(usd=self.node.paid_usd, gpu_seconds=self.node.paid_gpu_seconds)

    def provision(
        self, horizon_s: float, scale: float, surge: float, objective: ServiceObjective, draws: Draws, users: Resampling
    ) -> Provision:
        arrived, replicas = self._arrived, self._replicas(draws, objective)
        served = [self._llm.model_dump(mode="json"), self._cloud.model_dump(mode="json")]
        how = horizon_s, scale, surge
        args = (*how, replicas, draws, users, Rental(self._cloud, scale))
        return self._memo.get(  # runs that differ in fusion alone, say, ask the same of the cloud
            ["provision", *arrived.columns, *how, *served],
            lambda: _provisioned(arrived.arrival_s, arrived.device, arrived.take, arrived.issued_s, *args),
        )

    def _replicas(self, draws: Draws, objective: ServiceObjective) -> Replicas:
        return Replicas(self._pools, without_faults(self._cloud), draws, objective)

    @property
    def provisions_beside(self) -> bool:
        return self._replicas(Draws(0), ServiceObjective.of(self._cloud.slo)).side_by_side

    def provisioned(self, paid: Floats, horizon_s: float, scale: float) -> Cost:
        busy_gpu_s = [scale * seconds for seconds in self.node.busy_gpu_seconds_of]
        energy = scale * self.node.busy_joules, self._tariffs, self._carbon.mean(0.0, horizon_s)
        return paid_for(self._pools, paid, horizon_s, busy_gpu_s, *energy)

    def not_provisioned(self) -> list[str]:
        return left_out(self._cloud)

    def up_s(self, horizon_s: float) -> float:
        return self.node.up_gpu_seconds

    def load(self, horizon_s: float) -> dict[str, Any]:
        node = self.node
        return {
            "gpu_seconds": node.busy_gpu_seconds,
            "utilization": node.utilization(),
            "prompt_tokens": node.prompt_tokens,
            "output_tokens": node.output_tokens,
            "paid_gpu_seconds": node.paid_gpu_seconds,
            "retries": node.retries,
            **self.reader.load(),
        }

    @property
    def cost_label(self) -> str:
        return self._model.name


class CpuService(Service):
    """CPU cores in the cloud that run the SRM over the whole catalogue; `gpu_seconds` are core-seconds here."""

    node: CpuNode

    def __init__(
        self,
        env: simpy.Environment,
        cloud: sections.Cloud,
        tariffs: sections.Tariffs,
        flops: float,
        late_cost: LateCost,
    ):
        """`flops` of a request."""
        self.node = CpuNode(env, cloud.cpu_cores, cloud.queue_limit, on_late_cost=late_cost)
        self._tariffs, self._flops = tariffs, flops
        self._came = array("d")  # when each request did
        self._device = array("i")  # whose it is
        self._issued = array("d")  # when it was issued

    def submit(self, record: RequestRecord, deadline_s: float) -> Submitted:
        self._came.append(self.node.env.now)
        self._device.append(record.device)
        self._issued.append(record.t_issued_s)
        return Submitted(self.node.submit(self._flops, deadline_s), record.step)

    def cost_of(self, ticket: Ticket) -> ServingCost:
        return ServingCost(ticket.gpu_seconds, cpu_cost(ticket.gpu_seconds, self._tariffs).usd)

    def kept(self, horizon_s: float) -> Cost:
        return cpu_cost(horizon_s * self.node.replicas, self._tariffs)

    def provision(
        self, horizon_s: float, scale: float, surge: float, objective: ServiceObjective, draws: Draws, users: Resampling
    ) -> Provision:
        came_s, device = np.asarray(self._came), np.asarray(self._device)

        def like(rows: Ints) -> Requests:
            none = np.zeros(len(rows), dtype=np.int64)
            return Requests.of(came_s[rows], none, none, device=device[rows].astype(np.int64))

        cores = Cores(self._flops / self.node.core_flops_per_s + self.node.overhead_s, objective)
        issued_s = np.asarray(self._issued)
        return _provisioned(came_s, device, like, issued_s, horizon_s, scale, surge, cores, draws, users)

    def provisioned(self, paid: Floats, horizon_s: float, scale: float) -> Cost:
        return cpu_cost(float(paid.sum()) * horizon_s, self._tariffs)

    def up_s(self, horizon_s: float) -> float:
        return self.node.replicas * horizon_s

    def load(self, horizon_s: float) -> dict[str, Any]:
        return {
            "gpu_seconds": 0.0,
            "utilization": self.node.utilization(horizon_s),
            "prompt_tokens": 0,
            "output_tokens": 0,
            "cpu_seconds": self.node.busy_gpu_seconds,
        }

    @property
    def cost_label(self) -> str:
        return "a cloud CPU"


def _provisioned(
    came_s: Floats,
    device: NDArray[np.integer[Any]],
    like: Callable[[Ints], Requests],
    issued_s: Floats,
    horizon_s: float,
    scale: float,
    surge: float,
    servers: Servers,
    draws: Draws,
    users: Resampling,
    rental: Rental | None = None,
) -> Provision:
    """What requests [N] need that came at `came_s` from devices which issued them at `issued_s`: at 0 because the run
    begins. `like` makes some of them, since those of the peak are all that is served anew."""
    asked_s = np.where(issued_s > 0, came_s, 0.0)
    peak = Peak.of(asked_s, device, horizon_s, users).times(surge)
    busiest = replace(peak, rows=np.arange(len(peak.rows)))
    found = provision_fleet(like(peak.rows), busiest, scale, servers, draws, rental)
    if found.served is None:
        return found
    return replace(found, served=replace(found.served, row=peak.rows[found.served.row]))
