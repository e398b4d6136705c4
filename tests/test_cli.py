"""The command line as a user meets it: real commands, in processes of their own where that matters."""

import errno
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import typer
import yaml

from fleetrec import Scenario, cli, simulate
from fleetrec.commands.common import user_errors
from fleetrec.models.runtime.artifacts import ArtifactStore
from tests.commands.typed import one_line, typed
from tests.small import SMALL, noted

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def scenario_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def first(scenario_file: Path) -> subprocess.CompletedProcess[str]:
    """The command that left the run `runs/small-1` beside the scenario."""
    command = [sys.executable, str(ROOT / "cli.py"), "simulate", str(scenario_file), "--json"]
    return subprocess.run(command, cwd=scenario_file.parent, capture_output=True, text=True, timeout=300, check=False)


def test_simulate_writes_every_file_and_prints_one_json_object(
    scenario_file: Path, first: subprocess.CompletedProcess[str]
) -> None:
    assert first.returncode == 0, first.stderr
    summary = json.loads(first.stdout)
    run = scenario_file.parent / "runs" / "small-1"
    assert json.loads((run / "summary.json").read_text()) == summary
    for name in ("interactions.parquet", "requests.parquet", "devices.parquet", "cloud.parquet", "timing.json"):
        assert (run / name).stat().st_size > 0
    assert len(list((run / "figures").glob("*.png"))) == 4
    assert "Logged choices do not react to slates" in (run / "report.html").read_text(encoding="utf-8")
    assert not (run / "parts").exists()
    assert summary["interactions"] == pq.read_metadata(run / "interactions.parquet").num_rows > 200
    assert "Traceback" not in first.stderr
    assert "\x1b" not in first.stderr  # no progress bars where output is redirected
    again = Scenario.load(run / "scenario.yaml")
    assert again == Scenario.load(scenario_file)


@pytest.mark.usefixtures("first")
@pytest.mark.parametrize("batching", ["on", "off"])
def test_a_second_run_from_cache_gives_the_same_bytes_in_batches_or_one_by_one(
    batching: str, scenario_file: Path, tmp_path: Path
) -> None:
    simulate(Scenario.load(scenario_file, [f"engine.batching={batching}"]), tmp_path / "again")
    run = scenario_file.parent / "runs" / "small-1"
    for file in ("interactions.parquet", "requests.parquet", "devices.parquet", "cloud.parquet", "summary.json"):
        assert (run / file).read_bytes() == (tmp_path / "again" / file).read_bytes(), file


@pytest.mark.usefixtures("first")
def test_a_run_whose_models_states_and_lists_are_all_in_the_cache_loads_no_pytorch(
    scenario_file: Path, tmp_path: Path
) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom fleetrec import Scenario, simulate\n"
        "simulate(Scenario.load(Path(sys.argv[1])), Path(sys.argv[2]))\nassert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", code, str(scenario_file), str(tmp_path / "run")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.usefixtures("first")
def test_retraining_from_nothing_gives_the_same_bytes(scenario_file: Path, tmp_path: Path) -> None:
    simulate(Scenario.load(scenario_file), tmp_path / "fresh", store=ArtifactStore(tmp_path / "store"))
    run = scenario_file.parent / "runs" / "small-1"
    for file in ("interactions.parquet", "requests.parquet", "summary.json"):
        assert (run / file).read_bytes() == (tmp_path / "fresh" / file).read_bytes()


