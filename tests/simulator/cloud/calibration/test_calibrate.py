"""Calibration: it finds the server behind a log, keeps to the roofline where the log is silent, and meets its bars."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from fleetrec.cli import app
from fleetrec.models.runtime.errors import InputError
from fleetrec.reports.figures.calibration import draw_calibration
from fleetrec.simulator.cloud.calibration import (
    Machine,
    RequestLog,
    Server,
    calibrate,
    load_profile,
    read_log,
    read_server,
    save_profile,
)
from fleetrec.simulator.cloud.calibration.priors import roofline_coefficients
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.step_time import Batch, LinearCost, StepTime
from fleetrec.simulator.cloud.hardware.timing import RooflineTiming
from fleetrec.simulator.cloud.replica.jobs import Engine
from fleetrec.simulator.core.randomness import Draws
from tests.simulator.cloud.stepwise import Ask, Stepwise

MODEL, GPU = default_catalogue().model("llama-3.1-8b"), default_catalogue().gpu("a100")
SERVER = Server(Machine(MODEL, GPU), 1, Engine(kv_blocks=500, max_batched_tokens=512, max_sequences=24))
HIDDEN = StepTime(  # of an A100 that computes and reads more slowly than the prior says
    LinearCost(0.0025, 0.000085, 0.00002, 1.0e-7, 2.5e-9), LinearCost(0.0125, 0.0, 0.00002, 1.0e-7)
)


@pytest.fixture(scope="module")
def log():
    """What a server with `HIDDEN` step times writes, as the step-by-step reference serves it."""
    draws, n = Draws(7), 60
    at = np.cumsum(draws.exponential("gap", np.arange(n)) * 0.06)
    at -= at[0]
    prompt = 50 + draws.integers(700, "prompt", np.arange(n))
    output = 2 + draws.integers(120, "output", np.arange(n))
    asks = [Ask(a, p, o) for a, p, o in zip(at.tolist(), prompt.tolist(), output.tolist(), strict=True)]
    served = Stepwise(asks, HIDDEN, SERVER.engine.kv_blocks, 512, 24, 16).entries
    assert sum(entry.preemptions for entry in served) > 0
    first, last = np.array([e.first for e in served]), np.array([e.left for e in served])
    return RequestLog("synthetic", "0" * 64, at, prompt, output, first, last)


@pytest.mark.parametrize(("factor", "unit"), [(1000.0, "milliseconds"), (0.001, "seconds, and given as if")])
def test_times_of_another_unit_are_told_from_what_a_step_takes_at_least(log, factor, unit):
    """Also where a token's time is one of some server: 1,000 times 2 ms."""
    times = {name: getattr(log, name) * factor for name in ("arrival_s", "first_s", "last_s")}
    with pytest.raises(InputError, match=f"a token takes .* are the times {unit}") as error:
        calibrate(replace(log, **times), SERVER)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def found(log):
    return calibrate(log, SERVER, 0.5)


def test_the_fit_finds_the_server_behind_a_log_also_on_requests_it_has_not_seen(found):
    for errors, bar in ((found.in_sample, 0.01), (found.held_out, 0.02)):
        assert max(abs(error) for name, error in errors.items() if name.endswith(("mean", "p99"))) < bar
        assert max(map(abs, errors.values())) < 0.05  # a percentile in the middle of 30 requests is one of them


def test_typical_steps_of_the_fit_take_what_those_of_the_server_take(found):
    for batch in (Batch(512, 2, 3000, 200_000), Batch(20, 20, 9000, 9000)):
        assert found.steps.at(batch) == pytest.approx(HIDDEN.at(batch), rel=0.03)


def test_a_coefficient_of_which_the_log_says_nothing_stays_at_the_roofline():
    # one short request at a time: reading the weights is all that can be seen
    n = 20
    at, prompt, output = 10.0 * np.arange(n), np.full(n, 2), np.full(n, 100)
    asks = [Ask(a, 2, 100) for a in at.tolist()]
    served = Stepwise(asks, HIDDEN, 1100, 512, 24, 16).entries
    first, last = np.array([e.first for e in served]), np.array([e.left for e in served])
    fit = calibrate(RequestLog("quiet", "0" * 64, at, prompt, output, first, last), SERVER)
    prior = roofline_coefficients(RooflineTiming(MODEL, GPU).steps)
    assert fit.coefficients.fixed_s == pytest.approx(HIDDEN.memory.fixed_s, rel=0.01)
    assert fit.coefficients.per_token_s == pytest.approx(prior.per_token_s, rel=0.01)
    assert fit.coefficients.per_pair_s == pytest.approx(prior.per_pair_s, rel=0.01)


