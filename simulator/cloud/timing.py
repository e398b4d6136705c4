"""How long a replica takes: the roofline of a dense transformer, after LLM-Viewer (Yuan et al. 2024) and Splitwise.

A step costs a fixed overhead plus the larger of compute (2 FLOPs per parameter and token, and attention) and memory
traffic (the weights once, and the KV cache that is read), at peak rates times MFU and MBU; tensor parallelism divides
both and adds two all-reduces a layer. Defaults are fitted to measured TPOT of Llama-3.1-8B on H100 (docs/llm_node.md).
"""

from typing import Protocol

from models.errors import InputError
from simulator.cloud.catalogue import Catalogue, GpuSpec, ModelSpec, default_catalogue
from simulator.cloud.steps import Line, StepTime

DEFAULT_MFU = 0.78
DEFAULT_MBU = 0.78
DEFAULT_OVERHEAD_S = 0.0007
ALL_REDUCE_LATENCY_S = 15e-6
ALL_REDUCE_LINK_SHARE = 0.35
MEMORY_UTILIZATION = 0.9  # vLLM's default share of GPU memory for weights and KV cache


class Timing(Protocol):
    """What a node needs to know of its hardware and model."""

    gpus_per_replica: int

    def service_s(self, prompt_tokens: float, output_tokens: float, sequences: float, concurrency: int) -> float:
        """Seconds from start to end of a request on a replica that serves `concurrency` requests like it."""
        ...


class RooflineTiming:
    """Step, prefill and request times, in seconds, of `model` on a replica of `gpus_per_replica` GPUs."""

    def __init__(
        self,
        model: ModelSpec,
        gpu: GpuSpec,
        gpus_per_replica: int = 1,
        mfu: float = DEFAULT_MFU,
        mbu: float = DEFAULT_MBU,
        overhead_s: float = DEFAULT_OVERHEAD_S,
        sequence_overhead_s: float = 0.0,
    ):
        """`overhead_s` is charged per step, `sequence_overhead_s` per sequence and step (sampling, block tables)."""
        self.model, self.gpu, self.gpus_per_replica = model, gpu, gpus_per_replica
        flops = gpu.peak_flops(model.dtype_bytes) * mfu * gpus_per_replica
        bandwidth = gpu.bandwidth_bytes_per_s * mbu * gpus_per_replica
        self._overhead_s = overhead_s
        self._sequence_overhead_s = sequence_overhead_s
        self._token_s = 2.0 * model.body_params / flops
        self._head_s = 2.0 * model.head_params / flops
        self._pair_s = 4.0 * model.layers * model.heads * model.head_dim / flops
        self._weights_s = (model.body_params + model.head_params) * model.dtype_bytes / bandwidth
        self._kv_s = model.kv_bytes_per_token / bandwidth
        self._reduce_s = self._reduce_token_s = 0.0
        if gpus_per_replica > 1:
            reduces = 2 * model.layers
            sent = 2 * (gpus_per_replica - 1) / gpus_per_replica * model.hidden * model.dtype_bytes  # ring, per token
            self._reduce_s = reduces * ALL_REDUCE_LATENCY_S
            self._reduce_token_s = reduces * sent / (gpu.link_bytes_per_s * ALL_REDUCE_LINK_SHARE)

    @property
    def steps(self) -> StepTime:
        """The same as two lines, for a replica that is simulated step by step."""
        fixed = self._overhead_s + self._reduce_s
        compute = Line(
            fixed, self._token_s + self._reduce_token_s, self._head_s + self._sequence_overhead_s, 0.0, self._pair_s
        )
        memory = Line(fixed + self._weights_s, self._reduce_token_s, self._sequence_overhead_s, self._kv_s)
        return StepTime(compute, memory)

    def _step_s(self, new_tokens: float, pairs: float, kv_tokens: float, sequences: float) -> float:
        compute = new_tokens * self._token_s + sequences * self._head_s + pairs * self._pair_s
        memory = self._weights_s + kv_tokens * self._kv_s
        return (
            (compute if compute > memory else memory)
            + self._overhead_s
            + sequences * self._sequence_overhead_s
            + self._reduce_s
            + new_tokens * self._reduce_token_s
        )

    def step_time(self, new_tokens: float, context_tokens: float, sequences: float) -> float:
        """One decode step: `new_tokens` over `sequences` sequences that read `context_tokens` of KV cache in all."""
        return self._step_s(new_tokens, context_tokens, context_tokens, sequences)

    def prefill_s(self, prompt_tokens: float) -> float:
        """One pass over a prompt; it also gives the first output token."""
        return self._step_s(prompt_tokens, prompt_tokens * (prompt_tokens + 1) / 2, 0.0, 1.0)

    def tpot_s(self, prompt_tokens: float, output_tokens: float, batch: float) -> float:
        """Time per output token where `batch` such sequences run all the time: a decode step at the mean context, and
        the prefills that come between (each sequence needs one per `output_tokens` steps)."""
        step = self.step_time(batch, batch * (prompt_tokens + (output_tokens + 1) / 2), batch)
        return step + batch / output_tokens * self.prefill_s(prompt_tokens)

    def service_s(
        self, prompt_tokens: float, output_tokens: float, sequences: float = 1, concurrency: int = 1
    ) -> float:
        """Start to end of one request of `sequences` sequences (beams), `output_tokens` each, where the replica serves
        `concurrency` requests like it: their prefills take turns, their decode steps are shared.

        A prompt is read once per request. output_tokens 0 or 1: the prefill is all (scoring).
        """
        service = concurrency * self.prefill_s(prompt_tokens)
        if output_tokens > 1:
            running = concurrency * sequences
            context = running * (prompt_tokens + output_tokens / 2)
            service += (output_tokens - 1) * self._step_s(running, context, context, running)
        return service


