"""Models of a user's own, read from a Hugging Face config.json: the published architecture, or one clear line."""

import json

import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue, model_from_config, served_model
from tests.simulator.cloud.hf_configs import CONFIGS, KIMI_K2, QWEN2_MOE

LLAMA, GPT_OSS, QWEN3_MOE = CONFIGS["llama-3.1-8b"], CONFIGS["gpt-oss-20b"], CONFIGS["qwen3-30b-a3b"]
MIXTRAL, GEMMA3 = CONFIGS["mixtral-8x7b"], CONFIGS["gemma-3-1b"]


@pytest.fixture
def write(tmp_path):
    def writes(config):
        folder = tmp_path / "my-model"
        folder.mkdir(exist_ok=True)
        path = folder / "config.json"
        path.write_text(config if isinstance(config, str) else json.dumps(config))
        return path

    return writes


def quantised(config, **quantization):
    return config | {"quantization_config": quantization}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_published_config_gives_the_catalogues_model(write, name):
    read, ours = model_from_config(write(CONFIGS[name])), default_catalogue().model(name)
    apart = {"name", "source", "n_params", "other_params"}
    assert read.model_dump(exclude=apart) == ours.model_dump(exclude=apart)
    assert read.n_params == pytest.approx(ours.n_params, rel=0.007)
    assert read.body_params == pytest.approx(ours.body_params, rel=0.007)
    assert bool(read.other_params) == bool(ours.other_params)  # a vision encoder


@pytest.mark.parametrize(("config", "total", "active"), [(QWEN2_MOE, 14.3e9, 2.7e9), (KIMI_K2, 1.03e12, 32e9)])
def test_a_model_that_the_catalogue_lacks_has_the_parameters_of_its_card(write, config, total, active):
    model = model_from_config(write(config))
    assert model.n_params == pytest.approx(total, rel=0.015)
    assert model.active_params + model.head_params == pytest.approx(active, rel=0.03)  # cards count the embedding


@pytest.mark.parametrize(
    ("config", "layers"),
    [
        (CONFIGS["deepseek-v3"], 1),
        (CONFIGS["minimax-m2.5"], 3),
        (CONFIGS["minimax-m2.5"] | {"use_mtp": False}, 0),
        (KIMI_K2, 0),
        (LLAMA, 0),
    ],
)
def test_layers_that_predict_further_tokens_are_read_as_each_family_names_them(write, config, layers):
    assert model_from_config(write(config)).mtp_layers == layers


@pytest.mark.parametrize(
    ("config", "layers", "window"),
    [
        (CONFIGS["mistral-nemo-12b"] | {"sliding_window": 4096}, 40, 4096),
        (CONFIGS["qwen3-0.6b"] | {"sliding_window": 512, "use_sliding_window": True, "max_window_layers": 20}, 8, 512),
        (CONFIGS["qwen3-0.6b"] | {"sliding_window": 512, "use_sliding_window": True, "max_window_layers": 28}, 0, None),
        (GEMMA3 | {"sliding_window_pattern": 2}, 13, 512),
        (GEMMA3 | {"layer_types": ["sliding_attention"] * 20 + ["full_attention"] * 6}, 20, 512),
        ({key: value for key, value in GPT_OSS.items() if key != "layer_types"}, 12, 128),
        (CONFIGS["llama-4-scout"]["text_config"] | {"no_rope_layers": [1, 1, 0] * 16}, 32, 8192),
    ],
)
def test_layers_with_a_window_are_counted(write, config, layers, window):
    model = model_from_config(write(config))
    assert (model.window_layers, model.window) == (layers, window)
    full = model.layers - layers
    expected = ((full, None), (layers, window)) if layers else ((full, None),)
    assert model.kv_layers == tuple(kind for kind in expected if kind[0])


def test_a_config_can_stand_where_a_models_name_can(write):
    path = write(LLAMA)
    assert served_model(str(path), None).name == "my-model"


FLOAT4 = {"group_0": {"weights": {"num_bits": 4, "type": "float", "group_size": 16}}}
INT8 = {"group_0": {"weights": {"num_bits": 8, "type": "int"}}}
INT4 = {"group_0": {"weights": {"num_bits": 4, "type": "int", "group_size": 128}}}
FLOAT8 = {"group_0": {"weights": {"num_bits": 8, "type": "float"}}}


