"""The keys of published `config.json` files that matter here, by the catalogue name of their model."""

from typing import Any

Config = dict[str, Any]


def _config(
    kind: str, layers: int, hidden: int, heads: int, kv_heads: int, ffn: int, vocab: int, **keys: Any
) -> Config:
    return {
        "model_type": kind,
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": ffn,
        "vocab_size": vocab,
        "torch_dtype": "bfloat16",
        "tie_word_embeddings": False,
        **keys,
    }


_FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}
_MXFP4 = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}
_EXPERTS = {"num_experts": 128, "num_experts_per_tok": 8, "decoder_sparse_step": 1, "mlp_only_layers": []}
_LATENT = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128}


def _gemma3(layers: int, hidden: int, ffn: int, **text: Any) -> Config:
    """As published: what is the class's default is not there."""
    keys = {"num_hidden_layers": layers, "hidden_size": hidden, "intermediate_size": ffn, "sliding_window": 1024}
    vision = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27}
    texts = {"model_type": "gemma3_text", **keys, **text}
    return {"model_type": "gemma3", "torch_dtype": "bfloat16", "text_config": texts, "vision_config": vision}


def _llama4(experts: int, every: int) -> Config:
    keys = _config("llama4_text", 48, 5120, 40, 8, 8192, 202048, head_dim=128, attention_chunk_size=8192)
    keys |= {"num_local_experts": experts, "num_experts_per_tok": 1, "interleave_moe_layer_step": every}
    keys |= {"intermediate_size_mlp": 16384, "max_position_embeddings": 1048576}
    vision = {"hidden_size": 1408, "intermediate_size": 5632, "num_hidden_layers": 34}
    return {"model_type": "llama4", "torch_dtype": "bfloat16", "text_config": keys, "vision_config": vision}


