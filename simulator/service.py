"""Who answers requests: the LLM node, or for the slate `cloud_srm` CPU cores that run the SRM over the catalogue."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import simpy
from numpy.typing import NDArray

from models.llm.base import CandidateSource
from simulator.cloud import (
    CpuNode,
    LlmNode,
    Ticket,
    build_llm_node,
    default_catalogue,
    llm_request_tokens,
    served_model,
)
from simulator.cloud.queueing import QueueingNode
from simulator.costs import Cost, carbon_signal, cpu_cost, serving_cost
from simulator.preparation import Prepared
from simulator.recorder import RequestRecord
from simulator.scenario import sections

Ints = NDArray[np.int64]
LateCost = Callable[[Ticket], None]


class Service(ABC):
    """Takes requests in at the cloud's door and tells what serving them used."""

    node: QueueingNode

    @abstractmethod
    def submit(self, record: RequestRecord, deadline_s: float) -> Ticket:
        """Queue a request and note its tokens in `record`."""

    @abstractmethod
    def used(self, busy_seconds: float) -> Cost:
        """What `busy_seconds` (GPU-seconds, or core-seconds) of serving cost."""

    @abstractmethod
    def kept(self, horizon_s: float) -> Cost:
        """What keeping the configured replicas for `horizon_s` costs, idle time included."""

    def answerable(self, record: RequestRecord) -> bool:
        """Whether the cloud has an answer to this request at all."""
        return True

    def load(self, horizon_s: float) -> dict[str, Any]:
        """The `cloud` section of a summary."""
        return {
            "gpu_seconds": self.node.busy_gpu_seconds,
            "utilization": self.node.utilization(horizon_s),
            "prompt_tokens": 0,
            "output_tokens": 0,
        }

    def timeline(self) -> pd.DataFrame:
        """Queue and busy replicas over time: t_s, queue, busy, in_service; a row holds until the next."""
        return pd.DataFrame(self.node.timeline())

    @property
    @abstractmethod
    def cost_label(self) -> str:
        """Whose speed and price is charged."""


class LlmService(Service):
    """The LLM node. `source` tells which lists exist; a table may bring tokens and latencies of its own."""

    def __init__(
        self,
        env: simpy.Environment,
        scenario: sections.Scenario,
        source: CandidateSource,
        architecture: Mapping[str, int] | None,
        users: Ints,
        late_cost: LateCost,
    ):
        self.node: LlmNode = build_llm_node(env, scenario.llm, scenario.cloud, architecture, late_cost)
        self._scenario, self._source, self._users = scenario, source, users
        self._gpu = default_catalogue().gpu(scenario.cloud.gpu)
        self._model = served_model(scenario.llm.served_as, architecture)
        window = range(scenario.llm.prompt.history + 1)
        self._tokens = [llm_request_tokens(scenario.llm, n) for n in window]
        table = scenario.llm.candidates if isinstance(scenario.llm.candidates, sections.CandidateTable) else None
        self._from_table = table is not None
        self._missing_fails = table is not None and table.missing == "fail_request"

    def submit(self, record: RequestRecord, deadline_s: float) -> Ticket:
        tokens = self._tokens[min(record.step + 1, len(self._tokens) - 1)]
        prompt, output = float(tokens.prompt_tokens), float(tokens.output_tokens)
        service_s: float | None = None
        if self._from_table:
            answer = self._source.lists(*self._place(record))
            record.as_of = int(answer.as_of[0])
            prompt = _given(answer.prompt_tokens, prompt)
            output = _given(answer.output_tokens, output)
            latency_s = _given(answer.latency_s, math.nan)
            service_s = None if math.isnan(latency_s) else latency_s
        record.prompt_tokens, record.output_tokens = int(prompt), int(output * tokens.sequences)
        return self.node.submit(prompt, output, tokens.sequences, service_s, deadline_s)

    def answerable(self, record: RequestRecord) -> bool:
        return not self._missing_fails or bool(self._source.lists(*self._place(record)).found[0])

    def _place(self, record: RequestRecord) -> tuple[Ints, Ints]:
        return self._users[record.device : record.device + 1], np.array([record.step])

    def used(self, busy_seconds: float) -> Cost:
        gpu, tariffs, gpus = self._gpu, self._scenario.tariffs, self.node.gpus_per_replica
        carbon = carbon_signal(tariffs).mean(0.0, max(self.node.env.now, 1.0))
        return serving_cost(busy_seconds / gpus, gpus, gpu.usd_per_hour, gpu.serving_power_w, tariffs, carbon)

    def kept(self, horizon_s: float) -> Cost:
        return self.used(horizon_s * self.node.replicas * self.node.gpus_per_replica)

    def load(self, horizon_s: float) -> dict[str, Any]:
        tokens = {"prompt_tokens": self.node.prompt_tokens, "output_tokens": self.node.output_tokens}
        return {**super().load(horizon_s), **tokens}

    @property
    def cost_label(self) -> str:
        return self._model.name


class CpuService(Service):
    """CPU cores in the cloud that run the SRM over the whole catalogue; `gpu_seconds` are core-seconds here."""

    def __init__(self, env: simpy.Environment, scenario: sections.Scenario, flops: float, late_cost: LateCost):
        self.node: CpuNode = CpuNode(env, scenario.cloud.cpu_cores, scenario.cloud.queue_limit, on_late_cost=late_cost)
        self._tariffs, self._flops = scenario.tariffs, flops

    def submit(self, record: RequestRecord, deadline_s: float) -> Ticket:
        return self.node.submit(self._flops, deadline_s)

    def used(self, busy_seconds: float) -> Cost:
        return cpu_cost(busy_seconds, self._tariffs)

    def kept(self, horizon_s: float) -> Cost:
        return cpu_cost(horizon_s * self.node.replicas, self._tariffs)

    def load(self, horizon_s: float) -> dict[str, Any]:
        busy = self.node.busy_gpu_seconds
        return {**super().load(horizon_s), "gpu_seconds": 0.0, "cpu_seconds": busy}

    @property
    def cost_label(self) -> str:
        return "a cloud CPU"


def _given(values: NDArray[np.float64] | None, otherwise: float) -> float:
    """The one value of a table's column; `otherwise` where it has none."""
    if values is None or math.isnan(values[0]):
        return otherwise
    return float(values[0])


def build_service(
    env: simpy.Environment, scenario: sections.Scenario, prepared: Prepared, late_cost: LateCost
) -> Service:
    """The service behind a scenario's slate; slates that never ask get cores that stay idle."""
    if prepared.source is None or scenario.policy.slate == "cloud_srm":
        srm = prepared.learnt.srm
        flops = srm.flops_encode + srm.flops_per_candidate * prepared.learnt.histories.n_items
        return CpuService(env, scenario, flops, late_cost)
    return LlmService(env, scenario, prepared.source, prepared.architecture, prepared.population.users, late_cost)
