"""The catalogue: complete, consistent with itself, and clear about names it does not have."""

import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.hardware.catalogue import Catalogue, default_catalogue, served_model

CATALOGUE = default_catalogue()


@pytest.mark.parametrize("model", CATALOGUE.models.values(), ids=lambda model: model.name)
def test_the_number_of_parameters_follows_from_the_architecture(model):
    attention = model.hidden * model.head_dim * 2 * (model.heads + model.kv_heads)
    bias = model.head_dim * (model.heads + 2 * model.kv_heads) if model.qkv_bias else 0
    norms = 2 * model.hidden + (2 * model.head_dim if model.qk_norm else 0)
    router = model.hidden * model.experts if model.experts > 1 else 0
    block = attention + bias + norms + router + model.experts * 3 * model.hidden * model.ffn
    tables = model.vocab * model.hidden * (1 if model.tied_embeddings else 2)
    assert model.n_params == model.layers * block + tables + model.hidden


def test_models_span_half_a_billion_to_seventy_billion_parameters_dense_and_with_experts_and_there_are_ten_gpus():
    sizes = [model.n_params for model in CATALOGUE.models.values()]
    assert (len(sizes) >= 12, min(sizes) < 0.5e9, max(sizes) > 70e9) == (True, True, True)
    assert sum(model.experts > 1 for model in CATALOGUE.models.values()) >= 2
    assert len(CATALOGUE.gpus) >= 10


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
    assert gpu.peak_flops(4) < gpu.peak_flops(2) < gpu.peak_flops(1)
    assert gpu.idle_power_w < gpu.busy_power_w < gpu.power_w
    assert "2026" in gpu.sources.price
    assert ("fitted" in gpu.sources.power_curve) != ("assumed" in gpu.sources.power_curve)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: CATALOGUE.gpu("H-100"), "cloud.gpu: the catalogue has no GPU 'H-100'; did you mean h100"),
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


@pytest.mark.parametrize(
    ("text", "message"),
    [("h100: {memory_bytes: -1}", "gpus.yaml: h100"), ("- a\n- b", "not a catalogue"), ("a: [", "not a catalogue")],
)
def test_a_broken_catalogue_file_names_the_entry(tmp_path, text, message):
    (tmp_path / "models.yaml").write_text("{}")
    (tmp_path / "gpus.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        Catalogue(tmp_path)
