"""From a scenario's cloud section to pools of replicas, or to one line that says why not."""

import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.engine_profile import engine_profile
from fleetrec.simulator.cloud.hardware.engine_timing import engine_steps
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.cloud.hardware.step_time import Batch
from fleetrec.simulator.cloud.hardware.timing import RooflineTiming
from fleetrec.simulator.cloud.node.cluster import Link
from fleetrec.simulator.cloud.pools import check_cloud, kinds_of, pools_of
from fleetrec.simulator.cloud.replica.jobs import Job
from fleetrec.simulator.cloud.tokens import RequestTokens, history_window, longest_request
from fleetrec.simulator.scenario.sections import (
    Cloud,
    Disaggregation,
    KvOffloading,
    Llm,
    Machines,
    Parallel,
    Pool,
    Precision,
    Prompt,
    Spot,
    Tariffs,
)

LLM = Llm(served_as="llama-3.1-8b")
MODEL = default_catalogue().model("llama-3.1-8b")


def test_without_pools_the_keys_of_the_cloud_are_the_one_pool():
    (pool,) = pools_of(LLM, Cloud(gpu="l4", replicas=3, gpus_per_replica=2, cold_start=9.0), Tariffs(), MODEL)
    assert (pool.replicas, pool.gpus_per_replica, pool.cold_start_s, pool.speed) == (3, 2, 9.0, 1.0)


def test_pools_differ_in_speed_memory_and_price():
    cloud = Cloud(pools=(Pool(name="fast", gpu="h100"), Pool(name="slow", gpu="l4", spot=Spot(price_factor=0.25))))
    fast, slow = pools_of(LLM, cloud, Tariffs(gpu_hour=3.6), MODEL)
    (_, h100), (_, l4) = kinds_of(LLM, cloud, MODEL)
    longest = longest_request(LLM)
    assert (fast.speed, slow.speed) == (1.0, pytest.approx(h100.alone_s(longest) / l4.alone_s(longest)))
    assert h100.engine.kv_blocks > l4.engine.kv_blocks
    assert (fast.rent_usd, slow.rent_usd) == (pytest.approx(0.001), pytest.approx(0.00025))


def test_narrower_weights_and_keys_leave_more_memory_and_are_read_sooner_and_a_pool_draws_as_it_computes():
    def kind(**precision):
        ((_, found),) = kinds_of(LLM, Cloud(gpu="b200", precision=Precision(**precision)), MODEL)
        return found

    plain, eight, four, all_eight = (
        kind(),
        kind(weights="fp8"),
        kind(weights="nvfp4"),
        kind(weights="fp8", kv_cache="fp8"),
    )
    step = [k.steps.at(Batch(1, 1, 0, 0)) for k in (plain, eight, four)]
    prompt = [k.steps.at(Batch(8192, 1, 0, 0)) for k in (plain, eight, four)]
    assert step == sorted(step, reverse=True)
    assert prompt == sorted(prompt, reverse=True)
    assert plain.engine.kv_blocks < eight.engine.kv_blocks < four.engine.kv_blocks
    assert all_eight.engine.kv_blocks == pytest.approx(2 * eight.engine.kv_blocks, abs=1)
    (pool,) = pools_of(LLM, Cloud(gpu="b200", precision=Precision(weights="nvfp4")), Tariffs(), MODEL)
    (as_published,) = pools_of(LLM, Cloud(gpu="b200"), Tariffs(), MODEL)
    assert pool.power.load(1.0, 1000) < as_published.power.load(1.0, 1000)


