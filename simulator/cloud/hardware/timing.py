"""How long a replica takes: the roofline of a transformer, after LLM-Viewer (Yuan et al. 2024) and Splitwise.

A step costs a fixed overhead plus the larger of compute (2 FLOPs per parameter and token, and attention) and memory
traffic (the weights once, and the KV cache that is read), at peak rates times MFU and MBU; tensor parallelism divides
both and adds two all-reduces a layer. Constants are fitted to measured TPOT of Llama-3.1-8B
(docs/background/llm_node.md).
"""

import math
from dataclasses import dataclass

from fleetrec.simulator.cloud.hardware.gpus import GpuSpec
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.cloud.hardware.models import ModelSpec
from fleetrec.simulator.cloud.hardware.step_time import Batch, ExpertWeights, LinearCost, StepTime, Windows


@dataclass(frozen=True)
class Efficiency:
    """What a serving engine makes of a GPU's peaks. The defaults are TensorRT-LLM's on H100, the fastest measured."""

    mfu: float = 0.75
    """share of the peak FLOP/s"""
    mbu: float = 0.89
    """share of the memory bandwidth"""
    kv_mbu: float | None = None
    """the same for reads of KV cache; None: as `mbu`"""
    overhead_s: float = 0.0017
    """of each step"""
    sequence_overhead_s: float = 0.0
    """of each sequence in a step (sampling, block tables)"""
    prompt_floor_s: float = 0.0
    """the least that a step with part of a prompt takes: the host launches its kernels one by one"""
    reduce_latency_s: float = 3.5e-6
    """of an all-reduce, times log2 of the GPUs"""
    reduce_link_share: float = 0.57
    """share of the link's bandwidth that a ring all-reduce gets"""


class RooflineTiming:
    """Step, prefill and request times, in seconds, of `model` on a replica, of one GPU where no layout is given."""

    def __init__(
        self, model: ModelSpec, gpu: GpuSpec, layout: Layout | None = None, efficiency: Efficiency | None = None
    ):
        self.model, self.gpu, self.layout = model, gpu, layout or Layout()
        self.efficiency = efficiency or Efficiency()
        self.steps = _roofline(model, gpu, self.layout, self.efficiency)
        """the two lines, for a replica that is simulated step by step"""

    def _step_s(self, new_tokens: float, pairs: float, kv_tokens: float, sequences: float) -> float:
        return self.steps.at(Batch(new_tokens, sequences, kv_tokens, pairs))

    def step_time(self, new_tokens: float, context_tokens: float, sequences: float) -> float:
        """One decode step: `new_tokens` over `sequences` sequences that read `context_tokens` of KV cache in all."""
        return self._step_s(new_tokens, context_tokens, context_tokens, sequences)

    def prefill_s(self, prompt_tokens: float) -> float:
        """One pass over a prompt; it also gives the first output token."""
        return self._step_s(prompt_tokens, prompt_tokens * (prompt_tokens + 1) / 2, 0.0, 1.0)

    def tpot_s(self, prompt_tokens: float, output_tokens: float, batch: float) -> float:
        """Time per output token where `batch` such sequences run all the time: a decode step at the mean context, and
        the prefills between two of them (each sequence needs one per `output_tokens` steps), taken as one step."""
        step = self.step_time(batch, batch * (prompt_tokens + (output_tokens + 1) / 2), batch)
        prompts = batch / output_tokens  # per decode step
        n = max(prompts, 1.0)  # of one step with prompts
        pairs = prompt_tokens * (prompt_tokens + 1) / 2
        return step + prompts / n * self._step_s(n * prompt_tokens, n * pairs, 0.0, n)


def _roofline(model: ModelSpec, gpu: GpuSpec, layout: Layout, efficiency: Efficiency) -> StepTime:
    """A pipeline takes as many steps at once as it has stages, each with its part of the sequences: all GPUs share in
    what tokens and contexts take, while each of those steps reads all weights with the GPUs of a stage."""
    flops = gpu.peak_flops(model.weights) * efficiency.mfu * layout.gpus
    bandwidth = gpu.bandwidth_bytes_per_s * efficiency.mbu
    kv_mbu = efficiency.mbu if efficiency.kv_mbu is None else efficiency.kv_mbu
    kv_s = layout.kv_bytes_per_token(model) / (gpu.bandwidth_bytes_per_s * kv_mbu * layout.gpus)
    kv_window_s = kv_s * model.window_layers / model.layers
    reduce_s, reduce_token_s = _all_reduces(model, gpu, layout, efficiency)
    fixed_s = efficiency.overhead_s * layout.pipeline + reduce_s
    full_layers = model.layers - model.window_layers
    compute = LinearCost(
        fixed_s,
        per_token_s=model.body_flops(gpu) / flops + reduce_token_s,
        per_sequence_s=model.head_flops(gpu) / flops + efficiency.sequence_overhead_s,
        per_pair_s=full_layers * model.pair_flops(gpu) / flops,
    )
    memory = LinearCost(
        fixed_s + model.dense_bytes / (bandwidth * layout.tensor),
        per_token_s=reduce_token_s,
        per_sequence_s=efficiency.sequence_overhead_s,
        per_context_token_s=kv_s - kv_window_s,
    )
    experts = windows = None
    if model.experts > 1:
        routed = model.experts_per_token / model.experts
        if layout.pipeline > 1:
            routed = 1.0 - (1.0 - routed) ** (1.0 / layout.pipeline)
        experts = ExpertWeights(model.expert_bytes / (bandwidth * layout.stage), routed)
    if model.window is not None:
        pair_s = model.window_layers * model.pair_flops(gpu) / flops
        windows = Windows(model.window, kv_window_s, pair_s)
    return StepTime(compute, memory, experts, efficiency.prompt_floor_s, windows)


def _all_reduces(model: ModelSpec, gpu: GpuSpec, layout: Layout, efficiency: Efficiency) -> tuple[float, float]:
    """Seconds of a step's all-reduces, one a layer behind attention and one behind the feed-forward block: their
    latency, and what each token adds."""
    shared = (layout.tensor, layout.stage)
    sent_bytes = sum(2.0 * (gpus - 1) / gpus * model.hidden * 2 for gpus in shared)  # ring, activations of 16 bits
    latency_s = model.layers * efficiency.reduce_latency_s * sum(math.log2(gpus) for gpus in shared)
    return latency_s, model.layers * sent_bytes / (gpu.link_bytes_per_s * efficiency.reduce_link_share)
