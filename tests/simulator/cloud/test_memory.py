"""Memory of a replica: KV-cache blocks by hand and as a server reports them, and what a refusal says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.cloud.hardware.memory import kv_blocks

CATALOGUE = default_catalogue()
LLAMA = CATALOGUE.model("llama-3.1-8b")


def test_blocks_are_what_weights_and_the_reserve_leave_of_the_memory():
    free = 0.9 * 84.99e9 - 2 * 8_030_261_248 - 1.24e9
    assert kv_blocks(LLAMA, CATALOGUE.gpu("h100")) == int(free / (16 * 131_072))


def test_two_gpus_hold_the_weights_once_and_reserve_twice():
    free = 2 * 0.8 * 84.99e9 - 2 * 70_553_706_496 - 2 * 1.24e9
    assert free < 0
    free = 4 * 0.8 * 84.99e9 - 2 * 70_553_706_496 - 4 * 1.24e9
    blocks = kv_blocks(CATALOGUE.model("llama-3.1-70b"), CATALOGUE.gpu("h100"), Layout(4), 32, utilization=0.8)
    assert blocks == int(free / (32 * 327_680))


def test_a_refusal_says_by_how_much_and_what_would_fit():
    with pytest.raises(InputError) as caught:
        kv_blocks(CATALOGUE.model("qwen3-32b"), CATALOGUE.gpu("l40s"), key="cloud.pools.1")
    # weights 65.524 GB, reserve 1.24 GB, a block 4.2 MB, against 0.9 x 47.66 GB: 23.9 GB short
    assert "cloud.pools.1.gpu: qwen3-32b does not fit 1 x l40s: weights of 65.5 GB" in str(caught.value)
    assert "exceed 42.9 GB (90% of the memory) by 23.9 GB" in str(caught.value)
    assert "; cloud.pools.1.gpu: rtxpro6000 or cloud.pools.1.gpu: mi300x or " in str(caught.value)
    assert "cloud.pools.1.gpus_per_replica: 2 would fit" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_that_no_gpu_holds_is_refused_so():
    huge = LLAMA.model_copy(update={"n_params": 10**13})
    with pytest.raises(InputError, match="no GPU of the catalogue would fit"):
        kv_blocks(huge, CATALOGUE.gpu("b200"))


@given(
    model=st.sampled_from(list(CATALOGUE.models.values())),
    gpu=st.sampled_from(list(CATALOGUE.gpus.values())),
    gpus=st.sampled_from([1, 2, 4, 8]),
    at_least=st.integers(1, 5000),
)
def test_what_a_refusal_offers_does_fit(model, gpu, gpus, at_least):
    try:
        assert kv_blocks(model, gpu, Layout(gpus), at_least=at_least) >= at_least
    except InputError as error:
        for offer in str(error).rsplit("; ", 1)[1].removesuffix(" would fit").split(" or "):
            key, _, value = offer.partition(": ")
            if key == "cloud.gpu":
                kv_blocks(model, CATALOGUE.gpu(value), Layout(gpus), at_least=at_least)
            elif key == "cloud.gpus_per_replica":
                kv_blocks(model, gpu, Layout(int(value)), at_least=at_least)


@pytest.mark.data
def test_a_measured_servers_kv_cache_is_met_to_a_percent(data_dir):
    meta = json.loads((data_dir / "llm/vllm_runs/RTX4090_Llama-3.1-8B/meta.json").read_text())
    blocks = kv_blocks(LLAMA, CATALOGUE.gpu("rtx4090"))
    assert blocks == pytest.approx(meta["kv_cache"]["num_gpu_blocks"], rel=0.01)
