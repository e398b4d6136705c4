"""What fits into the memory of a replica: weights, a reserve for activations, and blocks of KV cache in what is left.

As vLLM divides a GPU's memory; the reserve is what its run of Llama-3.1-8B on an RTX 4090 left over
(docs/background/llm_node.md).
"""

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.hardware.catalogue import Catalogue, GpuSpec, ModelSpec, default_catalogue

MEMORY_UTILIZATION = 0.9  # vLLM's default share of GPU memory that it uses
RESERVE_BYTES = 1.24e9  # of each GPU: activations, captured graphs, the CUDA context
MOST_GPUS = 8  # of a server


def kv_blocks(
    model: ModelSpec,
    gpu: GpuSpec,
    gpus_per_replica: int = 1,
    block_tokens: int = 16,
    utilization: float = MEMORY_UTILIZATION,
    at_least: int = 1,
    key: str = "cloud",
    catalogue: Catalogue | None = None,
) -> int:
    """Blocks of `block_tokens` tokens of KV cache that a replica has room for.

    InputError where it has fewer than `at_least` (those of the longest request): by how much it falls short, and which
    GPUs or how many would do. `key` is the section of the scenario to blame.
    """
    blocks = _blocks(model, gpu, gpus_per_replica, block_tokens, utilization)
    if blocks >= at_least:
        return blocks
    offered = gpus_per_replica * gpu.memory_bytes * utilization
    reserve = gpus_per_replica * RESERVE_BYTES
    cache = at_least * block_tokens * model.replica_kv_bytes_per_token(gpus_per_replica)
    short = model.weight_bytes + reserve + cache - offered
    remedies = _remedies(model, gpu, gpus_per_replica, block_tokens, utilization, at_least, catalogue)
    raise InputError(
        f"{key}.gpu: {model.name} does not fit {gpus_per_replica} x {gpu.name}: weights of {_gb(model.weight_bytes)}, "
        f"a reserve of {_gb(reserve)} and KV cache of {_gb(cache)} for the longest request exceed {_gb(offered)} "
        f"({utilization:.0%} of the memory) by {_gb(short)}; "
        f"{' or '.join(f'{key}.{remedy}' for remedy in remedies) or 'no GPU of the catalogue'} would fit"
    )


def _gb(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:.1f} GB"


def _blocks(model: ModelSpec, gpu: GpuSpec, gpus: int, block_tokens: int, utilization: float) -> int:
    free = gpus * (gpu.memory_bytes * utilization - RESERVE_BYTES) - model.weight_bytes
    return int(free // (block_tokens * model.replica_kv_bytes_per_token(gpus)))


def _remedies(
    model: ModelSpec,
    gpu: GpuSpec,
    gpus: int,
    block_tokens: int,
    utilization: float,
    at_least: int,
    catalogue: Catalogue | None,
) -> list[str]:
    def fits(other: GpuSpec, count: int) -> bool:
        return _blocks(model, other, count, block_tokens, utilization) >= at_least

    others = [other.name for other in (catalogue or default_catalogue()).gpus.values() if fits(other, gpus)]
    counts = [count for count in range(gpus + 1, MOST_GPUS + 1) if fits(gpu, count)]
    return [f"gpu: {name}" for name in others] + [f"gpus_per_replica: {count}" for count in counts[:1]]
