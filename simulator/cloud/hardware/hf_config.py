"""The architecture of a language model from a Hugging Face `config.json`: what its speed and memory follow from.

Decoder-only transformers with gated feed-forward blocks, dense or with experts, with windows in some layers, with
compressed keys and values. Keys and their defaults are those of the transformers library; of a model that sees pictures
the part for text is read, and its encoder's size. How weights are quantised stands in hf_quantization.py.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.hardware.hf_quantization import formats_of
from fleetrec.simulator.scenario.text_files import read_object


class _Kind(NamedTuple):
    """What a `model_type` means beside its keys."""

    qkv_bias: bool = False
    qk_norm: bool = False
    tied: bool = False
    defaults: Mapping[str, int] = {}
    experts: str | None = None
    """key of the number of experts"""
    expert_width: str = "moe_intermediate_size"
    dense_width: str = "intermediate_size"
    window_every: int = 0
    """each so-many-th layer sees the whole context and the others a window; 0: as the keys say"""


_GEMMA3 = {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 262208}
_KINDS = {
    "llama": _Kind(),
    "mistral": _Kind(),
    "qwen2": _Kind(qkv_bias=True),
    "qwen3": _Kind(qk_norm=True),
    "qwen3_vl_text": _Kind(qk_norm=True),
    "smollm3": _Kind(tied=True),
    "phi3": _Kind(),
    "gemma2": _Kind(tied=True, window_every=2, defaults={"head_dim": 256}),
    "gemma3_text": _Kind(qk_norm=True, tied=True, window_every=6, defaults=_GEMMA3),
    "mixtral": _Kind(experts="num_local_experts", expert_width="intermediate_size"),
    "olmoe": _Kind(qk_norm=True, experts="num_experts", expert_width="intermediate_size"),
    "qwen2_moe": _Kind(qkv_bias=True, experts="num_experts"),
    "qwen3_moe": _Kind(qk_norm=True, experts="num_experts"),
    "qwen3_vl_moe_text": _Kind(qk_norm=True, experts="num_experts"),
    "gpt_oss": _Kind(experts="num_local_experts", expert_width="intermediate_size", window_every=2),
    "minimax_m2": _Kind(qk_norm=True, experts="num_local_experts", expert_width="intermediate_size"),
    "glm4_moe": _Kind(experts="n_routed_experts"),
    "deepseek_v2": _Kind(experts="n_routed_experts"),
    "deepseek_v3": _Kind(experts="n_routed_experts"),
    "kimi_k2": _Kind(experts="n_routed_experts"),
    "llama4_text": _Kind(
        experts="num_local_experts",
        expert_width="intermediate_size",
        dense_width="intermediate_size_mlp",
        window_every=4,
    ),
}


def architecture_of(path: Path) -> dict[str, Any]:
    """The fields of a `ModelSpec`, name and number of parameters aside. InputError names the key that is missing or
    cannot be served."""
    whole = read_object(path, "config.json", "that of the model's repository")
    text = whole.get("text_config")
    config = {**whole, **text} if isinstance(text, dict) else whole
    name = config.get("model_type")
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise InputError(f"{path}: model_type {name!r} is not served; one of {', '.join(_KINDS)} is")
    keys = _Keys(config, path, kind.defaults)
    fields = {
        **_attention(keys, kind),
        **_windows(keys, kind),
        **(_mixture(keys, kind) if kind.experts else {"ffn": keys.count("intermediate_size")}),
        "vocab": keys.count("vocab_size"),
        "tied_embeddings": bool(config.get("tie_word_embeddings", kind.tied)),
        "mtp_layers": keys.some("num_mtp_modules" if config.get("use_mtp") else "num_nextn_predict_layers"),
        "source": str(path),
    }
    vision = whole.get("vision_config")
    if isinstance(vision, dict):
        fields["other_params"] = _vision_params(_Keys(vision, path, {}))
    return {**fields, **formats_of(config, path, fields.get("experts", 1) > 1)}


class _Keys(NamedTuple):
    """A config's keys, each a whole number of at least 1 where it is asked for as a count."""

    config: Mapping[str, Any]
    path: Path
    defaults: Mapping[str, int]

    def count(self, key: str, default: int | None = None) -> int:
        value = self.config.get(key)
        value = self.defaults.get(key, default) if value is None else value
        if value is None:
            raise InputError(f"{self.path}: no key {key!r}; add it as in the model's repository")
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise InputError(f"{self.path}: {key} is {value!r}; give a whole number of at least 1")
        return value

    def some(self, key: str) -> int:
        """The same, or 0 where the key is missing or 0."""
        return self.count(key) if self.config.get(key) else 0

    def values(self, key: str) -> list[Any]:
        """A list with one value for each layer; [] where there is none."""
        found = self.config.get(key) or []
        if not isinstance(found, list) or len(found) not in (0, self.count("num_hidden_layers")):
            raise InputError(f"{self.path}: {key} does not name one value for each layer; correct or delete it")
        return found