def test_compare_policies_draws_the_cost_accuracy_plot(scenario_file: Path, tmp_path: Path) -> None:
    done = typed("compare-policies", scenario_file, "--out", tmp_path / "p", "--json")
    assert done.exit_code == 0, done.stderr
    comparison = json.loads(done.stdout)
    cost = {point["policy"]: point["cost"] for point in comparison["policies"]}
    assert cost["always"] > cost["random 30%"] > cost["never (preloaded list)"] >= 0
    decision = comparison["decision"]
    page = (tmp_path / "p" / "report.html").read_text(encoding="utf-8")
    assert page.count('<div class="choice"') >= 2
    front = [row["variant"] for row in comparison["frontier"]]
    assert json.loads(page.split('id="report-data">')[1].split("</script>")[0])["front"]["names"] == front
    assert decision["policy"] in cost
    assert {row["baseline"] for row in decision["nothing"]} == {"srm", "popular", "recent", "frequent", "markov"}
    assert decision["policy_usd_per_month"]["low"] <= decision["policy_usd_per_month"]["mean"]
    assert decision["replicated"]["worlds"] == [comparison["seed"]]
    assert f"for ${decision['policy_usd_per_month']['mean']:,.0f}"[:7] in comparison["headline"]
    assert [row["policy"] for row in comparison["today"]] == ["SRM alone", "popular", "Markov"]
    for row, name in zip(comparison["today"], ("srm", "popular", "markov"), strict=True):
        assert row["accuracy"] == pytest.approx(comparison["baselines"][name])
        assert row["low"] <= row["accuracy"] <= row["high"]
        stated = next(held for held in decision["nothing"] if held["baseline"] == name)
        assert [row["low"], row["high"]] == pytest.approx([stated["low"], stated["high"]])
    for row in comparison["frontier"]:
        point = next(held for held in comparison["policies"] if held["policy"] == row["variant"])
        ends = [point[end] for end in ("low", "high", "cost_low", "cost_high")]
        assert [row[end] for end in ("y_low", "y_high", "x_low", "x_high")] == pytest.approx(ends)
    assert (tmp_path / "p" / "figures" / "cost_accuracy.png").stat().st_size > 10_000
    sets = [
        set(
            map(
                tuple,
                pd.read_parquet(tmp_path / "p" / point["folder"] / "interactions.parquet")[
                    ["device", "step"]
                ].to_numpy(),
            )
        )
        for point in comparison["policies"]
    ]
    assert all(one == sets[0] for one in sets)
    folders = [tmp_path / "p" / point["folder"] for point in comparison["policies"]]
    notes = [json.loads((folder / "summary.json").read_text())["notes"] for folder in folders]
    assert noted(comparison["notes"])["quality_and_cost"] == {"quality_of": "item_lm", "cost_of": "llama-3.1-8b"}
    shared = [note for note in comparison["notes"] if note in notes[0]]
    assert "cost_account" in noted(shared)
    assert all(note in of_run for note in shared for of_run in notes)


def test_validate_prints_a_scenario_that_loads_back(scenario_file: Path, tmp_path: Path) -> None:
    done = typed("validate", scenario_file, "--set", "policy.request.kind=always")
    assert done.exit_code == 0, done.stderr
    resolved = yaml.safe_load(done.stdout)
    assert resolved["policy"]["request"] == {"kind": "always"}  # the ratio of the old kind is gone
    (tmp_path / "again.yaml").write_text(done.stdout, encoding="utf-8")
    again = typed("validate", tmp_path / "again.yaml")
    assert (again.stdout, again.stderr) == (done.stdout, done.stderr)
    price = "h100 is charged 3.95 USD an hour (tariffs.gpu_hour); the catalogue has 1.99 to 6.98, typically 3.95"
    assert f"# {price}\n" in done.stdout
    assert done.stderr == ""


def test_schema_is_json() -> None:
    assert "properties" in json.loads(typed("schema").stdout)


def test_the_catalogue_lists_every_model_and_gpu_with_units_in_a_hundred_columns() -> None:
    figures = json.loads(typed("catalog", "--json").stdout)
    text = typed("catalog").stdout
    assert max(map(len, text.splitlines())) <= 100
    for name in (*figures["models"], *figures["gpus"]):
        assert f"\n{name} " in text
    assert figures["gpus"]["h100"]["sources"]["price"]
    assert figures["models"]["mixtral-8x7b"]["active_params"] == pytest.approx(12.9e9, rel=0.02)
    for unit in ("GB/s", "TFLOP/s", "kB/token", "USD/h", "power, W"):
        assert unit in text