def check_memory(
    model: ModelSpec,
    gpu: GpuSpec,
    gpus_per_replica: int,
    slots: int,
    tokens_per_sequence: int,
    sequences: int = 1,
    catalogue: Catalogue | None = None,
) -> None:
    """InputError unless the weights and the KV cache of `slots` requests fit into a replica's memory.

    A request holds `sequences` sequences of up to `tokens_per_sequence` tokens, each with KV cache of its own.
    """
    request_bytes = sequences * tokens_per_sequence * model.kv_bytes_per_token
    needed = model.weight_bytes + slots * request_bytes
    offered = gpus_per_replica * gpu.memory_bytes * MEMORY_UTILIZATION
    if needed <= offered:
        return
    gpus = (catalogue or default_catalogue()).gpus.values()
    fitting = [other.name for other in gpus if needed <= gpus_per_replica * other.memory_bytes * MEMORY_UTILIZATION]
    per_gpu = gpu.memory_bytes * MEMORY_UTILIZATION
    remedies = [f"cloud.gpu: {' or '.join(fitting)}"] if fitting else []
    fewer = int((offered - model.weight_bytes) // request_bytes) if request_bytes else 0
    if fewer >= 1:
        remedies.append(f"cloud.slots: {fewer}")
    remedies.append(f"cloud.gpus_per_replica: {int(-(-needed // per_gpu))}")
    cache_bytes = slots * request_bytes
    raise InputError(
        f"cloud.gpu: {model.name} does not fit {gpus_per_replica} x {gpu.name}: weights of "
        f"{model.weight_bytes / 1e9:.1f} GB and KV cache of {cache_bytes / 1e9:.1f} GB ({slots} slots x {sequences} "
        f"sequences x {tokens_per_sequence} tokens) exceed {offered / 1e9:.1f} GB ({MEMORY_UTILIZATION:.0%} of the "
        f"memory) by {(needed - offered) / 1e9:.1f} GB; any of these would fit: {'; '.join(remedies)}"
    )
