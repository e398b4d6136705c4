"""The catalogue: complete, consistent with itself, and clear about names it does not have."""

import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.hardware.catalogue import Catalogue, default_catalogue, served_model
from fleetrec.simulator.scenario.sections import Precision, PriceRange, Tariffs

CATALOGUE = default_catalogue()


def layers_params(model):
    """Parameters of the layers, told one after the other."""
    total = 0
    for layer in range(model.layers):
        if model.latent is None:
            for heads in (model.heads, model.kv_heads, model.kv_heads):  # queries, keys, values
                total += (model.hidden + (1 if model.qkv_bias else 0)) * heads * model.head_dim
            total += model.heads * model.head_dim * model.hidden
        else:
            mla = model.latent
            head = mla.nope_dim + mla.rope_dim
            width = mla.q_rank or model.hidden
            total += (model.hidden * mla.q_rank if mla.q_rank else 0) + width * model.heads * head
            total += model.hidden * mla.kv_rank + model.hidden * mla.rope_dim
            total += mla.kv_rank * model.heads * mla.nope_dim + mla.kv_rank * model.heads * mla.value_dim
            total += model.heads * mla.value_dim * model.hidden
        if model.experts == 1:
            widths = [model.ffn]
        elif layer < model.dense_layers:
            widths = [model.dense_ffn]
        else:
            widths = [model.ffn] * model.experts + [model.shared_ffn]
            total += model.hidden * model.experts  # the router
        total += sum(3 * model.hidden * width for width in widths)
        total += 2 * model.hidden + (2 * model.head_dim if model.qk_norm else 0)
    return total


@pytest.mark.parametrize("model", CATALOGUE.models.values(), ids=lambda model: model.name)
def test_the_number_of_parameters_follows_from_the_architecture(model):
    tables = model.vocab * model.hidden * (1 if model.tied_embeddings else 2)
    counted = layers_params(model) + tables + model.hidden + model.other_params
    assert counted == pytest.approx(model.n_params, rel=0.015 if model.name == "glm-4.5" else 0.0005)
    assert model.counted_params == pytest.approx(counted, rel=1e-4)
    plain = model.latent is None and not (model.window or model.other_params or model.experts > 1)
    assert not plain or counted == model.n_params


def test_models_span_half_a_billion_to_hundreds_of_billions_of_parameters_and_gpus_of_five_generations_are_there():
    models, gpus = CATALOGUE.models, CATALOGUE.gpus
    sizes = [model.n_params for model in models.values()]
    assert (len(sizes) >= 30, min(sizes) < 0.5e9, max(sizes) > 400e9, sizes == sorted(sizes)) == (True,) * 4
    assert sum(model.experts > 1 for model in models.values()) >= 10
    assert {"onerec-1.7b", "onerec-8b", "qwen3-0.6b", "qwen3-235b-a22b", "gpt-oss-120b", "minimax-m2.5"} <= set(models)
    assert len(gpus) >= 18
    assert {"b200", "gb200", "b300", "rtx5090", "h100-nvl", "mi300x", "mi325x", "mi355x"} <= set(gpus)


@pytest.mark.parametrize(
    ("name", "gb"),  # of the repository's safetensors files
    [("gpt-oss-20b", 13.76), ("gpt-oss-120b", 65.25), ("deepseek-v3", 671.0 + 2.0), ("llama-3.1-8b", 16.06)],
)
def test_weights_are_as_large_as_published(name, gb):
    assert CATALOGUE.model(name).weight_bytes == pytest.approx(gb * 1e9, rel=0.01)


