"""The examples as their files say they are run."""

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from fleetrec import RunResult, Scenario, simulate
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.experiments.sweeps import (
    Outcome,
    RunJob,
    executor_for,
    make_plan,
    read_sweep,
    run_all,
    run_sweep,
)
from fleetrec.simulator.regions import executor_for as executor_of_regions
from fleetrec.simulator.simulation import check_repeatable
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


def run_twice(name: str, own: str) -> RunResult:
    """The run of an example in the folder `run`, which has the bytes of a second one, and names its own kind."""
    result = simulate(Scenario.load(f"examples/{name}.yaml"), "run")
    check_repeatable(result, "cpu", NullProgress(), ArtifactStore())
    assert f"examples/{own}" in Path("run/scenario.yaml").read_text(encoding="utf-8")
    return result


def test_a_policy_of_ones_own_runs_twice_the_same_and_is_named_in_its_result() -> None:
    result = typed("simulate", "examples/evenings.yaml", "--out", "run", "--quiet", "--check")
    assert (result.exit_code, result.stdout) == (0, ""), result.output
    assert "examples/evenings.py:Evenings" in Path("run/scenario.yaml").read_text(encoding="utf-8")
    requests = pd.read_parquet("run/requests.parquet")
    assert len(requests) > 20
    assert (requests["t_issued_s"] % 86400 >= 18 * 3600).all()


def test_a_fusion_of_ones_own_runs_twice_the_same() -> None:
    run_twice("product", "product.py:Product")


def test_a_router_of_ones_own_sends_to_the_dear_replica_only_while_the_cheap_one_is_busy() -> None:
    requests = run_twice("cheapest", "cheapest.py:Cheapest").requests
    served = requests.query("replica >= 0").sort_values("t_arrived_s")
    cheap = served[served["replica"] == 0]
    dear = served[served["replica"] == 1]
    assert 20 < len(dear) < len(cheap)
    for arrived_s in dear["t_arrived_s"]:
        assert ((cheap["t_arrived_s"] <= arrived_s) & (cheap["t_finished_s"] >= arrived_s)).any()


def test_users_of_ones_own_run_twice_the_same_and_grow_tired() -> None:
    run_twice("bored", "bored.py:Bored")
    told = pd.read_parquet("run/opportunities.parquet")
    gaps = told[told["outcome"] != "away"].groupby("device")["t_s"].diff().shift(-1)
    tired = told["ends"] == "session"
    assert 20 < tired.sum() < (told["outcome"] == "slate").sum()
    assert (gaps[tired].dropna() >= 3 * 3600).all()


def runs_of(sweep: str) -> list[RunJob]:
    """Those of an example's sweep, on fewer phones, of a briefer training and with the lists of another example, for
    which a worker loads no LLM."""
    base = Path(f"examples/{sweep}.yaml")
    text = base.read_text(encoding="utf-8").replace("devices: 200", "devices: 40").replace("epochs: 8", "epochs: 1")
    text = re.sub("candidates: .*", "candidates: {kind: 'retrieval.py:Retrieval'}", text)
    base.write_text(text, encoding="utf-8")
    plan = make_plan(read_sweep(Path(f"examples/{sweep}_sweep.yaml")))
    runs = [(variant, seed) for variant in plan.manifest.variants for seed in plan.manifest.seeds]
    return [
        RunJob(plan.scenario(variant.name, seed), Path("swept", sweep, variant.folder, str(seed)).absolute())
        for variant, seed in runs
    ]


@pytest.mark.parametrize(
    ("sweeps", "count", "workers"), [(("evenings", "mamba4rec", "bored"), 12, 2), (("product", "cheapest"), 6, 1)]
)
def test_own_kinds_are_swept_by_one_worker_and_by_two(sweeps: tuple[str, ...], count: int, workers: int) -> None:
    jobs = [run for sweep in sweeps for run in runs_of(sweep)]
    with executor_for(jobs=workers) as executor:
        outcomes = [outcome for _, outcome in run_all(jobs, executor, NullProgress())]
    assert outcomes == [Outcome()] * count
    assert all((job.folder / "summary.json").exists() for job in jobs)


def test_kinds_of_ones_own_run_in_regions_on_two_processes_as_in_one() -> None:
    source = "class Even:\n    def admits(self, arrival):\n        return arrival.number % 2 == 0\n"
    Path("admission.py").write_text(source, encoding="utf-8")
    changes = ["regions=[{name: a, share: 0.5}, {name: b, share: 0.5}]", "fleet.devices=20"]
    changes += ["cloud.admission=admission.py:Even"]
    changes += ["srm={kind: 'examples/mamba4rec.py:Mamba4Rec', dim: 16, max_length: 20, epochs: 1}"]
    changes += ["llm.candidates=examples/retrieval.py:Retrieval"]
    scenario, store = Scenario.load("examples/evenings.yaml", changes), ArtifactStore()
    one = simulate(scenario, store=store)
    two = simulate(scenario, store=store, executor=executor_of_regions("local", 2, None, 2, store))
    requests = one.requests
    rejected = requests["outcome"].eq("rejected").groupby(requests["region"]).mean()
    assert rejected.between(0.4, 0.6).all()
    assert list(rejected.index) == ["a", "b"]
    for name, table in one.tables.items():
        pd.testing.assert_frame_equal(table, two.tables[name])


def test_an_admission_of_ones_own_is_swept_over_its_own_key() -> None:
    Path("admission.py").write_text(
        "class EachNth:\n    n: int = 2\n\n    def admits(self, asked):\n        return asked.number % self.n == 0\n"
    )
    Path("sweep.yaml").write_text(
        "name: admissions\nquestion: How many are let in?\nbase: examples/evenings.yaml\n"
        "set: {fleet.devices: 20, cloud.admission.kind: 'admission.py:EachNth'}\n"
        "axes: {cloud.admission.n: [2, 3]}\nseeds: [1]\n"
    )
    plan = make_plan(read_sweep(Path("sweep.yaml")))
    run_sweep(plan, Path("swept"), executor_for(jobs=1), NullProgress(), lambda line: None, conclude=False)
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


@pytest.mark.usefixtures("undrawn")
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
        accuracy = run_twice(name, f"{name}.py:{owner}").summary["baselines"]["srm"]
        assert accuracy["ndcg@10"] > 4 * RANDOM_ORDER
        shutil.rmtree("run")


def test_an_llm_of_ones_own_answers_and_runs_twice_the_same_whatever_lists_are_kept() -> None:
    simulate(Scenario.load("examples/retrieval.yaml", ["policy.request={kind: always}"]))
    summary = run_twice("retrieval", "retrieval.py:Retrieval").summary
    assert summary["accuracy"]["ndcg@10"] > 3 * RANDOM_ORDER
    assert summary["requests"]["answered"] > 100