BAD = {
    "missing file": ["simulate", "nowhere.yaml"],
    "directory for a file": ["simulate", "."],
    "unknown key": ["simulate", "small.yaml", "--set", "polcy.mode=blocking"],
    "wrong unit": ["simulate", "small.yaml", "--set", "duration=6parsecs"],
    "negative size": ["simulate", "small.yaml", "--set", "fleet.devices=-5"],
    "not a number": ["simulate", "small.yaml", "--set", "tariffs.gb_up=.nan"],
    "shares that do not add up": ["simulate", "small.yaml", "--set", "fleet.classes.0.share=0.9"],
    "unknown kind": ["simulate", "small.yaml", "--set", "policy.request.kind=telepathy"],
    "unknown GPU": ["simulate", "small.yaml", "--set", "cloud.gpu=h1000"],
    "model that does not fit": [
        "simulate",
        "small.yaml",
        "--set",
        "llm.served_as=llama-3.1-70b",
        "--set",
        "cloud.gpu=t4",
    ],
    "sigmoid of a softmax": ["simulate", "small.yaml", "--set", "policy.fusion={kind: linear, score: sigmoid}"],
    "log that is not there": ["simulate", "small.yaml", "--set", "workload.interactions={path: no.csv}"],
    "empty log": ["simulate", "small.yaml", "--set", "workload.interactions={path: empty.csv}"],
    "cut outside the log": ["simulate", "small.yaml", "--set", "workload.split.at=2031-01-01"],
    "too short histories": ["simulate", "small.yaml", "--set", "workload.split={kind: per_user, min_history: 5000}"],
    "table that is not there": ["simulate", "small.yaml", "--set", "llm.candidates={kind: table, path: no.parquet}"],
    "phone too small": ["simulate", "small.yaml", "--set", "fleet.classes.low_end.memory=1kB"],
    "no CUDA": ["simulate", "small.yaml", "--device", "cuda"],
    "unknown flag": ["simulate", "small.yaml", "--fast"],
    "output is a file": ["simulate", "small.yaml", "--out", "empty.csv"],
    "output of somebody else": ["simulate", "small.yaml", "--out", "."],
    "negative seed": ["simulate", "small.yaml", "--seed", "-1"],
    "unknown data set": ["data", "fetch", "ml-2m"],
    "no request trace": ["replay", "small.yaml", "--model", "llama-3.1-8b", "--gpu", "h100"],
    "T5 that is not there": ["simulate", "small.yaml", "--set", "llm.candidates={kind: p5, checkpoint: ./no_t5}"],
    "LM without weights": ["evaluate", "small.yaml", "--set", "llm.candidates={kind: text_lm, checkpoint: .}"],
    "endpoint where nobody is": [
        "simulate",
        "small.yaml",
        "--set",
        "llm.candidates={kind: endpoint, url: 'http://127.0.0.1:9', model: m, retries: 0}",
    ],
    "profile into a folder": ["calibrate", "log.csv", "--engine", "meta.json", "--out", "."],
    "figure of no kind": ["calibrate", "log.csv", "--engine", "meta.json", "--figure", "fit"],
    "devices of no trace": ["simulate", "small.yaml", "--trace-devices", "3"],
    "prompts into a folder": ["prompts", "export", "small.yaml", "--out", "."],
    "comparison without a cloud": ["compare-policies", "small.yaml", "--set", "policy.slate=popular"],
}


@pytest.mark.usefixtures("one_core")
@pytest.mark.parametrize("what", list(BAD))
def test_bad_input_is_one_line_and_exit_code_2(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if what == "no CUDA" and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    (tmp_path / "empty.csv").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["cli.py", *BAD[what]])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == ""
    assert [line.startswith("error: ") for line in said.err.splitlines()] == [True]


def test_the_python_interface_gives_data_frames(scenario_file: Path) -> None:
    result = simulate(Scenario.load(scenario_file, ["policy.request=always"]))
    assert result.summary["requests"]["asked"] == len(result.requests) > 0
    assert len(result.interactions) == result.summary["interactions"]
    assert len(result.devices) == 60


def test_parts_already_written_survive_an_interrupt(tmp_path: Path) -> None:
    """A long run is interrupted; the parts on disk are whole Parquet files."""
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    command = [sys.executable, str(ROOT / "cli.py"), "simulate", "small.yaml", "--out", "run"]
    changes = ["fleet.devices=15000", "policy.request=never", "engine.threads=1", "engine.sleep=false"]
    command += [part for change in changes for part in ("--set", change)]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # shells ignore it for jobs in background
    )
    parts = tmp_path / "run" / "parts"
    deadline = time.monotonic() + 120
    while not list(parts.glob("interactions-*.parquet")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    written = list(parts.glob("interactions-*.parquet"))
    assert written
    assert all(pq.read_table(path).num_rows >= 65_536 for path in written)
    assert not list(parts.glob(".*"))
    assert not (tmp_path / "run" / "summary.json").exists()


def test_where_fresh_history_carries_no_information_no_policy_gains_from_requesting(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    common = [
        "workload.synthetic={users: 300, items: 400, events_per_user: 40, days: 2, freshness: 0}",
        "llm.list_length=100",
        "fleet.devices=300",
        "fleet.preloaded.lag=0",
        "llm.candidates.epochs=6",
        "srm.epochs=4",
        "policy.fusion=llm_only",
    ]
    hits = {}
    for kind in ("never", "always"):
        result = simulate(Scenario.load(tmp_path / "small.yaml", [*common, f"policy.request={kind}"]))
        table = result.interactions
        hits[kind] = ((table["rank"] >= 0) & (table["rank"] < 10)).groupby(table["device"]).sum()
        hits["n"] = table.groupby("device").size()
    difference = (hits["always"] - hits["never"]).to_numpy()
    n = hits["n"].to_numpy()
    gain = difference.sum() / n.sum()
    error = np.sqrt(((difference - gain * n) ** 2).sum()) / n.sum()
    assert len(n) > 100
    assert error < 0.01
    assert abs(gain) < 3 * error + 0.005


def test_a_full_disk_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, user_errors():
        raise OSError(errno.ENOSPC, "No space left on device", "run/summary.json")
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err.startswith("error: run/summary.json: No space left on device; make room")


def test_a_report_of_a_folder_that_is_none_is_one_line(tmp_path: Path) -> None:
    assert one_line(typed("report", tmp_path))
