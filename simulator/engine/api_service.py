"""A hosted API as the service of a run, alone or for what own GPUs turn away."""

import math
from array import array
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fleetrec.simulator.cloud.api.node import ApiNode, ApiTicket, Call
from fleetrec.simulator.cloud.api.prompt_cache import Prefixes, prefixes_of
from fleetrec.simulator.cloud.capacity.objectives import ServiceObjective, Times
from fleetrec.simulator.cloud.capacity.overflow import with_overflow
from fleetrec.simulator.cloud.capacity.peak import Peak
from fleetrec.simulator.cloud.capacity.provisioning import Provision, Served
from fleetrec.simulator.cloud.node.llm_node import LlmNode
from fleetrec.simulator.cloud.node.queueing import Ticket
from fleetrec.simulator.core.clock import Clock
from fleetrec.simulator.core.costs import Cost, carbon_signal, grams_co2
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.core.resampling import Resampling
from fleetrec.simulator.engine.asked import Asked, RequestReader
from fleetrec.simulator.engine.cloud_service import LlmService, Service, Submitted
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.records.schemas import RequestRecord, ServingCost
from fleetrec.simulator.scenario import sections

Floats = NDArray[np.float64]


class ApiService(Service):
    """A hosted API, called from the cloud."""

    node: ApiNode

    def __init__(
        self,
        env: Clock,
        api: sections.Api,
        llm: sections.Llm,
        tariffs: sections.Tariffs,
        prepared: Prepared,
        reader: RequestReader,
    ):
        assert api.price is not None
        self.node = ApiNode(env, api, prepared.draws)
        self.reader, self._price, self._energy, self._carbon = reader, api.price, api.energy, carbon_signal(tariffs)
        self._name = llm.served_as or api.preset or "the API's model"
        self._source = api.source or "as the scenario says"
        self._instruction_tokens = llm.prompt.instruction_tokens
        self._device, self._issued, self._output = array("q"), array("d"), array("q")  # of each request

    def timeout_s(self, request_timeout_s: float, pushed: bool) -> float:
        """A batch has its own time."""
        batch = self._price.batch_of(pushed)
        return request_timeout_s if batch is None else batch.window

    def submit(self, record: RequestRecord, deadline_s: float) -> Submitted:
        return self.serve(record, self.reader.read(record), deadline_s)

    def serve(self, record: RequestRecord, asked: Asked, deadline_s: float) -> Submitted:
        """Call the API with a request that has been read."""
        prompt, output, sequences = asked[:3]
        prefixes: Prefixes = ()
        if asked.prefix_start >= 0:
            own = asked.prefix_start, asked.prefix_tokens, self._instruction_tokens
            prefixes = prefixes_of(record.device, *own)
        batched = self._price.batch_of(record.pushed) is not None
        call = Call(record.device, record.step, prompt, output, sequences, prefixes, asked.latency_s, batched)
        self._device.append(record.device)
        self._issued.append(record.t_issued_s)
        self._output.append(output)
        return Submitted(self.node.submit(call, deadline_s), asked.as_of, prompt, output * sequences)

    def cost_of(self, ticket: Ticket) -> ServingCost:
        assert isinstance(ticket, ApiTicket)
        gco2 = 0.0
        if ticket.joules:
            gco2 = grams_co2(ticket.joules, self._carbon.at(ticket.t_started_s))  # its end may not have come
        return ServingCost(usd=ticket.usd, joules=ticket.joules, gco2=gco2)

    def used(self, requests: pd.DataFrame, horizon_s: float) -> Cost:
        joules, gco2 = (float(requests[name].sum(skipna=False)) for name in ("joules", "gco2"))
        return super().used(requests, horizon_s) + Cost(joules=joules, gco2=gco2)

    def kept(self, horizon_s: float) -> Cost:
        return Cost(usd=self.node.bill.usd, joules=self.node.joules)

    def provision(
        self, horizon_s: float, scale: float, surge: float, objective: ServiceObjective, draws: Draws, users: Resampling
    ) -> Provision:
        """No server, and the bill; what the represented fleet meets under limits that are wide enough for it."""
        device, issued_s = np.array(self._device, dtype=np.int64), np.array(self._issued)
        by_use, by_use_of = self.bills(scale, users)
        found = Provision(
            0,
            rates_per_s=np.zeros(users.draws),
            servers_of=np.zeros(users.draws, dtype=np.int64),
            by_use_usd=by_use,
            by_use_usd_of=by_use_of,
        )
        if not len(device):
            return found
        peak = Peak.of(issued_s, device, horizon_s, users).times(surge)
        ttft_s, took_s = np.array(self.node.ttft_s), np.array(self.node.took_s)
        rows = peak.rows[np.isfinite(took_s[peak.rows])]
        times = Times.of(took_s, ttft_s, np.array(self._output, dtype=np.int64)).take(rows)
        hardest, alone_s = objective.hardest(times) if len(rows) else (None, math.nan)
        served = Served(rows, np.zeros(len(rows)), times, math.nan, math.nan)
        found = replace(found, peak_per_s=peak.per_s * scale, rates_per_s=peak.rates_per_s * scale)
        return replace(found, hardest=hardest, alone_s=alone_s, served=served)

    def bills(self, scale: float, users: Resampling) -> tuple[float, Floats]:
        """What a fleet `scale` times this one pays, and where users are resampled [B]."""
        devices = len(users.cluster)
        device, usd = np.array(self._device, dtype=np.int64), np.array(self.node.usd)
        each = np.bincount(device, usd, minlength=devices).astype(np.float64)
        return float(each.sum()) * scale, users.means(each) * devices * scale

    def provisioned(self, paid: Floats, horizon_s: float, scale: float) -> Cost:
        return Cost()

    def by_use(self, usd: float, horizon_s: float) -> Cost:
        billed = self.node.bill.usd
        return self.drawn(self.node.joules * usd / billed if usd and billed else 0.0, horizon_s)

    def drawn(self, joules: float, horizon_s: float) -> Cost:
        """That energy, and its carbon in the mean of the run."""
        return Cost(joules=joules, gco2=grams_co2(joules, self._carbon.mean(0.0, horizon_s)))

    def peak_notes(self, per_s: float) -> list[Note]:
        """The limits that the account needs."""
        node = self.node
        billed = node.answers[200]
        if not billed:
            return []
        tokens = (node.prompt_tokens + node.output_tokens) / billed
        said = (
            "at its peak the fleet of the account asks for {requests:,.0f} requests and {tokens:,.0f} tokens a minute"
        )
        return [note("api_limits_needed", said, requests=per_s * 60.0, tokens=per_s * 60.0 * tokens)]

    def answerable(self, device: int, step: int) -> bool:
        return self.reader.answerable(device, step)

    def notes(self) -> list[Note]:
        if not self.reader.read_any:
            return []
        terms = note("api_terms", "prices and times of the hosted API: {source}", source=self._source)
        return [*self.reader.notes(), terms, self._energy_note()]

    def _energy_note(self) -> Note:
        """What its energy is, and how sure; or that nobody knows."""
        if (energy := self._energy) is None:
            said = "the API's energy and carbon are unknown, and so are those of the cloud: give cloud.api.energy"
            return note("api_energy_unknown", said)
        said = (
            "the API's energy: {input:g} J per token of prompts and {output:g} J per token of answers ({source}), which"
            " may be off by a factor of {within:g}: {low:,.3g} to {high:,.3g} J in this run"
        )
        ends = {"low": self.node.joules / energy.within, "high": self.node.joules * energy.within}
        return note("api_energy", said, **energy.model_dump(), **ends)

    def load(self, horizon_s: float) -> dict[str, Any]:
        node = self.node
        return {
            "gpu_seconds": 0.0,
            "utilization": math.nan,
            "prompt_tokens": node.prompt_tokens,
            "output_tokens": node.output_tokens,
            "retries": node.answers[429] + node.answers[503] - node.outcomes["rejected"],
            **self.reader.load(),
            "api": self.used_of_api(),
        }

    def used_of_api(self) -> dict[str, Any]:
        """What the API has answered and charged."""
        node = self.node
        return {
            "answered": node.answers[200],
            "refused_429": node.answers[429],
            "unavailable_503": node.answers[503],
            "batched": node.batched,
            "prompt_tokens": node.prompt_tokens,
            "cached_tokens": node.cached_tokens,
            "output_tokens": node.output_tokens,
            **{f"usd_{name}": value for name, value in node.bill._asdict().items()},
        }

    @property
    def cost_label(self) -> str:
        return f"{self._name} behind a hosted API"