def test_a_number_takes_its_bits_and_its_share_of_the_scales():
    llama = CATALOGUE.model("llama-3.1-8b")
    tables = 2 * 128_256 * 4096
    for weights, size in (("fp32", 4), ("bf16", 2), ("fp8", 1), ("int8", 1), ("int4", 0.5 + (16 + 4) / 8 / 128)):
        wide = max(size, 2)  # tables are not quantised
        model = llama.served_in(Precision(weights=weights))
        assert model.weight_bytes == pytest.approx((llama.n_params - tables) * size + tables * wide)
        assert model.kv_bytes_per_token == 32 * 2 * 8 * 128 * (4 if weights == "fp32" else 2)
    assert llama.served_in(Precision(weights="nvfp4")).dense_bytes == pytest.approx(
        (llama.n_params - tables) * (4 * 16 + 8) / 16 / 8 + tables  # half of the tables is looked up, not read
    )
    assert llama.served_in(Precision(kv_cache="fp8")).kv_bytes_per_token == 65_536


def test_experts_may_have_a_format_of_their_own():
    gpt = CATALOGUE.model("gpt-oss-20b")
    experts = 32 * 24 * 3 * 2880 * 2880
    assert gpt.expert_bytes == experts * (4 * 32 + 8) / 32 / 8
    assert gpt.served_in(Precision(weights="fp8")).expert_bytes == experts
    assert gpt.served_in(Precision(weights="fp8", experts="nvfp4")).expert_bytes == experts * 0.5625
    rest = gpt.n_params - experts
    assert gpt.served_in(Precision(experts="bf16")).weight_bytes == 2 * (experts + rest)


def test_compressed_keys_and_values_are_cached_once_for_all_heads():
    deepseek = CATALOGUE.model("deepseek-v3")
    assert deepseek.kv_bytes_per_token == 61 * (512 + 64) * 2
    assert deepseek.replica_kv_bytes_per_token(8) == 8 * deepseek.kv_bytes_per_token


@pytest.mark.parametrize(
    ("gpu", "weights", "tflops"),
    [
        ("a100", "fp8", 312),  # widened: no FP8 arithmetic
        ("a100", "int8", 624),
        ("a100", "nvfp4", 312),
        ("h100", "fp8", 1978),
        ("h100", "mxfp4", 989),
        ("h100", "int4", 989),
        ("b200", "nvfp4", 9000),
        ("b200", "mxfp4", 9000),
        ("b200", "int4", 2250),
        ("mi300x", "nvfp4", 1307.4),
        ("mi355x", "mxfp4", 10066.3),
        ("rtx5090", "fp8", 419),
        ("h100", "fp32", 494.5),
    ],
)
def test_products_are_made_at_the_rate_that_the_gpu_has_for_their_weights(gpu, weights, tflops):
    assert CATALOGUE.gpu(gpu).peak_flops(weights) == pytest.approx(tflops * 1e12)


def test_what_is_not_quantised_is_computed_in_sixteen_bits():
    h100 = CATALOGUE.gpu("h100")
    plain = CATALOGUE.model("llama-3.1-8b")
    eight = plain.served_in(Precision(weights="fp8"))
    assert eight.body_flops(h100) == plain.body_flops(h100)  # counted at the rate of the weights
    assert eight.head_flops(h100) == 2 * plain.head_flops(h100)
    assert eight.pair_flops(h100) == 2 * plain.pair_flops(h100)
    gpt = CATALOGUE.model("gpt-oss-20b").served_in(Precision(weights="fp8", experts="int4"))
    active = 24 * 4 * 3 * 2880 * 2880
    assert gpt.body_flops(h100) == pytest.approx(2 * (gpt.active_body_params - active) + 2 * 2 * active)


def test_the_price_is_the_typical_one_unless_the_tariffs_name_another():
    h100 = CATALOGUE.gpu("h100")
    assert h100.usd_per_hour(Tariffs()) == h100.usd_per_hour(Tariffs(gpu_hour="typical")) == 3.9492
    assert h100.usd_per_hour(Tariffs(gpu_hour="low")) == 1.99
    assert h100.usd_per_hour(Tariffs(gpu_hour="high")) == 6.98
    assert h100.usd_per_hour(Tariffs(gpu_hour=0.0)) == 0.0
    assert h100.usd_per_hour(Tariffs(gpu_hour=PriceRange(low=1, typical=2, high=4))) == 2.0


