"""How long a step of a model takes under a serving engine: the engine's constants on the GPU's peaks.

The host prepares a step while the GPUs work on another, so a step takes the longer of the two. The GPUs' kernels follow
one another (`kernels`); reads of the KV cache and attention come on top, linear in what they read.
"""

from fleetrec.simulator.cloud.hardware.beam_steps import BeamCost
from fleetrec.simulator.cloud.hardware.engine_profile import EngineProfile, Search
from fleetrec.simulator.cloud.hardware.gpus import GpuSpec
from fleetrec.simulator.cloud.hardware.kernels import Exchange, Experts, Kernels, Product, exchange
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.cloud.hardware.models import ModelSpec
from fleetrec.simulator.cloud.hardware.precision import WEIGHTS
from fleetrec.simulator.cloud.hardware.step_time import LinearCost, StepTime, Windows
from fleetrec.simulator.scenario.sections import WeightFormat

_LOGIT_BYTES = 8.0  # 32 bits, written by the head and read by the choice of the best


def engine_steps(
    model: ModelSpec, gpu: GpuSpec, layout: Layout, profile: EngineProfile, search: Search | None = None
) -> StepTime:
    """Step times of `model` under the engine; `search`: where requests are searches with many beams.

    A pipeline takes as many steps at once as it has stages, so all GPUs share in what tokens and contexts take, while
    each of those steps reads all weights with the GPUs of a stage.
    """
    return _Build(model, gpu, layout, profile, search).steps()


