"""A run's folder is of one run, whole or marked as unfinished, and nothing that the run did not write is removed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.reports.data.folder_kind import folder_kind
from fleetrec.reports.data.run_folder import read_run
from fleetrec.reports.figures.experiment_figures import draw_figures
from fleetrec.reports.html import write_report
from fleetrec.simulator.records.run_manifest import (
    edits_told,
    is_finished,
    made_alike_note,
    name_files,
    read_manifest,
    run_of,
)
from fleetrec.simulator.results import run_identity
from fleetrec.simulator.results.run_folder import RunFolder, opened, run_folder
from fleetrec.simulator.results.run_identity import run_id
from fleetrec.simulator.scenario import sections
from tests.simulator.tiny import scenario_of, simulate_tiny

ONE = scenario_of(fleet={"devices": 8})
OTHER = scenario_of(fleet={"devices": 8}, policy={"request": {"kind": "never"}})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    simulate_tiny(ONE, ArtifactStore(folder / "cache"), folder / "run")
    return folder / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished run."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def rerun(scenario: sections.Scenario, folder: Path, overwrite: bool = False) -> None:
    with opened(folder, scenario, overwrite) as held:
        simulate_tiny(scenario, ArtifactStore(folder.parent / "cache"), held)


def test_files_that_are_to_come_are_told_of_at_once_before_any_is_there(tmp_path: Path) -> None:
    with opened(tmp_path / "run", ONE) as held:
        held.begin()
        held.announce(["a.parquet", "b.txt"])
        manifest = read_manifest(held.path)
        assert manifest is not None
        assert (manifest.state, list(manifest.files)) == ("unfinished", ["a.parquet", "b.txt"])
        written = (held.path / "run.json").stat().st_ino
        held.write_text("b.txt", "b")
        assert (held.path / "run.json").stat().st_ino == written
        held.write_text("c.txt", "c")
        manifest = read_manifest(held.path)
        assert manifest is not None
        assert list(manifest.files) == ["a.parquet", "b.txt", "c.txt"]


def test_every_file_of_a_run_carries_its_id_and_the_manifest_names_them_all(run: Path) -> None:
    manifest = read_manifest(run)
    assert manifest is not None
    assert (manifest.state, manifest.scenario, manifest.seed) == ("finished", "tiny", 1)
    assert set(files_of(run)) == {*manifest.files, "run.json"}
    assert {run_of(run / name) for name in manifest.files} == {manifest.run}
    assert [name for name, digest in manifest.files.items() if digest is None] == ["timing.json"]


def test_how_the_engine_goes_about_it_makes_no_other_run() -> None:
    alike = scenario_of(fleet={"devices": 8}, engine={"batching": False, "sleep": False, "lookahead": 3})
    assert run_id(alike) == run_id(ONE) != run_id(OTHER)
    assert run_id(scenario_of(fleet={"devices": 8}, engine={"threads": 1})) != run_id(ONE)


def test_the_same_scenario_over_a_changed_file_or_by_another_version_is_another_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carbon, out = tmp_path / "carbon.csv", tmp_path / "run"
    carbon.write_text("time,g\n0,300\n")
    scenario = scenario_of(fleet={"devices": 2}, tariffs={"carbon": str(carbon)})
    rerun(scenario, out)
    before = files_of(out)
    carbon.write_text("time,g\n0,300\n")  # written anew, with what it held
    with opened(out, scenario):
        pass
    carbon.write_text("time,g\n0,301\n")
    with pytest.raises(InputError, match=r"other settings, files or versions\); name another folder, or --overwrite"):
        rerun(scenario, out)
    carbon.write_text("time,g\n0,300\n")
    monkeypatch.setattr(run_identity, "versions", lambda: {"fleetrec": "another"})
    with pytest.raises(InputError, match=r"other settings, files or versions"):
        rerun(scenario, out)
    assert files_of(out) == before


def test_what_a_checkpoints_folder_holds_makes_the_run(tmp_path: Path) -> None:
    scenario = scenario_of(llm={"candidates": {"kind": "item_lm", "checkpoint": str(tmp_path / "lm")}})
    (tmp_path / "lm").mkdir()
    (tmp_path / "lm" / "weights").write_bytes(b"one")
    first = run_id(scenario)
    (tmp_path / "lm" / "weights").write_bytes(b"two")
    assert run_id(scenario) != first


def test_a_finished_run_is_replaced_by_its_own_repetition_and_by_another_run_only_where_that_is_said(
    run: Path, finished: Path
) -> None:
    (run / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds the finished result of another run \(tiny, seed 1, .*--overwrite"):
        rerun(OTHER, run)
    rerun(ONE, run)
    kept = {name: content for name, content in files_of(run).items() if name != "timing.json"}
    assert kept == {name: content for name, content in files_of(finished).items() if name != "timing.json"} | {
        "notes.txt": b"mine"
    }
    (run / "report.html").write_text("drawn of the first run")
    name_files(run, [run / "report.html"])
    rerun(OTHER, run, overwrite=True)
    assert json.loads((run / "summary.json").read_text())["requests"]["asked"] == 0
    assert (run / "notes.txt").read_text() == "mine"
    assert not (run / "report.html").exists()


def test_a_run_that_is_killed_while_it_writes_over_another_leaves_no_mixture(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(self: RunFolder, name: str, text: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        rerun(OTHER, run, overwrite=True)
    assert (run / "requests.parquet").exists()
    assert not (run / "summary.json").exists()
    assert not is_finished(run)
    with pytest.raises(InputError, match=r"broken off before it was whole"):
        read_run(run)
    monkeypatch.undo()
    rerun(ONE, run)  # nothing of a whole run is lost by it
    assert is_finished(run)


def test_until_it_writes_a_repetition_leaves_the_finished_run_whole(run: Path) -> None:
    with pytest.raises(KeyboardInterrupt), opened(run, ONE):
        raise KeyboardInterrupt
    assert is_finished(run)
    assert read_run(run).summary["scenario"] == "tiny"


@pytest.mark.parametrize("name", ["requests.parquet", "scenario.yaml", "summary.json"])
def test_a_file_of_another_run_among_a_runs_files_is_told(run: Path, tmp_path: Path, name: str) -> None:
    rerun(OTHER, tmp_path / "other")
    shutil.copy(tmp_path / "other" / name, run / name)
    with pytest.raises(InputError, match=rf"{name}: is of another run"):
        read_run(run)


@pytest.mark.parametrize(("key", "value"), [("baselines", [1]), ("simulated_seconds", "long"), ("notes", 3)])
def test_a_summary_that_somebody_has_edited_is_one_line(run: Path, key: str, value: object) -> None:
    held = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    (run / "summary.json").write_text(json.dumps(held | {key: value}), encoding="utf-8")
    for read in (write_report, draw_figures):
        with pytest.raises(InputError, match=r"summary\.json: edited or removed since the run wrote it") as told:
            read(run)
        assert "\n" not in str(told.value)


def test_a_mistake_of_the_code_over_files_as_they_were_written_is_not_hidden(run: Path) -> None:
    with pytest.raises(ZeroDivisionError), edits_told(run):
        raise ZeroDivisionError
    (run / "scenario.yaml").unlink()
    with pytest.raises(InputError, match=r"scenario\.yaml: edited or removed"), edits_told(run):
        raise ZeroDivisionError


def test_a_folder_named_parts_that_no_run_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run" / "parts").mkdir(parents=True)
    (tmp_path / "run" / "parts" / "interactions-00000.parquet").write_text("mine")
    with pytest.raises(InputError, match=r"holds something named 'parts' that no run made"):
        rerun(ONE, tmp_path / "run")
    assert (tmp_path / "run" / "parts" / "interactions-00000.parquet").read_text() == "mine"


def test_a_run_through_a_link_fills_the_folder_that_the_link_leads_to(tmp_path: Path, finished: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    rerun(ONE, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert is_finished(tmp_path / "real")
    assert (tmp_path / "real" / "summary.json").read_bytes() == (finished / "summary.json").read_bytes()
    with pytest.raises(InputError, match=r"holds the finished result of another run"):
        rerun(OTHER, tmp_path / "link")


def test_a_link_that_leads_nowhere_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "no" / "where")
    with pytest.raises(InputError, match=r"^--out .*link: "):
        rerun(ONE, tmp_path / "link")


@pytest.mark.parametrize("name", ["summary.json", "interactions.parquet", "scenario.yaml"])
def test_what_a_link_in_the_place_of_a_runs_file_leads_to_stays_as_it_is(run: Path, tmp_path: Path, name: str) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    written = (run / name).read_bytes()
    (run / name).unlink()
    (run / name).symlink_to(mine)
    rerun(ONE, run)
    assert mine.read_text() == "mine"
    assert (run / name).read_bytes() == written
    assert not (run / name).is_symlink()


@pytest.mark.parametrize("name", ["parts", "figures"])
def test_nothing_is_removed_from_a_folder_that_a_link_in_a_run_leads_to(run: Path, tmp_path: Path, name: str) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "run.json").write_text((run / "run.json").read_text())
    (mine / "interactions-00000.parquet").write_text("mine")
    before = files_of(mine)
    (run / name).symlink_to(mine)
    if name == "parts":
        with pytest.raises(InputError, match=r"holds something named 'parts' that no run made"):
            rerun(OTHER, run, overwrite=True)
    else:
        rerun(OTHER, run, overwrite=True)
    assert files_of(mine) == before


def test_what_a_run_that_was_killed_has_left_is_cleared_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def killed() -> None:
        with opened(folder, OTHER) as held:
            (held.parts / "interactions-00000.parquet").write_text("a part")
            (held.parts / ".0123456789ab-requests-00000.parquet").write_text("half a part")
            (held.parts / "notes.txt").write_text("mine")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    with pytest.raises(InputError, match=r"holds something named 'parts'"):
        rerun(ONE, folder)
    assert [path.name for path in (folder / "parts").iterdir()] == ["notes.txt"]
    shutil.rmtree(folder / "parts")
    rerun(ONE, folder)
    assert is_finished(folder)


def test_runs_of_different_kinds_of_machines_are_told_apart(run: Path, finished: Path) -> None:
    assert made_alike_note([run, finished]) == []
    manifest = read_manifest(run)
    assert manifest is not None
    assert "torch" in manifest.made_by
    assert (run / "scenario.yaml").read_text().splitlines()[1] == f"# made by: {manifest.made_by}"
    replace(manifest, made_by="z80 without vectors").write(run)
    (note,) = made_alike_note([run, finished])
    assert note.values == {"made_by": [manifest.made_by, "z80 without vectors"]}


def test_two_runs_do_not_write_to_one_folder(tmp_path: Path) -> None:
    with opened(tmp_path / "run", ONE), pytest.raises(InputError, match=r"another process is writing to it"):
        rerun(OTHER, tmp_path / "run")
    assert not (tmp_path / "run" / ".lock").exists()


def test_default_folders_know_what_was_set() -> None:
    plain, one, two = (
        run_folder(None, ONE.name, ONE.seed, settings)
        for settings in ([], ["policy.request=never"], ["policy.request=always"])
    )
    assert plain == Path("runs/tiny-1")
    assert one != two
    assert one.name.startswith("tiny-1-request-")
    assert run_folder(None, ONE.name, ONE.seed, ["a.b/../c=1"], "policies").parent == Path("runs")


def test_a_comparison_that_was_broken_off_is_taken_up_in_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "policies"

    def killed() -> None:
        with opened(folder, ONE, kind="policies") as held:
            rerun(OTHER, held.path / "never")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    with opened(folder, ONE, kind="policies") as held:
        rerun(OTHER, held.path / "never")
    with pytest.raises(InputError, match=r"broken off"):
        folder_kind(folder)
