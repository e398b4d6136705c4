"""Compiled code lives a world as SimPy's processes do, to the last bit: one test drives both."""

import math
import statistics
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.cloud.node.llm_node import LlmNode
from fleetrec.simulator.core.machine_code import SWITCH, Demand, machine_code
from fleetrec.simulator.core.randomness import Draws, RegionDraws, seed_of
from fleetrec.simulator.engine import known_world
from fleetrec.simulator.engine.run import advance, begin, end, end_of, run
from fleetrec.simulator.engine.world import World, build_world
from fleetrec.simulator.preparation.policy_calibration import Tuned
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.scenario import sections
from tests.independent.test_device_story import SMALL
from tests.independent.test_device_story import WORLDS as TOLD_TWICE
from tests.simulator.engine.worlds import WORLDS
from tests.simulator.tiny import merged, prepare_tiny, scenario_of

OTHERS: dict[str, dict[str, Any]] = {
    "decides when online": {
        "fleet": {
            "churn": {"kind": "on_off", "online": "10min", "offline": "5min", "late_joiners": 0.3, "leavers": 0.4}
        },
        "policy": {"request": {"kind": "random", "ratio": 0.3}, "decide_at": ["interaction", "online", "answer"]},
    },
    "decides at answers": {
        "workload": {"arrivals": {"kind": "poisson", "per_day": 20_000}},
        "cloud": {"replicas": 1, "max_sequences": 2, "abort_on_timeout": True, "request_timeout": "2s"},
        "llm": {"generation": "list", "output_tokens_per_item": 1},
        "policy": {"request": {"kind": "always"}, "decide_at": ["interaction", "answer"], "mode": "blocking"},
    },
    "a replica for each device": {"cloud": {"replicas": 3, "router": "device_affine"}, "policy": {"request": "always"}},
    "rows of requests are used again": {
        "cloud": {"engine": "vllm", "request_timeout": "3s", "queue_limit": 1000, "abort_on_timeout": True},
        "workload": {"arrivals": {"kind": "poisson", "per_day": 50_000}},
        "llm": {"generation": "beam"},
        "policy": {"request": "always"},
    },
}
ALL = {name: merged(SMALL, world) for name, world in TOLD_TWICE.items()} | WORLDS | OTHERS
KNOWN = [
    *("never", "random", "always", "every", "staleness", "age", "session start", "lag", "no list", "seen items stay"),
    *("decides at joining", "decides at interactions", "beams", "ties", "haste", "churn fails", "churn waits"),
    *("churn in haste", "loss", "overload", "time-outs", "blocking", "blocking, overload", "blocking, loss, churn"),
    *("budget of a device", "battery", "battery, a miss", "churn, fail", "vllm", "generative recommender"),
    *("stored lists", "both", "old lists, blocking", "battery, no delay", "ties, always"),
    *("decides online and at answers", "decides online alone", *OTHERS),
]
STEPPED = ["congestion", "pushes", "budget of the fleet", "faults", "on device", "fleet"]
"""what compiled code leaves to SimPy"""

COUNTED = ("submitted", "outcomes", "prompt_tokens", "output_tokens", "busy_joules", "idle_joules", "paid_usd")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    return ArtifactStore(tmp_path_factory.mktemp("store"))