class _Build:
    def __init__(self, model: ModelSpec, gpu: GpuSpec, layout: Layout, profile: EngineProfile, search: Search | None):
        self.model, self.gpu, self.layout, self.profile, self.search = model, gpu, layout, profile, search
        self.quicker = 1.0 if search is None else search.products
        self.new = gpu.flops_fp4 is not None
        """a GPU with 4-bit arithmetic: its kernels are younger"""

    def steps(self) -> StepTime:
        model, layout, seconds = self.model, self.layout, self.profile.seconds
        groups = layout.attention_data
        pair_rate = (
            self.gpu.peak_flops(model.weights) * self.profile.shares.prompt_attention * self.quicker * layout.gpus
        )
        pair_s = model.pair_flops(self.gpu) / pair_rate
        cache_bytes = layout.kv_bytes_per_token(model) / layout.gpus  # of a GPU
        read_s = cache_bytes / (self.gpu.bandwidth_bytes_per_s * self.profile.shares.cache_reads * self._of_new_reads)
        full, seen = 1.0 - model.window_layers / model.layers, model.window_layers / model.layers
        host = LinearCost(seconds.step + seconds.host, per_sequence_s=seconds.host_sequence / groups)
        gpu = LinearCost(
            seconds.step,
            per_token_s=model.window_layers * (model.window or 0) * pair_s,
            per_context_token_s=read_s * full,
            per_pair_s=(model.layers - model.window_layers) * pair_s,
        )
        windows = None if model.window is None else Windows(model.window, read_s * seen, 0.0)
        layer_s = seconds.host_prompt_layer if self.search is None else self.search.prompt_layer
        floor_s, kernels = seconds.step + model.layers * layer_s, self._kernels()
        beams = None if self.search is None else self._beams(self.search, host, gpu, kernels)
        return StepTime(host, gpu, prompt_floor_s=floor_s, windows=windows, kernels=kernels, beams=beams)

    def _beams(self, search: Search, host: LinearCost, gpu: LinearCost, kernels: Kernels) -> BeamCost:
        """A further beam costs what searches were seen to cost, in place of a sequence of a request of its own."""
        groups, shares = self.layout.attention_data, self.profile.shares
        reads = self.gpu.bandwidth_bytes_per_s * shares.reads * self._of_new_reads
        logits_s = _LOGIT_BYTES * self.model.vocab / self.layout.tensor / reads
        return BeamCost(
            search.step,
            search.search / groups,
            search.square / groups,
            search.beam / groups - host.per_sequence_s,
            (search.beam + logits_s) / groups - kernels.sequence_s,
            gpu.per_context_token_s * (1.0 - search.again),
        )

    @property
    def _of_new_reads(self) -> float:
        return self.profile.shares.fp4_gpu_reads if self.new else 1.0

    def _kernels(self) -> Kernels:
        model, layout, shares, seconds = self.model, self.layout, self.profile.shares, self.profile.seconds
        groups, layers = layout.attention_data, model.layers
        reads = self.gpu.bandwidth_bytes_per_s * shares.reads * self._of_new_reads
        narrow = reads * (shares.reads_4bit if model.weights == "nvfp4" else 1.0)
        attention, blocks = self._divided(model.body_params - model.expert_params)
        head = model.head_params / layout.tensor
        wide = self.gpu.flops_16bit * shares.products_16bit * self.quicker
        body = Product(
            (attention + blocks) * WEIGHTS[model.weights].bytes / narrow,
            2.0 * (attention / groups + blocks) / (self._products(model.weights) * layout.pipeline),
        )
        return Kernels(
            layers_s=layers * self._layer_s(),
            prompt_layers_s=layers * seconds.prompt_layer,
            sequence_s=(seconds.sequence + layers * seconds.layer_sequence) / groups,
            body=body,
            head=Product(2.0 * head / reads, 2.0 * head / groups / wide),
            experts=self._experts(reads) if model.experts > 1 else None,
            attention_exchange=self._exchange(layout.tensor, 1.0),
            block_exchange=self._exchange(layout.stage, self.profile.attention_data_exchange if groups > 1 else 1.0),
            attention_data=groups,
        )

    def _divided(self, dense: int) -> tuple[float, float]:
        """Parameters of a GPU that are not experts': attention, whole in each group, and feed-forward blocks."""
        model = self.model
        attention = model.layers * model.attention_params
        return attention / self.layout.tensor, max(dense - attention, 0) / self.layout.stage

    def _experts(self, reads: float) -> Experts:
        model, shares = self.model, self.profile.shares
        kind = model.expert_weights or model.weights
        speed = reads * shares.expert_reads * (shares.fp4_gpu_expert_reads if self.new else 1.0)
        speed *= shares.reads_4bit if kind == "nvfp4" else 1.0
        rows_s = 2.0 * model.expert_params / (self._products(kind) * shares.expert_products * self.layout.gpus)
        routed = model.experts_per_token / model.experts
        return Experts(model.expert_bytes / self.layout.stage / speed, rows_s, routed, self.profile.expert_tile)

    def _products(self, kind: WeightFormat) -> float:
        """FLOP/s of matrix products with weights of this format."""
        gpu, shares = self.gpu, self.profile.shares
        if kind == "nvfp4" and gpu.flops_fp4 is not None:
            return gpu.flops_fp4 * shares.products_4bit * self.quicker
        if kind == "mxfp4" and gpu.flops_fp4 is not None and gpu.flops_fp8 is not None:  # activations of 8 bits
            peak, share = gpu.flops_fp8, shares.products_8bit
        elif WEIGHTS[kind].rate in ("fp8", "int8"):
            peak, share = gpu.peak_flops(kind), shares.products_8bit
            share *= shares.block_scaled if kind == "fp8_block" else 1.0
        else:
            peak = gpu.flops_32bit if kind == "fp32" else gpu.flops_16bit
            share = shares.products_16bit
        return peak * share * self.quicker * (shares.fp4_gpu_products if self.new else 1.0)

    def _layer_s(self) -> float:
        seconds, model = self.profile.seconds, self.model
        more = {"fp8": seconds.layer_8bit, "int8": seconds.layer_8bit, "fp8_block": seconds.layer_block_scaled}
        more["nvfp4"] = seconds.layer_4bit
        return seconds.layer + more.get(model.weights, 0.0) + (seconds.expert_layer if model.experts > 1 else 0.0)

    def _exchange(self, gpus: int, factor: float) -> Exchange | None:
        seconds, link = self.profile.seconds, self.gpu.link_bytes_per_s
        return exchange(
            self.model.layers,
            self.model.hidden,
            gpus,
            (seconds.exchange * factor, seconds.exchange_doubling * factor),
            seconds.ring_doubling * factor,
            (link * self.profile.shares.link_one_shot / factor, link * self.profile.shares.link_ring / factor),
        )
