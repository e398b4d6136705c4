"""The folder of a search: half written, damaged, of another, or on a full disk."""

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.experiments.folders import ExperimentFolder
from fleetrec.simulator.experiments.optimise import Problem
from fleetrec.simulator.experiments.sweeps import Outcome, RunJob
from tests.simulator.experiments.optimise.test_search import GOALS, Formula, Whole, kept_bytes, problem, run, whole

__all__ = ["problem", "whole"]  # fixtures


def test_a_folder_may_be_named_with_what_an_address_would_take_for_its_own(problem: Problem, tmp_path: Path) -> None:
    out = tmp_path / "a?b=c%20#d{e}"
    run(replace(problem, trials=3), out, Formula())
    assert (out / "study.db").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [out.name]


def test_a_study_that_lost_the_end_of_a_batch_asks_for_it_again(problem: Problem, whole: Whole, tmp_path: Path) -> None:
    run(replace(problem, trials=9), tmp_path / "cut", Formula())
    storage = f"sqlite:///{tmp_path / 'cut' / 'study.db'}"
    held = optuna.load_study(study_name="optimisation", storage=storage)
    trials, terms = held.trials, held.user_attrs["terms"]
    optuna.delete_study(study_name="optimisation", storage=storage)
    shorter = optuna.create_study(
        study_name="optimisation", storage=storage, directions=list(GOALS.directions.values())
    )
    shorter.set_user_attr("terms", terms)
    shorter.add_trials(trials[:-2])
    run(problem, tmp_path / "cut", Formula(), resume=True)
    assert kept_bytes(tmp_path / "cut") == kept_bytes(whole.folder)


@pytest.mark.parametrize("damage", ["not a database", "pages overwritten", "of another program"])
def test_a_damaged_study_is_one_line_and_its_runs_are_not_lost(problem: Problem, tmp_path: Path, damage: str) -> None:
    problem = replace(problem, trials=9)
    run(problem, tmp_path / "o", Formula())
    path, before = tmp_path / "o" / "study.db", kept_bytes(tmp_path / "o")
    if damage == "not a database":
        path.write_bytes(b"not a database at all, but text")
    elif damage == "pages overwritten":
        held = path.read_bytes()
        path.write_bytes(held[:4096] + b"\x07" * (len(held) - 4096))
    else:
        study = optuna.load_study(study_name="optimisation", storage=f"sqlite:///{path}")
        study.add_trial(optuna.trial.create_trial(values=[1.0, 1.0]))
    with pytest.raises(InputError, match=r"study\.db: cannot be used .* remove this file, then --resume") as raised:
        run(problem, tmp_path / "o", Formula(), resume=True)
    assert "\n" not in str(raised.value)
    path.unlink()
    executor = Formula()
    run(problem, tmp_path / "o", executor, resume=True)
    assert executor.ran == []
    assert kept_bytes(tmp_path / "o") == before


def test_what_was_half_written_goes_and_a_hidden_file_of_the_users_stays(
    problem: Problem, whole: Whole, tmp_path: Path
) -> None:
    out = tmp_path / "o"
    shutil.copytree(whole.folder, out)
    (out / "figures").mkdir(exist_ok=True)
    left = [out / ".0123456789ab-answer.json", out / "figures" / ".be6b0af36165-frontier.svg"]
    mine = out / ".my-notes"
    for path in [*left, mine]:
        path.write_text("words")
    run(problem, out, Formula(), resume=True)
    assert [path.exists() for path in [*left, mine]] == [False, False, True]


def test_two_searches_do_not_write_to_one_folder(problem: Problem, tmp_path: Path) -> None:
    class Second(Formula):
        def _do(self, job: RunJob) -> Outcome:
            with pytest.raises(InputError, match=r"another process is writing to it"):
                run(problem, tmp_path / "o", Formula(), resume=True)
            return super()._do(job)

    run(replace(problem, trials=2), tmp_path / "o", Second())


def test_the_folder_of_another_experiment_is_refused(problem: Problem, tmp_path: Path) -> None:
    sweep = replace(problem.manifest([]), kind="sweep", name="mine")
    for name in ("sweep", "notes"):
        (tmp_path / name).mkdir()
    ExperimentFolder(tmp_path / "sweep").write_manifest(sweep)
    with pytest.raises(InputError, match=r"holds another experiment, the sweep 'mine'"):
        run(problem, tmp_path / "sweep", Formula(), resume=True)
    (tmp_path / "notes" / "mine.txt").touch()
    with pytest.raises(InputError, match="holds files that are not an optimisation's"):
        run(problem, tmp_path / "notes", Formula(), resume=True)
    assert [path.name for path in (tmp_path / "notes").iterdir() if path.name != ".lock"] == ["mine.txt"]


def test_a_full_disk_is_one_line_and_what_is_finished_is_kept(problem: Problem, tmp_path: Path) -> None:
    class Full(Formula):
        def _do(self, job: RunJob) -> Outcome:
            return Outcome("no space left", disk_full=True) if len(self.ran) == 7 else super()._do(job)

    problem, first, rest = replace(problem, trials=9), Full(), Formula()
    with pytest.raises(InputError, match=r"the disk is full.*finished runs are kept.*--resume"):
        run(problem, tmp_path / "o", first)
    run(problem, tmp_path / "o", rest, resume=True)
    assert len(first.ran) == 7
    run(problem, tmp_path / "whole", whole := Formula())
    assert sorted(first.ran + rest.ran) == sorted(whole.ran)
    assert kept_bytes(tmp_path / "o") == kept_bytes(tmp_path / "whole")


def test_a_study_that_finds_the_disk_full_says_so(
    problem: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite itself raises the error, where it may have a few pages only."""

    def add(self: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        base = sqlite3.connect(":memory:")
        base.execute("PRAGMA max_page_count = 2")
        base.execute("CREATE TABLE t (x)")
        base.execute("INSERT INTO t VALUES (zeroblob(100000))")

    monkeypatch.setattr(optuna.Study, "add_trial", add)
    with pytest.raises(InputError, match="the disk is full"):
        run(problem, tmp_path / "o", Formula())
