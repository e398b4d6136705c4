"""Files that a scenario names are looked for before anything is computed."""

from pathlib import Path

import pytest

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario import load_scenario
from fleetrec.simulator.scenario.file_checks import check_files

FILES = {
    "workload.interactions.path": "workload.interactions={path: %s}",
    "workload.interactions.items": "workload.interactions={path: %s, items: %s}",
    "fleet.churn.path": "fleet.churn={kind: trace, path: %s}",
    "fleet.classes.0.link.path": "fleet.classes.0.link={kind: trace, path: %s}",
    "llm.candidates.path": "llm.candidates={kind: table, path: %s}",
    "llm.candidates.checkpoint": "llm.candidates={kind: item_lm, checkpoint: %s}",
    "cloud.profile": "cloud.profile=%s",
    "cloud.pools.0.profile": "cloud.pools=[{name: x, profile: %s}]",
    "tariffs.carbon": "tariffs.carbon=%s",
}


@pytest.mark.parametrize("key", FILES)
def test_files_that_a_scenario_names_are_checked_before_a_run(tmp_path: Path, key: str) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text("name: a\n")
    override = FILES[key]

    def check(*files: Path) -> None:
        check_files(load_scenario(path, [override % files]))

    present = [path] * (override.count("%s") - 1)
    with pytest.raises(InputError, match=rf"^{key}: .*missing\.csv does not exist"):
        check(*present, tmp_path / "missing.csv")
    right, wrong = (tmp_path, path) if key.endswith("checkpoint") else (path, tmp_path)
    check(*present, right)
    with pytest.raises(InputError, match=rf"^{key}: .* is a (file|directory); name (a|the) f"):
        check(*present, wrong)


def test_a_path_whose_variable_is_not_set_is_an_error_that_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLEETREC_DATA", raising=False)
    path = tmp_path / "fleet.yaml"
    path.write_text('name: a\nworkload: {interactions: {path: "${FLEETREC_DATA}/log.csv"}}\n')
    scenario = load_scenario(path)
    with pytest.raises(InputError, match=r"^workload\.interactions\.path: .*FLEETREC_DATA is not set"):
        check_files(scenario)
    monkeypatch.setenv("FLEETREC_DATA", str(tmp_path))
    (tmp_path / "log.csv").write_text("")
    check_files(scenario)


def test_a_data_set_that_was_not_fetched_is_named_with_the_command_that_fetches_it(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text("name: a\nworkload: {interactions: {path: 'cache:ml-100k/u.data'}}\n")
    with pytest.raises(InputError, match=r"does not exist; fetch it first: \S.* data fetch ml-100k$"):
        check_files(load_scenario(path))
