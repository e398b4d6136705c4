"""A server at a fixed concurrency: one client by hand, what many clients cost, and a measured row."""

import pytest

from fleetrec.simulator.cloud.closed_loop import Load, closed_loop
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.engine_profile import engine_profile
from fleetrec.simulator.cloud.hardware.engine_timing import engine_steps
from fleetrec.simulator.cloud.hardware.layout import Layout, layout_named
from fleetrec.simulator.cloud.hardware.memory import kv_blocks
from fleetrec.simulator.cloud.hardware.step_time import LinearCost, StepTime
from fleetrec.simulator.cloud.prediction.setup import Setup, front_end_of, protocol_of
from fleetrec.simulator.cloud.replica.jobs import Engine
from fleetrec.simulator.scenario.sections import EngineName, Precision

SECOND = StepTime(
    LinearCost(1.0), LinearCost(0.0, per_token_s=0.01)
)  # a step a second, while it holds up to 100 tokens
ROOM = Engine(kv_blocks=100_000, max_batched_tokens=8192)


def test_one_client_waits_for_nobody():
    served = closed_loop(SECOND, ROOM, Load(50, 11, 1, spread=0.0, rounds=3))
    assert served.ttft_s == pytest.approx(1.0)
    assert served.tpot_s == pytest.approx(1.0)
    assert served.latency_s == pytest.approx(11.0)
    assert served.requests_per_s == pytest.approx(1 / 11)
    assert served.tokens_per_s == pytest.approx(1.0)
    assert served.busy_s == pytest.approx(33.0)


def test_requests_under_way_are_those_of_the_clients():
    served = closed_loop(SECOND, ROOM, Load(400, 60, 8, rounds=50))
    # Little's law: 8 clients, each always with one request under way, but for the last ones
    assert served.requests_per_s * served.latency_s == pytest.approx(8.0, rel=0.03)


def test_the_prompts_of_others_lengthen_an_answer_and_a_full_memory_the_wait():
    alone = closed_loop(SECOND, ROOM, Load(400, 40, 1))
    many = closed_loop(SECOND, ROOM, Load(400, 40, 8))
    tight = closed_loop(SECOND, Engine(kv_blocks=60, max_batched_tokens=8192), Load(400, 40, 8))
    assert many.tpot_s > alone.tpot_s
    assert tight.ttft_s > 5 * many.ttft_s
    assert tight.tokens_per_s < many.tokens_per_s


def test_a_front_end_delays_first_tokens_alone():
    front = engine_profile("vllm").seconds
    plain, behind = (closed_loop(SECOND, ROOM, Load(50, 40, 1, rounds=40), end) for end in (None, front))
    expected_s = front.request + front.request_stream + 45 * front.request_token
    assert behind.ttft_s - plain.ttft_s == pytest.approx(expected_s, rel=0.4)
    assert behind.tpot_s == pytest.approx(plain.tpot_s)


def test_a_measured_set_up_is_met():
    # Llama-3.1-70B, FP8, vLLM, 4 H100s, 32 clients, 1,024 + 1,024: 175 ms and 16.5 ms (aiconfigurator, 095f58a)
    catalogue = default_catalogue()
    model, gpu = catalogue.model("llama-3.1-70b").served_in(Precision(weights="fp8")), catalogue.gpu("h100")
    profile, layout = engine_profile("vllm"), Layout(4)
    engine = Engine(kv_blocks(model, gpu, layout), max_batched_tokens=8192)
    served = closed_loop(engine_steps(model, gpu, layout, profile), engine, Load(1024, 1024, 32), profile.seconds)
    assert served.ttft_s * 1e3 == pytest.approx(175, rel=0.25)
    assert served.tpot_s * 1e3 == pytest.approx(16.5, rel=0.1)


def test_the_benchmark_of_tensorrt_llm_sends_a_thousand_requests_and_no_fewer_than_ten_a_client():
    def rounds(engine: EngineName, prompt: int, concurrency: int) -> int:
        return protocol_of(Setup("llama-3.1-8b", "h100", engine, prompt, 512, concurrency)).rounds

    assert [rounds("tensorrt_llm", 2048, clients) for clients in (1, 8, 64, 500)] == [1000, 125, 16, 10]
    assert rounds("tensorrt_llm", 4000, 8) == rounds("vllm", 2048, 8) == 10
    in_inferencemax = Setup("llama-3.1-8b", "h100", "tensorrt_llm", 1024, 8192, 8)
    assert protocol_of(in_inferencemax).rounds == 10


def test_prompts_wait_for_others_as_launch_scripts_say():
    def waits(prompt: int, output: int, layout: Layout, model: str = "llama-3.1-70b") -> int:
        return protocol_of(Setup(model, "h200", "tensorrt_llm", prompt, output, 8, layout)).wait_steps

    groups = layout_named(1, 1, 4, 4, 4)
    assert groups.attention_data == 4
    few, many = Layout(4), Layout(8)
    assert [waits(1024, 1024, layout) for layout in (few, many, groups)] == [20, 0, 10]
    assert waits(1024, 8192, few) == waits(1024, 1024, few, "gpt-oss-120b") == waits(4000, 1000, groups) == 0