def test_a_model_with_windows_holds_more_requests_at_once():
    gemma = default_catalogue().model("gemma-3-12b")
    llm = Llm(served_as="gemma-3-12b", prompt=Prompt(history=1000))
    ((_, kind),) = kinds_of(llm, Cloud(gpu="h100"), gemma)
    ((_, unaware),) = kinds_of(llm, Cloud(gpu="h100"), gemma.model_copy(update={"window": None, "window_layers": 0}))
    longest = longest_request(llm)
    job = Job(longest.prompt_tokens, longest.output_tokens)
    together = [k.engine.kv_blocks // k.engine.blocks_of(job) for k in (kind, unaware)]
    assert together[0] > 3 * together[1]


def test_a_request_alone_takes_what_an_idle_replica_takes():
    (_, kind), *_ = kinds_of(LLM, Cloud(gpu="h100"), MODEL)
    from_replica = kind.replica()
    job = Job(860, 400)
    from_replica.add(job, 0.0)
    while from_replica.outstanding:
        from_replica.advance(from_replica.next_s())
    assert kind.alone_s(RequestTokens(860, 400, 1)) == pytest.approx(job.t_finished_s, rel=1e-9)


@pytest.mark.parametrize(
    ("llm", "cloud", "message"),
    [
        ({}, {"gpu": "h10"}, "^cloud.gpu: the catalogue has no GPU 'h10'; did you mean h100"),
        ({}, {"pools": (Pool(name="x", gpu="h10"),)}, "^cloud.pools.0.gpu: the catalogue has no GPU 'h10'"),
        ({"served_as": "llama3-8b"}, {}, "^llm.served_as: the catalogue has no model 'llama3-8b'; did you mean"),
        (
            {"served_as": "llama-3.1-70b"},
            {"gpu": "h100"},
            r"does not fit 1 x h100: weights of .* by [\d.]+ GB; .*would fit",
        ),
        (
            {},
            {"prefix_caching": True, "kv_offloading": KvOffloading(memory=2e6)},
            "^cloud.kv_offloading.memory: 2MB hold no block of 16 tokens .* llama-3.1-8b; set at least 2MiB",
        ),
        (
            {"prompt": Prompt(history=20_000)},
            {"disaggregation": Disaggregation(prefill=Machines(gpu="h200"), decode=Machines(gpu="l4"))},
            r"^cloud.disaggregation.decode.gpu: .* KV cache of [\d.]+ GB for the longest request exceed .*would fit",
        ),
        (
            {"prompt": Prompt(history=20_000)},
            {"pools": (Pool(name="big", gpu="h200"), Pool(name="small", gpu="l4"))},
            r"^cloud.pools.1.gpu: .* KV cache of [\d.]+ GB for the longest request exceed .* by [\d.]+ GB",
        ),
        (
            {},
            {"pools": (Pool(name="x", precision=Precision(experts="mxfp4")),)},
            "^cloud.pools.0.precision.experts: llama-3.1-8b has no experts; set cloud.pools.0.precision.weights",
        ),
        (
            {"generation": "beam", "beams": 1000},
            {"gpu": "rtx5090", "engine": "vllm", "precision": Precision(weights="fp8")},
            r"^cloud.engine: vLLM on 1 x rtx5090 fails at 1,000 beams .*; set llm.beams: 256 or fewer \(512",
        ),
        (
            {"generation": "beam", "beams": 64},
            {"gpu": "rtx5090", "engine": "tensorrt_llm", "precision": Precision(weights="fp8")},
            "^cloud.engine: TensorRT-LLM on 1 x rtx5090 fails at 64 beams .*; set llm.beams: 50 or fewer, or the",
        ),
        (
            {"generation": "beam", "beams": 200_000},
            {"engine": None},
            "^llm.beams: 200,000 beams cannot differ in their first token, of which llama-3.1-8b has 128,256; set at",
        ),
        (
            {},
            {"parallel": Parallel(pipeline=2)},
            "^cloud.parallel.pipeline: 1 GPU cannot be 2 equal groups; set one of 1",
        ),
        (
            {},
            {"engine": "vllm", "profile": "server.yaml"},
            "^cloud.engine: cloud.profile has the step times of its own server; set one of the two",
        ),
    ],
)
def test_what_does_not_fit_or_is_not_known_is_refused_before_anything_is_trained(llm, cloud, message):
    with pytest.raises(InputError, match=message) as caught:
        check_cloud(LLM.model_copy(update=llm), Cloud(**cloud))
    assert "\n" not in str(caught.value)


def test_the_engine_is_vllm_unless_another_or_none_is_named():
    lists = LLM.model_copy(update={"generation": "list"})
    ((_, vllm),) = kinds_of(lists, Cloud(), MODEL)
    assert vllm.steps == engine_steps(MODEL, vllm.gpu, Layout(), engine_profile("vllm"))
    ((_, roofline),) = kinds_of(lists, Cloud(engine=None), MODEL)
    assert roofline.steps == RooflineTiming(MODEL, roofline.gpu).steps
    pools = Cloud.model_validate({"pools": [{"name": "a"}, {"name": "b", "engine": "sglang"}]}).machines()
    assert [section.engine for _, section in pools] == ["vllm", "sglang"]
    assert Cloud(profile="server.yaml").engine is None  # it has step times of its own


def test_tensorrt_llm_reserves_whole_answers_and_the_others_do_not():
    for engine in ("vllm", "sglang", "tensorrt_llm", "generative_recommender", None):
        ((_, kind),) = kinds_of(Llm(), Cloud(engine=engine), default_catalogue().model("llama-3.1-8b"))
        assert kind.engine.reserve_output == (engine == "tensorrt_llm")


def test_prefill_and_decode_have_pools_of_their_own_and_a_link_between_them():
    split = Disaggregation(
        prefill=Machines(replicas=2), decode=Machines(gpu="h200", replicas=3), link=5e9, latency=2e-3
    )
    cloud = Cloud(disaggregation=split, prefix_caching=True)
    prefill, decode = pools_of(LLM, cloud, Tariffs(), MODEL)
    assert (prefill.replicas, prefill.decodes, decode.replicas, decode.decodes) == (2, False, 3, True)
    assert prefill.link == Link(2 * 32 * 8 * 128 * 2 / 5e9, 2e-3)  # keys and values, layers, heads, size, bytes
    assert decode.link is None
    (_, first), (_, then) = kinds_of(LLM, cloud, MODEL)
    assert (first.engine.prefix_caching, then.engine.prefix_caching) == (True, False)


def test_host_memory_is_counted_in_blocks_of_the_replica_and_brings_them_in_at_the_rate_of_the_link():
    tier = KvOffloading(memory=1e9, link=2e9)
    cloud = Cloud(gpu="h100", gpus_per_replica=2, prefix_caching=True, kv_offloading=tier)
    ((_, kind),) = kinds_of(LLM, cloud, MODEL)
    block_bytes = 16 * 2 * 32 * 8 * 128 * 2  # tokens, keys and values, layers, heads, their size, bytes each
    assert kind.engine.host_blocks == 1e9 // block_bytes
    assert kind.engine.host_block_s == block_bytes / 2e9


def test_a_window_in_blocks_keeps_the_beginning_of_most_prompts():
    prompt = Prompt(history=8, window="blocks")
    assert [history_window(prompt, n) for n in (3, 8, 9, 12, 13)] == [(0, 3), (0, 8), (4, 9), (4, 12), (8, 13)]
    sliding = Prompt(history=8)
    assert [history_window(sliding, n) for n in (8, 9, 12)] == [(0, 8), (1, 9), (4, 12)]
