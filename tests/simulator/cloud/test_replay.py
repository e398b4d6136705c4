"""The node alone under a trace: times by hand, and the command's figures on a production trace."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleetrec import cli
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.cloud.capacity.replay import Requests, replay
from fleetrec.simulator.cloud.capacity.servers import without_faults
from fleetrec.simulator.cloud.capacity.sizing import Plan, size
from fleetrec.simulator.cloud.hardware.step_time import LinearCost, StepTime
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.prediction.setup import Formats
from fleetrec.simulator.cloud.replica.jobs import Engine
from fleetrec.simulator.cloud.replica.queue_orders.priority import Priority
from fleetrec.simulator.cloud.replica.replica import Replica
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Cloud
from tests.commands.typed import one_line, typed

TRACE = "arrival_s,prompt_tokens,output_tokens\n" + "".join(
    f"{i * 0.05},{200 + 13 * (i % 50)},60\n" for i in range(200)
)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(TRACE, encoding="utf-8")
    return path


def test_times_of_requests_by_hand() -> None:
    """Each step takes a second: one request at 0 with three tokens, another at 0.5 with one joins the second step."""
    requests = Requests.of(np.array([0.0, 0.5]), np.array([5, 5]), np.array([3, 1]))
    pool = Pool(lambda: Replica(StepTime(LinearCost(1.0), LinearCost(0.0)), Engine(kv_blocks=100)))
    done = replay(requests, (pool,), without_faults(Cloud()), Draws(1))
    assert done.ttft_s.tolist() == [1.0, 1.5]
    assert done.latency_s.tolist() == [3.0, 1.5]
    assert done.times.tpot_s[0] == 1.0
    assert np.isnan(done.times.tpot_s[1])
    assert done.end_s == 3.0
    assert done.node.utilization() == 1.0


def test_a_request_of_lower_priority_lets_others_pass() -> None:
    """One place, two seconds each: of the two that wait for it, the later one is more urgent."""
    times, two = np.array([0.0, 0.1, 0.2]), np.full(3, 2)
    requests = Requests.of(times, two, two, priority=np.array([0.0, 1.0, 0.0]))
    engine = Engine(kv_blocks=100, max_sequences=1, order=Priority())
    pool = Pool(lambda: Replica(StepTime(LinearCost(1.0), LinearCost(0.0)), engine))
    done = replay(requests, (pool,), without_faults(Cloud()), Draws(1))
    assert (times + done.latency_s).tolist() == [2.0, 6.0, 4.0]


def test_a_replay_that_is_given_up_leaves_the_rest_without_an_answer() -> None:
    requests = Requests.of(np.array([0.0, 10.0, 20.0]), np.full(3, 5), np.full(3, 1))
    pool = Pool(lambda: Replica(StepTime(LinearCost(1.0), LinearCost(0.0)), Engine(kv_blocks=100)))
    done = replay(requests, (pool,), without_faults(Cloud()), Draws(1), lambda arrived, now, tickets: arrived == 2)
    assert done.latency_s[0] == 1.0
    assert np.isnan(done.latency_s[1:]).all()
    assert done.end_s == 10.0


def test_the_replicas_of_an_objective_meet_it_and_one_fewer_does_not(trace: Path) -> None:
    plan = Plan("llama-3.1-8b", "l4", rate_scale=4.0, slo="p95=6s")
    found = size(trace, plan, NullProgress())
    replicas = found["served_by"]["replicas"]
    assert replicas > 1
    p95 = [
        size(trace, Plan("llama-3.1-8b", "l4", replicas=n, rate_scale=4.0), NullProgress())["latency_s"]["p95"]
        for n in (replicas, replicas - 1)
    ]
    assert p95[0] <= 6.0 < p95[1]
    assert found["latency_s"]["p95"] == p95[0]


def test_dollars_are_replicas_times_time_at_the_list_price(trace: Path) -> None:
    figures = size(trace, Plan("llama-3.1-8b", "h100", replicas=3), NullProgress())
    seconds = 200 / figures["throughput"]["requests_per_second"]
    assert figures["cost"]["replica_hours"] == pytest.approx(3 * seconds / 3600)
    one = size(trace, Plan("llama-3.1-8b", "h100", replicas=1), NullProgress())["cost"]
    assert figures["cost"]["usd"] / figures["cost"]["replica_hours"] == pytest.approx(one["usd"] / one["replica_hours"])


MODEL_AND_GPU = ("--model", "qwen3-30b-a3b", "--gpu", "h100")


def test_a_replica_is_divided_and_has_formats_as_in_predict(trace: Path) -> None:
    def figures(*options: str) -> dict[str, Any]:
        return json.loads(typed("replay", trace, *MODEL_AND_GPU, *options, "--json", "--quiet").stdout)

    plain, eight = figures("--tp", "2"), figures("--tp", "2", "--precision", "fp8", "--kv-cache", "fp8")
    assert figures("--gpus-per-replica", "2") == plain
    assert eight["load"]["kv_share_max"] < plain["load"]["kv_share_max"]
    assert eight["cost"]["joules"] < plain["cost"]["joules"]
    stages, experts = figures("--pp", "2"), figures("--tp", "2", "--ep", "4")
    assert [one["served_by"]["gpus_per_replica"] for one in (plain, stages, experts)] == [2, 2, 4]
    assert len({one["tpot_s"]["mean"] for one in (plain, eight, stages, experts)}) == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--model", "llama-3.1-70b"), "--gpu: llama-3.1-70b does not fit 1 x h100"),
        (("--model", "llama-3.1-70b"), "; --gpu mi300x or --gpu mi325x or --gpu mi355x or --tp 2 would fit"),
        (("--model", "llama-3.1-70b", "--gpu", "l4", "--pp", "2"), "or --tp 4 would fit"),
        (("--precision", "int3"), "--precision: no format 'int3'; known: fp4"),
        (("--kv-cache", "fp4"), "--kv-cache: no format 'fp4'; known: fp16, fp8"),
        (("--tp", "2", "--ep", "3"), "--ep: experts on 3 GPUs are no multiple of --tp 2; set one"),
        (("--ep", "6"), "--ep: qwen3-30b-a3b has 128 experts, not 6 equal groups; set 1"),
        (("--pp", "64"), "--pp: qwen3-30b-a3b has 48 layers; set at most as many stages"),
        (("--profile", "nowhere.yaml", "--engine", "vllm"), "--engine: --profile has the step times of its own server"),
    ],
)
def test_a_mistake_in_what_serves_a_trace_is_one_line_about_its_option(
    trace: Path, options: tuple[str, ...], said: str
) -> None:
    assert said in one_line(typed("replay", trace, *MODEL_AND_GPU, *options))


def test_a_replay_is_timed_by_vllm_unless_another_engine_or_none_is_named(trace: Path) -> None:
    def sized(engine: str | None) -> dict[str, Any]:
        return size(trace, Plan("llama-3.1-8b", "h100", engine=engine), NullProgress())

    by_default, roofline = sized(None), sized("none")
    assert (by_default["served_by"]["step_times"], roofline["served_by"]["step_times"]) == ("vllm", "roofline")
    assert by_default["latency_s"] == sized("vllm")["latency_s"]
    assert by_default["tpot_s"]["mean"] > roofline["tpot_s"]["mean"] > 0.0
    assert sized("trtllm")["served_by"]["step_times"] == "tensorrt_llm"
    assert "TPOT within" in by_default["notes"][-1]["values"]["error"]
    assert roofline["notes"] == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"slo": "p95=1ms"}, "no number of replicas meets it"),
        ({"slo": "p95=1s", "replicas": 2}, "contradict"),
        ({"model": "llama-3.1-80b"}, "--model: the catalogue has no model"),
        ({"gpu": "h1000"}, "did you mean h100"),
        ({"model": "llama-3.1-70b"}, "or tp: 2 would fit"),
        ({"formats": Formats("int3")}, "precision: no format 'int3'"),
        ({"formats": Formats(kv_cache="int3")}, "kv_cache: no format 'int3'"),
        ({"rate_scale": 0.0}, "--rate-scale 0"),
        ({"rate_scale": 1e-300}, "--rate-scale 1e-300: the trace would last"),
        ({"profile": "nowhere.yaml"}, "nowhere.yaml"),
        ({"engine": "vlm"}, "--engine: no engine 'vlm'; known: vllm, sglang"),
    ],
)
def test_what_cannot_be_sized_is_one_line(trace: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as error:
        size(trace, Plan(**{"model": "llama-3.1-8b", "gpu": "h100", **changes}), NullProgress())  # type: ignore[arg-type]
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert "cloud." not in str(error.value)


def test_the_command_prints_figures_or_one_json_object(
    trace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["cli.py", "replay", str(trace), "--model", "llama-3.1-8b", "--gpu", "h100"]
    for options in ([], ["--json"]):
        monkeypatch.setattr(sys, "argv", [*command, *options])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0
        said = capsys.readouterr()
        assert said.err == ""
        if options:
            assert json.loads(said.out)["trace"]["requests"] == 200
        else:
            assert said.out.startswith("1 replica of llama-3.1-8b on h100: p95 latency")


@pytest.mark.data
def test_a_production_trace_is_served_whole_and_sized(data_dir: Path) -> None:
    path = data_dir / "llm" / "azure_2023_conv.csv"
    plan = Plan("llama-3.1-8b", "a100", limit=2000, rate_scale=4.0, slo="ttft_p95=400ms")
    figures = size(path, plan, NullProgress())
    assert figures["trace"]["requests"] == 2000
    assert figures["trace"]["span_s"] == pytest.approx(427.8 / 4, rel=0.5)
    assert figures["ttft_s"]["p95"] <= 0.4
    replicas = figures["served_by"]["replicas"]
    assert replicas > 1
    fewer = Plan("llama-3.1-8b", "a100", limit=2000, rate_scale=4.0, replicas=replicas - 1)
    assert size(path, fewer, NullProgress())["ttft_s"]["p95"] > 0.4
