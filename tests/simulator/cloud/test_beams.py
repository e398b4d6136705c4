"""Wide beams under a serving engine: by hand, in closed form and step by step, against measurements, and refused."""

import csv
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.cloud.beam_prediction import MODELS, BeamLoad, batch_s, beam_prediction, engine_of
from fleetrec.simulator.cloud.hardware.beam_steps import NO_BEAMS, BeamCost, Beams, beams_of
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.engine_profile import engine_profile
from fleetrec.simulator.cloud.hardware.engine_timing import engine_steps
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.cloud.hardware.step_time import Batch, LinearCost, StepTime
from fleetrec.simulator.cloud.pools import kind_of
from fleetrec.simulator.cloud.prediction.rows import predict_file
from fleetrec.simulator.cloud.replica.replica import Engine, Job, Replica
from fleetrec.simulator.cloud.tokens import RequestTokens
from fleetrec.simulator.scenario import sections

ENGINES = ("vllm", "sglang", "tensorrt_llm", "generative_recommender")
CATALOGUE = default_catalogue()


def searching(engine, model="qwen3-1.7b", gpu="h100", layout=None):
    profile = engine_profile(engine)
    return engine_steps(CATALOGUE.model(model), CATALOGUE.gpu(gpu), layout or Layout(), profile, profile.search)


def predicted(engine, load, model="onerec-1.7b", gpu="rtx5090", weights="fp8", layout=None):
    served = CATALOGUE.model(MODELS.get(model, model)).served_in(sections.Precision(weights=weights))
    return beam_prediction(engine, served, CATALOGUE.gpu(gpu), load, layout or Layout())


def served(steps, jobs, engine=None):
    """The jobs, all sent at once and served to their ends."""
    replica = Replica(steps, engine or Engine(100_000, 100_000, 4096))
    for job in jobs:
        replica.add(job, 0.0)
    while replica.next_s() < math.inf:
        replica.advance(replica.next_s())
    return jobs


def test_two_beams_over_one_prompt():
    # compute: 1 s a step; memory: 0.1 s a token of cache, and the further beam reads the prompt again at a quarter
    cost = BeamCost(step_s=5.0, search_s=0.5, square_s=0.25, host_beam_s=30.0, gpu_beam_s=2.0, spared_s=0.075)
    steps = StepTime(LinearCost(1.0), LinearCost(0.0, per_context_token_s=0.1), beams=cost)
    (job,) = served(steps, [Job(10, 3, 2)])
    assert job.t_first_token_s == pytest.approx(1.0)  # the prompt is one sequence, no search yet
    host = 1.0 + 5.0 + 0.5 + 4 * 0.25 + 30.0
    assert job.t_finished_s == pytest.approx(1.0 + 2 * host)
    gpu_bound = StepTime(LinearCost(0.0), LinearCost(40.0, per_context_token_s=0.1), beams=cost)
    (job,) = served(gpu_bound, [Job(10, 3, 2)])
    # steps at 11 and 12 tokens a beam: both beams' tokens, but three quarters of the prompt once alone
    shared = 5.0 + 0.5 + 1.0 + 2.0 - 10 * 0.075
    assert job.t_finished_s == pytest.approx(41.0 + 40.0 + 2.2 + shared + 40.0 + 2.4 + shared)


def test_requests_of_unequal_width_add_up():
    both = NO_BEAMS.joined(100, 4).joined(10, 3)
    assert both == Beams(2, 3 + 2, 16 + 9, 300 + 20)
    assert both.joined(100, 4, -1) == beams_of(10, 3)
    assert beams_of(7, 1, 5) == NO_BEAMS
    assert beams_of(7, 3, 5) == Beams(5, 10, 45, 70)


widths = st.lists(st.tuples(st.integers(1, 6000), st.integers(1, 1000)), min_size=1, max_size=5)


