"""The architecture of a language model: parameters, bytes and FLOPs that its speed and memory follow from.

A decoder-only transformer: attention with a window in some layers or none, with compressed keys and values (MLA) or
without; gated feed-forward blocks, one in a layer or a mixture of experts.
"""

from typing import NamedTuple, Self

from pydantic import Field, model_validator

from fleetrec.simulator.cloud.hardware.gpus import GpuSpec
from fleetrec.simulator.cloud.hardware.precision import KV_BYTES, WEIGHTS, KvFormat
from fleetrec.simulator.scenario.sections import Precision, Section, WeightFormat


class LatentAttention(Section):
    """Multi-head latent attention (DeepSeek-V2): one compressed vector a token is cached for all heads."""

    kv_rank: int = Field(gt=0, description="width of the compressed keys and values")
    q_rank: int | None = Field(None, gt=0, description="the same of the queries; none: not compressed")
    rope_dim: int = Field(gt=0, description="dimensions of a key that carry its position, shared by all heads")
    nope_dim: int = Field(gt=0, description="the other dimensions of a head's key")
    value_dim: int = Field(gt=0, description="of a head's value")


class KvLayers(NamedTuple):
    """Layers that see as much of the context."""

    layers: int
    window: int | None
    """tokens that a token attends to at most; None: all before it"""


