"""A small world for tests of the engine: a synthetic log, an untrained SRM, candidate lists drawn at random."""

from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from fleetrec.models.baselines import all_baselines
from fleetrec.models.candidates import CandidateLists
from fleetrec.models.runtime.artifacts import ArtifactStore, content_hash
from fleetrec.models.runtime.progress import NullProgress
from fleetrec.models.srm.trained import KeptModel, TrainedSrm
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.engine.run import run
from fleetrec.simulator.engine.world import build_world
from fleetrec.simulator.fleet.population import populate
from fleetrec.simulator.preparation.held_out import held_out_of
from fleetrec.simulator.preparation.policy_calibration import Tuned, tune
from fleetrec.simulator.preparation.prepare import Prepared, preloaded_lists
from fleetrec.simulator.preparation.training import TrainedModels, first_deployed, srm_scores
from fleetrec.simulator.ranking.histories import Histories
from fleetrec.simulator.results.run_result import RunResult
from fleetrec.simulator.scenario import Scenario, sections
from fleetrec.simulator.scenario.inputs import PreparationInputs, SlateInputs
from fleetrec.simulator.simulation import simulate_prepared
from fleetrec.simulator.workload.log import InteractionLog
from fleetrec.simulator.workload.splitting import split_log, training_set
from fleetrec.simulator.workload.synthetic import synthetic_log

BASE: dict[str, Any] = {
    "name": "tiny",
    "workload": {
        "synthetic": {"users": 60, "items": 200, "events_per_user": 40, "days": 2},
        "split": {"kind": "per_user", "last": 12, "min_history": 5},
        "arrivals": {"kind": "poisson", "per_day": 200},
    },
    "fleet": {"devices": 50},
    "srm": {"kind": "sasrec", "dim": 8, "layers": 1, "heads": 1, "max_length": 10, "epochs": 0},
    "llm": {"list_length": 20, "served_as": "llama-3.1-8b"},
    "cloud": {"engine": None},  # loads are chosen by the roofline's times
    "policy": {"request": {"kind": "random", "ratio": 0.4}},
}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with nested `changes`; a mapping that names a kind replaces what was there."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        both = isinstance(value, dict) and isinstance(old, dict) and "kind" not in value
        result[key] = merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def scenario_of(**changes: Any) -> sections.Scenario:
    """The tiny scenario with changes."""
    return Scenario.model_validate(merged(BASE, changes))


@cache
def _log(world: str) -> InteractionLog:
    """The log of a synthetic world, given as JSON: most tests have the same one."""
    return synthetic_log(sections.SyntheticWorld.model_validate_json(world))


@cache
def shuffled(n_items: int, user: int, step: int) -> list[int]:
    """The catalogue in an order of its own for each user and step."""
    order: list[int] = np.random.default_rng([user, step]).permutation(n_items).tolist()
    return order


class RandomLists:
    """Half of each list leads to the user's true next items, so that fresher lists are better; the rest is random."""

    name = "random"
    content_hash = "random"

    def __init__(self, histories: Histories, list_length: int):
        self.list_length = list_length
        self._histories = histories
        self.asked: list[tuple[int, int]] = []

    def lists(self, users: np.ndarray, as_of: np.ndarray) -> CandidateLists:
        rows = []
        for user, step in zip(users.tolist(), as_of.tolist(), strict=True):
            self.asked.append((user, step))
            low, high = self._histories.offsets[user : user + 2]
            following = self._histories.items[low + step + 1 : min(low + step + 4, high)].tolist()
            others = shuffled(self._histories.n_items, user, step)[: self.list_length + len(following)]
            rows.append(list(dict.fromkeys([*others[:5], *following, *others[5:]]))[: self.list_length])
        items = np.array(rows, dtype=np.int32).reshape(len(users), self.list_length)
        return CandidateLists(items, np.ones(len(users), dtype=bool), as_of)

    def save(self) -> None:
        """Nothing is kept."""


def prepare_tiny(scenario: sections.Scenario, store: ArtifactStore) -> Prepared:
    """Everything but a training and an LLM."""
    torch.set_num_threads(1)
    split = split_log(_log(scenario.workload.synthetic.model_dump_json()), scenario.workload.split)
    data = training_set(split, 1, 8, 5)
    log = split.log
    torch.manual_seed(3)
    model = scenario.srm.network(log.n_items, len(log.offsets) - 1)
    model.initialise(0.2)
    hashed = content_hash({name: tensor.numpy() for name, tensor in model.weights().items()})
    srm = TrainedSrm(KeptModel.of(model), "full_softmax", 1_000_000, 100.0, 50_000, 32, {}, hashed)
    histories = Histories(log.offsets, log.items, log.n_items)
    baselines = all_baselines(log.offsets, log.items, log.n_items, data.valid_end)
    trained = TrainedModels(split, data, store, histories, srm, baselines)
    draws = Draws(scenario.seed)
    inputs = PreparationInputs.of(scenario)
    population = populate(inputs, trained.split, draws)
    first = np.maximum(split.history - 1 - (inputs.lag or 0) - inputs.window, 0)
    deployed = first_deployed(inputs.item_table, trained)
    scores = srm_scores(trained, first, np.unique(population.users), deployed)
    source = RandomLists(histories, scenario.llm.list_length)
    preloaded = preloaded_lists(inputs, population, source)
    return Prepared(inputs, trained, draws, population, deployed, first, scores, source, preloaded)


def _prepare_and_tune(scenario: sections.Scenario, store: ArtifactStore) -> tuple[Prepared, Tuned]:
    prepared = prepare_tiny(scenario, store)
    source = RandomLists(prepared.trained.histories, scenario.llm.list_length)
    held_out = partial(held_out_of, prepared, "cpu", NullProgress(), source)
    return prepared, tune(scenario.policy, SlateInputs.of(scenario), prepared, held_out)


def simulate_tiny(scenario: sections.Scenario, store: ArtifactStore, out: Any = None) -> RunResult:
    """Prepare and run."""
    prepared, tuned = _prepare_and_tune(scenario, store)
    return simulate_prepared(scenario, prepared, out, "cpu", NullProgress(), tuned=tuned)


def records_of(scenario: sections.Scenario, store: ArtifactStore) -> dict[str, pd.DataFrame]:
    """Interactions and requests as the devices of a run record them, without the summary and the account."""
    prepared, tuned = _prepare_and_tune(scenario, store)
    world = build_world(scenario, prepared, tuned, None)
    run(world, scenario, prepared, NullProgress())
    return {name: table.to_pandas() for name, table in world.recorder.finish().items()}
