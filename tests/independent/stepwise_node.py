"""The LLM node told step by step, from docs/background/llm_node.md alone: a slow second opinion on `simulator.cloud`.

Nothing is skipped and nothing is in closed form: every step of every replica is composed, timed and ended by itself.
Of the package only figures of the catalogue are used (parameters, bytes of KV cache, peak rates).
"""

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from fleetrec.simulator.cloud.hardware.gpus import GpuSpec
from fleetrec.simulator.cloud.hardware.models import ModelSpec

INFINITY = math.inf


FORMATS = {"bf16": (2, 1), "fp8": (1, 2), "mxfp4": (17 / 32, 1)}
"""bytes of a weight, and FLOP/s over those of 16 bits, on an H100"""


def roofline_step_s(model: ModelSpec, gpu: GpuSpec, gpus: int, new: int, pairs: int, context: int, given: int) -> float:
    """Seconds of a step: `new` tokens pass through, `pairs` attend, `context` tokens of KV cache are read, and
    `given` sequences get a token. The default constants of docs/background/llm_node.md."""
    flops = gpu.flops_16bit * 0.75 * gpus
    bytes_per_s = gpu.bandwidth_bytes_per_s * 0.89 * gpus
    fixed_s, token_s = 0.0017, 0.0
    if gpus > 1:
        fixed_s += 2 * model.layers * 3.5e-6 * math.log2(gpus)
        token_s = 2 * model.layers * 2 * (gpus - 1) / gpus * 2 * model.hidden / (gpu.link_bytes_per_s * 0.57)
    size, speed = FORMATS[model.weights]
    expert_size, expert_speed = FORMATS[model.expert_weights or model.weights]
    share = model.experts_per_token / model.experts
    routed = model.expert_params * share
    compute = 2 * (model.active_body_params - routed) * new / speed + 2 * routed * new / expert_speed
    compute += 2 * model.head_params * given
    weights = (model.body_params - model.expert_params) * size + model.head_params * 2
    weights += model.expert_params * expert_size * (1 - (1 - share) ** new)
    keys = 2 * model.head_dim if model.latent is None else model.head_dim + model.latent.value_dim
    token_bytes = model.replica_kv_bytes_per_token(gpus) / model.layers
    for layer in range(model.layers):
        seen, attended = context, pairs
        if layer < model.window_layers and model.window is not None:
            seen = min(context, given * model.window + max(new - given, 0))
            attended = min(pairs, new * model.window)
        compute += 2 * model.heads * keys * attended
        weights += token_bytes * seen
    return fixed_s + token_s * new + max(compute / flops, weights / bytes_per_s)


@dataclass(eq=False)
class Request:
    """What is asked, and what becomes of it."""

    arrival_s: float
    prompt: int
    output: int
    beams: int = 1
    deadline_s: float = INFINITY
    device: int = 0
    outcome: str = "unfinished"
    replica: int = -1
    started_s: float = math.nan
    first_token_s: float = math.nan
    told_s: float = math.nan
    gpu_seconds: float = 0.0
    # at a replica
    prefill: int = 0
    """tokens to pass through before the next is written: the prompt and, after an eviction, what was written"""
    passed: int = 0
    """of those"""
    written: int = 0
    """tokens of each of its sequences"""
    blocks: int = 0
    gone: bool = False
    told: Callable[[], None] = lambda: None
    """called when the outcome is there"""

    @property
    def all_output(self) -> int:
        """Tokens of all its sequences."""
        return self.output * self.beams

    @property
    def decodes(self) -> bool:
        return self.passed == self.prefill


@dataclass
class Limits:
    """Of a replica."""

    kv_blocks: int
    max_batched_tokens: int = 8192
    max_sequences: int = 256
    block_tokens: int = 16
    window: int = 0
    """tokens that the layers with a window hold of a sequence at most"""
    window_layers: float = 0.0
    """those layers over the others, whose blocks are counted"""


@dataclass(eq=False)
class Replica:
    """One copy of the LLM: who waits, who is served, and when the step under way ends."""

    limits: Limits
    number: int
    waiting: list[Request] = field(default_factory=list)
    running: list[Request] = field(default_factory=list)
    step_ends_s: float = INFINITY
    step: list[tuple[Request, int]] = field(default_factory=list)
    step_s: float = 0.0
    preemptions: int = 0
    busy_s: float = 0.0

    @property
    def outstanding(self) -> int:
        return len(self.waiting) + len(self.running)

    @property
    def sequences(self) -> int:
        return sum(request.beams for request in self.running)

    def blocks_of(self, request: Request, passed: int) -> int:
        """Blocks that it holds once `passed` tokens of its prefill, and what it has written, are in memory. The full
        blocks of the prompt stand there once; what follows them each sequence has for itself."""
        size = self.limits.block_tokens
        if passed < request.prefill:
            return math.ceil(passed / size)
        shared = request.prompt // size
        return (
            self.windows(request)
            + shared
            + request.beams * math.ceil((request.prompt + request.written - shared * size) / size)
        )

    def windows(self, request: Request) -> int:
        """Blocks that its layers with a window come to hold: of its prompt and one answer, and of the other answers."""
        size = self.limits.block_tokens
        window = math.ceil(self.limits.window / size) + 1
        tokens = min(window, math.ceil((request.prompt + request.output) / size))
        tokens += (request.beams - 1) * min(window, math.ceil(request.output / size) + 1)
        return math.ceil(self.limits.window_layers * tokens)

    def free_blocks(self) -> int:
        return self.limits.kv_blocks - sum(request.blocks for request in self.running)

    def compose(self) -> None:
        """Choose what the next step holds: first who is served already, in their order, then who waits."""
        self.step = []
        budget = self.limits.max_batched_tokens
        evicted = False
        place = 0
        while place < len(self.running):
            request = self.running[place]
            new = request.beams if request.decodes else min(request.prefill - request.passed, budget)
            wanted = self.blocks_of(request, request.prefill if request.decodes else request.passed + new)
            while place < len(self.running) and wanted - request.blocks > self.free_blocks():
                self.evict(self.running[-1])
                evicted = True
            if place == len(self.running):
                break  # it was the last itself
            request.blocks = wanted
            budget -= new
            self.step.append((request, new))
            place += 1
        while self.waiting and not evicted and budget > 0:
            request = self.waiting[0]
            if self.sequences + request.beams > self.limits.max_sequences:
                break
            if self.blocks_of(request, request.prefill) > self.free_blocks():
                break
            self.running.append(self.waiting.pop(0))
            new = min(request.prefill, budget)
            request.blocks = self.blocks_of(request, new)
            budget -= new
            self.step.append((request, new))

    def evict(self, request: Request) -> None:
        """Its memory is needed by one who came before: it computes everything anew, next in line."""
        self.preemptions += 1
        self.running.remove(request)
        self.step = [(other, new) for other, new in self.step if other is not request]
        request.prefill, request.passed = request.prompt + request.beams * request.written, 0
        request.blocks = 0
        self.waiting.insert(0, request)


