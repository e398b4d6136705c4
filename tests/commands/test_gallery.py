"""What travels with the package: listed, copied whole, and of use where it was copied to."""

from pathlib import Path

import pytest

from fleetrec.commands.gallery import PACKAGE
from fleetrec.simulator.experiments.sweeps import make_plan, read_sweep
from fleetrec.simulator.scenario import Scenario
from fleetrec.simulator.scenario.file_checks import named_files
from tests.commands.typed import one_line, typed

SCENARIOS = sorted((PACKAGE / "scenarios").glob("*.yaml"))
SWEEPS = sorted((PACKAGE / "experiments").glob("*.yaml"))
EXAMPLES = sorted((PACKAGE / "examples").glob("*.py"))


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("shelf", "files"), [("scenarios", SCENARIOS), ("experiments", SWEEPS), ("examples", EXAMPLES)]
)
def test_the_list_has_a_line_for_each_file(shelf: str, files: list[Path]) -> None:
    lines = typed(shelf, "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [path.stem for path in files]
    assert all(len(line.split()) > 3 for line in lines)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_copied_scenario_is_the_same_and_leans_on_no_file_beside_it(path: Path) -> None:
    assert typed("scenarios", "copy", path.stem, ".").exit_code == 0
    assert Path(path.name).read_bytes() == path.read_bytes()
    scenario = Scenario.load(path.name)
    assert scenario == Scenario.load(path)
    assert all(text.startswith("${FLEETREC_DATA}/") or text == "my_log.csv" for _, text in named_files(scenario))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_a_copied_sweep_finds_the_scenario_copied_with_it(path: Path) -> None:
    assert typed("experiments", "copy", path.stem, "there").exit_code == 0
    plan = make_plan(read_sweep(Path("there") / path.name))
    assert Path(plan.manifest.base).resolve().is_relative_to(Path.cwd())
    assert plan.n_runs > 1


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_copied_example_is_found_by_the_scenario_and_the_sweep_copied_with_it(path: Path) -> None:
    assert typed("examples", "copy", path.stem, "there").exit_code == 0
    scenarios = [file for file in Path("there").glob("*.yaml") if not file.stem.endswith("_sweep")]
    assert [Scenario.load(file).name for file in scenarios]
    for sweep in Path("there").glob("*_sweep.yaml"):
        assert make_plan(read_sweep(sweep)).n_runs > 1


def test_a_file_of_that_name_is_lost_only_when_told_so() -> None:
    Path("steady.yaml").write_text("name: mine\n", encoding="utf-8")
    said = "steady.yaml: is there already; name another folder, or --overwrite it"
    assert one_line(typed("scenarios", "copy", "steady")) == said
    assert Path("steady.yaml").read_text(encoding="utf-8") == "name: mine\n"
    assert typed("scenarios", "copy", "steady", "--overwrite").exit_code == 0
    assert Scenario.load("steady.yaml").name == "steady"


def test_two_sweeps_share_the_scenario_that_both_start_from_and_never_replace_one_that_was_edited() -> None:
    assert typed("experiments", "copy", "churn").exit_code == 0
    assert typed("experiments", "copy", "latency").exit_code == 0
    base = Path("scenarios/high_churn.yaml")
    base.write_text(base.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    assert one_line(typed("experiments", "copy", "policy_sweep")).startswith(f"{base}: is there already")
    assert not Path("policy_sweep.yaml").exists()


def test_an_unknown_name_is_told_the_nearest_one() -> None:
    said = "high_chrun: there is nothing of that name in scenarios (did you mean 'high_churn'?)"
    assert one_line(typed("scenarios", "copy", "high_chrun")) == said
    assert "(there are: churn, gpu_sizing" in one_line(typed("experiments", "copy", "../x"))


def test_a_place_that_cannot_be_a_folder_is_one_line() -> None:
    Path("file").touch()
    assert "cannot be a folder" in one_line(typed("scenarios", "copy", "steady", "file"))
    assert "cannot be a folder" in one_line(typed("scenarios", "copy", "steady", "file/below"))


def test_the_demo_is_of_the_built_in_scenario() -> None:
    said = one_line(typed("demo", "--set", "fleet.devices=0"))
    assert "fleet.devices" in said
    assert not Path("runs").exists()
