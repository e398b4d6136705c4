"""Sweeps that are run: the same bytes whoever runs them and however often they are broken off."""

import errno
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.experiments.folders import ExperimentFolder
from fleetrec.simulator.experiments.sweeps import Outcome, Plan, RunJob, executor_for, make_plan, read_sweep, run_sweep
from fleetrec.simulator.experiments.sweeps.local import LocalProcesses
from fleetrec.simulator.policies.slate.popular import PopularSlate
from fleetrec.simulator.results.run_folder import RunFolder
from fleetrec.simulator.results.run_result import RunResult
from fleetrec.simulator.scenario import Scenario
from fleetrec.simulator.simulation import simulate
from tests.simulator.experiments.sweeps.files import results_of, write_files

ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return make_plan(read_sweep(write_files(tmp_path_factory.mktemp("files"))))


@pytest.fixture(scope="module")
def undisturbed(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep run one after the other in this process."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    run_sweep(plan, out, executor_for(jobs=1), NullProgress(), lambda line: None)
    return out


def again(plan: Plan, undisturbed: Path, out: Path, resume: bool = True) -> list[str]:
    """Resume a sweep in a copy of the finished one; what it says."""
    if not out.exists():
        shutil.copytree(undisturbed, out)
    said: list[str] = []
    found = run_sweep(plan, out, executor_for(jobs=1), NullProgress(), said.append, resume)
    return said + found.failures()


def test_a_row_holds_every_swept_key_and_the_figures_of_its_run(undisturbed: Path) -> None:
    rows = pd.read_parquet(undisturbed / "results.parquet")
    assert rows["variant"].tolist() == [
        name for name in ("never", "random ratio=0.2", "random ratio=0.6") for _ in "12"
    ]
    assert rows["seed"].tolist() == [1, 2] * 3
    assert rows["policy.request"].tolist() == ["never"] * 2 + ["random"] * 4
    assert rows["policy.request.ratio"].fillna(-1).tolist() == [-1, -1, 0.2, 0.2, 0.6, 0.6]
    for row, run in zip(rows.to_dict("records"), ExperimentFolder(undisturbed).runs(), strict=True):
        summary = json.loads((run.folder / "summary.json").read_text())
        assert row["accuracy.ndcg@10"] == summary["accuracy"]["ndcg@10"]
        assert row["requests.asked"] == summary["requests"]["asked"]
    assert not [name for name in rows.columns if "simulate_s" in name or "rss" in name]
    assert (pd.read_parquet(undisturbed / "timing.parquet")["simulate_s"] > 0).all()


def test_a_run_of_a_sweep_has_the_bytes_of_a_run_of_its_own(plan: Plan, undisturbed: Path, tmp_path: Path) -> None:
    run = list(ExperimentFolder(undisturbed).runs())[-1]
    simulate(plan.scenario(run.variant.name, run.seed), tmp_path / "own")
    assert results_of(tmp_path / "own") == results_of(run.folder)


def test_each_model_is_trained_once_and_those_of_a_scenario_side_by_side(plan: Plan) -> None:
    """Variants with another SRM share the model that makes the lists; an SRM that learns from lists waits for them; and
    where no list of an LLM is shown none is trained for it."""
    scenario = plan.scenario("never", 1)

    def keys(**changes: object) -> dict[str, tuple[str, str]]:
        other = scenario.model_copy(update=changes)
        return {job.model: job.key for job in RunJob(other, Path()).trainings}

    srm, own = scenario.srm, keys()
    assert list(own) == ["srm", "llm"]
    assert keys(seed=9, policy=plan.scenario("random ratio=0.2", 1).policy) == own
    wider = keys(srm=srm.model_copy(update={"dim": 16}))
    assert (wider["llm"] == own["llm"], wider["srm"] == own["srm"]) == (True, False)
    longer = scenario.llm.candidates.model_copy(update={"epochs": 2})
    others = keys(llm=scenario.llm.model_copy(update={"candidates": longer}))
    assert (others["llm"] == own["llm"], others["srm"] == own["srm"]) == (False, True)
    taught = srm.training.model_copy(update={"kind": "cooperative"})
    assert list(keys(srm=srm.model_copy(update={"training": taught}))) == ["both"]
    assert list(keys(policy=scenario.policy.model_copy(update={"slate": PopularSlate()}))) == ["srm"]


SHARED = """\
name: shared
base: tiny.yaml
axes:
  policy.request: [{kind: random, ratio: 0.4}, {kind: inconsistency, ratio: 0.4}]
  policy.fusion.srm_weight: [0.3, 3]
seeds: [1]
"""


def test_what_runs_of_a_sweep_share_changes_no_byte_of_them_though_its_two_workers_are_killed(tmp_path: Path) -> None:
    """Runs that differ in fusion share thresholds and what their requests need, those of one fusion its lists by
    age; what two workers have finished before they are killed is what one worker makes of it."""
    shared = make_plan(read_sweep(write_files(tmp_path, SHARED)))
    undisturbed, out = tmp_path / "undisturbed", tmp_path / "out"
    run_sweep(shared, undisturbed, executor_for(jobs=1), NullProgress(), lambda line: None)
    for place in ExperimentFolder(undisturbed).runs():
        own = tmp_path / "own" / place.variant.folder
        simulate(shared.scenario(place.variant.name, 1), own)
        assert results_of(own) == results_of(place.folder)
    command = [sys.executable, "cli.py", "sweep", str(tmp_path / "sweep.yaml"), "--jobs", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([*command, "--out", str(out), "--quiet"], cwd=ROOT, env=environment)
    finished = lambda: len(list(out.glob("runs/*/*/summary.json")))  # noqa: E731
    deadline = time.monotonic() + 120
    while finished() < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.5)  # its workers end with it
    before = finished()
    time.sleep(0.5)
    assert 2 <= finished() == before
    (out / ".0123456789ab-results.parquet").write_text("half written")
    again(shared, undisturbed, out)
    assert results_of(out) == results_of(undisturbed)


def test_a_ray_address_where_nothing_answers_is_told_within_seconds() -> None:
    pytest.importorskip("ray")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    started = time.monotonic()
    with pytest.raises(InputError, match=rf"--ray-address {address}: nothing answers there"):
        executor_for("ray", 1, address)
    assert time.monotonic() - started < 5


def test_a_run_that_fails_is_told_and_the_others_go_on(
    plan: Plan, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write = tmp_path / "out", RunResult.write

    def breaks(self: RunResult, folder: RunFolder) -> None:
        if self.scenario.seed == 2 and folder.path.parent.name == "never":
            raise ValueError("a\nbroken run")
        write(self, folder)

    with monkeypatch.context() as patch:
        patch.setattr(RunResult, "write", breaks)
        found = run_sweep(plan, out, executor_for(jobs=1), NullProgress(), lambda line: None)
    assert [(run.variant.name, run.seed, why) for run, why in found.failed] == [
        ("never", 2, "ValueError: a broken run")
    ]
    assert found.runs == 5
    assert "1 of 6 runs failed" in found.failures()[-1]
    assert json.loads((out / "runs/never/2/failure.json").read_text())["error"] == "ValueError: a broken run"
    assert len(pd.read_parquet(out / "results.parquet")) == 5
    assert again(plan, undisturbed, out)[-2].startswith("6 finished runs")
    assert results_of(out) == results_of(undisturbed)


def test_a_full_disk_stops_the_sweep_and_keeps_what_is_finished(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = RunResult.write

    def full(self: RunResult, folder: RunFolder) -> None:
        if self.scenario.seed == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, folder)

    monkeypatch.setattr(RunResult, "write", full)
    with pytest.raises(InputError, match=r"the disk is full.*finished runs are kept"):
        run_sweep(plan, tmp_path / "out", executor_for(jobs=1), NullProgress(), lambda line: None)
    finished = [run for run in ExperimentFolder(tmp_path / "out").runs() if run.finished]
    assert [run.seed for run in finished] == [1, 1, 1]


def test_a_folder_is_continued_only_by_the_same_sweep_of_the_same_versions(
    plan: Plan, undisturbed: Path, tmp_path: Path
) -> None:
    out, manifest = tmp_path / "out", plan.manifest
    with pytest.raises(InputError, match=r"holds this sweep already; add --resume"):
        again(plan, undisturbed, out, resume=False)
    with pytest.raises(InputError, match=r"holds another experiment, the sweep 'tiny_sweep'"):
        again(replace(plan, manifest=replace(manifest, name="other")), undisturbed, out)
    newer = replace(manifest, versions={**manifest.versions, "numpy": "99.0"})
    with pytest.raises(InputError, match=r"was made by other versions \(numpy .*, now 99.0\)"):
        again(replace(plan, manifest=newer), undisturbed, out)
    changed = {
        name: scenario.model_copy(update={"fleet": scenario.fleet.model_copy(update={"devices": 9})})
        for name, scenario in plan.scenarios.items()
    }
    with pytest.raises(InputError, match=r"its run of 'never' at seed 1 had other settings"):
        again(replace(plan, scenarios=changed), undisturbed, out)
    assert results_of(out) == results_of(undisturbed)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(InputError, match=r"holds files that are not a sweep's"):
        again(plan, undisturbed, tmp_path / "mine")


def test_more_seeds_join_the_finished_ones(plan: Plan, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    more = replace(plan, manifest=replace(plan.manifest, seeds=[1, 2, 3]))
    said = again(more, undisturbed, out)
    assert said[0].startswith("9 runs (3 variants x 3 seeds), 3 of them to do: about ")
    assert pd.read_parquet(out / "results.parquet")["seed"].tolist() == [1, 2, 3] * 3


def test_a_run_to_lose_is_looked_for_in_a_new_folder_too(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--overwrite nope: .* has no finished run of that name"):
        run_sweep(plan, tmp_path / "new", executor_for(jobs=1), NullProgress(), lambda line: None, False, ["nope"])


def test_a_sweep_with_other_runs_takes_none_of_the_finished_ones_away(
    plan: Plan, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    fewer = replace(plan, manifest=replace(plan.manifest, seeds=[2], variants=plan.manifest.variants[:2]))
    shutil.copytree(undisturbed, out)
    before = {name: content for name, content in results_of(out).items() if name.startswith("runs/")}
    with pytest.raises(InputError, match=r"add --resume to keep its 6 finished runs"):
        again(fewer, undisturbed, out, resume=False)
    with pytest.raises(InputError, match=r"--overwrite always: .* has no finished run of that name"):
        run_sweep(fewer, out, executor_for(jobs=1), NullProgress(), lambda line: None, True, ["always"])
    said = again(fewer, undisturbed, out)
    assert said[0].startswith("4 finished runs are not in this sweep's plan; they stay: runs/never/1, ")
    assert {name: content for name, content in results_of(out).items() if name.startswith("runs/")} == before


def test_a_finished_run_is_lost_only_where_it_is_named(plan: Plan, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    written = {run.folder: (run.folder / "summary.json").stat().st_mtime_ns for run in ExperimentFolder(out).runs()}
    (out / "runs/never/2/notes.txt").write_text("mine")
    run_sweep(plan, out, executor_for(jobs=1), NullProgress(), lambda line: None, False, ["never/2"])
    anew = [folder for folder, at in written.items() if (folder / "summary.json").stat().st_mtime_ns != at]
    assert anew == [out / "runs/never/2"]
    assert (out / "runs/never/2/notes.txt").read_text() == "mine"
    (out / "runs/never/2/notes.txt").unlink()
    assert results_of(out) == results_of(undisturbed)


def test_what_was_half_written_goes_and_a_hidden_file_of_the_users_stays(
    plan: Plan, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(undisturbed, out)
    (out / "figures").mkdir(exist_ok=True)
    left = [out / ".0123456789ab-results.parquet", out / "figures" / ".be6b0af36165-frontier.svg"]
    mine = [out / ".my-notes", out / "figures" / ".my-notes"]
    for path in left + mine:
        path.write_text("words")
    again(plan, undisturbed, out)
    assert [path.exists() for path in left + mine] == [False, False, True, True]


def test_two_sweeps_do_not_write_to_one_folder(plan: Plan, undisturbed: Path, tmp_path: Path) -> None:
    def busy(line: str) -> None:
        with pytest.raises(InputError, match=r"another process is writing to it"):
            again(plan, undisturbed, tmp_path / "out")

    shutil.copytree(undisturbed, tmp_path / "out")
    run_sweep(plan, tmp_path / "out", executor_for(jobs=1), NullProgress(), busy, resume=True)


def test_scenarios_are_the_ones_that_a_file_with_those_settings_would_give(plan: Plan) -> None:
    own = Scenario.load(plan.manifest.base, ["policy.request=random", "policy.request.ratio=0.6"], seed=2)
    assert plan.scenario("random ratio=0.6", 2) == own


def test_a_worker_that_dies_takes_only_its_own_run_along(plan: Plan, tmp_path: Path) -> None:
    """The first run of two is a worker's death; the second is done by another worker."""
    runs = [RunJob(plan.scenario("never", 1), tmp_path / str(number)) for number in range(2)]
    with LocalProcesses(1) as executor:
        outcomes = executor.outcomes(runs)
        killer = threading.Timer(0.2, lambda: os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL))
        killer.start()
        number, outcome = next(outcomes)
        assert number == 0
        assert outcome.error == "the worker process ended: killed, perhaps for want of memory; try fewer --jobs"
        assert next(outcomes) == (1, Outcome())
    assert (tmp_path / "1" / "summary.json").exists()