def test_a_profile_file_gives_back_the_step_times_and_the_limits(found, tmp_path):
    path = tmp_path / "profile.yaml"
    save_profile(found, path)
    profile = load_profile(path)
    assert profile.steps == found.steps
    assert profile.engine == SERVER.engine
    assert profile.held_out == found.held_out
    profile.check_model("llama-3.1-8b")
    with pytest.raises(
        InputError, match=r"cloud\.profile: the profile is of llama-3\.1-8b, the scenario charges qwen3-8b"
    ):
        profile.check_model("qwen3-8b")


def test_a_profile_with_a_wrong_key_is_refused_by_name(found, tmp_path):
    path = tmp_path / "profile.yaml"
    save_profile(found, path)
    saved = path.read_text()
    content = yaml.safe_load(saved)
    content["compute"]["per_token_s"] = -1.0
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=r"compute\.per_token_s: .*greater than or equal to 0"):
        load_profile(path)
    for part, key, value in (("compute", "per_sequence_s", 1e308), ("engine_limits", "kv_blocks", 10**30)):
        content = yaml.safe_load(saved)
        content[part][key] = value
        path.write_text(yaml.safe_dump(content))
        with pytest.raises(InputError, match=rf"{part}\.{key}: .*less than or equal to 1"):
            load_profile(path)
    path.write_text("just text")
    with pytest.raises(InputError, match="write the profile anew"):
        load_profile(path)


@pytest.mark.parametrize("part", [0.0, 1.5, 0.001])
def test_a_part_that_cannot_be_fitted_is_refused(log, part):
    with pytest.raises(InputError, match="--fit-first"):
        calibrate(log, SERVER, part)


def test_the_figure_is_drawn(found, tmp_path):
    path = draw_calibration(found, tmp_path / "figure.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_command_prints_one_json_object_and_writes_the_profile(log, tmp_path):
    rows = zip(log.arrival_s, log.prompt_tokens, log.output_tokens, log.first_s, log.last_s, strict=True)
    csv = tmp_path / "log.csv"
    head = "arrival_s,prompt_tokens,output_tokens,first_token_s,last_token_s"
    csv.write_text("\n".join([head, *(",".join(f"{value:.9f}" for value in row) for row in rows)]))
    engine = tmp_path / "meta.json"
    engine.write_text(json.dumps({"model": "llama-3.1-8b", "engine_kwargs": {"max_num_seqs": 24}}))
    command = ["calibrate", str(csv), "--engine", str(engine), "--gpu", "a100", "--json"]
    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "profile.yaml")])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures.pop("speed_spread") is None  # the log does not tell when tokens came
    assert list(figures) == ["coefficients", "in_sample", "held_out", "simulated_requests_per_s", "notes"]
    assert figures["held_out"] is None
    assert set(figures["in_sample"]) == {
        f"{time}_{kind}" for time in ("ttft", "tpot", "latency") for kind in ("mean", "p50", "p95", "p99")
    }
    assert load_profile(tmp_path / "profile.yaml").gpu == "a100"
    engine.write_text("[]")
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code == 2
    assert refused.stderr.count("\n") == 1


@pytest.mark.data
@pytest.mark.parametrize("run", ["RTX4090_Llama-3.1-8B", "RTXPRO6000_Llama-3.1-8B"])
def test_measured_servers_are_met_fitted_on_the_whole_run_and_on_its_first_half(data_dir, run):
    folder = data_dir / "llm" / "vllm_runs" / run
    log, server = read_log(folder / "requests.jsonl"), read_server(folder / "meta.json")
    whole = calibrate(log, server)
    assert abs(whole.in_sample["latency_mean"]) <= 0.007
    assert abs(whole.in_sample["ttft_mean"]) <= 0.015
    assert abs(whole.in_sample["ttft_p99"]) <= 0.04
    half = calibrate(log, server, 0.5).held_out
    assert half is not None
    assert abs(half["tpot_mean"]) <= 0.03
    assert abs(half["latency_mean"]) <= 0.03
    assert abs(half["ttft_mean"]) <= 0.05
    assert abs(half["latency_p99"]) <= 0.06
