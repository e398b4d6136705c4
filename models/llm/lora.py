"""LoRA adapters, merged into the model that they are of: W + scale B A (Hu et al. 2022, LoRA; files as peft writes)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.pytorch import torch
from fleetrec.models.runtime.user_files import read_json

KEY = "llm.candidates.checkpoint"
_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_MERGE = (
    "merge it with peft: AutoPeftModelForCausalLM.from_pretrained(FOLDER).merge_and_unload().save_pretrained(NEW), and "
    "name NEW"
)


class Adapter(NamedTuple):
    """A folder of an adapter: the model that it changes, and how much of B A is added."""

    folder: Path
    base: str
    scale: float
    transposed: bool


def adapter_in(source: Path | str) -> Adapter | None:
    """The adapter in a folder; None where there is none. InputError where it is not a plain LoRA."""
    folder = Path(source)
    if not (folder / _CONFIG).is_file():
        return None
    try:
        told = read_json(folder / _CONFIG)
        base = str(told["base_model_name_or_path"])
        kind, rank, alpha = str(told.get("peft_type")), float(told.get("r", 8)), float(told.get("lora_alpha", 8))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise InputError(
            f"{KEY}: {folder / _CONFIG} does not say which adapter of which model it is; {_MERGE}"
        ) from None
    odd = [key for key in ("use_dora", "rank_pattern", "alpha_pattern", "layer_replication") if told.get(key)]
    odd += ["bias"] if told.get("bias", "none") != "none" else []
    if kind != "LORA" or odd or rank <= 0:
        what = f"with {odd[0]}" if odd else f"of kind {kind}"
        raise InputError(f"{KEY}: {folder} is an adapter of {base} {what}, where plain LoRA is merged here; {_MERGE}")
    if not (folder / _WEIGHTS).is_file():
        raise InputError(f"{KEY}: {folder} is an adapter of {base} without {_WEIGHTS}; pickled weights are not loaded")
    scale = alpha / math.sqrt(rank) if told.get("use_rslora") else alpha / rank
    return Adapter(folder, base, scale, bool(told.get("fan_in_fan_out")))


def merge(model: Any, adapter: Adapter) -> None:
    """Adds the adapter to the weights of `model`. InputError where they are not of one another."""
    from safetensors.torch import load_file

    try:
        held = load_file(adapter.folder / _WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{KEY}: {adapter.folder / _WEIGHTS} cannot be loaded ({error}); fetch it again") from None
    weights = dict(model.named_parameters(remove_duplicate=False))
    named = {name.removeprefix(_PREFIX): tensor for name, tensor in held.items()}
    for name, tensor in named.items():
        for low, high in ((".lora_A.weight", ".lora_B.weight"), (".lora_embedding_A", ".lora_embedding_B")):
            if name.endswith(low):
                module = name.removesuffix(low)
                other = named.get(module + high)
                if other is None:
                    raise InputError(f"{KEY}: {adapter.folder} has {name} without its {high[1:]}; fetch it again")
                transposed = adapter.transposed if low == ".lora_A.weight" else True
                _add(weights, module + ".weight", adapter, other.float() @ tensor.float() * adapter.scale, transposed)
        if name.endswith((".lora_B.weight", ".lora_embedding_B")):
            if name.replace("lora_B", "lora_A").replace("embedding_B", "embedding_A") not in named:
                raise InputError(f"{KEY}: {adapter.folder} has {name} without its A; fetch it again")
        elif ".lora_" not in name:  # a module that was trained whole
            _target(weights, name, adapter, tensor.shape).copy_(tensor)


def _add(weights: dict[str, Any], name: str, adapter: Adapter, change: torch.Tensor, transposed: bool) -> None:
    change = change.T if transposed else change
    _target(weights, name, adapter, change.shape).add_(change)


def _target(weights: dict[str, Any], name: str, adapter: Adapter, shape: torch.Size) -> Any:
    target = weights.get(name)
    if target is None or target.shape != shape:
        held = "has none" if target is None else f"has {tuple(target.shape)} there"
        raise InputError(
            f"{KEY}: {adapter.folder} changes {name} of {tuple(shape)}, and {adapter.base} {held}; name the adapter's "
            "own model in base_model_name_or_path"
        )
    if sum(one is target for one in weights.values()) > 1:
        raise InputError(
            f"{KEY}: {adapter.folder} changes {name}, which {adapter.base} uses in two places (tied embeddings); "
            f"{_MERGE}"
        )
    return target