@settings(max_examples=80)
@given(st.sampled_from(ENGINES), st.sampled_from(["qwen3-1.7b", "gpt-oss-20b"]), widths, st.integers(1, 40))
def test_steps_of_searches_in_closed_form_equal_their_sum(engine, model, requests, steps):
    timing = searching(engine, model, layout=Layout(2))
    beams, sequences, context = NO_BEAMS, 0, 0
    for prompt, width in requests:
        sequences, context = sequences + width, context + width * (prompt + 1)
        beams = beams.joined(prompt, width) if width > 1 else beams
    contexts = [context + k * sequences for k in range(steps)]
    plain = sum(timing.at(Batch(sequences, sequences, c, c, beams)) for c in contexts)
    run = timing.decoding(sequences, context, beams)
    assert plain > 0.0
    assert run.seconds(steps) == pytest.approx(plain, rel=1e-9)
    assert run.seconds(run.steps_until(plain)) >= plain * (1 - 1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_batch_in_closed_form_is_what_a_replica_takes(engine):
    steps, load = searching(engine), BeamLoad(1000, 5, 64, 4)
    jobs = served(steps, [Job(1000, 5, 64) for _ in range(4)])
    assert [job.t_finished_s for job in jobs] == pytest.approx([batch_s(steps, load)] * 4, rel=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_one_more_beam_costs_time_and_one_sequence_costs_as_any(engine):
    steps = searching(engine)
    times = [batch_s(steps, BeamLoad(2000, 4, width, 2)) for width in (1, 2, 3, 50, 51, 500, 1000)]
    assert times == sorted(times)
    assert len(set(times)) == len(times)
    assert steps.at(Batch(8, 8, 800, 800)) == StepTime(steps.compute, steps.memory, kernels=steps.kernels).at(
        Batch(8, 8, 800, 800)
    )


def test_the_shared_context_is_read_about_once():
    short, long = (batch_s(searching("generative_recommender"), BeamLoad(n, 3, 256)) for n in (1000, 5000))
    prompts = [batch_s(searching("generative_recommender"), BeamLoad(n, 1, 256)) for n in (1000, 5000)]
    decode = long - prompts[1] - (short - prompts[0])
    read_by_each = 2 * 256 * 4000 * 2 * 28 * 8 * 128 * 2 / 3.35e12
    assert 0.0 < decode < 0.05 * read_by_each


@pytest.mark.parametrize(
    ("engine", "model", "gpu", "weights", "load", "measured"),
    [  # milliseconds of a batch
        ("sid-gr", "qwen3-1.7b", "h100", None, BeamLoad(1000, 3, 256, 2), 27.768),
        ("sid-gr", "qwen3-1.7b", "h100", None, BeamLoad(5000, 3, 256, 4), 154.224),
        ("sglang-beam-pr", "qwen3-1.7b", "h100", None, BeamLoad(5000, 3, 256, 1), 94.554),
    ],
)
def test_measured_batches_are_met(engine, model, gpu, weights, load, measured):
    found = predicted(engine, load, model, gpu, weights)
    assert found.batch_s * 1e3 == pytest.approx(measured, rel=0.1)


@pytest.mark.parametrize(
    ("engine", "model", "load", "measured"),
    [  # requests per second at a concurrency, RTX 5090
        ("flashrec", "onerec-1.7b", BeamLoad(2465, 5, 50, 16), 27.68),
        ("flashrec", "sohurec-1.7b", BeamLoad(303, 3, 1000, 32), 24.64),
        ("sglang-main", "sohurec-1.7b", BeamLoad(303, 3, 512, 8), 16.56),
        ("trtllm", "onerec-1.7b", BeamLoad(2465, 5, 50, 32), 12.69),
        ("vllm", "onerec-1.7b", BeamLoad(2465, 5, 50, 32), 3.78),
        ("vllm", "onerec-1.7b", BeamLoad(2465, 5, 512, 1), 0.16),
    ],
)
def test_measured_rates_are_met(engine, model, load, measured):
    found = predicted(engine, load, model)
    assert found.requests_per_s == pytest.approx(measured, rel=0.1)
    assert found.latency_s == pytest.approx(load.requests / found.requests_per_s)
    assert 0.0 < found.error < 0.12


def test_engines_are_known_by_version():
    assert engine_of("SID-GR") == ("generative_recommender", "sid-gr")
    assert engine_of("trtllm") == ("tensorrt_llm", "trtllm")
    assert engine_of("sglang") == ("sglang", "")
    with pytest.raises(InputError, match=r"no engine 'orca' for beams; known: vllm, .*flashrec"):
        engine_of("orca")


@pytest.mark.parametrize(
    ("engine", "load", "said"),
    [
        ("vllm", BeamLoad(2465, 5, 1000), r"vLLM on 1 x rtx5090 fails at 1,000 beams .*set beams: 256 or fewer"),
        ("vllm", BeamLoad(2465, 5, 512, 8), r"beams: 256 or fewer \(512 where requests come one at a time\)"),
        (
            "trtllm",
            BeamLoad(2465, 5, 128),
            "fails at 128 beams .*max_beam_width.*set beams: 50 or fewer, or the eng",
        ),
        ("flashrec", BeamLoad(2465, 5, 200_000), "onerec-1.7b has 176,384; set at most so many"),
    ],
)
def test_what_an_engine_cannot_serve_is_one_line(engine, load, said):
    with pytest.raises(InputError, match=said) as problem:
        predicted(engine, load)
    assert "\n" not in str(problem.value)


def test_limits_grow_with_the_memory():
    wide = BeamLoad(2465, 5, 100)
    assert predicted("tensorrt_llm", wide, gpu="h100").batch_s > 0.0
    with pytest.raises(InputError, match="rtx5090 fails at 100 beams"):
        predicted("tensorrt_llm", wide)


def test_the_first_token_of_all_beams_comes_with_the_prompt_and_the_others_a_step_each():
    found, first = (predicted("flashrec", BeamLoad(2465, output, 512, 4)) for output in (5, 1))
    assert found.batch_s - found.decode_s == pytest.approx(first.batch_s, rel=1e-12)
    assert first.decode_s == 0.0


def test_requests_that_memory_has_no_room_for_wait_for_those_before_them():
    """Llama-3.1-8B on an L4: 4.0 GB behind weights and reserve, 131 kB a token, 6,000 tokens a request."""
    on_l4 = ("llama-3.1-8b", "l4", None)
    one, five, eleven = (predicted("sglang", BeamLoad(1000, 50, 100, n), *on_l4) for n in (1, 5, 11))
    assert one.batch_s < five.batch_s
    assert eleven.batch_s == pytest.approx(2 * five.batch_s + one.batch_s, rel=1e-9)
    assert eleven.requests_per_s == pytest.approx(five.requests_per_s)
    assert eleven.latency_s == pytest.approx(11 / five.requests_per_s)
    with pytest.raises(InputError, match=r"does not fit 1 x l4: .* for the longest request exceed"):
        predicted("sglang", BeamLoad(1000, 50, 900), *on_l4)


def kind(beams, **cloud):
    section = sections.Cloud(gpu="rtx5090", **cloud)
    return kind_of("cloud", section, section, CATALOGUE.model("onerec-1.7b"), RequestTokens(2465, 5, beams))


def test_a_scenario_takes_the_engines_beams_and_is_refused_beyond_them():
    assert kind(50, engine=None).steps.beams is None  # the roofline
    assert kind(50).steps.beams.square_s > 0.0  # vLLM's
    assert kind(50, engine="generative_recommender").steps.beams.square_s == 0.0
    assert kind(1, engine="vllm").steps.beams is None
    assert kind(512, engine="vllm", max_sequences=512).steps.beams is not None
    with pytest.raises(InputError, match=r"cloud\.engine: vLLM on 1 x rtx5090 fails at 512 beams"):
        kind(512, engine="vllm", max_sequences=1024)
    with pytest.raises(InputError, match=r"cloud\.engine: vLLM on 1 x rtx5090 fails at 1,000 beams"):
        kind(1000, engine="vllm", max_sequences=1000)


def test_a_file_of_beams_is_predicted_row_by_row(tmp_path):
    rows, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    rows.write_text(
        "gpu,model,precision,engine,prompt_tokens,beams,output_tokens,batch,concurrency,ms\n"
        "h100_sxm,qwen3-1.7b,bf16,sid-gr,1000,256,3,2,,27.768\n"
        "rtx_5090,sohurec-1.7b,fp8,sglang-main,303,512,3,,8,\n"
        "rtx_5090,onerec-1.7b,,vllm,2465,1000,5,,1,\n"
        "rtx_5090,onerec-1.7b,,orca,2465,50,5,,1,\n"
    )
    assert predict_file(rows, out, NullProgress()) == 2
    with out.open(newline="") as file:
        batch, clients, wide, unknown = csv.DictReader(file)
    assert float(batch["predicted_ms"]) == pytest.approx(27.768, rel=0.1)
    assert batch["predicted_requests_per_s"] == batch["note"] == ""
    assert float(clients["predicted_requests_per_s"]) == pytest.approx(16.56, rel=0.1)
    assert float(clients["predicted_ms"]) == pytest.approx(8e3 / float(clients["predicted_requests_per_s"]), rel=1e-4)
    assert "set beams: 256 or fewer (512 where" in wide["note"]
    assert wide["predicted_ms"] == wide["predicted_requests_per_s"] == ""
    assert "no engine 'orca'" in unknown["note"]