def _gpt_oss(layers: int, experts: int) -> Config:
    keys = {"head_dim": 64, "attention_bias": True, "num_local_experts": experts, "num_experts_per_tok": 4}
    kinds = ["sliding_attention", "full_attention"] * (layers // 2)
    keys |= {"layer_types": kinds, "sliding_window": 128, "quantization_config": _MXFP4}
    return _config("gpt_oss", layers, 2880, 64, 8, 2880, 201088, **keys)


CONFIGS = {
    "llama-3.1-8b": _config("llama", 32, 4096, 32, 8, 14336, 128256),
    "smollm2-360m": _config("llama", 32, 960, 15, 5, 2560, 49152, tie_word_embeddings=True),
    "falcon3-7b": _config("llama", 28, 3072, 12, 4, 23040, 131072, head_dim=256),
    "mistral-nemo-12b": _config("mistral", 40, 5120, 32, 8, 14336, 131072, head_dim=128, sliding_window=None),
    "qwen2.5-0.5b": _config(
        "qwen2", 24, 896, 14, 2, 4864, 151936, tie_word_embeddings=True, use_sliding_window=False, sliding_window=32768
    ),
    "qwen3-0.6b": _config("qwen3", 28, 1024, 16, 8, 3072, 151936, head_dim=128, tie_word_embeddings=True),
    "smollm3-3b": _config(
        "smollm3", 36, 2048, 16, 4, 11008, 128256, tie_word_embeddings=True, layer_types=["full_attention"] * 36
    ),
    "phi-4": _config("phi3", 40, 5120, 40, 10, 17920, 100352, sliding_window=None),
    "phi-4-mini": _config(
        "phi3",
        32,
        3072,
        24,
        8,
        8192,
        200064,
        tie_word_embeddings=True,
        sliding_window=262144,
        max_position_embeddings=131072,
    ),
    "gemma-2-9b": {
        key: value
        for key, value in _config("gemma2", 42, 3584, 16, 8, 14336, 256000, sliding_window=4096).items()
        if key != "tie_word_embeddings"
    },
    "gemma-3-1b": _config(
        "gemma3_text", 26, 1152, 4, 1, 6912, 262144, head_dim=256, sliding_window=512, sliding_window_pattern=6
    )
    | {"tie_word_embeddings": True},
    "gemma-3-4b": _gemma3(34, 2560, 10240),
    "gemma-3-12b": _gemma3(48, 3840, 15360, num_attention_heads=16, num_key_value_heads=8),
    "gemma-3-27b": _gemma3(62, 5376, 21504, num_attention_heads=32, num_key_value_heads=16, head_dim=128),
    "mixtral-8x7b": _config("mixtral", 32, 4096, 32, 8, 14336, 32000, num_local_experts=8, num_experts_per_tok=2),
    "olmoe-1b-7b": _config("olmoe", 16, 2048, 16, 16, 1024, 50304, num_experts=64, num_experts_per_tok=8),
    "qwen3-30b-a3b": _config(
        "qwen3_moe", 48, 2048, 32, 4, 6144, 151936, head_dim=128, moe_intermediate_size=768, **_EXPERTS
    ),
    "gpt-oss-20b": _gpt_oss(24, 32),
    "gpt-oss-120b": _gpt_oss(36, 128),
    "minimax-m2.5": _config(
        "minimax_m2",
        62,
        3072,
        48,
        8,
        1536,
        200064,
        head_dim=128,
        num_local_experts=256,
        num_experts_per_tok=8,
        shared_intermediate_size=0,
        use_mtp=True,
        num_mtp_modules=3,
        quantization_config=_FP8,
    ),
    "glm-4.5-air": _config(
        "glm4_moe",
        46,
        4096,
        96,
        8,
        10944,
        151552,
        head_dim=128,
        attention_bias=True,
        use_qk_norm=False,
        moe_intermediate_size=1408,
        n_routed_experts=128,
        n_shared_experts=1,
        num_experts_per_tok=8,
        first_k_dense_replace=1,
        num_nextn_predict_layers=1,
    ),
    "glm-4.5": _config(
        "glm4_moe",
        92,
        5120,
        96,
        8,
        12288,
        151552,
        head_dim=128,
        attention_bias=True,
        use_qk_norm=True,
        moe_intermediate_size=1536,
        n_routed_experts=160,
        n_shared_experts=1,
        num_experts_per_tok=8,
        first_k_dense_replace=3,
        num_nextn_predict_layers=1,
    ),
    "llama-4-scout": _llama4(16, 1),
    "llama-4-maverick": _llama4(128, 2),
    "deepseek-v2-lite": _config(
        "deepseek_v2",
        27,
        2048,
        16,
        16,
        10944,
        102400,
        q_lora_rank=None,
        moe_intermediate_size=1408,
        n_routed_experts=64,
        n_shared_experts=2,
        num_experts_per_tok=6,
        first_k_dense_replace=1,
        moe_layer_freq=1,
        **_LATENT,
    ),
    "deepseek-v3": _config(
        "deepseek_v3",
        61,
        7168,
        128,
        128,
        18432,
        129280,
        q_lora_rank=1536,
        moe_intermediate_size=2048,
        n_routed_experts=256,
        n_shared_experts=1,
        num_experts_per_tok=8,
        first_k_dense_replace=3,
        moe_layer_freq=1,
        num_nextn_predict_layers=1,
        quantization_config=_FP8,
        **_LATENT,
    ),
}
"""of each architecture that is read, and of each variant of it"""

QWEN2_MOE = _config(
    "qwen2_moe", 24, 2048, 16, 16, 5632, 151936, moe_intermediate_size=1408, shared_expert_intermediate_size=5632
) | {"num_experts": 60, "num_experts_per_tok": 4, "decoder_sparse_step": 1}
"""Qwen1.5-MoE-A2.7B, which the catalogue does not have: 14.3B parameters"""
KIMI_K2 = CONFIGS["deepseek-v3"] | {
    "model_type": "kimi_k2",
    "num_attention_heads": 64,
    "num_key_value_heads": 64,
    "n_routed_experts": 384,
    "first_k_dense_replace": 1,
    "num_nextn_predict_layers": 0,
    "vocab_size": 163840,
}
"""Kimi-K2: 1.03T parameters"""
