"""The examples as their files say they are run."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from fleetrec import Scenario, simulate
from tests.commands.typed import one_line, typed

RANDOM_ORDER = 4.54 / 200
"""NDCG@10 of 200 items in random order: the sum of 1 / log2(rank + 2) over ten ranks, over 200"""
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture(autouse=True)
def _beside_the_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_core: None) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_fits_on_a_screen(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 40


def test_a_policy_of_ones_own_runs_twice_the_same_and_is_named_in_its_result() -> None:
    result = typed("simulate", "examples/evenings.yaml", "--out", "run", "--quiet", "--check")
    assert result.exit_code == 0, result.output
    assert "examples/evenings.py:Evenings" in Path("run/scenario.yaml").read_text(encoding="utf-8")
    requests = pd.read_parquet("run/requests.parquet")
    assert len(requests) > 20
    assert (requests["t_issued_s"] % 86400 >= 18 * 3600).all()


def test_a_fusion_of_ones_own_runs_twice_the_same() -> None:
    result = typed("simulate", "examples/product.yaml", "--out", "run", "--quiet", "--check")
    assert result.exit_code == 0, result.output
    assert "examples/product.py:Product" in Path("run/scenario.yaml").read_text(encoding="utf-8")


def test_a_router_of_ones_own_sends_to_the_dear_replica_only_while_the_cheap_one_is_busy() -> None:
    result = typed("simulate", "examples/cheapest.yaml", "--out", "run", "--quiet", "--check")
    assert result.exit_code == 0, result.output
    assert "examples/cheapest.py:Cheapest" in Path("run/scenario.yaml").read_text(encoding="utf-8")
    served = pd.read_parquet("run/requests.parquet").query("replica >= 0").sort_values("t_arrived_s")
    cheap = served[served["replica"] == 0]
    dear = served[served["replica"] == 1]
    assert 20 < len(dear) < len(cheap)
    for arrived_s in dear["t_arrived_s"]:
        assert ((cheap["t_arrived_s"] <= arrived_s) & (cheap["t_finished_s"] >= arrived_s)).any()


def test_users_of_ones_own_run_twice_the_same_and_grow_tired() -> None:
    result = typed("simulate", "examples/bored.yaml", "--out", "run", "--quiet", "--check")
    assert result.exit_code == 0, result.output
    assert "examples/bored.py:Bored" in Path("run/scenario.yaml").read_text(encoding="utf-8")
    told = pd.read_parquet("run/opportunities.parquet")
    gaps = told[told["outcome"] != "away"].groupby("device")["t_s"].diff().shift(-1)
    tired = told["ends"] == "session"
    assert 20 < tired.sum() < (told["outcome"] == "slate").sum()
    assert (gaps[tired].dropna() >= 3 * 3600).all()


@pytest.mark.parametrize(
    ("sweep", "count", "workers"),
    [("evenings", 6, 2), ("product", 3, 1), ("cheapest", 3, 1), ("mamba4rec", 3, 2), ("bored", 3, 2)],
)
def test_own_kinds_are_swept_by_one_worker_and_by_two(sweep: str, count: int, workers: int) -> None:
    result = typed("sweep", f"examples/{sweep}_sweep.yaml", "--out", "swept", "--jobs", str(workers), "--quiet")
    assert result.exit_code == 0, result.output
    runs = pd.read_parquet("swept/results.parquet")
    assert len(runs) == count
    assert not list(Path("swept").rglob("failure.json"))


def test_a_policy_and_an_admission_of_ones_own_run_in_regions_on_two_processes_as_in_one() -> None:
    source = "class Even:\n    def admits(self, arrival):\n        return arrival.number % 2 == 0\n"
    Path("admission.py").write_text(source, encoding="utf-8")
    changes = ["regions=[{name: a, share: 0.5}, {name: b, share: 0.5}]", "fleet.devices=20"]
    changes += ["cloud.admission=admission.py:Even"]
    simulate(Scenario.load("examples/evenings.yaml", changes), "one")
    settings = [word for change in changes for word in ("--set", change)]
    result = typed("simulate", "examples/evenings.yaml", *settings, "--shards", "2", "--out", "two", "--quiet")
    assert result.exit_code == 0, result.output
    one, two = (pd.read_parquet(f"{name}/requests.parquet") for name in ("one", "two"))
    rejected = one["outcome"].eq("rejected").groupby(one["region"]).mean()
    assert rejected.between(0.4, 0.6).all()
    assert list(rejected.index) == ["a", "b"]
    pd.testing.assert_frame_equal(one, two)


def test_an_admission_of_ones_own_is_swept_over_its_own_key() -> None:
    Path("admission.py").write_text(
        "class EachNth:\n    n: int = 2\n\n    def admits(self, asked):\n        return asked.number % self.n == 0\n"
    )
    Path("sweep.yaml").write_text(
        "name: admissions\nquestion: How many are let in?\nbase: examples/evenings.yaml\n"
        "set: {fleet.devices: 20, cloud.admission.kind: 'admission.py:EachNth'}\n"
        "axes: {cloud.admission.n: [2, 3]}\nseeds: [1]\n"
    )
    result = typed("sweep", "sweep.yaml", "--out", "swept", "--jobs", "1", "--quiet")
    assert result.exit_code == 0, result.output
    runs = pd.read_parquet("swept/results.parquet")
    let_in = runs["requests.answered"] / runs["requests.sent"]
    assert let_in.tolist() == pytest.approx([1 / 2, 1 / 3], abs=0.02)


def test_a_policy_that_raises_ends_the_command_with_one_line_and_leaves_no_result() -> None:
    path = Path("examples/evenings.py")
    path.write_text(
        path.read_text(encoding="utf-8").replace("return device", "return 1 / 0 > device"), encoding="utf-8"
    )
    told = one_line(typed("simulate", "examples/evenings.yaml", "--out", "run", "--quiet"))
    assert told == "examples/evenings.py:17: ZeroDivisionError: division by zero"
    assert not Path("run/summary.json").exists()


NOT_REPEATABLE = {
    "cloud.router": ("cheapest", "choose(self, cluster, request)", "int(RNG.integers(2))"),
    "policy.fusion": ("product", "fuse(self, view)", "RNG.random(view.lists.valid.shape)"),
}
"""by key, an example, and a method whose answers hang on how often it was asked, in the run before too"""


@pytest.mark.parametrize("key", NOT_REPEATABLE)
def test_own_code_that_differs_from_run_to_run_is_told_by_check(key: str) -> None:
    example, method, answer = NOT_REPEATABLE[key]
    head = "import numpy as np\n\nRNG = np.random.default_rng(1)\n\n\n"
    Path("mine.py").write_text(f"{head}class Mine:\n    def {method}:\n        return {answer}\n", encoding="utf-8")
    settings = ("--set", f"{key}=mine.py:Mine", "--set", "fleet.devices=60")
    told = one_line(typed("simulate", f"examples/{example}.yaml", "--quiet", "--check", *settings))
    assert told.startswith("--check: a second run differs in ")
    assert told.endswith("; mine.py:6: Mine hangs on more than its keys and what it is handed")


def test_ctrl_c_ends_a_run_whose_own_code_sleeps() -> None:
    path = Path("examples/evenings.py")
    source = path.read_text(encoding="utf-8")
    sleeps = "open('asleep', 'w').close()\n        import time\n        time.sleep(300)\n        return device"
    path.write_text(source.replace("return device", sleeps), encoding="utf-8")
    command = [sys.executable, "-m", "fleetrec", "simulate", "examples/evenings.yaml", "--out", "run", "--quiet"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    deadline = time.monotonic() + 240
    while not Path("asleep").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert stderr == "interrupted: finished results and parts already written are kept\n"
    assert not Path("run/summary.json").exists()


def test_a_small_model_of_ones_own_learns_and_runs_twice_the_same() -> None:
    for name, owner in (("mamba4rec", "Mamba4Rec"), ("lightgcn", "LightGcn")):
        result = typed("simulate", f"examples/{name}.yaml", "--out", name, "--quiet", "--check")
        assert result.exit_code == 0, result.output
        assert f"examples/{name}.py:{owner}" in Path(f"{name}/scenario.yaml").read_text(encoding="utf-8")
        accuracy = json.loads(Path(f"{name}/summary.json").read_text(encoding="utf-8"))["baselines"]["srm"]
        assert accuracy["ndcg@10"] > 4 * RANDOM_ORDER


def test_an_llm_of_ones_own_answers_and_runs_twice_the_same() -> None:
    result = typed("simulate", "examples/retrieval.yaml", "--out", "run", "--quiet", "--check")
    assert result.exit_code == 0, result.output
    assert "examples/retrieval.py:Retrieval" in Path("run/scenario.yaml").read_text(encoding="utf-8")
    summary = json.loads(Path("run/summary.json").read_text(encoding="utf-8"))
    assert summary["accuracy"]["ndcg@10"] > 3 * RANDOM_ORDER
    assert summary["requests"]["answered"] > 100
