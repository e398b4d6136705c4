"""The roofline: by hand, with experts, and against measured time per output token."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.cloud.hardware.step_time import Batch, ExpertWeights
from fleetrec.simulator.cloud.hardware.timing import Efficiency, RooflineTiming

CATALOGUE = default_catalogue()
PEAK = Efficiency(mfu=1.0, mbu=1.0, overhead_s=0.0)


def _timing(model="llama-3.1-8b", gpu="h100", gpus=1, efficiency=None):
    return RooflineTiming(CATALOGUE.model(model), CATALOGUE.gpu(gpu), Layout(gpus), efficiency)


def test_a_small_batch_decodes_at_the_speed_of_memory():
    timing = _timing(efficiency=PEAK)
    weights_bytes = 2 * (8_030_261_248 - 128_256 * 4096)  # all but the input embedding, which is only looked up
    kv_bytes = 2 * 32 * 8 * 128 * 2
    assert timing.step_time(4, 1000, 4) == pytest.approx((weights_bytes + 1000 * kv_bytes) / 3.35e12)


def test_a_long_prompt_is_read_at_the_speed_of_compute():
    timing = _timing(efficiency=PEAK)
    body = 8_030_261_248 - 2 * 128_256 * 4096
    attention = 4 * 32 * 32 * 128 * (4096 * 4097 / 2)
    flops = 2 * body * 4096 + 2 * 128_256 * 4096 + attention
    assert timing.prefill_s(4096) == pytest.approx(flops / 989e12)


def test_every_beam_reads_kv_cache_of_its_own():
    steps = _timing(efficiency=PEAK).steps
    beams = steps.decoding(50, 50 * 861).seconds(7) - steps.decoding(1, 861).seconds(7)
    extra_bytes = 49 * (861 * 7 + sum(range(7))) * 131072
    assert beams == pytest.approx(extra_bytes / 3.35e12)


def test_two_gpus_are_faster_than_one_but_not_twice():
    one, two = _timing(), _timing(gpus=2)
    assert one.step_time(16, 16_000, 16) / 2 < two.step_time(16, 16_000, 16) < one.step_time(16, 16_000, 16)
    assert one.prefill_s(4096) / 2 < two.prefill_s(4096) < one.prefill_s(4096)


def test_a_token_takes_its_step_and_its_share_of_the_prefills_between():
    timing = _timing()
    step, prefill = timing.step_time(8, 8 * (1000 + 50.5), 8), timing.prefill_s(1000)
    assert timing.tpot_s(1000, 100, 8) == pytest.approx(step + prefill * 8 / 100)


def test_prompts_that_fall_between_two_steps_are_read_in_one_step():
    timing = _timing(efficiency=PEAK)
    step = timing.step_time(300, 300 * (1000 + 50.5), 300)
    body, head = 8_030_261_248 - 2 * 128_256 * 4096, 128_256 * 4096
    flops = 3 * (2 * body * 1000 + 2 * head + 4 * 32 * 32 * 128 * (1000 * 1001 / 2))  # 300 sequences, 100 tokens each
    assert timing.tpot_s(1000, 100, 300) == pytest.approx(step + flops / 989e12)


def test_the_kv_cache_is_read_at_its_own_share_of_the_bandwidth():
    timing = _timing(efficiency=Efficiency(mfu=1.0, mbu=1.0, kv_mbu=0.5, overhead_s=0.0))
    weights_bytes = 2 * (8_030_261_248 - 128_256 * 4096)
    assert timing.step_time(4, 1000, 4) == pytest.approx((weights_bytes + 1000 * 131_072 / 0.5) / 3.35e12)


def test_a_step_with_part_of_a_prompt_takes_at_least_the_time_to_launch_it():
    launched = _timing(gpus=8, efficiency=Efficiency(prompt_floor_s=0.016))
    free = _timing(gpus=8)
    assert launched.prefill_s(200) == 0.016
    assert launched.prefill_s(20_000) == free.prefill_s(20_000) > 0.016
    assert launched.step_time(8, 8000, 8) == free.step_time(8, 8000, 8) < 0.016


def test_a_ring_of_four_sends_one_and_a_half_times_the_activations_and_waits_twice_as_long_as_a_pair():
    law = Efficiency(mfu=1.0, mbu=1.0, overhead_s=0.0, reduce_latency_s=5e-6, reduce_link_share=0.5)
    four = _timing(gpus=4, efficiency=law).step_time(8, 0, 8)
    weights_s = 2 * (8_030_261_248 - 128_256 * 4096) / (4 * 3.35e12)
    sent_bytes = 2 * 3 / 4 * 4096 * 2 * 8
    assert four - weights_s == pytest.approx(64 * (5e-6 * 2 + sent_bytes / (0.5 * 450e9)))


def test_more_gpus_than_kv_heads_copy_the_heads():
    model = CATALOGUE.model("qwen3-30b-a3b")  # 4 KV heads
    assert model.replica_kv_bytes_per_token(4) == model.kv_bytes_per_token
    assert model.replica_kv_bytes_per_token(8) == 2 * model.kv_bytes_per_token


def test_the_experts_that_a_batch_reads_are_those_that_random_routing_touches():
    rng = np.random.default_rng(7)
    for tokens in (1, 4, 16, 60):
        picks = rng.random((1000, tokens, 128)).argpartition(8, axis=2)[:, :, :8]
        touched = np.zeros((1000, 128), dtype=bool)
        touched[np.arange(1000)[:, None, None], picks] = True
        share = touched.mean(axis=1)
        expected = ExpertWeights(1.0, 8 / 128).at(tokens)
        assert abs(share.mean() - expected) < 4 * share.std() / np.sqrt(1000) + 1e-12


def test_a_mixture_of_experts_reads_two_experts_a_layer_for_one_token_and_all_for_a_long_prompt():
    timing = _timing("mixtral-8x7b", "h200", efficiency=PEAK)
    expert = 32 * 3 * 4096 * 14336
    rest = 46_702_792_704 - 32_000 * 4096 - 8 * expert
    assert timing.step_time(1, 0, 1) == pytest.approx(2 * (rest + 2 * expert) / 4.8e12)
    assert timing.steps.at(Batch(500, 1, 0, 0)) == pytest.approx(2 * (rest + 8 * expert) / 4.8e12)  # bound by memory


def test_decoding_a_mixture_of_experts_in_one_run_takes_as_long_as_step_by_step():
    steps = _timing("qwen3-30b-a3b").steps
    alone = sum(steps.at(Batch(12, 12, 12 * (900 + k), 12 * (900 + k))) for k in range(200))
    assert steps.decoding(12, 12 * 900).seconds(200) == pytest.approx(alone, rel=1e-12)


@given(
    model=st.sampled_from(list(CATALOGUE.models)),
    gpu=st.sampled_from(list(CATALOGUE.gpus)),
    gpus=st.sampled_from([1, 2, 4, 8]),
    tokens=st.integers(1, 4096),
    context=st.integers(0, 200_000),
)
def test_a_step_that_holds_more_never_takes_less(model, gpu, gpus, tokens, context):
    steps = _timing(model, gpu, gpus).steps
    one = steps.at(Batch(tokens, 1, context, context))
    assert one <= steps.at(Batch(tokens + 1, 1, context, context))
    assert one <= steps.at(Batch(tokens, 1, context + 1, context + 1))
    assert one <= steps.at(Batch(tokens + 1, 2, context, context))


@pytest.mark.data
@pytest.mark.parametrize(("sizes", "bar"), [((1,), 0.04), ((1, 2, 4, 8), 0.10)])
def test_the_default_constants_give_the_measured_time_per_output_token_on_h100(data_dir, sizes, bar):
    measured = pd.read_csv(data_dir / "llm" / "measured_tpot_llama8b_h100.csv")
    measured = measured[(measured.backend == "trtllm") & measured.tp_size.isin(sizes)]
    errors = [
        _timing(gpus=int(row.tp_size)).tpot_s(row.isl, row.osl, row.batch_size) * 1000 / row.silicon_tpot_ms - 1
        for row in measured.itertuples()
    ]
    assert len(errors) == 30 * len(sizes)
    assert np.mean(np.abs(errors)) < bar