class OverflowService(Service):
    """Own GPUs, and a hosted API for what they turn away."""

    node: LlmNode

    def __init__(self, gpus: LlmService, api: ApiService):
        self.gpus, self.api, self.node = gpus, api, gpus.node
        self._device, self._issued, self._usd = array("q"), array("d"), array("d")  # of each request, as the API bills
        self._joules = 0.0  # of all of them there

    def close(self, now: float) -> None:
        self.node.close(now)
        self.api.close(now)

    @property
    def queue_length(self) -> int:
        return self.node.queue_length + self.api.queue_length

    def submit(self, record: RequestRecord, deadline_s: float) -> Submitted:
        asked = self.gpus.reader.read(record)
        self._device.append(record.device)
        self._issued.append(record.t_issued_s)
        prompt, written = asked.prompt_tokens, asked.output_tokens * asked.sequences
        self._usd.append(self.api.node.bill_of(prompt, written))
        self._joules += self.api.node.joules_of(prompt, 0, written)
        submitted = self.gpus.serve(record, asked, deadline_s)
        served = submitted.ticket.served
        if served is not None and served.outcome == "rejected":
            return self.api.serve(record, asked, deadline_s)
        return submitted

    def cost_of(self, ticket: Ticket) -> ServingCost:
        return self.api.cost_of(ticket) if isinstance(ticket, ApiTicket) else self.gpus.cost_of(ticket)

    def used(self, requests: pd.DataFrame, horizon_s: float) -> Cost:
        return self.api.used(requests, horizon_s) + Cost(gpu_seconds=float(requests["gpu_seconds"].sum()))

    def kept(self, horizon_s: float) -> Cost:
        return self.gpus.kept(horizon_s) + self.api.kept(horizon_s)

    def provision(
        self, horizon_s: float, scale: float, surge: float, objective: ServiceObjective, draws: Draws, users: Resampling
    ) -> Provision:
        """The replicas that pay, at most those that the whole load needs, and the API's bill for the rest of it."""
        found = self.gpus.provision(horizon_s, scale, surge, objective, draws, users)
        device, issued_s, usd = (np.array(values) for values in (self._device, self._issued, self._usd))
        if not found.servers or not len(usd):
            return found
        rates = Peak.of(issued_s, device, horizon_s, users).by_time_per_s * scale
        mean_usd = float(usd.mean())
        return with_overflow(
            found, rates, lambda paid: self.gpus.provisioned(paid, horizon_s, 0.0).usd, mean_usd, horizon_s
        )

    def provisioned(self, paid: Floats, horizon_s: float, scale: float) -> Cost:
        return self.gpus.provisioned(paid, horizon_s, scale)

    def by_use(self, usd: float, horizon_s: float) -> Cost:
        billed = sum(self._usd)
        return self.api.drawn(self._joules * usd / billed if usd and billed else 0.0, horizon_s)

    def not_provisioned(self) -> list[str]:
        return self.gpus.not_provisioned()

    def answerable(self, device: int, step: int) -> bool:
        return self.gpus.answerable(device, step)

    def notes(self) -> list[Note]:
        return self.api.notes()

    def up_s(self, horizon_s: float) -> float:
        return self.gpus.up_s(horizon_s)

    def load(self, horizon_s: float) -> dict[str, Any]:
        gpus, api = self.gpus.load(horizon_s), self.api.load(horizon_s)
        sums = {name: gpus[name] + api[name] for name in ("prompt_tokens", "output_tokens", "retries")}
        return gpus | sums | {"api": api["api"]}

    @property
    def cost_label(self) -> str:
        return f"{self.gpus.cost_label}, and a hosted API for what its GPUs turn away"
