"""Step times of serving engines: kernels by hand, closed form against step by step, what an engine changes."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.engine_profile import engine_profile
from fleetrec.simulator.cloud.hardware.engine_timing import engine_steps
from fleetrec.simulator.cloud.hardware.kernels import Exchange, Experts, Product, exchange
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.cloud.hardware.step_time import Batch
from fleetrec.simulator.scenario.sections import Precision

ENGINES = ("vllm", "sglang", "tensorrt_llm", "generative_recommender")
CATALOGUE = default_catalogue()
LAYOUTS = {
    "llama-3.1-8b": (Layout(1), Layout(4), Layout(8, 2)),
    "gpt-oss-120b": (Layout(2), Layout(4, 1, 4, 4)),
    "minimax-m2.5": (Layout(4), Layout(8, 1, 2, 4)),
}


def steps_of(engine, model="llama-3.1-8b", gpu="h100", layout=None, **precision):
    served = CATALOGUE.model(model).served_in(Precision(**precision))
    return engine_steps(served, CATALOGUE.gpu(gpu), layout or Layout(), engine_profile(engine))


@settings(max_examples=60)
@given(st.sampled_from(ENGINES), st.data(), st.integers(1, 300), st.integers(1, 200_000), st.integers(1, 400))
def test_decode_steps_in_closed_form_equal_their_sum(engine, data, sequences, context, steps):
    model = data.draw(st.sampled_from(sorted(LAYOUTS)))
    timing = steps_of(engine, model, "b200", data.draw(st.sampled_from(LAYOUTS[model])))
    contexts = [context + k * sequences for k in range(steps)]
    plain = sum(timing.at(Batch(sequences, sequences, c, c)) for c in contexts)
    run = timing.decoding(sequences, context)
    assert run.seconds(steps) == pytest.approx(plain, rel=1e-9)
    assert run.seconds(run.steps_until(plain)) >= plain * (1 - 1e-9)


def test_a_product_reads_its_weights_or_computes_its_tokens():
    product = Product(read_s=8.0, per_token_s=1.0)
    assert product.at(1) == pytest.approx(8.0, rel=1e-3)
    assert product.at(800) == pytest.approx(800.0, rel=1e-3)
    assert product.at(8) == pytest.approx(8.0 * 2**0.25)  # in between both slow each other
    assert Product(0.0, 0.0).at(5) == 0.0


def test_experts_are_read_as_tokens_meet_them_and_computed_in_tiles():
    reads = Experts(read_s=16.0, row_s=0.0, routed_share=0.25, tile=0.0)
    assert [reads.at(n) for n in (0, 1, 2)] == pytest.approx([0.0, 4.0, 7.0])
    rows = Experts(read_s=0.0, row_s=1.0, routed_share=0.25, tile=10.0)
    assert rows.at(1) == pytest.approx(0.25 + 2.5)
    assert rows.at(400) == pytest.approx(100.0 + 10.0)


def test_an_exchange_takes_the_quicker_way():
    both = Exchange(latency_s=1.0, one_shot_token_s=2.0, ring_latency_s=30.0, ring_token_s=0.5)
    assert [both.at(n) for n in (1, 20, 100)] == [3.0, 41.0, 81.0]
    assert exchange(2, 8, 1, (1.0, 1.0), 1.0, (1.0, 1.0)) is None
    four = exchange(2, 8, 4, (1.0, 0.5), 3.0, (16.0, 12.0))
    assert four == Exchange(2 * 2.0, 2 * 3 * 16 / 16.0, 2 * 6.0, 2 * 1.5 * 16 / 12.0)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_step_grows_with_all_that_it_holds(engine):
    timing = steps_of(engine, layout=Layout(2))
    first = timing.at(Batch(64, 64, 64_000, 64_000))
    assert timing.at(Batch(128, 128, 64_000, 64_000)) > first
    assert timing.at(Batch(64, 64, 640_000, 640_000)) > first
    assert timing.at(Batch(2048, 64, 64_000, 64_000)) > first
    assert timing.at(Batch(2048, 64, 64_000, 4_000_000)) > timing.at(Batch(2048, 64, 64_000, 64_000))


def test_a_small_model_on_many_gpus_waits_for_the_host():
    profile = engine_profile("vllm")
    timing = steps_of("vllm", "qwen2.5-0.5b", "b200", Layout(1))
    host_s = profile.seconds.step + profile.seconds.host + 256 * profile.seconds.host_sequence
    assert timing.at(Batch(256, 256, 256, 256)) == pytest.approx(host_s)


def test_narrow_weights_are_quicker_where_reads_bound_and_blocks_of_scales_cost_a_layer():
    times = {w: steps_of("vllm", "llama-3.1-70b", "b200", weights=w).decoding(4, 4096).seconds(1) for w in FORMATS}
    assert times["bf16"] > times["fp8_block"] > times["fp8"] > times["nvfp4"]


FORMATS = ("bf16", "fp8_block", "fp8", "nvfp4")


@pytest.mark.parametrize(
    ("engine", "model", "gpu", "layout", "precision", "batch", "measured_ms"),
    [  # decode steps alone, out of rows where few prompts come between (InferenceMAX by aiconfigurator, 1,024 + 8,192)
        ("vllm", "llama-3.1-70b", "h100", Layout(2), {"weights": "fp8"}, 4, 18.0),
        ("vllm", "llama-3.1-70b", "b200", Layout(4), {"weights": "fp8", "kv_cache": "fp8"}, 8, 8.0),
        ("tensorrt_llm", "llama-3.1-70b", "h200", Layout(4), {"weights": "fp8", "kv_cache": "fp8"}, 32, 11.0),
        ("vllm", "gpt-oss-120b", "h200", Layout(2), {}, 16, 7.4),
        ("tensorrt_llm", "gpt-oss-120b", "b200", Layout(4), {"kv_cache": "fp8"}, 64, 4.5),
        ("vllm", "minimax-m2.5", "h200", Layout(8), {"weights": "fp8_block"}, 32, 13.1),
    ],
)
def test_measured_steps_are_met(engine, model, gpu, layout, precision, batch, measured_ms):
    context = batch * 0.9 * (1024 + 4096)
    seconds = steps_of(engine, model, gpu, layout, **precision).at(Batch(batch, batch, context, context))
    assert math.log(seconds * 1e3 / measured_ms) == pytest.approx(0.0, abs=0.15)