@pytest.mark.parametrize(
    ("name", "active"),
    [("mixtral-8x7b", 12.9e9), ("qwen3-30b-a3b", 3.3e9), ("llama-3.1-8b", 8.03e9)],  # model cards; embeddings included
)
def test_a_token_meets_only_the_experts_that_it_is_routed_to(name, active):
    model = CATALOGUE.model(name)
    embeddings = 0 if model.tied_embeddings else model.head_params
    assert model.active_params + embeddings == pytest.approx(active, rel=0.02)


@pytest.mark.parametrize("gpu", CATALOGUE.gpus.values(), ids=lambda gpu: gpu.name)
def test_narrower_numbers_are_faster_and_power_rises_from_idle_to_the_limit(gpu):
    assert gpu.peak_flops("fp32") < gpu.peak_flops("bf16") <= gpu.peak_flops("fp8")
    assert gpu.flops_fp4 is None or gpu.peak_flops("fp8") < gpu.peak_flops("nvfp4")
    assert gpu.price.low <= gpu.price.typical <= gpu.price.high
    assert gpu.idle_power_w < gpu.busy_power_w < gpu.power_w
    assert "2026" in gpu.sources.price
    assert ("fitted" in gpu.sources.power_curve) != ("assumed" in gpu.sources.power_curve)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: CATALOGUE.gpu("H-100"), "cloud.gpu: the catalogue has no GPU 'H-100'; did you mean h100"),
        (lambda: CATALOGUE.gpu("NVIDIA A100-SXM4-80GB"), "did you mean a100 or"),
        (lambda: CATALOGUE.gpu("A100 40GB SXM"), "did you mean a100-40gb or a100 or"),
        (lambda: CATALOGUE.gpu("h200-141gb"), "did you mean h200 or"),
        (lambda: CATALOGUE.model("meta-llama/Llama-3.1-8B-Instruct"), "did you mean llama-3.1-8b"),
        (lambda: CATALOGUE.model("llama3.1-8b"), "llm.served_as: .* did you mean llama-3.1-8b"),
        (lambda: CATALOGUE.gpu("zzz"), "known: t4, a10"),
        (lambda: served_model(None, None), "name the catalogue model whose speed is charged"),
        (lambda: served_model(None, {"n_params": -1}), "architecture of the candidate model: n_params"),
    ],
)
def test_an_unknown_name_ends_with_a_hint(ask, message):
    with pytest.raises(InputError, match=message):
        ask()


def test_a_candidate_model_is_served_as_itself_unless_another_is_named():
    architecture = {
        "n_params": 900_000,
        "layers": 2,
        "hidden": 128,
        "heads": 4,
        "kv_heads": 4,
        "head_dim": 32,
        "vocab": 3000,
        "dtype_bytes": 4,
    }
    assert served_model(None, architecture).body_params == 900_000 - 3000 * 128
    assert served_model("llama-3.1-8b", architecture).n_params == 8_030_261_248


PRICELESS = """\
x:
  {title: x, memory_bytes: 1, bandwidth_bytes_per_s: 1, flops_32bit: 1, flops_16bit: 1, flops_int8: 1,
   link_bytes_per_s: 1, power_w: 3, idle_power_w: 1, busy_power_w: 2, half_load: 0.1,
   sources: {hardware: x, memory: x, idle_power: x, power_curve: x, price: x},
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("h100: {memory_bytes: -1}", "gpus.yaml: h100: title"),
        (
            PRICELESS + "  price: {low: 4, typical: 3, high: 5}}",
            "gpus.yaml: x: price: 4, 3, 5 is no range; low, typical",
        ),
        ("- a\n- b", "not a catalogue"),
        ("a: [", "not a catalogue"),
    ],
)
def test_a_broken_catalogue_file_names_the_entry(tmp_path, text, message):
    (tmp_path / "models.yaml").write_text("{}")
    (tmp_path / "gpus.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        Catalogue(tmp_path)
