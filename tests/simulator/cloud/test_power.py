"""Power: idle, busy and at the limit, by hand; energy per request and per replica; against measurements on H100."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.power import ReplicaPower, busy_watts

CATALOGUE = default_catalogue()
H100 = CATALOGUE.gpu("h100")
LLAMA = CATALOGUE.model("llama-3.1-8b")


def test_power_is_half_way_to_the_limit_at_the_half_load():
    assert busy_watts(H100, 0.0) == H100.busy_power_w
    assert busy_watts(H100, H100.half_load) == (H100.busy_power_w + H100.power_w) / 2


def test_load_is_the_share_of_peak_flops_that_the_tokens_need():
    flops = 2 * (8_030_261_248 - 128_256 * 4096) * 1000  # the input embedding is only looked up
    assert ReplicaPower(LLAMA, H100, 2).load(3.0, 1000) == pytest.approx(flops / 3.0 / (2 * 989e12))


def test_a_token_of_a_mixture_of_experts_loads_the_gpu_as_its_active_parameters_do():
    model = CATALOGUE.model("qwen3-30b-a3b")
    assert ReplicaPower(model, H100).load(1.0, 1000) == pytest.approx(2 * 3.04e9 * 1000 / 989e12, rel=0.01)


def test_two_gpus_idle_at_twice_the_idle_power():
    assert ReplicaPower(LLAMA, H100, 2).idle_joules(10.0) == 2 * 70 * 10


def test_no_busy_time_draws_nothing():
    assert ReplicaPower(LLAMA, H100).busy_joules(0.0, 0) == 0.0


@given(
    gpu=st.sampled_from(list(CATALOGUE.gpus.values())),
    busy_s=st.floats(1e-6, 1e6),
    tokens=st.floats(0, 1e9),
    more=st.floats(0, 1e9),
)
def test_more_tokens_in_the_same_time_draw_more_and_never_more_than_the_limit(gpu, busy_s, tokens, more):
    power = ReplicaPower(LLAMA, gpu)
    joules = power.busy_joules(busy_s, tokens)
    assert gpu.busy_power_w * busy_s * (1 - 1e-12) <= joules
    assert joules <= power.busy_joules(busy_s, tokens + more) * (1 + 1e-12)
    assert power.busy_joules(busy_s, tokens + more) <= gpu.power_w * busy_s * (1 + 1e-12)


@given(shares=st.lists(st.tuples(st.floats(0.01, 10), st.floats(0, 1e5)), min_size=1, max_size=8))
def test_requests_of_equal_intensity_draw_together_what_the_replica_draws_and_others_no_more(shares):
    power = ReplicaPower(LLAMA, H100)
    busy_s, tokens = sum(s for s, _ in shares), sum(n for _, n in shares)
    apart = sum(power.busy_joules(s, n) for s, n in shares)
    assert apart <= power.busy_joules(busy_s, tokens) * (1 + 1e-9)
    even = sum(power.busy_joules(s, tokens * s / busy_s) for s, _ in shares)
    assert even == pytest.approx(power.busy_joules(busy_s, tokens))


@pytest.mark.data
def test_joules_per_request_on_h100_agree_with_measurements(data_dir):
    rows = pd.read_csv(data_dir / "llm" / "measured_energy_h100.csv")
    errors = []
    for row in rows.itertuples():
        peak = row.num_gpus * H100.peak_flops("fp8" if row.weight_precision == "fp8" else "bf16")
        tokens_per_s = row.output_throughput_tokens_per_sec * (1 + 70 / row.avg_output_len)
        watts = busy_watts(H100, 2e9 * row.activated_params_billions * tokens_per_s / peak)
        joules = row.num_gpus * watts * row.avg_output_len / row.output_throughput_tokens_per_sec
        errors.append(joules / row.energy_per_request_joules - 1)
    assert len(errors) == 88
    assert np.mean(np.abs(errors)) < 0.1
