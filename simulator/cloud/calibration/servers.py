"""What served a log: model, GPU and engine limits, from the `meta.json` that vLLM's benchmark writes.

What the file does not say has vLLM's default; KV memory that it does not say follows from model and GPU. One block of
vLLM's KV cache is never used (its null block).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue, model_from_config
from fleetrec.simulator.cloud.hardware.gpus import GpuSpec
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.cloud.hardware.memory import MEMORY_UTILIZATION, kv_blocks, window_of
from fleetrec.simulator.cloud.hardware.models import ModelSpec
from fleetrec.simulator.cloud.hardware.names import gpu_called, model_called, nearest
from fleetrec.simulator.cloud.replica.jobs import Engine
from fleetrec.simulator.scenario.sections import QueueOrder
from fleetrec.simulator.scenario.text_files import read_object


@dataclass(frozen=True)
class Machine:
    """What the catalogue knows of a replica."""

    model: ModelSpec
    gpu: GpuSpec


@dataclass(frozen=True)
class Server:
    """A replica that wrote a log."""

    machine: Machine | None
    """None: its model or its machine is in no catalogue"""
    gpus_per_replica: int
    engine: Engine | None
    """None: nothing says more of its limits than its log"""

    @property
    def name(self) -> str:
        """What it is, in words."""
        if self.machine is None:
            return "a server that is in no catalogue"
        return f"{self.machine.model.name} on {self.gpus_per_replica} x {self.machine.gpu.name}"


UNKNOWN = Server(None, 1, None)


def read_server(path: Path | None, model: str | None = None, gpu: str | None = None) -> Server:
    """The server that `path` describes; None: nothing says more of it than `model` and `gpu`, or than its log.

    `model` (a catalogue name or a config.json) and `gpu` are what the user says; without them the file's model and
    device are looked up in the catalogue, the device also by the folder's name.

    InputError where the file cannot be read, holds a setting of the wrong kind, or model or GPU stay unknown.
    """
    if path is None and model is None and gpu is None:
        return UNKNOWN
    if path is None and (model is None or gpu is None):
        raise InputError(
            "what served the log is said in part only; give --engine the run's meta.json, or --model and --gpu, or, of "
            "a server that is in no catalogue, none of these"
        )
    settings = _Settings(path)
    spec = _model(settings, model)
    board = _gpu(settings, gpu)
    gpus = settings.count("tensor_parallel_size", 1, "engine_kwargs")
    block = settings.count("block_size", 16, "kv_cache", "resolved_config.cache_config")
    blocks = settings.count("num_gpu_blocks", 0, "kv_cache", "resolved_config.cache_config")
    if blocks == 0:
        utilization = settings.find(
            "gpu_memory_utilization", "kv_cache", "resolved_config.cache_config", "engine_kwargs"
        )
        used = MEMORY_UTILIZATION if utilization is None else float(utilization)
        blocks = kv_blocks(spec, board, Layout(gpus), block, used, key="server")
    else:
        blocks -= 1  # the null block
    window, share = window_of(spec)
    scheduler = ("engine_kwargs", "resolved_config.scheduler_config")
    order = settings.find("policy", "resolved_config.scheduler_config") or "fcfs"
    orders = QueueOrder.family.built_in()
    if order not in orders:
        raise InputError(f"{path}: scheduling policy {order!r} is not simulated; one of {', '.join(orders)} is")
    engine = Engine(
        kv_blocks=blocks,
        max_batched_tokens=settings.count("max_num_batched_tokens", 2048, *scheduler),
        max_sequences=settings.count("max_num_seqs", 256, *scheduler),
        block_tokens=block,
        prefix_caching=settings.flag("enable_prefix_caching", "kv_cache", "resolved_config.cache_config"),
        order=QueueOrder.called(order, str(path)),
        async_scheduling=settings.flag("async_scheduling", *scheduler),
        window_tokens=window,
        window_share=share,
    )
    return Server(Machine(spec, board), gpus, engine)


class _Settings:
    """The file's keys; a section is a dotted path."""

    def __init__(self, path: Path | None):
        self.path = path
        self.content: Mapping[str, Any] = read_object(path, "engine file", "the meta.json of the run") if path else {}

    def find(self, key: str, *sections: str) -> Any:
        """The value of `key` in the first of `sections` that has one; else None."""
        for section in sections:
            value: Any = self.content
            for part in [*filter(None, section.split(".")), key]:
                value = value.get(part) if isinstance(value, Mapping) else None
            if value is not None:
                return value
        return None

    def count(self, key: str, default: int, *sections: str) -> int:
        value = self.find(key, *sections)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{self.path}: {key} is {value!r}; it must be a whole number of at least 1")
        return value

    def flag(self, key: str, *sections: str) -> bool:
        """vLLM's switches are on where the file does not say."""
        return self.find(key, *sections) is not False


def _model(settings: _Settings, model: str | None) -> ModelSpec:
    if model is not None:
        path = Path(model)
        return model_from_config(path) if path.suffix == ".json" else default_catalogue().model(model, "--model")
    named = str(settings.find("model", "", "engine_kwargs") or "")
    models = default_catalogue().models
    known = model_called(named, models)
    if known is None:
        raise InputError(
            f"{settings.path}: model {named!r} is not in the catalogue ({nearest(named, models)}); give --model a name "
            "of the catalogue or, of quantised weights too, the config.json of the repository"
        )
    quantised = settings.find("quantization", "engine_kwargs", "resolved_config.model_config")
    if quantised is not None and quantised not in (known.weights, known.expert_weights):
        raise InputError(
            f"{settings.path}: its weights are quantised ({quantised}), and the catalogue's {known.name} is not; give "
            "--model the config.json of the repository whose weights were served"
        )
    return known


def _gpu(settings: _Settings, gpu: str | None) -> GpuSpec:
    if gpu is not None:
        return default_catalogue().gpu(gpu, "--gpu")
    gpus = default_catalogue().gpus
    device = str(settings.find("device_name", "hardware") or "")
    # Without a device the folder of a run may be named after its GPU and its model, as in RTX4090_Llama-3.1-8B.
    parts = [] if device or settings.path is None else settings.path.resolve().parent.name.split("_")
    known = next(filter(None, (gpu_called(part, gpus) for part in (device, *parts))), None)
    if known is None:
        raise InputError(
            f"{settings.path}: GPU {device!r} is not in the catalogue ({nearest(device, gpus)}); "
            "give --gpu the name of one that is"
        )
    return known
