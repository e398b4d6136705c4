"""Models of a user's own, read from a Hugging Face config.json: the published architecture, or one clear line."""

import json

import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue, model_from_config, served_model

LLAMA = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "torch_dtype": "bfloat16",
    "tie_word_embeddings": False,
    "vocab_size": 128256,
}
MIXTRAL = LLAMA | {"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2, "vocab_size": 32000}
QWEN3_MOE = {
    "model_type": "qwen3_moe",
    "head_dim": 128,
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_attention_heads": 32,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 48,
    "num_key_value_heads": 4,
    "torch_dtype": "bfloat16",
    "vocab_size": 151936,
}
QWEN2 = {
    "model_type": "qwen2",
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_attention_heads": 14,
    "num_hidden_layers": 24,
    "num_key_value_heads": 2,
    "dtype": "bfloat16",
    "tie_word_embeddings": True,
    "vocab_size": 151936,
}


@pytest.fixture
def write(tmp_path):
    def writes(config):
        folder = tmp_path / "my-model"
        folder.mkdir(exist_ok=True)
        path = folder / "config.json"
        path.write_text(config if isinstance(config, str) else json.dumps(config))
        return path

    return writes


@pytest.mark.parametrize(
    ("config", "name"),
    [(LLAMA, "llama-3.1-8b"), (MIXTRAL, "mixtral-8x7b"), (QWEN3_MOE, "qwen3-30b-a3b"), (QWEN2, "qwen2.5-0.5b")],
)
def test_a_published_config_gives_the_catalogues_model(write, config, name):
    read = model_from_config(write(config)).model_dump(exclude={"name", "source", "kv_dtype_bytes"})
    assert read == default_catalogue().model(name).model_dump(exclude={"name", "source", "kv_dtype_bytes"})


def test_a_config_can_stand_where_a_models_name_can(write):
    path = write(LLAMA)
    assert served_model(str(path), None).name == "my-model"


def test_eight_bit_weights_keep_a_cache_of_sixteen_bits(write):
    model = model_from_config(write(LLAMA | {"quantization_config": {"quant_method": "fp8"}}))
    assert model.weight_bytes == 8_030_261_248
    assert model.kv_bytes_per_token == 131_072


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({key: value for key, value in LLAMA.items() if key != "vocab_size"}, "no key 'vocab_size'"),
        (LLAMA | {"hidden_size": "4096"}, "hidden_size is '4096'; give a whole number"),
        (LLAMA | {"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        (LLAMA | {"model_type": "gpt2"}, "model_type 'gpt2' is not served; one of llama"),
        (LLAMA | {"torch_dtype": "int3"}, "torch_dtype 'int3' is not served"),
        (LLAMA | {"quantization_config": {"quant_method": "awq"}}, "quantization 'awq' is not served"),
        (MIXTRAL | {"num_experts_per_tok": 9}, "experts_per_token exceeds experts"),
        (QWEN3_MOE | {"mlp_only_layers": [3]}, "only models with experts in every layer"),
        ("{", "not a readable config.json"),
        ("[]", "holds no object of keys"),
    ],
)
def test_what_cannot_be_served_ends_with_one_line_that_names_the_file_and_key(write, config, message):
    path = write(config)
    with pytest.raises(InputError, match=message) as caught:
        model_from_config(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere/config.json: not a readable config.json \(FileNotFoundError\)"):
        served_model(str(tmp_path / "nowhere/config.json"), None)
