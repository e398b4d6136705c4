"""What a fleet takes is known per device and per interaction, and told before it is too much."""

import gc
import tracemalloc
from pathlib import Path

import pytest

import fleetrec.simulator.preparation.memory_estimate as module
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.machine_memory import available_bytes
from fleetrec.simulator.preparation.memory_estimate import DEVICE_BYTES, INTERACTION_BYTES
from tests.simulator.tiny import prepare_tiny, scenario_of, simulate_tiny

GIB = 1 << 30


def test_devices_and_interactions_take_no_more_than_is_reckoned_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of fleets so large that samples of users and the account's replays are as large as in any other; one thread, so
    that these are never beside each other."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    taken = {}
    for devices in (420, 840):
        scenario, store = scenario_of(fleet={"devices": devices}), ArtifactStore(tmp_path)
        prepare_tiny(scenario, store)
        gc.collect()
        tracemalloc.start()
        run = simulate_tiny(scenario, store, tmp_path / str(devices))
        taken[devices] = tracemalloc.get_traced_memory()[1], len(run.interactions)
        tracemalloc.stop()
    more = taken[840][1] - taken[420][1]
    assert taken[840][0] - taken[420][0] <= 420 * DEVICE_BYTES + more * INTERACTION_BYTES


def test_a_fleet_that_does_not_fit_is_refused_before_it_is_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "available_bytes", lambda: 500_000)
    with pytest.raises(
        InputError, match=r"^50 devices with \d+ interactions need about .* lower fleet\.devices or duration, or give"
    ) as caught:
        simulate_tiny(scenario_of(), ArtifactStore(tmp_path))
    assert "\n" not in str(caught.value)


def test_regions_at_once_need_room_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    population = prepare_tiny(scenario_of(), ArtifactStore(tmp_path)).population
    one = module.needed_bytes(50, int(population.n_interactions.sum()))
    monkeypatch.setattr(module, "available_bytes", lambda: 2 * one)
    module.check_memory(population, 2)
    with pytest.raises(InputError, match=r"^3 regions at once, each with 50 devices .* take fewer --shards"):
        module.check_memory(population, 3)
    monkeypatch.setattr(module, "available_bytes", lambda: None)
    module.check_memory(population, 3)


def test_free_memory_is_what_the_machine_and_its_control_group_leave(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) is None, "a machine that does not say"
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable:   {8 * GIB // 1024} kB\n")
    assert available_bytes(tmp_path) == 8 * GIB
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.current").write_text(f"{GIB}\n")
    for limit, left in (("max", 8 * GIB), (str(4 * GIB), 3 * GIB), (str(GIB // 2), 0)):
        (group / "memory.max").write_text(limit + "\n")
        assert available_bytes(tmp_path) == left
