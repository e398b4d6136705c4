"""The LLM node alone, driven by requests that are known beforehand: a trace, or the stream of a run."""

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, fields, replace
from types import ModuleType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from simpy import Environment

from fleetrec.simulator.cloud.capacity.objectives import Times
from fleetrec.simulator.cloud.compiled.serving import CompiledNode, Load, known
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.node.llm_node import LlmNode
from fleetrec.simulator.cloud.node.queueing import Served
from fleetrec.simulator.cloud.node.tickets import LlmTicket
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Cloud

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LOOKS = 1000  # at the KV cache, at most twice as many


@dataclass(frozen=True)
class Requests:
    """Requests in order of arrival; all arrays [N]."""

    arrival_s: Floats
    prompt_tokens: Ints
    output_tokens: Ints
    """of each sequence"""
    sequences: Ints
    service_s: Floats
    """for replicas whose requests bring their service time along; NaN elsewhere"""
    device: Ints
    """who asks, for routers that care"""
    priority: Floats
    prefix_start: Ints
    """where its prompt's history begins: prompts of a device that begin alike share their prefix; -1: none to share"""
    prefix_tokens: Ints
    """how much of the prompt that prefix is"""

    @classmethod
    def of(
        cls,
        arrival_s: Floats,
        prompt_tokens: Ints,
        output_tokens: Ints,
        sequences: Ints | None = None,
        service_s: Floats | None = None,
        device: Ints | None = None,
        priority: Floats | None = None,
        prefix_start: Ints | None = None,
        prefix_tokens: Ints | None = None,
    ) -> "Requests":
        """Without `sequences` one each; without `device` each request has a device of its own; without
        `prefix_start` nothing is shared."""
        n = len(arrival_s)
        return cls(
            arrival_s,
            prompt_tokens,
            output_tokens,
            np.ones(n, dtype=np.int64) if sequences is None else sequences,
            np.full(n, math.nan) if service_s is None else service_s,
            np.arange(n) if device is None else device,
            np.zeros(n) if priority is None else priority,
            np.full(n, -1) if prefix_start is None else prefix_start,
            np.zeros(n, dtype=np.int64) if prefix_tokens is None else prefix_tokens,
        )

    def __len__(self) -> int:
        return len(self.arrival_s)

    @property
    def span_s(self) -> float:
        """From the first arrival to the last."""
        return float(self.arrival_s[-1] - self.arrival_s[0]) if len(self) else 0.0

    def take(self, rows: Ints | slice) -> "Requests":
        """Some of them, or some more than once."""
        return Requests(*(getattr(self, field.name)[rows] for field in fields(self)))

    def at(self, arrival_s: Floats) -> "Requests":
        """The same requests at other times."""
        return replace(self, arrival_s=arrival_s)

    def without_prefix_sharing(self) -> "Requests":
        """The same requests where none shares its prefix with another."""
        return replace(self, prefix_start=np.full(len(self), -1))


@dataclass(frozen=True)
class Replayed:
    """What became of `requests`: arrays [N] in their order, NaN where it did not happen."""

    requests: Requests
    wait_s: Floats
    """arrival to the start of service"""
    ttft_s: Floats
    """arrival to first token"""
    latency_s: Floats
    """arrival to the last token"""
    preemptions: Ints
    joules: Floats
    kv_shares: Floats
    """share of all KV cache in use, seen at arrivals"""
    end_s: float
    """when the last request ended, or the replay was given up"""
    node: LlmNode

    @property
    def times(self) -> Times:
        """What objectives are about."""
        return Times.of(self.latency_s, self.ttft_s, self.requests.output_tokens)


Watch = Callable[[int, float, list[LlmTicket]], bool]


def replay(
    requests: Requests,
    pools: tuple[Pool, ...],
    cloud: Cloud,
    draws: Draws,
    watch: Watch | None = None,
    deadline_s: Floats | None = None,
    code: ModuleType | None = None,
) -> Replayed:
    """Serve `requests` on a node that is empty at the start, until all have ended.

    `watch(arrived, now, tickets)` is called at each arrival; True gives the replay up, and later requests never arrive.
    `deadline_s` [N]: when each client stops waiting. `code` (`node_code`) serves them, if it knows how, with the
    same result to the last bit; `watch` is then not called.
    """
    every = max(1, len(requests) // _LOOKS)
    deadlines = np.full(len(requests), math.inf) if deadline_s is None else deadline_s
    if code is not None and len(requests):
        load = Load(
            requests.arrival_s,
            requests.prompt_tokens,
            requests.output_tokens,
            requests.sequences,
            requests.device,
            requests.priority,
            requests.prefix_start,
            requests.prefix_tokens,
            deadlines,
        )
        kinds = known(pools, cloud, load)
        if kinds is not None:
            at_once = CompiledNode(Environment(), pools, cloud, draws)
            fates = at_once.serve(code, kinds, load, every)
            at_once.close(fates.end_s)
            wait_s, ttft_s, latency_s = (
                times - requests.arrival_s for times in (fates.started_s, fates.first_token_s, fates.ended_s)
            )
            counted = (fates.preemptions, fates.joules, fates.kv_shares, fates.end_s)
            return Replayed(requests, wait_s, ttft_s, latency_s, *counted, at_once)
    env = Environment()
    node = LlmNode(env, pools, cloud, draws)
    tickets: list[LlmTicket] = []
    shares: list[float] = []

    def arrivals() -> Generator[Any, Any, None]:
        columns = [getattr(requests, field.name).tolist() for field in fields(requests)]
        late_s = deadlines.tolist()
        for number, row in enumerate(zip(*columns, strict=True)):
            arrival_s, prompt, output, sequences, service_s, device, priority, start, shared = row
            if arrival_s > env.now:
                yield env.timeout(arrival_s - env.now)
            prefix = None if start < 0 else ((device, start), shared)
            work = (prompt, output, sequences, service_s, late_s[number], device, priority, prefix)
            tickets.append(node.submit(*work))
            if number % every == 0:
                node.catch_up()
                shares.append(float(np.mean([machine.replica.kv_share for machine in node.machines])))
            if watch is not None and watch(number + 1, env.now, tickets):
                return
        yield env.all_of([ticket.done for ticket in tickets if ticket.served is None])

    env.run(until=env.process(arrivals()))
    node.close(env.now)
    times = np.full((4, len(requests)), math.nan)
    ends = [(t.t_started_s, t.t_first_token_s, _end_s(t), t.joules) for t in tickets]
    times[:, : len(tickets)] = np.array(ends).T
    preemptions = np.zeros(len(requests), dtype=np.int64)
    preemptions[: len(tickets)] = [ticket.job.preemptions for ticket in tickets]
    wait_s, ttft_s, latency_s = times[:3] - requests.arrival_s
    return Replayed(requests, wait_s, ttft_s, latency_s, preemptions, times[3], np.array(shares), env.now, node)


def _end_s(ticket: LlmTicket) -> float:
    """When it had all its tokens; NaN where it never had."""
    served = cast(Served, ticket.served)
    return served.t_finished_s if served.outcome == "completed" else math.nan
