"""The architecture of a language model from a Hugging Face `config.json`: what its speed and memory follow from.

Decoder-only transformers with gated feed-forward blocks: Llama, Mistral, Qwen2, Qwen3, Mixtral and Qwen3-MoE. Keys and
their defaults are those of the transformers library; weights of 4 bits and layers of mixed kinds are refused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.text_files import read_object

_KINDS = ("llama", "mistral", "qwen2", "qwen3", "mixtral", "qwen3_moe")
_DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


def architecture_of(path: Path) -> dict[str, Any]:
    """The fields of a `ModelSpec`, its name aside. InputError names the key that is missing or cannot be served."""
    config = read_object(path, "config.json", "that of the model's repository")
    kind = config.get("model_type")
    if kind not in _KINDS:
        raise InputError(f"{path}: model_type {kind!r} is not served; one of {', '.join(_KINDS)} is")
    heads = _count(config, "num_attention_heads", path)
    hidden = _count(config, "hidden_size", path)
    weight_bytes, kv_bytes = _number_bytes(config, path)
    fields: dict[str, Any] = {
        "layers": _count(config, "num_hidden_layers", path),
        "hidden": hidden,
        "heads": heads,
        "kv_heads": _count(config, "num_key_value_heads", path, heads),
        "head_dim": _count(config, "head_dim", path, hidden // heads),
        "ffn": _count(config, "moe_intermediate_size" if kind == "qwen3_moe" else "intermediate_size", path),
        "vocab": _count(config, "vocab_size", path),
        "dtype_bytes": weight_bytes,
        "kv_dtype_bytes": kv_bytes,
        "tied_embeddings": bool(config.get("tie_word_embeddings", False)),
        "qkv_bias": kind == "qwen2" or bool(config.get("attention_bias", False)),
        "qk_norm": kind in ("qwen3", "qwen3_moe"),
        "source": str(path),
    }
    if kind in ("mixtral", "qwen3_moe"):
        if config.get("decoder_sparse_step", 1) != 1 or config.get("mlp_only_layers"):
            raise InputError(f"{path}: only models with experts in every layer are served; name a catalogue model")
        fields["experts"] = _count(config, "num_local_experts" if kind == "mixtral" else "num_experts", path)
        fields["experts_per_token"] = _count(config, "num_experts_per_tok", path)
    return {"n_params": parameter_count(fields), **fields}


def parameter_count(fields: Mapping[str, Any]) -> int:
    """Parameters of the architecture: attention, norms, feed-forward blocks (and their router), embedding tables."""
    hidden, head_dim = fields["hidden"], fields["head_dim"]
    heads, kv_heads, experts = fields["heads"], fields["kv_heads"], fields.get("experts", 1)
    block = 2 * hidden * head_dim * (heads + kv_heads) + 2 * hidden + experts * 3 * hidden * fields["ffn"]
    if fields["qkv_bias"]:
        block += head_dim * (heads + 2 * kv_heads)
    if fields["qk_norm"]:
        block += 2 * head_dim
    if experts > 1:
        block += hidden * experts
    tables = fields["vocab"] * hidden * (1 if fields["tied_embeddings"] else 2)
    return int(fields["layers"] * block + hidden + tables)


def _count(config: Mapping[str, Any], key: str, path: Path, default: int | None = None) -> int:
    value = config.get(key)
    if value is None and default is not None:
        return default
    if value is None:
        raise InputError(f"{path}: no key {key!r}; add it as in the model's repository")
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{path}: {key} is {value!r}; give a whole number of at least 1")
    return value


def _number_bytes(config: Mapping[str, Any], path: Path) -> tuple[int, int]:
    """Bytes of a weight and of a number in the KV cache."""
    dtype = str(config.get("dtype", config.get("torch_dtype", "bfloat16")))
    if dtype not in _DTYPE_BYTES:
        raise InputError(f"{path}: torch_dtype {dtype!r} is not served; one of {', '.join(_DTYPE_BYTES)} is")
    quantization = config.get("quantization_config")
    if not quantization:
        return _DTYPE_BYTES[dtype], _DTYPE_BYTES[dtype]
    method = quantization.get("quant_method") if isinstance(quantization, dict) else None
    if method != "fp8":
        raise InputError(f"{path}: quantization {method!r} is not served; 'fp8' or no quantization_config is")
    return 1, _DTYPE_BYTES[dtype]