@pytest.fixture
def code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled code lives whatever it can."""
    found = machine_code(known_world.CODE, "")
    assert found is not None
    monkeypatch.setattr(known_world.DEMAND, "code", lambda more: found)


def lived(scenario: sections.Scenario, prepared: Prepared, in_steps: bool) -> tuple[World, dict[str, pa.Table]]:
    """A world that has been lived, and its records."""
    world = build_world(scenario, prepared, Tuned(), None, in_steps=in_steps)
    run(world, scenario, prepared, NullProgress())
    return world, world.recorder.finish()


def bits(values: Any) -> bytes:
    """All bits of an array or of a column."""
    return np.ascontiguousarray(values.to_numpy() if hasattr(values, "to_numpy") else values).tobytes()


def assert_same(code: World, steps: World, told: dict[str, pa.Table], expected: dict[str, pa.Table]) -> None:
    """What two worlds have recorded and counted."""
    for name, table in expected.items():
        for column in table.column_names:
            ours, theirs = told[name][column], table[column]
            same = ours.equals(theirs) if pa.types.is_string(ours.type) else bits(ours) == bits(theirs)
            assert same, f"{name}.{column}"
    np.testing.assert_array_equal(code.decisions, steps.decisions)
    assert bits(code.joules) == bits(steps.joules)
    node, other = code.service.node, steps.service.node
    assert isinstance(node, LlmNode)
    assert isinstance(other, LlmNode)
    for counted in COUNTED:
        assert getattr(node, counted) == getattr(other, counted), counted
    for name, column in other.timeline().items():
        assert bits(node.timeline()[name]) == bits(column), name
    assert [m.replica.busy_s for m in node.machines] == [m.replica.busy_s for m in other.machines]
    horizon_s = 86400.0
    assert code.service.kept(horizon_s) == steps.service.kept(horizon_s)
    assert code.service.load(horizon_s) == steps.service.load(horizon_s)
    assert [str(told_of) for told_of in code.service.notes()] == [str(told_of) for told_of in steps.service.notes()]


@pytest.mark.parametrize("name", KNOWN)
def test_a_world_that_compiled_code_lives_is_the_one_that_simpy_lives(
    name: str, store: ArtifactStore, code: None
) -> None:
    scenario = scenario_of(**ALL[name])
    prepared = prepare_tiny(scenario, store)
    world, told = lived(scenario, prepared, in_steps=False)
    steps, expected = lived(scenario, prepared, in_steps=True)
    assert world.known is not None
    assert steps.known is None
    assert expected["interactions"].num_rows > 100
    assert_same(world, steps, told, expected)


def test_at_its_end_a_world_keeps_no_more_than_what_devices_did_and_used(store: ArtifactStore, code: None) -> None:
    """The rows of millions of devices and requests are as large as what has been recorded of them."""
    scenario = scenario_of(**ALL["random"])
    prepared = prepare_tiny(scenario, store)
    world, _ = lived(scenario, prepared, in_steps=False)
    held = [value for value in vars(world.known).values() if isinstance(value, np.ndarray | tuple)]
    assert sum(np.asarray(part).nbytes for value in held for part in value) <= 32 * prepared.population.n_devices


@pytest.mark.parametrize("name", STEPPED)
def test_what_compiled_code_does_not_know_simpy_lives(name: str, store: ArtifactStore, code: None) -> None:
    scenario = scenario_of(**ALL[name])
    assert build_world(scenario, prepare_tiny(scenario, store), Tuned(), None).known is None


def test_all_that_compiled_code_tells_is_told_however_little_room_there_is(
    store: ArtifactStore, code: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows for requests and events are few at first, and what is told is taken away piece by piece."""
    scenario = scenario_of(**ALL["rows of requests are used again"])
    prepared = prepare_tiny(scenario, store)
    monkeypatch.setattr(known_world, "ROWS", 4)
    monkeypatch.setattr(known_world, "TOLD_AT_ONCE", 64)
    world, told = lived(scenario, prepared, in_steps=False)
    steps, expected = lived(scenario, prepared, in_steps=True)
    assert_same(world, steps, told, expected)


def test_a_world_may_be_lived_from_moment_to_moment(store: ArtifactStore, code: None) -> None:
    scenario = scenario_of(**ALL["haste"])
    prepared = prepare_tiny(scenario, store)
    steps, expected = lived(scenario, prepared, in_steps=True)
    world, end_s = build_world(scenario, prepared, Tuned(), None), end_of(prepared.population.stream.horizon_s)
    begin(world, prepared, NullProgress())
    for part in range(1, 40):
        advance(world, end_s * (part / 40) ** 2)
    advance(world, end_s)
    end(world, end_s)
    assert_same(world, steps, world.recorder.finish(), expected)


def test_draws_in_compiled_code_are_those_of_python(code: None) -> None:
    world = import_module(known_world.CODE)
    p = np.array([1e-300, 1e-9, 0.02, 0.07, 0.3, 0.5, 0.925, 0.97, 1 - 1e-9, 0.999])
    numbers, found = np.arange(len(p)) * 1_000_003, np.zeros((len(p), 3))
    world.drawn(seed_of(7, "link.up"), numbers, p, found)
    assert found[:, 0].tolist() == [Draws(7).uniform_one("link.up", device, 3, 1) for device in numbers.tolist()]
    region = RegionDraws(7, "north", 1000)
    assert found[:, 0].tolist() == [region.uniform_one("link.up", device - 1000, 3, 1) for device in numbers.tolist()]
    assert found[:, 1].tolist() == [statistics.NormalDist().inv_cdf(one) for one in p.tolist()]
    assert found[:, 2].tolist() == [math.exp(one) for one in p.tolist()]


def test_switched_off_all_is_lived_by_simpy(store: ArtifactStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "off")
    monkeypatch.setattr(known_world, "DEMAND", Demand(known_world.CODE, "", 0, 0))
    scenario = scenario_of()
    assert build_world(scenario, prepare_tiny(scenario, store), Tuned(), None).known is None