@pytest.mark.parametrize(
    ("config", "formats"),
    [
        (LLAMA | {"torch_dtype": "float32"}, ("fp32", None, None)),
        (LLAMA | {"dtype": "float16"}, ("fp16", None, None)),
        (quantised(LLAMA, quant_method="fp8"), ("fp8", None, None)),
        (quantised(LLAMA, quant_method="fbgemm_fp8"), ("fp8", None, None)),
        (quantised(LLAMA, quant_method="awq", bits=4, group_size=128), ("int4", None, None)),
        (quantised(LLAMA, quant_method="gptq", bits=4), ("int4", None, None)),
        (quantised(LLAMA, quant_method="compressed-tensors", config_groups=INT8), ("int8", None, None)),
        (quantised(LLAMA, quant_method="compressed-tensors", config_groups=INT4), ("int4", None, None)),
        (quantised(LLAMA, quant_method="compressed-tensors", config_groups=FLOAT8), ("fp8", None, None)),
        (quantised(LLAMA, quant_method="compressed-tensors", config_groups=FLOAT4), ("nvfp4", None, None)),
        (
            quantised(LLAMA, quant_method="modelopt", quant_algo="NVFP4", kv_cache_scheme={"num_bits": 8}),
            ("nvfp4", None, "fp8"),
        ),
        (quantised(LLAMA, quant_algo="FP8", kv_cache_quant_algo="FP8"), ("fp8", None, "fp8")),
        (quantised(QWEN3_MOE, quant_method="modelopt", quant_algo="NVFP4", ignore=["lm_head"]), ("nvfp4", None, None)),
        (
            quantised(QWEN3_MOE, quant_method="modelopt", quant_algo="NVFP4", ignore=["model.layers.0.self_attn*"]),
            ("bf16", "nvfp4", None),
        ),
        (GPT_OSS, ("bf16", "mxfp4", None)),
    ],
)
def test_number_formats_are_read_as_each_quantiser_writes_them(write, config, formats):
    model = model_from_config(write(config))
    assert (model.weights, model.expert_weights, model.kv_cache) == formats


def test_modelopt_may_write_its_formats_beside_the_config(write):
    path = write(LLAMA)
    beside = {"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]}}
    path.with_name("hf_quant_config.json").write_text(json.dumps(beside))
    model = model_from_config(path)
    assert (model.weights, model.kv_cache) == ("fp8", "fp8")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({key: value for key, value in LLAMA.items() if key != "vocab_size"}, "no key 'vocab_size'"),
        (LLAMA | {"hidden_size": "4096"}, "hidden_size is '4096'; give a whole number"),
        (LLAMA | {"num_hidden_layers": 0}, "num_hidden_layers is 0"),
        (LLAMA | {"model_type": "gpt2"}, "model_type 'gpt2' is not served; one of llama"),
        (LLAMA | {"model_type": ["llama"]}, "model_type .* is not served; one of llama"),
        (LLAMA | {"torch_dtype": "int3"}, "torch_dtype 'int3' is not served"),
        (quantised(LLAMA, quant_method="bitsandbytes"), "quantization 'bitsandbytes' is not served; fp8, mxfp4, nvfp4"),
        (quantised(LLAMA, quant_method="gptq", bits=3), "quantization 'gptq' is not served; .* gptq of 4 bits"),
        (quantised(LLAMA, quant_method="compressed-tensors"), "quantization 'compressed-tensors' is not served"),
        (LLAMA | {"quantization_config": "fp8"}, "quantization_config is no section"),
        (MIXTRAL | {"num_experts_per_tok": 9}, "experts_per_token exceeds experts"),
        (GPT_OSS | {"layer_types": ["full_attention"]}, "layer_types does not name one value for each layer"),
        (
            LLAMA | {"layer_types": ["linear_attention"] * 32},
            "attention of kind 'linear_attention' is not served; full",
        ),
        (CONFIGS["minimax-m2.5"] | {"attn_type_list": [0] * 62}, "attention of kind 'linear_attention' is not served"),
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