class ModelSpec(Section):
    """Architecture of a language model, and the formats in which it is served."""

    name: str
    n_params: int = Field(gt=0, description="of the published weights")
    layers: int = Field(gt=0)
    hidden: int = Field(gt=0)
    heads: int = Field(gt=0)
    kv_heads: int = Field(gt=0)
    head_dim: int = Field(gt=0)
    vocab: int = Field(gt=0)
    weights: WeightFormat = Field("bf16", description="format of the layers' weights")
    expert_weights: WeightFormat | None = Field(None, description="the same of experts; none: as `weights`")
    kv_cache: KvFormat | None = Field(None, description="none: 16 bits, or 32 where weights have 32")
    tied_embeddings: bool = True
    ffn: int | None = Field(None, gt=0, description="width of the feed-forward block, or of an expert's")
    experts: int = Field(1, ge=1, description="feed-forward blocks of a layer; 1: a dense model")
    experts_per_token: int = Field(1, ge=1)
    shared_ffn: int = Field(0, ge=0, description="width of the experts that every token meets, all of a layer together")
    dense_layers: int = Field(0, ge=0, description="layers of a mixture that have one feed-forward block")
    dense_ffn: int | None = Field(None, gt=0, description="its width")
    window_layers: int = Field(0, ge=0, description="layers whose tokens see no more than `window` tokens")
    window: int | None = Field(None, gt=0, description="of a sliding window, or of a chunk")
    latent: LatentAttention | None = None
    qkv_bias: bool = False
    output_bias: bool = Field(False, description="of the projection behind attention")
    qk_norm: bool = Field(False, description="queries and keys are normalised, with a weight each per head dimension")
    mtp_layers: int = Field(0, ge=0, description="further layers that predict the tokens after the next")
    other_params: int = Field(0, ge=0, description="in memory but not for text: a vision encoder")
    source: str = "the candidate model itself"

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.experts > 1 and self.ffn is None:
            raise ValueError("a model with experts needs ffn, the width of an expert")
        if self.experts_per_token > self.experts:
            raise ValueError("experts_per_token exceeds experts")
        if self.dense_layers and self.dense_ffn is None:
            raise ValueError("dense_layers need dense_ffn, the width of their block")
        if bool(self.window_layers) != (self.window is not None):
            raise ValueError("window_layers and window go together")
        if max(self.dense_layers, self.window_layers) > self.layers:
            raise ValueError("dense_layers and window_layers cannot exceed layers")
        return self

    def served_in(self, precision: Precision) -> Self:
        """The same model in the number formats that a scenario asks for."""
        changes: dict[str, object] = {}
        if precision.weights is not None:
            changes = {"weights": precision.weights, "expert_weights": None}
        if precision.experts is not None:
            changes["expert_weights"] = precision.experts
        if precision.kv_cache is not None:
            changes["kv_cache"] = precision.kv_cache
        return self.model_copy(update=changes)

    # parameters

    @property
    def counted_params(self) -> int:
        """Parameters as they follow from the architecture; norms and biases of blocks are left out where few."""
        block = self.attention_params + 2 * self.hidden
        return self.layers * block + self._ffn_params + self.hidden + self._table_params + self.other_params

    @property
    def attention_params(self) -> int:
        """Of one layer, its norms of queries and keys included."""
        hidden, heads = self.hidden, self.heads
        if self.latent is not None:
            mla = self.latent
            queries = heads * (mla.nope_dim + mla.rope_dim)
            queries = hidden * queries if mla.q_rank is None else mla.q_rank * (hidden + queries + 1)
            keys = hidden * (mla.kv_rank + mla.rope_dim) + mla.kv_rank * (1 + heads * (mla.nope_dim + mla.value_dim))
            return queries + keys + heads * mla.value_dim * hidden
        params = 2 * hidden * self.head_dim * (heads + self.kv_heads)
        params += self.head_dim * (heads + 2 * self.kv_heads) if self.qkv_bias else 0
        params += hidden if self.output_bias else 0
        return params + (2 * self.head_dim if self.qk_norm else 0)

    @property
    def _ffn_params(self) -> int:
        """Feed-forward blocks of all layers, with routers."""
        if self.experts == 1:
            return self.layers * 3 * self.hidden * (self.ffn or 0)
        moe_layers = self.layers - self.dense_layers
        router_and_shared = self.hidden * self.experts + 3 * self.hidden * self.shared_ffn
        dense = self.dense_layers * 3 * self.hidden * (self.dense_ffn or 0)
        return self.expert_params + moe_layers * router_and_shared + dense

    @property
    def head_params(self) -> int:
        """Parameters of the output projection onto the vocabulary."""
        return self.vocab * self.hidden

    @property
    def _table_params(self) -> int:
        return self.head_params * (1 if self.tied_embeddings else 2)

    @property
    def expert_params(self) -> int:
        """Parameters of all routed experts in all layers; 0 for a dense model."""
        if self.experts == 1 or self.ffn is None:
            return 0
        return self.experts * (self.layers - self.dense_layers) * 3 * self.hidden * self.ffn

    @property
    def body_params(self) -> int:
        """Parameters of the layers: all but the embedding tables and what is not for text."""
        return self.n_params - self._table_params - self.other_params

    @property
    def active_body_params(self) -> int:
        """Parameters of the layers that one token is multiplied with."""
        return self.body_params - self.expert_params * (self.experts - self.experts_per_token) // self.experts

    @property
    def active_params(self) -> int:
        """Parameters that one token is multiplied with, the output projection included."""
        return self.active_body_params + self.head_params

    # bytes

    @property
    def _wide_bytes(self) -> float:
        """Of a number in the tables."""
        return max(2.0, WEIGHTS[self.weights].bytes)

    @property
    def expert_bytes(self) -> float:
        """All routed experts' weights."""
        return self.expert_params * WEIGHTS[self.expert_weights or self.weights].bytes

    @property
    def dense_bytes(self) -> float:
        """Weights that every step reads: the layers without routed experts, and the output projection."""
        dense = self.body_params - self.expert_params
        return dense * WEIGHTS[self.weights].bytes + self.head_params * self._wide_bytes

    @property
    def weight_bytes(self) -> float:
        """All weights, as they stand in memory."""
        tables = self._table_params - self.head_params
        return self.expert_bytes + self.dense_bytes + (tables + self.other_params) * self._wide_bytes

    @property
    def kv_layers(self) -> tuple[KvLayers, ...]:
        """Layers by how much of the context they see, those that see all of it first."""
        full = self.layers - self.window_layers
        kinds = [KvLayers(full, None)] if full else []
        return (*kinds, KvLayers(self.window_layers, self.window)) if self.window_layers else tuple(kinds)

    @property
    def kv_bytes_per_token(self) -> float:
        """Keys and values of one token in all layers, bytes."""
        return self.layers * self.kv_layer_bytes

    @property
    def kv_layer_bytes(self) -> float:
        """Keys and values of one token in one layer."""
        numbers = 2.0 * self.kv_heads * self.head_dim
        if self.latent is not None:
            numbers = float(self.latent.kv_rank + self.latent.rope_dim)
        default: KvFormat = "fp32" if self.weights == "fp32" else "fp16"
        return numbers * KV_BYTES[self.kv_cache or default]

    def kv_copies(self, tensor: int) -> float:
        """How often a token's keys and values are held by `tensor` GPUs that divide attention: they are copied where
        GPUs are more than KV heads. A compressed cache has no heads to divide."""
        return max(1.0, tensor / (1 if self.latent is not None else self.kv_heads))

    def replica_kv_bytes_per_token(self, tensor: int) -> float:
        """Keys and values of one token over all GPUs that divide attention."""
        return self.kv_bytes_per_token * self.kv_copies(tensor)

    # FLOPs, each counted as many at the rate of `weights`

    def body_flops(self, gpu: GpuSpec) -> float:
        """Of one token in the layers, attention to others aside."""
        experts = self.expert_params * self.experts_per_token // self.experts
        rate = gpu.peak_flops(self.weights) / gpu.peak_flops(self.expert_weights or self.weights)
        return 2.0 * (self.active_body_params - experts) + 2.0 * experts * rate

    def head_flops(self, gpu: GpuSpec) -> float:
        """Of the output projection for one sequence."""
        return 2.0 * self.head_params * self._slower_in_16_bits(gpu)

    def pair_flops(self, gpu: GpuSpec) -> float:
        """Of attention in one layer, for one token and one that it attends to."""
        width = 2 * self.head_dim
        if self.latent is not None:
            width = self.latent.nope_dim + self.latent.rope_dim + self.latent.value_dim
        return 2.0 * self.heads * width * self._slower_in_16_bits(gpu)

    def _slower_in_16_bits(self, gpu: GpuSpec) -> float:
        """What is not quantised is computed in 16 bits, or in 32 where weights have 32."""
        if self.weights == "fp32":
            return 1.0
        return gpu.peak_flops(self.weights) / gpu.peak_flops("bf16")
