"""Number formats of the weights of a Hugging Face repository, from its `config.json` and what lies beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.text_files import read_object

_DTYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
_METHODS = {"fp8": "fp8", "fbgemm_fp8": "fp8", "mxfp4": "mxfp4", "nvfp4": "nvfp4"}
_SERVED = "fp8, mxfp4, nvfp4, int8, awq and gptq of 4 bits"


def formats_of(config: Mapping[str, Any], path: Path, has_experts: bool) -> dict[str, str]:
    """The fields of a `ModelSpec` for number formats. Where attention is not quantised, only experts are."""
    dtype = str(config.get("dtype", config.get("torch_dtype") or "bfloat16")).removeprefix("torch.")
    if dtype not in _DTYPES:
        raise InputError(f"{path}: torch_dtype {dtype!r} is not served; one of {', '.join(_DTYPES)} is")
    quantization = config.get("quantization_config") or _beside(path)
    if not quantization:
        return {"weights": _DTYPES[dtype]}
    if not isinstance(quantization, dict):
        raise InputError(f"{path}: quantization_config is no section; copy it from the model's repository")
    found = _weights(quantization)
    if found is None:
        method = quantization.get("quant_method", quantization.get("quant_algo"))
        raise InputError(f"{path}: quantization {method!r} is not served; {_SERVED} are, or no quantization_config")
    kept = (quantization.get(key) or [] for key in ("modules_to_not_convert", "ignore", "exclude_modules"))
    attention_kept = any("self_attn" in str(module) for modules in kept for module in modules)
    fields = {"weights": found}
    if has_experts and attention_kept:
        fields = {"weights": _DTYPES[dtype], "expert_weights": found}
    if quantization.get("kv_cache_scheme") or quantization.get("kv_cache_quant_algo"):
        fields["kv_cache"] = "fp8"
    return fields


def _beside(path: Path) -> Mapping[str, Any]:
    """What ModelOpt writes into a file of its own."""
    beside = path.with_name("hf_quant_config.json")
    if not beside.exists():
        return {}
    found = read_object(beside, "hf_quant_config.json", "that of the model's repository").get("quantization")
    return found if isinstance(found, dict) else {}


def _weights(quantization: Mapping[str, Any]) -> str | None:
    """Format of the quantised weights; None where it is not served."""
    method = str(quantization.get("quant_method", "modelopt")).lower()
    if method in ("awq", "gptq"):
        return "int4" if quantization.get("bits", quantization.get("w_bit")) == 4 else None
    if method not in ("compressed-tensors", "modelopt", "modelopt_fp4"):
        return _METHODS.get(method)
    algorithm = str(quantization.get("quant_algo") or "").lower()
    if algorithm in _METHODS:
        return _METHODS[algorithm]
    groups = quantization.get("config_groups") or {}
    formats = {_of_group(group.get("weights") or {}) for group in groups.values() if isinstance(group, dict)}
    return formats.pop() if len(formats) == 1 else None


def _of_group(weights: Mapping[str, Any]) -> str | None:
    bits, type_, size = weights.get("num_bits"), weights.get("type"), weights.get("group_size")
    if type_ == "float":
        return {8: "fp8", 4: "mxfp4" if size == 32 else "nvfp4"}.get(bits if isinstance(bits, int) else 0)
    return {8: "int8", 4: "int4"}.get(bits if isinstance(bits, int) else 0)
