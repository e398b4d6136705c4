"""A profile from a server's log as the cloud of a scenario: calibrate, name the file, simulate."""

import json

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from fleetrec.cli import app
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.pools import check_cloud, kinds_of
from fleetrec.simulator.cloud.replica.jobs import Engine
from fleetrec.simulator.cloud.replica.queue_orders.priority import Priority
from fleetrec.simulator.scenario import load_scenario
from fleetrec.simulator.scenario.file_checks import check_files
from tests.simulator.tiny import BASE, merged, simulate_tiny

PER_TOKEN_S, STEP_S = 1.0e-4, 0.025  # of the server: a prompt token, and a step that decodes a sequence or two
FIXED_S = 0.003
MODEL = default_catalogue().model("llama-3.1-8b")


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    """A profile of an idle A100 server, written by the command from a log in vLLM's format."""
    folder = tmp_path_factory.mktemp("server")
    rows = []
    for i in range(40):
        prompt, output, at = 400 + 37 * (i % 20), 20 + 5 * (i % 7), 20.0 * i
        first = at + FIXED_S + PER_TOKEN_S * prompt
        times = {"queued_ts": at, "first_token_ts": first, "last_token_ts": first + (output - 1) * STEP_S}
        rows.append(json.dumps({"input_toks": prompt, "output_toks": output, **times}))
    (folder / "requests.jsonl").write_text("\n".join(rows))
    settings = {"max_num_seqs": 24, "max_num_batched_tokens": 2048, "async_scheduling": True}
    meta = {
        "engine_kwargs": {"model": "meta-llama/Llama-3.1-8B", **settings},
        "kv_cache": {"num_gpu_blocks": 5001, "block_size": 16},
        "hardware": {"device_name": "NVIDIA A100"},
    }
    (folder / "meta.json").write_text(json.dumps(meta))
    out = folder / "gpu_profile.yaml"
    command = ["calibrate", str(folder / "requests.jsonl"), "--engine", str(folder / "meta.json"), "--out", str(out)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return out


def scenario_file(folder, profile, **changes):
    """A scenario on disk whose cloud is the profile; its LLM writes lists, as the server's did."""
    base = {
        "cloud": {"gpu": "a100", "profile": str(profile), "request_timeout": "10m"},
        "llm": {"generation": "list"},
    }
    path = folder / "fleet.yaml"
    path.write_text(yaml.safe_dump(merged(merged(BASE, base), changes)))
    return path


def test_requests_of_a_simulated_fleet_take_what_they_took_at_the_server(tmp_path, profile):
    scenario = load_scenario(scenario_file(tmp_path, profile))
    check_files(scenario)
    requests = simulate_tiny(scenario, ArtifactStore(tmp_path)).requests
    done = requests[requests.outcome == "completed"]
    assert len(done) > 50
    tokens = done.prompt_tokens.to_numpy(), done.output_tokens.to_numpy()
    expected_s = FIXED_S + PER_TOKEN_S * tokens[0] + STEP_S * (tokens[1] - 1)
    took_s = (done.t_finished_s - done.t_started_s).to_numpy()
    assert np.median(took_s / expected_s) == pytest.approx(1.0, abs=0.02)


def test_the_scenario_keeps_to_the_servers_limits_and_to_its_scheduling(tmp_path, profile):
    changes = {"cloud": {"max_sequences": 256, "order": "priority"}}
    scenario = load_scenario(scenario_file(tmp_path, profile, **changes))
    ((_, kind),) = kinds_of(scenario.llm, scenario.cloud, MODEL)
    assert kind.engine == Engine(5000, 2048, 24, 16, False, Priority(), async_scheduling=True)
    assert kind.replica().max_sequences == 24


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"llm": {"served_as": "qwen3-8b"}}, r"^cloud\.profile: the profile is of llama-3\.1-8b, .* charges qwen3-8b"),
        ({"cloud": {"gpu": "h100"}}, r"^cloud\.profile: the profile is of 1 x a100, these replicas are 1 x h100"),
        ({"cloud": {"gpus_per_replica": 2}}, r"^cloud\.profile: .* 1 x a100, these replicas are 2 x a100"),
        ({"llm": {"generation": "beam", "beams": 50}}, r"^cloud\.profile: its server holds .* 24 sequences, .* 50;"),
        ({"cloud": {"pools": [{"name": "x", "gpu": "l4", "profile": "P"}]}}, r"^cloud\.pools\.0\.profile: .* 1 x l4"),
    ],
)
def test_a_profile_of_another_server_is_refused_before_anything_is_trained(tmp_path, profile, changes, told):
    text = scenario_file(tmp_path, profile, **changes).read_text().replace("profile: P", f"profile: {profile}")
    path = tmp_path / "fleet.yaml"
    path.write_text(text)
    scenario = load_scenario(path)
    with pytest.raises(InputError, match=told) as caught:
        check_cloud(scenario.llm, scenario.cloud)
    assert "\n" not in str(caught.value)
    refused = CliRunner().invoke(app, ["simulate", str(path), "--out", str(tmp_path / "run")])
    assert (refused.exit_code, refused.stderr.count("\n")) == (2, 1)
