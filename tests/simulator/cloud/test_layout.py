"""How the GPUs of a replica divide a model: what stands where, what a step takes, what cannot be divided."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.layout import Layout, layout_of
from fleetrec.simulator.cloud.hardware.memory import RESERVE_BYTES, kv_blocks
from fleetrec.simulator.cloud.hardware.step_time import Batch
from fleetrec.simulator.cloud.hardware.timing import Efficiency, RooflineTiming
from fleetrec.simulator.scenario.sections import Machines, Parallel

CATALOGUE = default_catalogue()
H200, QWEN = CATALOGUE.gpu("h200"), CATALOGUE.model("qwen3-235b-a22b")
PEAK = Efficiency(mfu=1.0, mbu=1.0, overhead_s=0.0, reduce_latency_s=0.0, reduce_link_share=1e9)


def test_tensor_parallel_gpus_are_those_that_the_other_keys_leave():
    layout = layout_of(Machines(gpus_per_replica=16, parallel=Parallel(pipeline=2, attention_data=4)), QWEN, "cloud")
    assert (layout.stage, layout.tensor) == (8, 2)


def test_each_attention_group_has_all_weights_but_the_experts():
    rest = QWEN.weight_bytes - QWEN.expert_bytes
    assert Layout(8).weight_bytes(QWEN) == Layout(8, expert=8).weight_bytes(QWEN) == QWEN.weight_bytes
    assert Layout(8, attention_data=8).weight_bytes(QWEN) == QWEN.expert_bytes + 8 * rest
    free = 8 * (0.9 * H200.memory_bytes - RESERVE_BYTES) - QWEN.expert_bytes - 8 * rest
    assert kv_blocks(QWEN, H200, Layout(8, attention_data=8)) == int(free // (16 * QWEN.kv_bytes_per_token))


def test_attention_groups_hold_no_copies_of_keys_and_values_where_tensor_parallel_gpus_do():
    assert Layout(8).kv_bytes_per_token(QWEN) == 2 * QWEN.kv_bytes_per_token  # 4 KV heads
    assert Layout(8, attention_data=2).kv_bytes_per_token(QWEN) == QWEN.kv_bytes_per_token
    deepseek = CATALOGUE.model("deepseek-v3")
    assert Layout(8).kv_bytes_per_token(deepseek) == 8 * deepseek.kv_bytes_per_token
    assert Layout(8, attention_data=8).kv_bytes_per_token(deepseek) == deepseek.kv_bytes_per_token


def test_a_request_has_the_memory_of_its_group_alone():
    layout = Layout(8, attention_data=8)
    blocks = kv_blocks(QWEN, H200, layout)
    assert kv_blocks(QWEN, H200, layout, at_least=blocks // 8) == blocks
    with pytest.raises(InputError, match=r"does not fit 8 x h200: .* for the longest request exceed"):
        kv_blocks(QWEN, H200, layout, at_least=blocks // 8 + 1)


def test_a_pipeline_reads_all_weights_with_the_gpus_of_a_stage_and_shares_the_rest():
    llama, h100 = CATALOGUE.model("llama-3.1-70b"), CATALOGUE.gpu("h100")
    four, piped = (RooflineTiming(llama, h100, layout, PEAK).steps for layout in (Layout(4), Layout(4, pipeline=2)))
    two = RooflineTiming(llama, h100, Layout(2), PEAK).steps
    weights_s = two.at(Batch(1, 1, 0, 0))
    assert piped.at(Batch(1, 1, 0, 0)) == pytest.approx(weights_s)
    context_s = four.at(Batch(1, 1, 10_000, 10_000)) - four.at(Batch(1, 1, 0, 0))
    assert piped.at(Batch(1, 1, 10_000, 10_000)) == pytest.approx(weights_s + context_s)
    assert piped.at(Batch(8000, 1, 0, 0)) == pytest.approx(four.at(Batch(8000, 1, 0, 0)), rel=1e-6)


def test_attention_groups_read_their_own_copy_and_the_experts_once():
    tensor, data = (RooflineTiming(QWEN, H200, Layout(8, attention_data=n), PEAK).steps for n in (1, 8))
    dense_s = QWEN.dense_bytes / H200.bandwidth_bytes_per_s
    assert data.at(Batch(1, 1, 0, 0)) - tensor.at(Batch(1, 1, 0, 0)) == pytest.approx(dense_s * (1 - 1 / 8))


@pytest.mark.parametrize(
    ("model", "gpus", "parallel", "message"),
    [
        (
            "qwen3-235b-a22b",
            8,
            {"pipeline": 3},
            r"cloud.parallel.pipeline: 8 GPUs cannot be 3 equal groups; set one of 1, 2, 4, 8",
        ),
        ("qwen3-235b-a22b", 8, {"pipeline": 2, "attention_data": 8}, "attention_data: 4 GPUs cannot be 8 equal groups"),
        ("qwen3-235b-a22b", 6, {"expert": 4}, "expert: 6 GPUs cannot be 4 equal groups; set one of 1, 2, 3, 6"),
        ("qwen3-235b-a22b", 6, {"expert": 6}, "expert: qwen3-235b-a22b has 128 experts, not 6 equal groups"),
        ("llama-3.1-8b", 2, {"expert": 2}, "expert: llama-3.1-8b has no experts"),
        ("llama-3.2-1b", 32, {"pipeline": 32}, "pipeline: llama-3.2-1b has 16 layers; set at most as many stages"),
    ],
)
def test_what_cannot_be_divided_is_refused(model, gpus, parallel, message):
    section = Machines(gpus_per_replica=gpus, parallel=Parallel(**parallel))
    with pytest.raises(InputError, match=message) as caught:
        layout_of(section, CATALOGUE.model(model), "cloud")
    assert "\n" not in str(caught.value)


@given(
    model=st.sampled_from(list(CATALOGUE.models.values())),
    pipeline=st.sampled_from([1, 2]),
    attention_data=st.sampled_from([1, 2, 4]),
)
def test_what_a_refusal_offers_can_be_divided_and_fits(model, pipeline, attention_data):
    layout = Layout(8, pipeline, attention_data)
    try:
        assert kv_blocks(model, CATALOGUE.gpu("l40s"), layout, at_least=500) >= 500
    except InputError as error:
        for offer in str(error).rsplit("; ", 1)[1].removesuffix(" would fit").split(" or "):
            if offer.startswith("cloud.gpu: "):
                kv_blocks(model, CATALOGUE.gpu(offer.removeprefix("cloud.gpu: ")), layout, at_least=500)