class Node:
    """Replicas behind the default router and queue order."""

    def __init__(
        self,
        model: ModelSpec,
        gpu: GpuSpec,
        limits: Limits,
        replicas: int = 1,
        gpus: int = 1,
        queue_limit: float = 1000,
        abort_on_timeout: bool = False,
    ):
        self.model, self.gpu, self.gpus = model, gpu, gpus
        self.replicas = [Replica(limits, number) for number in range(replicas)]
        self.queue_limit, self.abort = queue_limit, abort_on_timeout

    def serve(self, requests: list[Request]) -> None:
        """Fill in what becomes of `requests`, in the order of their arrival."""
        moments = [(request.arrival_s, 0, n) for n, request in enumerate(requests)]
        moments += [(r.deadline_s, 1, n) for n, r in enumerate(requests) if r.deadline_s < INFINITY]
        heapq.heapify(moments)
        while True:
            now = min(self.next_s(), moments[0][0] if moments else INFINITY)
            if now == INFINITY:
                return
            self.end_steps(now)
            while moments and moments[0][0] == now:
                _, kind, n = heapq.heappop(moments)
                if kind == 0:
                    self.arrive(requests[n])
                else:
                    self.deadline(requests[n], now)
            self.begin_steps(now)

    def next_s(self) -> float:
        """When the next step ends."""
        return min(replica.step_ends_s for replica in self.replicas)

    def end_steps(self, now: float) -> None:
        """End the steps that end now."""
        for replica in self.replicas:
            if replica.step_ends_s == now:
                self.end_step(replica, now)

    def begin_steps(self, now: float) -> None:
        """All that happens now has happened: who has work begins."""
        for replica in self.replicas:
            if replica.step_ends_s == INFINITY and replica.outstanding:
                self.begin_step(replica, now)

    def arrive(self, request: Request) -> None:
        """The replica with the fewest requests takes it, unless the queue is full."""
        replica = min(self.replicas, key=lambda r: (r.outstanding, r.number))
        free = not replica.waiting and replica.sequences < replica.limits.max_sequences
        if not free and sum(len(r.waiting) for r in self.replicas) >= self.queue_limit:
            self.tell(request, "rejected", request.arrival_s)
            return
        request.replica, request.prefill = replica.number, request.prompt
        replica.waiting.append(request)

    def deadline(self, request: Request, now: float) -> None:
        """Whoever has no answer yet is told so."""
        if not math.isnan(request.told_s):
            return
        self.tell(request, "timed_out", now)
        replica = self.replicas[request.replica]
        if request in replica.waiting:
            replica.waiting.remove(request)
        elif self.abort:
            request.gone = True

    def tell(self, request: Request, outcome: str, now: float) -> None:
        """The client is told how its request ended."""
        request.outcome, request.told_s = outcome, now
        request.told()

    def begin_step(self, replica: Replica, now: float) -> None:
        """Compose the next step and time it."""
        replica.compose()
        new = pairs = context = given = 0
        for request, n in replica.step:
            if math.isnan(request.started_s):
                request.started_s = now
            new += n
            if request.decodes:  # each sequence reads all that came before its newest token, and that token
                context += request.beams * (request.prompt + request.written)
                pairs += request.beams * (request.prompt + request.written)
                given += request.beams
            else:
                context += request.passed + n
                pairs += n * request.passed + n * (n + 1) // 2
                given += request.passed + n == request.prefill
        replica.step_s = roofline_step_s(self.model, self.gpu, self.gpus, new, pairs, context, given)
        replica.step_ends_s = now + replica.step_s

    def end_step(self, replica: Replica, now: float) -> None:
        """Everybody in the step has come further; who has all tokens leaves."""
        replica.step_ends_s = INFINITY
        replica.busy_s += replica.step_s
        share = replica.step_s * self.gpus / sum(r.beams for r in replica.running)
        for request in replica.running:
            request.gpu_seconds += share * request.beams
        for request, n in replica.step:
            if not request.decodes:
                request.passed += n
                if not request.decodes:
                    continue
            request.written += 1
            if math.isnan(request.first_token_s):
                request.first_token_s = now
            if request.written >= request.output:
                request.gone = True
                if math.isnan(request.told_s):
                    self.tell(request, "completed", now)
        for request in [r for r in replica.running if r.gone]:
            replica.running.remove(request)
            request.blocks = 0
