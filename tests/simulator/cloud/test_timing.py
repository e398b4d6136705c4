"""The roofline: by hand, its memory check, and against measured time per output token."""

import numpy as np
import pandas as pd
import pytest
from simpy import Environment

from models.errors import InputError
from simulator.cloud import RooflineTiming, build_llm_node, check_memory, default_catalogue
from simulator.scenario.sections import Cloud, Llm

CATALOGUE = default_catalogue()


def _timing(model="llama-3.1-8b", gpu="h100", gpus=1, **options):
    return RooflineTiming(CATALOGUE.model(model), CATALOGUE.gpu(gpu), gpus, **options)


def test_a_small_batch_decodes_at_the_speed_of_memory():
    timing = _timing(mfu=1.0, mbu=1.0, overhead_s=0.0)
    weights_bytes = 2 * (8_030_261_248 - 128_256 * 4096)  # all but the input embedding, which is only looked up
    kv_bytes = 2 * 32 * 8 * 128 * 2
    assert timing.step_time(4, 4000, 4) == pytest.approx((weights_bytes + 4000 * kv_bytes) / 3.35e12)


def test_a_long_prompt_is_read_at_the_speed_of_compute():
    timing = _timing(mfu=1.0, mbu=1.0, overhead_s=0.0)
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
    timing = _timing()
    beams = timing.service_s(860, 8, sequences=50)
    extra_bytes = 49 * (860 + 4) * 131072 * 7
    assert beams - timing.service_s(860, 8) == pytest.approx(extra_bytes / (3.35e12 * 0.78))


def test_two_gpus_are_faster_than_one_but_not_twice():
    one, two = _timing(), _timing(gpus=2)
    assert one.service_s(860, 400) / 2 < two.service_s(860, 400) < one.service_s(860, 400)


def test_a_model_that_does_not_fit_is_refused_with_what_would_fit():
    model = CATALOGUE.model("llama-3.1-8b")
    with pytest.raises(InputError) as caught:
        check_memory(model, CATALOGUE.gpu("l4"), 1, slots=30, tokens_per_sequence=2000)
    message = str(caught.value)
    # weights 16.061 GB; cache 30 x 2000 x 131,072 B = 7.864 GB; offered 0.9 x 24 GB; the 5.539 GB left hold 21 requests
    assert "weights of 16.1 GB and KV cache of 7.9 GB" in message
    assert "exceed 21.6 GB (90% of the memory) by 2.3 GB" in message
    assert "cloud.gpu: l40s or a100 or h100 or h200 or rtxpro6000; cloud.slots: 21; cloud.gpus_per_replica: 2" in message


@pytest.mark.parametrize(
    ("gpu", "slots", "fits"),
    [("l4", 16, False), ("l4", 11, False), ("l4", 10, True), ("h100", 16, True), ("t4", 1, False)],
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
@pytest.mark.parametrize(
    ("backend", "system", "options", "interleaved", "mean_error"),
    [
        ("trtllm", "h100", {}, True, 0.02),
        ("sglang", "h200", {"mfu": 0.49, "mbu": 0.896, "overhead_s": 0.0, "sequence_overhead_s": 38e-6}, True, 0.05),
        ("vllm", "h200", {"mfu": 0.78, "mbu": 1.0, "overhead_s": 0.005}, False, 0.08),
    ],
)
def test_time_per_output_token_agrees_with_measurements(data_dir, backend, system, options, interleaved, mean_error):
    measured = pd.read_csv(data_dir / "llm" / "measured_tpot_llama8b_h100.csv")
    measured = measured[(measured.backend == backend) & (measured.tp_size == 1)]
    model = CATALOGUE.model("llama-3.1-8b")
    if system == "h200":  # those runs are FP8 with a 16-bit KV cache
        model = model.model_copy(update={"dtype_bytes": 1, "kv_heads": 16})
    timing = RooflineTiming(model, CATALOGUE.gpu(system), **options)
    errors = []
    for row in measured.itertuples():
        if interleaved:
            predicted = timing.tpot_s(row.isl, row.osl, row.batch_size)
        else:
            predicted = timing.step_time(row.batch_size, row.batch_size * (row.isl + (row.osl + 1) / 2), row.batch_size)
        errors.append(predicted * 1000 / row.silicon_tpot_ms - 1)
    assert np.mean(np.abs(errors)) < mean_error


@pytest.mark.data
def test_tensor_parallel_time_per_output_token_agrees_with_measurements(data_dir):
    measured = pd.read_csv(data_dir / "llm" / "measured_tpot_llama8b_h100.csv")
    measured = measured[measured.backend == "trtllm"]
    timings = {gpus: _timing(gpus=gpus) for gpus in (1, 2, 4, 8)}
    errors = [
        timings[int(row.tp_size)].tpot_s(row.isl, row.osl, row.batch_size) * 1000 / row.silicon_tpot_ms - 1
        for row in measured.itertuples()
    ]
    assert np.mean(np.abs(errors)) < 0.1