def test_steps_are_composed_ahead_but_by_old_versions_of_vllm():
    def ahead(engine: EngineName, version: str, prompt: int) -> bool:
        return protocol_of(Setup("qwen3-32b", "h100", engine, prompt, 1024, 8, engine_version=version)).async_scheduling

    assert [ahead("vllm", version, 1024) for version in ("", "0.9.2", "0.12.0", "0.14.1", "1.0", "nightly-5b")] == [
        *(True, False, False),
        *(True, True, True),
    ]
    assert ahead("sglang", "0.5.6", 4000)
    assert ahead("tensorrt_llm", "1.0.0rc3", 1024)
    assert not ahead("tensorrt_llm", "1.0.0rc3", 4000)


def test_the_way_to_the_scheduler_is_shorter_for_a_near_client_and_where_others_write_the_answers():
    def request_s(engine: EngineName, version: str, prompt: int) -> float:
        setup = Setup("llama-3.1-70b", "h200", engine, prompt, 1024, 8, engine_version=version)
        return front_end_of(protocol_of(setup), engine_profile(engine)).request

    whole = engine_profile("vllm").seconds.request
    assert request_s("vllm", "", 4000) == request_s("vllm", "0.12.0", 1024) == pytest.approx(whole)
    assert request_s("vllm", "0.12.0", 4096) == pytest.approx(0.1 * whole)
    assert request_s("vllm", "0.12.0", 4000) == pytest.approx(0.3 * whole)
    assert request_s("tensorrt_llm", "", 1024) == 2.5e-3
    assert request_s("tensorrt_llm", "", 4000) == engine_profile("tensorrt_llm").seconds.request


def test_prompts_that_are_held_wait_for_so_many_steps_while_others_decode():
    plain, held = (closed_loop(SECOND, ROOM, Load(50, 60, 3, rounds=40, wait_steps=steps)) for steps in (0, 5))
    assert 3 < held.ttft_s - plain.ttft_s < 5  # less where another one is held already, or nobody decodes
    alone = closed_loop(SECOND, ROOM, Load(50, 60, 1, wait_steps=5))
    assert alone.ttft_s == pytest.approx(1.0)


def test_the_more_requests_a_client_sends_the_less_its_first_one_counts():
    """All clients begin at once, so the first prompts wait for each other, and no others do."""
    few, many = (closed_loop(SECOND, ROOM, Load(8000, 40, 8, spread=0.0, rounds=rounds)) for rounds in (2, 20))
    assert many.ttft_s < few.ttft_s


def test_prompts_that_come_again_are_not_computed_again_while_memory_holds_them():
    """Four clients with eight prompts of 400 tokens in turns: to compute one takes 4 s, and to compute the last block
    of one that is remembered a step of 1 s."""
    remembers = Engine(kv_blocks=100_000, max_batched_tokens=8192, prefix_caching=True)
    forgets = Engine(kv_blocks=4 * 27, max_batched_tokens=8192, prefix_caching=True)
    again, differ = (Load(400, 11, 4, spread=0.0, rounds=20, prompts=prompts) for prompts in (8, None))
    known, full, unknown = (
        closed_loop(SECOND, *case) for case in ((remembers, again), (forgets, again), (ROOM, differ))
    )
    assert known.passed_tokens == 8 * 400 + 72 * 16 + 80 * 10
    assert known.ttft_s < unknown.ttft_s / 4
    assert (full.ttft_s, full.passed_tokens) == (unknown.ttft_s, unknown.passed_tokens)


def test_a_warm_up_counts_in_no_mean_and_what_it_computed_is_remembered():
    remembers = Engine(kv_blocks=100_000, max_batched_tokens=8192, prefix_caching=True)
    cold, warm = (closed_loop(SECOND, remembers, Load(400, 11, 4, 0.0, 5, prompts=8, warm_up=n)) for n in (0, 2))
    assert warm.passed_tokens == 20 * (16 + 10)
    assert warm.ttft_s == pytest.approx(1.0)
    assert warm.requests_per_s * warm.latency_s == pytest.approx(4.0)
    assert warm.ttft_s < cold.ttft_s
    differ = [closed_loop(SECOND, ROOM, Load(400, 11, 4, 0.0, 5, warm_up=n)) for n in (0, 2)]
    assert differ[0].ttft_s == pytest.approx(differ[1].ttft_s)
    assert differ[0].busy_s == pytest.approx(differ[1].busy_s)


def test_aiperf_sends_vllm_a_hundred_prompts_in_turns_and_a_request_of_each_client_before():
    def sent(engine: EngineName, version: str, prompt: int) -> tuple[int | None, int]:
        found = protocol_of(Setup("llama-3.1-8b", "h200", engine, prompt, 100, 8, engine_version=version))
        return found.prompts, found.warm_up

    assert sent("vllm", "0.12.0", 4000) == (100, 1)
    assert sent("sglang", "0.5.6", 4000) == sent("tensorrt_llm", "1.2.0", 4000) == sent("vllm", "", 4000) == (None, 0)
    in_powers = Setup("qwen3-32b", "h100", "vllm", 4096, 512, 8, engine_version="0.12.0")
    assert protocol_of(in_powers).prompts is None
