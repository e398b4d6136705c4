"""How long a replica takes: the roofline of a transformer, after LLM-Viewer (Yuan et al. 2024) and Splitwise.

A step costs a fixed overhead plus the larger of compute (2 FLOPs per parameter and token, and attention) and memory
traffic (the weights once, and the KV cache that is read), at peak rates times MFU and MBU; tensor parallelism divides
both and adds two all-reduces a layer. Constants are fitted to measured TPOT of Llama-3.1-8B
(docs/background/llm_node.md).
"""

import math
from dataclasses import dataclass

from fleetrec.simulator.cloud.hardware.catalogue import GpuSpec, ModelSpec
from fleetrec.simulator.cloud.hardware.step_time import Batch, ExpertWeights, LinearCost, StepTime


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
    """Step, prefill and request times, in seconds, of `model` on a replica of `gpus_per_replica` GPUs."""

    def __init__(self, model: ModelSpec, gpu: GpuSpec, gpus_per_replica: int = 1, efficiency: Efficiency | None = None):
        self.model, self.gpu, self.gpus_per_replica = model, gpu, gpus_per_replica
        self.efficiency = efficiency or Efficiency()
        self.steps = _roofline(model, gpu, gpus_per_replica, self.efficiency)
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


def _roofline(model: ModelSpec, gpu: GpuSpec, gpus: int, efficiency: Efficiency) -> StepTime:
    flops = gpu.peak_flops(model.dtype_bytes) * efficiency.mfu * gpus
    bandwidth = gpu.bandwidth_bytes_per_s * efficiency.mbu * gpus
    kv_mbu = efficiency.mbu if efficiency.kv_mbu is None else efficiency.kv_mbu
    kv_bandwidth = gpu.bandwidth_bytes_per_s * kv_mbu * gpus
    dense_params = model.body_params + model.head_params - model.expert_params
    dense_s = dense_params * model.dtype_bytes / bandwidth
    reduce_s, reduce_token_s = _all_reduces(model, gpu, gpus, efficiency)
    fixed_s = efficiency.overhead_s + reduce_s
    compute = LinearCost(
        fixed_s,
        per_token_s=2.0 * model.active_body_params / flops + reduce_token_s,
        per_sequence_s=2.0 * model.head_params / flops + efficiency.sequence_overhead_s,
        per_pair_s=4.0 * model.layers * model.heads * model.head_dim / flops,
    )
    memory = LinearCost(
        fixed_s + dense_s,
        per_token_s=reduce_token_s,
        per_sequence_s=efficiency.sequence_overhead_s,
        per_context_token_s=model.replica_kv_bytes_per_token(gpus) / kv_bandwidth,
    )
    experts = None
    if model.experts > 1:
        experts_s = model.expert_params * model.dtype_bytes / bandwidth
        experts = ExpertWeights(experts_s, model.experts_per_token / model.experts)
    return StepTime(compute, memory, experts, efficiency.prompt_floor_s)


def _all_reduces(model: ModelSpec, gpu: GpuSpec, gpus: int, efficiency: Efficiency) -> tuple[float, float]:
    """Seconds of a step's all-reduces, two a layer: their latency, and what each token adds."""
    reduces = 2 * model.layers
    sent_bytes = 2.0 * (gpus - 1) / gpus * model.hidden * 2  # ring, per token, activations of 16 bits
    latency_s = reduces * efficiency.reduce_latency_s * math.log2(gpus)
    return latency_s, reduces * sent_bytes / (gpu.link_bytes_per_s * efficiency.reduce_link_share)
