"""The roofline: by hand, its memory check, and against measured time per output token."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simpy import Environment

from models.errors import InputError
from simulator.cloud import Efficiency, RooflineTiming, build_llm_node, check_memory, default_catalogue
from simulator.cloud.steps import Batch, ExpertWeights
from simulator.scenario.sections import Cloud, Llm

CATALOGUE = default_catalogue()
PEAK = Efficiency(mfu=1.0, mbu=1.0, overhead_s=0.0)


def _timing(model="llama-3.1-8b", gpu="h100", gpus=1, efficiency=None):
    return RooflineTiming(CATALOGUE.model(model), CATALOGUE.gpu(gpu), gpus, efficiency)


def test_a_small_batch_decodes_at_the_speed_of_memory():
    timing = _timing(efficiency=PEAK)
    weights_bytes = 2 * (8_030_261_248 - 128_256 * 4096)  # all but the input embedding, which is only looked up
    kv_bytes = 2 * 32 * 8 * 128 * 2
    assert timing.step_time(4, 4000, 4) == pytest.approx((weights_bytes + 4000 * kv_bytes) / 3.35e12)


def test_a_long_prompt_is_read_at_the_speed_of_compute():
    timing = _timing(efficiency=PEAK)
    body = 8_030_261_248 - 2 * 128_256 * 4096
    attention = 4 * 32 * 32 * 128 * (4096 * 4097 / 2)
    flops = 2 * body * 4096 + 2 * 128_256 * 4096 + attention
    assert timing.prefill_s(4096) == pytest.approx(flops / 989e12)


def test_a_request_is_its_prefill_and_one_step_per_further_token():
    timing = _timing()
    steps = sum(timing.step_time(1, 500 + done, 1) for done in range(1, 64))
    assert timing.service_s(500, 64) == pytest.approx(timing.prefill_s(500) + steps)


def test_scoring_is_one_prefill():
    timing = _timing()
    assert timing.service_s(900, 0) == timing.prefill_s(900)


def test_sharing_a_replica_slows_each_request_but_serves_more_per_second():
    timing = _timing()
    alone, shared = timing.service_s(860, 400, 1, 1), timing.service_s(860, 400, 1, 16)
    assert alone < shared < 16 * alone / 4


def test_every_beam_reads_kv_cache_of_its_own():
    timing = _timing(efficiency=PEAK)
    beams = timing.service_s(860, 8, sequences=50)
    extra_bytes = 49 * (860 + 4) * 131072 * 7
    assert beams - timing.service_s(860, 8) == pytest.approx(extra_bytes / 3.35e12)


def test_two_gpus_are_faster_than_one_but_not_twice():
    one, two = _timing(), _timing(gpus=2)
    assert one.service_s(860, 400) / 2 < two.service_s(860, 400) < one.service_s(860, 400)


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
        picks = rng.random((4000, tokens, 128)).argpartition(8, axis=2)[:, :, :8]
        touched = np.zeros((4000, 128), dtype=bool)
        touched[np.arange(4000)[:, None, None], picks] = True
        share = touched.mean(axis=1)
        expected = ExpertWeights(1.0, 8 / 128).at(tokens)
        assert abs(share.mean() - expected) < 4 * share.std() / np.sqrt(4000) + 1e-12


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


def test_a_model_that_does_not_fit_is_refused_with_what_would_fit():
    model = CATALOGUE.model("llama-3.1-8b")
    with pytest.raises(InputError) as caught:
        check_memory(model, CATALOGUE.gpu("l4"), 1, slots=30, tokens_per_sequence=2000)
    message = str(caught.value)
    # weights 16.061 GB; cache 30 x 2000 x 131,072 B = 7.864 GB; offered 0.9 x 23.65 GB; 5.2 GB left hold 19 requests
    assert "weights of 16.1 GB and KV cache of 7.9 GB" in message
    assert "exceed 21.3 GB (90% of the memory) by 2.6 GB" in message
    assert "cloud.gpu: l40s or " in message
    assert "; cloud.slots: 19; cloud.gpus_per_replica: 2" in message


@pytest.mark.parametrize(
    ("gpu", "slots", "fits"),
    [("l4", 16, False), ("l4", 10, False), ("l4", 9, True), ("h100", 16, True), ("t4", 1, False)],
)
def test_weights_and_the_kv_cache_of_all_slots_must_fit(gpu, slots, fits):
    needed = 2 * 8_030_261_248 + slots * 4000 * 131072
    assert (needed <= 0.9 * CATALOGUE.gpu(gpu).memory_bytes) == fits
    arguments = (CATALOGUE.model("llama-3.1-8b"), CATALOGUE.gpu(gpu), 1, slots, 4000)
    if fits:
        check_memory(*arguments)
    else:
        with pytest.raises(InputError, match="does not fit"):
            check_memory(*arguments)


def test_a_scenario_builds_a_node_that_serves_as_the_named_model():
    llm = Llm(served_as="qwen2.5-0.5b")
    node = build_llm_node(Environment(), llm, Cloud(), None)
    assert node.timing.model.name == "qwen2.5-0.5b"


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