def _attention(keys: _Keys, kind: _Kind) -> dict[str, Any]:
    heads, hidden = keys.count("num_attention_heads"), keys.count("hidden_size")
    biased = bool(keys.config.get("attention_bias", False))
    fields: dict[str, Any] = {
        "layers": keys.count("num_hidden_layers"),
        "hidden": hidden,
        "heads": heads,
        "kv_heads": keys.count("num_key_value_heads", heads),
        "qkv_bias": kind.qkv_bias or biased or bool(keys.config.get("qkv_bias", False)),
        "output_bias": biased and keys.config["model_type"] in ("llama", "gpt_oss"),
        "qk_norm": kind.qk_norm or (bool(keys.config.get("use_qk_norm")) and not kind.window_every),
    }
    if keys.config.get("kv_lora_rank") is None:
        return {**fields, "head_dim": keys.count("head_dim", hidden // heads)}
    rope, nope = keys.count("qk_rope_head_dim"), keys.count("qk_nope_head_dim")
    latent = {
        "kv_rank": keys.count("kv_lora_rank"),
        "q_rank": keys.some("q_lora_rank") or None,
        "rope_dim": rope,
        "nope_dim": nope,
        "value_dim": keys.count("v_head_dim"),
    }
    return {**fields, "head_dim": rope + nope, "latent": latent}


def _windows(keys: _Keys, kind: _Kind) -> dict[str, Any]:
    """Layers with a window, and its tokens; nothing where all layers see everything."""
    config, layers = keys.config, keys.count("num_hidden_layers")
    linear = [value for value in keys.values("attn_type_list") if value != 1]
    kinds = keys.values("layer_types")
    strange = [k for k in kinds if k not in ("full_attention", "sliding_attention", "chunked_attention")]
    if strange or linear:
        raise InputError(
            f"{keys.path}: attention of kind {(strange or ['linear_attention'])[0]!r} is not served; "
            "full, sliding and chunked attention are: name a catalogue model"
        )
    window = keys.some("sliding_window") or keys.some("attention_chunk_size")
    if not window or config.get("use_sliding_window") is False or window >= keys.some("max_position_embeddings") > 0:
        return {}
    if kinds:
        windowed = sum(value != "full_attention" for value in kinds)
    elif keys.values("no_rope_layers"):
        windowed = sum(map(bool, keys.values("no_rope_layers")))
    elif kind.window_every:
        windowed = layers - layers // keys.count("sliding_window_pattern", kind.window_every)
    else:
        windowed = layers - (keys.some("max_window_layers") if config.get("use_sliding_window") else 0)
    return {"window_layers": windowed, "window": window} if windowed > 0 else {}


def _mixture(keys: _Keys, kind: _Kind) -> dict[str, Any]:
    """Experts, and the layers that have one dense block instead."""
    layers, width = keys.count("num_hidden_layers"), keys.count(kind.expert_width)
    shared = keys.some("shared_expert_intermediate_size") or keys.some("shared_intermediate_size")
    shared = shared or width * keys.some("n_shared_experts")
    every = (
        keys.some("interleave_moe_layer_step") or keys.some("decoder_sparse_step") or keys.some("moe_layer_freq") or 1
    )
    alone = set(range(keys.some("first_k_dense_replace"))) | set(keys.config.get("mlp_only_layers") or [])
    dense = sum((layer + 1) % every != 0 or layer in alone for layer in range(layers))
    fields = {
        "ffn": width,
        "experts": keys.count(kind.experts or ""),
        "experts_per_token": keys.count("num_experts_per_tok"),
        "shared_ffn": width if kind is _KINDS["llama4_text"] else shared,
    }
    return fields | ({"dense_layers": dense, "dense_ffn": keys.count(kind.dense_width)} if dense else {})


def _vision_params(keys: _Keys) -> int:
    """Parameters of the encoder's blocks: attention, and two matrices."""
    hidden = keys.count("hidden_size")
    return keys.count("num_hidden_layers") * (4 * hidden**2 + 2 * hidden * keys.count("intermediate_size"))
