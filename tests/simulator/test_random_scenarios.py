"""Random scenarios, a few of those that benchmarks/faults.py tries by the thousand."""

from pathlib import Path

import pytest

from benchmarks.random_scenarios import nonsense, random_settings, spoilt_text, write_small
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario import Scenario
from fleetrec.simulator.simulation import simulate


def test_random_valid_scenarios_end_in_a_result_without_nonsense(tmp_path: Path) -> None:
    file, store, done = write_small(tmp_path), ArtifactStore(tmp_path / "cache"), 0
    for seed in range(80):
        if done == 20:
            break
        try:
            scenario = Scenario.load(file, random_settings(seed))
            result = simulate(scenario, store=store)
        except InputError:
            continue
        assert nonsense(result) == [], random_settings(seed)
        done += 1
    assert done == 20


@pytest.mark.parametrize("seed", range(0, 300, 100))
def test_a_spoilt_scenario_is_a_scenario_or_one_line(seed: int, tmp_path: Path) -> None:
    lines = []
    for number in range(seed, seed + 100):
        (tmp_path / "s.yaml").write_text(spoilt_text(number), encoding="utf-8")
        try:
            Scenario.load(tmp_path / "s.yaml")
        except InputError as error:
            lines.append(str(error))
    assert len(lines) > 50
    assert all("\n" not in line and "\x1b" not in line for line in lines)
