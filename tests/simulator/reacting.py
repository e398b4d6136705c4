"""A small world whose users choose: a synthetic log, an untrained SRM, lists of a formula."""

from functools import cache
from typing import Any

import pandas as pd

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.simulator.engine.run import run as simulate_world
from fleetrec.simulator.engine.world import build_world
from fleetrec.simulator.preparation.closed_loop import grown
from fleetrec.simulator.preparation.held_out import held_out_of
from fleetrec.simulator.preparation.policy_calibration import tune
from fleetrec.simulator.preparation.prepare import prepare
from fleetrec.simulator.results.run_result import RunResult
from fleetrec.simulator.scenario import Scenario, sections
from fleetrec.simulator.scenario.inputs import SlateInputs
from fleetrec.simulator.simulation import simulate
from fleetrec.simulator.workload.user_kinds.replay import ReplayUsers
from tests.simulator.handed_over import Formula
from tests.simulator.tiny import merged

FLEET = {"every": "2h", "upload": "30min", "learning_rate": 0.01}
UPDATES: dict[str, dict[str, Any]] = {
    "fleet": {"kind": "fleet", **FLEET, "weights": "delta", "learn_from": "new"},
    "drift": {"kind": "fleet", **FLEET, "drift": 0.0},
    "on device": {"kind": "on_device", "when": {"kind": "every", "n": 3}},
    "inside the encoder": {
        "kind": "on_device",
        "when": {"kind": "every", "n": 3},
        "adapter": {"kind": "module", "name": "norm_out"},
    },
    "both": {"kind": "both", "fleet": FLEET, "on_device": {"when": {"kind": "rank_drop", "window": 2, "drop": 0.1}}},
}
"""schedules that learn"""
REACTING: dict[str, Any] = {
    "name": "reacting",
    "workload": {
        "synthetic": {"users": 16, "items": 80, "events_per_user": 40, "days": 2},
        "split": {"kind": "per_user", "last": 14, "min_history": 5},
        "arrivals": {"kind": "sessions", "per_day": 20},
        "users": {"kind": "choice", "looks": 5, "skip": 0.0, "returns": 2.0},
    },
    "fleet": {"devices": 16},
    "srm": {"kind": "gru4rec", "dim": 8, "layers": 1, "max_length": 8, "epochs": 0},
    "llm": {"list_length": 12, "served_as": "llama-3.1-8b"},
    "cloud": {"engine": None},
    "policy": {"request": {"kind": "random", "ratio": 0.4}},
}


def reacting(**changes: Any) -> Scenario:
    """The scenario with changes."""
    return Scenario.model_validate(merged(REACTING, changes))


@cache
def _store() -> ArtifactStore:
    return ArtifactStore()


def run(scenario: Scenario, **kinds: Any) -> RunResult:
    """The result of it, by lists of `Formula` where its slates are of lists."""
    if scenario.policy.slate.uses_llm:
        kinds["candidates"] = Formula
    return simulate(scenario, store=_store(), **kinds)


def lives(scenario: Scenario, ahead: bool = True, store: ArtifactStore | None = None) -> dict[str, pd.DataFrame]:
    """What its devices, users and requests came to, computed `ahead` of need or step by step, by lists of `Formula`,
    or its own, where these have a `store`."""
    return _tables(scenario.model_copy(update={"engine": sections.Engine(batching=ahead)}), store)


def replayed(scenario: Scenario, store: ArtifactStore | None = None) -> dict[str, pd.DataFrame]:
    """The same of its devices and requests where users do what the log says."""
    replay = scenario.workload.model_copy(update={"users": ReplayUsers()})
    return _tables(scenario.model_copy(update={"workload": replay}), store)


def _tables(scenario: Scenario, store: ArtifactStore | None) -> dict[str, pd.DataFrame]:
    if scenario.policy.slate.uses_llm and store is None:
        scenario = sections.with_kind(scenario, "llm.candidates", Formula)
    if scenario.regions:
        return dict(simulate(scenario, store=_store()).tables)
    progress, reacts = NullProgress(), scenario.workload.users.reacts
    before = prepare(scenario, "cpu", progress, store or _store())
    tuned = tune(scenario.policy, SlateInputs.of(scenario), before, lambda: held_out_of(before, "cpu", progress))
    prepared = grown(before, "cpu", progress) if reacts else before
    world = build_world(scenario, prepared, tuned, None, before=before)
    simulate_world(world, scenario, prepared, progress)
    tables = world.recorder.finish()
    if world.reactions is not None:
        tables["opportunities"] = world.reactions.table()
    return {name: table.to_pandas() for name, table in tables.items()} | {"updates": world.log.table()}
