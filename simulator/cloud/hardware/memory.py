"""What fits into the memory of a replica: weights, a reserve for activations, and blocks of KV cache in what is left.

As vLLM divides a GPU's memory; the reserve is what its run of Llama-3.1-8B on an RTX 4090 left over
(docs/background/llm_node.md). A block is one of the layers that see the whole context; layers with a window hold the
newest tokens of a request alone, which is taken from the same blocks (`window_share`).
"""

import math
from dataclasses import replace

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.hardware.catalogue import Catalogue, default_catalogue
from fleetrec.simulator.cloud.hardware.gpus import GpuSpec
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.cloud.hardware.models import ModelSpec

MEMORY_UTILIZATION = 0.9  # vLLM's default share of GPU memory that it uses
RESERVE_BYTES = 1.24e9  # of each GPU: activations, captured graphs, the CUDA context
MOST_GPUS = 8  # of a server
_MOST_NAMED = 3  # GPUs that would do, the cheapest ones


def window_of(model: ModelSpec) -> tuple[int, float]:
    """Tokens that a request's layers with a window hold at most, and what one token takes in them, as a share of what
    it takes in the others. (0, 0.0) where no layer has a window, or all have one and are held like the others."""
    full = model.layers - model.window_layers
    return (model.window or 0, model.window_layers / full) if model.window_layers and full else (0, 0.0)


def kv_blocks(
    model: ModelSpec,
    gpu: GpuSpec,
    layout: Layout | None = None,
    block_tokens: int = 16,
    utilization: float = MEMORY_UTILIZATION,
    at_least: int = 1,
    key: str = "cloud",
    catalogue: Catalogue | None = None,
) -> int:
    """Blocks of `block_tokens` tokens of KV cache that a replica has room for; one GPU where no layout is given.

    InputError where a request finds fewer than `at_least` (those of the longest one): by how much it falls short, and
    which GPUs or how many would do. `key` is the section of the scenario to blame.
    """
    layout = layout or Layout()
    blocks = _blocks(model, gpu, layout, block_tokens, utilization)
    if blocks // layout.attention_data >= at_least:
        return blocks
    offered = layout.gpus * gpu.memory_bytes * utilization
    weights = layout.weight_bytes(model)
    reserve = layout.gpus * RESERVE_BYTES
    cache = layout.attention_data * at_least * block_tokens * block_token_bytes(model, layout)
    short = weights + reserve + cache - offered
    remedies = _remedies(model, gpu, layout, block_tokens, utilization, at_least, catalogue)
    raise InputError(
        f"{key}.gpu: {model.name} does not fit {layout.gpus} x {gpu.name}: weights of {_gb(weights)}, "
        f"a reserve of {_gb(reserve)} and KV cache of {_gb(cache)} for the longest request exceed {_gb(offered)} "
        f"({utilization:.0%} of the memory) by {_gb(short)}; "
        f"{' or '.join(f'{key}.{remedy}' for remedy in remedies) or 'no GPU of the catalogue'} would fit"
    )


def _gb(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:.1f} GB"


def block_token_bytes(model: ModelSpec, layout: Layout) -> float:
    """Of a token in the layers that a block is of, over all GPUs."""
    _, share = window_of(model)
    return layout.kv_bytes_per_token(model) / (1.0 + share)


def _blocks(model: ModelSpec, gpu: GpuSpec, layout: Layout, block_tokens: int, utilization: float) -> int:
    free = layout.gpus * (gpu.memory_bytes * utilization - RESERVE_BYTES) - layout.weight_bytes(model)
    return int(free // (block_tokens * block_token_bytes(model, layout)))


def _remedies(
    model: ModelSpec,
    gpu: GpuSpec,
    layout: Layout,
    block_tokens: int,
    utilization: float,
    at_least: int,
    catalogue: Catalogue | None,
) -> list[str]:
    def fits(other: GpuSpec, count: int) -> bool:
        blocks = _blocks(model, other, replace(layout, gpus=count), block_tokens, utilization)
        return blocks // layout.attention_data >= at_least

    divided = layout.pipeline * math.lcm(layout.attention_data, layout.expert)
    others = [other for other in (catalogue or default_catalogue()).gpus.values() if fits(other, layout.gpus)]
    cheapest = sorted(others, key=lambda other: other.price.typical)[:_MOST_NAMED]
    counts = [n for n in range(layout.gpus + 1, MOST_GPUS + 1) if n % divided == 0 and fits(gpu, n)]
    return [f"gpu: {other.name}" for other in cheapest] + [f"gpus_per_replica: {count}" for count in counts[:1]]
