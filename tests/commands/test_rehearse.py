"""`rehearse` from the command line: a small fleet's load at a server that batches by a known law, and at worse ones."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from benchmarks.chat_server import ChatServer, Law, serving
from fleetrec import Scenario, simulate
from fleetrec.cli import app
from fleetrec.simulator.cloud.calibration import read_log
from fleetrec.simulator.cloud.calibration.outcomes import relative_errors, simulate_log
from fleetrec.simulator.cloud.hardware.step_time import LinearCost, StepTime
from fleetrec.simulator.cloud.replica.jobs import Engine
from tests.reports.pages import data_of, read
from tests.small import SMALL, noted

LAW = Law(0.02, 0.0002)
TEXT = "1. Secret Machine, part 3\n2. i7\n3. Copper Ocean, part 2\n4. No such thing at all\n5. i9"
"""a title, an id, a title, what is neither, an id"""
KEY = "sk-very-secret-1234567890"


def rehearse(scenario: Path, server: ChatServer, out: Path, *options: str) -> Any:
    given = ["rehearse", str(scenario), "--url", server.url, "--model", "m", "--out", str(out), *options]
    return CliRunner().invoke(app, given)


@dataclass(frozen=True)
class Held:
    """A rehearsal that was held, with what the server was asked."""

    folder: Path
    scenario: Path
    output: str
    server: ChatServer

    @property
    def summary(self) -> Any:
        return json.loads((self.folder / "rehearsal.json").read_text())

    @property
    def rows(self) -> pd.DataFrame:
        return pd.read_parquet(self.folder / "rehearsal.parquet")


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "small.yaml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def held(scenario: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Held]:
    out = tmp_path_factory.mktemp("held") / "rehearsal"
    with serving(
        ChatServer(text=TEXT, law=LAW),
    ) as server:
        result = rehearse(scenario, server, out, "--speed", "400", "--minutes", "0.12", "--max-tokens", "40")
        assert result.exit_code == 0, result.output
        yield Held(out, scenario, result.output, server)


def test_the_prompts_go_out_at_the_simulated_moments_and_all_are_answered(held: Held) -> None:
    rows, asked = held.rows, held.server.asked[1:]  # the first asks whether anybody is there
    assert set(rows["outcome"]) == {"answered"}
    assert len(rows) == len(asked) == held.summary["sent"]["sent"] > 40
    gaps = np.diff(rows["simulated_s"]) / 400
    assert np.diff(rows["due_s"]) == pytest.approx(gaps, abs=1e-6)
    assert (rows["sent_s"] >= rows["due_s"]).all()
    assert all(body["messages"][0]["content"].startswith("A user has chosen these items") for body in asked)
    words = sorted(len(body["messages"][0]["content"].split()) for body in asked)
    assert sorted(rows["prompt_tokens"]) == words


def test_the_fitted_profile_is_as_near_as_the_law_that_the_server_follows(held: Held) -> None:
    """Where the machine lets the server keep to its law, both are within the bars on the part that is not fitted."""
    log, summary = read_log(held.folder / "requests.jsonl"), held.summary
    line = LinearCost(LAW.fixed_s, LAW.per_token_s)
    judged = slice(summary["fitted"], None)
    truth = relative_errors(log, simulate_log(log, StepTime(line, line), Engine(10**6)), judged)
    fitted = summary["errors"]["second"]["profile"]
    for name, bar in summary["bars"].items():
        assert abs(fitted[name]) <= bar + abs(truth[name])
    guess = summary["errors"]["second"]["guess"]
    assert abs(guess["latency_p50"]) > abs(fitted["latency_p50"])


def test_it_says_that_the_server_is_in_no_catalogue_and_what_its_log_shows_of_it(held: Held) -> None:
    notes = noted(held.summary["notes"])
    assert {"weak_prior", "scheduler_seen", "beams"} <= set(notes)
    assert "no limit shows" in held.output


def test_the_profile_serves_a_scenario_of_any_model(held: Held) -> None:
    profile = yaml.safe_load((held.folder / "profile.yaml").read_text())
    assert profile["model"] is None
    again = simulate(Scenario.load(held.scenario, [f"cloud.profile={held.folder / 'profile.yaml'}"])).summary
    effect = held.summary["effect"]["profile"]
    assert again["accuracy"]["ndcg@10"] == pytest.approx(effect["accuracy"])
    assert again["cost"]["usd_provisioned_per_month"] == pytest.approx(effect["usd_provisioned_per_month"])


def test_the_measured_log_is_one_for_calibrate(held: Held) -> None:
    result = CliRunner().invoke(app, ["calibrate", str(held.folder / "requests.jsonl"), "--fit-first", "0.5", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["held_out"] == pytest.approx(held.summary["errors"]["second"]["profile"])


def test_the_answers_are_a_table_of_candidate_lists(held: Held) -> None:
    answers = held.folder / "answers.parquet"
    table, rows = pd.read_parquet(answers), held.rows
    assert len(table.groupby(["user_id", "as_of"])) == len(rows.groupby(["user_id", "as_of"]))
    assert next(list(items) for _, items in table.groupby(["user_id", "as_of"])["item_id"]) == ["i0", "i7", "i2", "i9"]
    assert table["latency_s"].min() > 0
    assert held.summary["answers"]["ungrounded"] == len(rows)
    result = CliRunner().invoke(app, ["data", "check-table", str(answers), "--scenario", str(held.scenario), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["unknown_items"] == 0


def test_the_page_shows_measured_beside_simulated(held: Held) -> None:
    page = held.folder / "report.html"
    charts = {chart["id"]: chart for chart in data_of(page)["charts"]}
    assert {"distribution-latency", "over-time-latency", "quantiles-latency", "distribution-ttft"} <= set(charts)
    names = [trace["name"] for trace in charts["quantiles-latency"]["traces"]]
    assert names == ["as measured", "scenario's guess", "fitted profile"]
    text = read(page).text
    for said in (
        "The server answers in",
        "With the server's own speed NDCG@10 moves by",
        "USD a month, provisioned",
        "USD a month, marginal",
    ):
        assert said in text
    result = CliRunner().invoke(app, ["report", str(held.folder), "--quiet"])
    assert result.exit_code == 0, result.output
    assert (held.folder / "figures" / "quantiles_latency.png").is_file()


def test_of_a_hosted_api_the_measured_times_themselves_take_the_place_of_its_law(
    scenario: Path, tmp_path: Path
) -> None:
    api = "{price: {input: 1, output: 4}, latency: {kind: log_normal, ttft: 5s, tpot: 100ms}}"
    given = ["--set", "cloud.kind=api", "--set", f"cloud.api={api}", "--speed", "2000", "--minutes", "0.04"]
    with serving(ChatServer()) as server:
        result = rehearse(scenario, server, tmp_path / "out", *given)
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "out" / "rehearsal.json").read_text())
    assert summary["guess"] == "hosted API"
    assert summary["times_s"]["second"]["guess"]["ttft"]["p50"] == pytest.approx(5.0)
    assert summary["times_s"]["second"]["profile"]["latency"]["p50"] < 1.0
    assert "api_law" in noted(summary["notes"])
    assert not (tmp_path / "out" / "profile.yaml").exists()
    effect = summary["effect"]
    assert effect["profile"]["request_latency_p95_s"] < 5.0 < effect["guess"]["request_latency_p95_s"]
    law = f"{{kind: log, path: {tmp_path / 'out' / 'requests.jsonl'}}}"
    settings = ["cloud.kind=api", f"cloud.api={api}", f"cloud.api.latency={law}"]
    again = simulate(Scenario.load(scenario, settings)).summary
    assert again["latency_s"]["request"]["p95"] == pytest.approx(effect["profile"]["request_latency_p95_s"])


def test_what_was_measured_is_not_lost_to_a_second_rehearsal(held: Held) -> None:
    with serving(ChatServer()) as server:
        result = rehearse(held.scenario, server, held.folder)
    assert result.exit_code == 2
    assert "holds what was measured before; name another folder, or --overwrite it" in result.stderr
    assert not server.asked


def test_ctrl_c_keeps_and_shows_what_was_measured(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with serving(ChatServer()) as server:

        def interrupt() -> None:
            while len(server.asked) < 4:
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt, daemon=True).start()
        result = rehearse(scenario, server, out, "--speed", "100")
    assert result.exit_code == 130, result.output
    assert "interrupted" in result.stderr
    rows, summary = pd.read_parquet(out / "rehearsal.parquet"), json.loads((out / "rehearsal.json").read_text())
    assert (rows["outcome"] == "answered").sum() >= 3
    assert noted(summary["notes"])["ended_early"]["sent"] == len(rows)
    assert (out / "report.html").is_file()


def test_an_address_of_another_machine_is_asked_about_before_anything_is_sent(scenario: Path, tmp_path: Path) -> None:
    given = ["rehearse", str(scenario), "--url", "http://192.0.2.7/v1", "--model", "m", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 2
    assert "is not an address of this machine; add --yes" in result.stderr
    assert not (tmp_path / "out").exists()


def test_where_a_third_of_the_answers_break_off_the_rest_is_measured(scenario: Path, tmp_path: Path) -> None:
    with serving(ChatServer(drops=lambda number: number % 3 == 2, counts_tokens=False)) as server:
        result = rehearse(scenario, server, tmp_path / "out", "--speed", "4000", "--minutes", "0.02")
    assert result.exit_code == 0, result.output
    rows = pd.read_parquet(tmp_path / "out" / "rehearsal.parquet")
    counts = rows["outcome"].value_counts()
    assert abs(counts["answered"] - 2 * counts["broken_off"]) <= 2
    notes = noted(json.loads((tmp_path / "out" / "rehearsal.json").read_text())["notes"])
    assert notes["unanswered"]["failed"] == {"broken_off": counts["broken_off"]}
    assert "tokens_not_counted" in notes
    assert len((tmp_path / "out" / "requests.jsonl").read_text().splitlines()) == counts["answered"]


def test_a_server_that_fails_after_the_first_answer_leaves_its_endings_behind(scenario: Path, tmp_path: Path) -> None:
    with serving(ChatServer(drops=lambda number: number > 0)) as server:
        result = rehearse(scenario, server, tmp_path / "out", "--speed", "4000", "--minutes", "0.02")
    assert result.exit_code == 2
    assert "none of" in result.stderr
    assert "rehearsal.parquet holds how each ended" in result.stderr.replace("\n", "")
    assert len(pd.read_parquet(tmp_path / "out" / "rehearsal.parquet")) >= 10


def test_a_server_that_answers_few_did_not_serve_the_load(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with serving(ChatServer(drops=lambda number: number > 1)) as server:
        result = rehearse(scenario, server, out, "--speed", "4000", "--minutes", "0.02")
    assert result.exit_code == 1
    due = json.loads((out / "rehearsal.json").read_text())["sent"]["due"]
    said = (
        f"error: --url {server.url}: 1 of {due} requests came to an answer, so its figures are not those of this load"
    )
    assert " ".join(result.stderr.splitlines()).endswith(f"{said}; what was measured is kept in {out}")
    assert (out / "report.html").is_file()


def test_the_key_is_in_the_environment_and_in_no_file(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    with serving(ChatServer(key=KEY)) as server:
        result = rehearse(
            scenario, server, tmp_path / "out", "--speed", "4000", "--minutes", "0.01", "--key-variable", "MY_KEY"
        )
    assert result.exit_code == 0, result.output
    assert KEY not in result.output
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--speed", "0"], "--speed: expected a number above 0"),
        (["--fit-first", "1"], "--fit-first 1: the part to fit"),
        (["--from", "noon"], "--from: expected a duration"),
        (["--from", "300d"], "--from 300d: no request comes"),
        (["--from", "-1min"], "--from -60s: lies before the simulated run"),
        (["--model", " "], "--model: nothing is named"),
        (["--key-variable", "NO_SUCH_KEY"], "--key-variable: the environment variable NO_SUCH_KEY is not set"),
        (["--set", "policy.slate=srm"], "asks no LLM, so there is nothing to send"),
    ],
)
def test_what_cannot_be_rehearsed_is_said_in_one_line(
    scenario: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    with serving(ChatServer()) as server:
        result = rehearse(scenario, server, tmp_path / "out", *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not server.asked
