"""The engine's speed, measured in one process: against a naive loop, and against the floor of its own parts.

The fleet is synthetic and the models are untrained: speed does not depend on what weights say. Candidate lists are
drawn at random, so that what is timed is the simulator and the SRM, not an LLM.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from fleetrec.models.candidates import CandidateLists
from fleetrec.models.llm.cache import GrownCandidates
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.machine_memory import peak_rss_bytes
from fleetrec.models.runtime.progress import NullProgress, Progress
from fleetrec.models.sequences import windows_at
from fleetrec.models.srm.base import StateModel
from fleetrec.simulator.benchmark.adaptation import run_adaptation_bench
from fleetrec.simulator.benchmark.cases import INTERACTIONS
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.engine.run import run
from fleetrec.simulator.engine.world import World, build_world
from fleetrec.simulator.fleet.population import Population, populate
from fleetrec.simulator.policies.counterfactual import Decisions, threshold_for
from fleetrec.simulator.policies.gain_model import FEATURES, ExpectedGain, Features, GainModel
from fleetrec.simulator.policies.request.inconsistency import InconsistencyRequest
from fleetrec.simulator.policies.request.learned import LearnedRequest
from fleetrec.simulator.policies.request.random import RandomRequest
from fleetrec.simulator.policies.uncertainty import SCORES
from fleetrec.simulator.preparation.closed_loop import grown
from fleetrec.simulator.preparation.held_out import looked_at
from fleetrec.simulator.preparation.policy_calibration import Tuned
from fleetrec.simulator.preparation.policy_training import popularity
from fleetrec.simulator.preparation.prepare import Memo, Prepared, preloaded_lists
from fleetrec.simulator.preparation.training import first_deployed, srm_scores, train_models
from fleetrec.simulator.ranking.list_view import UncertaintyScore
from fleetrec.simulator.ranking.slates import ListSlates, Queries
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.inputs import PreparationInputs
from fleetrec.simulator.workload.user_kinds.choice import ChoiceUsers
from fleetrec.simulator.workload.user_kinds.replay import ReplayUsers

Ints = NDArray[np.int64]
Result = TypeVar("Result")

LIST_LENGTH = 50
CHOOSING = ChoiceUsers(skip=-4.0, satisfied=-4.0, unmet=0.0, patience=20.0)
"""who take an item of a list drawn at random about as often as users take one of a good list, and come back"""
REQUEST_RATIO = 0.2
_HISTORY = 60
_ITEMS = 5_000
_CALIBRATED_ON = 300
_STEPPED = 20
"""devices whose users are computed one interaction at a time"""


def bench_scenario(
    devices: int,
    srm: str = "sasrec",
    dim: int = 64,
    ratio: float = REQUEST_RATIO,
    list_length: int = LIST_LENGTH,
    users: int | None = None,
    engine: sections.EngineName | None = None,
    reacts: bool = False,
) -> sections.Scenario:
    """Windows of 50 items, about 30 interactions a device; `users` (as many as devices) have clones where fewer.
    `engine` times the cloud's steps; none: the roofline. `reacts`: users choose of what they are shown."""
    events = _HISTORY + INTERACTIONS
    loss = "bce" if srm == "din" else "full_softmax"
    return sections.Scenario(
        name="bench",
        workload=sections.Workload(
            synthetic=sections.SyntheticWorld(users=users or devices, items=_ITEMS, events_per_user=events),
            split=sections.PerUserSplit(last=INTERACTIONS, min_history=5),
            arrivals=sections.PoissonArrivals(per_day=INTERACTIONS),
            users=CHOOSING if reacts else ReplayUsers(),
        ),
        fleet=sections.Fleet(devices=devices),
        srm=sections.Srm.of({"kind": srm, "dim": dim, "max_length": 50, "epochs": 0, "loss": loss}),
        llm=sections.Llm(list_length=list_length, served_as="llama-3.1-8b"),
        cloud=sections.Cloud(replicas=max(1, devices // 1_000), engine=engine),
        policy=sections.Policy(request=RandomRequest(ratio=ratio)),
    )


class RandomLists:
    """Candidate lists drawn at random, a pure function of (user, as_of)."""

    name = "random lists"
    content_hash = "random lists"

    def __init__(self, n_items: int, list_length: int, draws: Draws):
        self.list_length = list_length
        self._n_items, self._draws = n_items, draws

    def lists(self, users: Ints, as_of: Ints) -> CandidateLists:
        """A random start and a random odd stride: `list_length` different items each."""
        start = self._draws.integers(self._n_items, "bench.start", users, as_of)
        stride = 1 + self._draws.integers(self._n_items // self.list_length - 1, "bench.stride", users, as_of)
        items = (start[:, None] + stride[:, None] * np.arange(self.list_length)) % self._n_items
        return CandidateLists(items.astype(np.int32), np.ones(len(users), dtype=bool), as_of)

    def save(self) -> None:
        """Nothing is kept."""


class NoModelWork:
    """Slates that cost nothing: what remains is the simulator's own events."""

    def place(self, queries: Queries) -> tuple[Ints, NDArray[np.float64]]:
        """Every target absent, every list consistent."""
        return np.full(len(queries), -1), np.zeros(len(queries))


@dataclass(frozen=True)
class BenchFleet:
    """Users, devices and models of a bench, drawn once; user states are part of what is measured."""

    scenario: sections.Scenario
    drawn: Prepared
    """all but the user states"""
    lists: RandomLists

    @classmethod
    def of(cls, scenario: sections.Scenario, store: ArtifactStore, progress: Progress) -> "BenchFleet":
        """Draw it; PyTorch has the threads of the scenario from now on."""
        inputs = PreparationInputs.of(scenario)
        torch.set_num_threads(inputs.training.threads)
        trained, draws = train_models(inputs.training, store, "cpu", progress), Draws(inputs.seed)
        population, srm = populate(inputs, trained.split, draws), first_deployed(inputs.item_table, trained)
        first = np.maximum(trained.split.history - 1, 0)
        source = RandomLists(trained.histories.n_items, inputs.lists.length, draws)
        scores, preloaded = srm_scores(trained, first, first[:0], srm), preloaded_lists(inputs, population, source)
        prepared = Prepared(inputs, trained, draws, population, srm, first, scores, source, preloaded)
        return cls(scenario, prepared, source)

    def prepared(self) -> Prepared:
        """With all user states, computed now; those of users who react come with what they choose."""
        drawn = self.drawn
        if self.scenario.workload.users.reacts:
            prepared = grown(replace(drawn, source=None), "cpu", NullProgress())
            source = GrownCandidates(self.lists, prepared.trained.split.log.offsets, drawn.trained.store)
            preloaded = preloaded_lists(prepared.inputs, prepared.population, source)
            return replace(prepared, source=source, preloaded=preloaded, memo=Memo())
        scores = srm_scores(drawn.trained, drawn.first, np.unique(drawn.population.users), drawn.srm)
        return replace(drawn, scores=scores, memo=Memo())

    def run(
        self,
        progress: Progress,
        request: sections.RequestPolicy | None = None,
        tuned: Tuned | None = None,
        folder: Path | None = None,
        keeps_all: bool = True,
    ) -> World:
        """States, events, rankings and records of a whole run, of another request policy where one is given.

        `folder` takes the records; `keeps_all`: whether every slate is held to the end.
        """
        policy = self.scenario.policy
        chosen = self.scenario.model_copy(
            update={"policy": policy.model_copy(update={"request": request or policy.request})}
        )
        prepared = self.prepared()
        world = build_world(chosen, prepared, tuned or Tuned(), folder, before=self.drawn)
        world.recorder.slates.keeps_all = keeps_all
        run(world, chosen, prepared, progress)
        world.recorder.flush()
        return world

    def floor_s(self, world: World, progress: Progress) -> tuple[float, float]:
        """Wall seconds of the run's events without model work, and of all states and rankings of `world`, a finished
        run that keeps all slates, without events."""
        prepared = self.prepared()

        def events() -> None:
            idle = build_world(self.scenario, prepared, Tuned(), None)
            idle.scorer.slates = NoModelWork()
            run(idle, self.scenario, prepared, progress)
            idle.recorder.flush()

        def tensors() -> None:
            again = build_world(self.scenario, self.prepared(), Tuned(), None)
            again.scorer.place(world.recorder.all_queries())

        return timed(events)[0], timed(tensors)[0]


def run_bench(devices: int, naive_interactions: int, progress: Progress) -> dict[str, Any]:
    """Measure; returns the figures that `bench --json` prints (rates per second of wall time)."""
    fleet = BenchFleet.of(bench_scenario(devices), ArtifactStore(), progress)
    full_s, world = timed(lambda: fleet.run(progress))
    tables = world.recorder.finish()
    n = tables["interactions"].num_rows
    requests = tables["requests"].num_rows
    by_inconsistency, by_gain = InconsistencyRequest(threshold=0), LearnedRequest()
    tuned = _tuned(world, fleet.drawn.population, SCORES["inconsistency"])
    inconsistency_s, _ = timed(lambda: fleet.run(progress, by_inconsistency, tuned))
    gain = ExpectedGain(Features(popularity(fleet.drawn.trained)), any_gain_model())
    tuned_gain = _tuned(world, fleet.drawn.population, gain)
    learned_s, _ = timed(lambda: fleet.run(progress, by_gain, tuned_gain))

    events_s, tensor_s = fleet.floor_s(world, progress)
    naive_rate, disagreement = naive_loop(fleet, world, naive_interactions)
    rate = n / full_s
    adapting = run_adaptation_bench(devices, fleet.scenario.engine.threads)
    return {
        "interactions_per_s": rate,
        "naive_interactions_per_s": naive_rate,
        "speedup": rate / naive_rate,
        "floor_ratio": full_s / (events_s + tensor_s),
        "rank_disagreement": disagreement,
        "peak_rss_bytes": peak_rss_bytes(),
        "interactions_per_s_inconsistency": n / inconsistency_s,
        "interactions_per_s_learned": n / learned_s,
        "devices": devices,
        "interactions": n,
        "request_ratio": requests / n,
        "seconds": full_s,
        "events_only_s": events_s,
        "tensors_only_s": tensor_s,
        "threads": fleet.scenario.engine.threads,
        **adapting,
    }


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """Wall seconds of `work`, and what it returns."""
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def _tuned(world: World, population: Population, uncertainty: UncertaintyScore) -> Tuned:
    """A threshold at which a share REQUEST_RATIO of the decisions of some devices asks."""
    slates, some = world.scorer.slates, slice(0, _CALIBRATED_ON)
    assert isinstance(slates, ListSlates)
    count = population.n_interactions[some]
    newest = population.first_step[some] - 1
    decisions = Decisions(population.users[some], newest, count, newest)
    return Tuned(
        uncertainty=uncertainty,
        threshold=threshold_for(decisions, looked_at(slates, decisions, uncertainty), REQUEST_RATIO),
    )


def any_gain_model() -> GainModel:
    """A model of gains that was never trained, of the default size."""
    generator, features, hidden = np.random.default_rng(1), len(FEATURES), LearnedRequest().hidden
    return GainModel(
        mean=np.zeros(features),
        scale=np.ones(features),
        hidden=generator.normal(size=(features, hidden)),
        hidden_bias=np.zeros(hidden),
        out=generator.normal(size=hidden),
        linear=generator.normal(size=features),
        bias=np.zeros(1),
    )


def step_by_step() -> float:
    """Interactions a second of users who choose, where each is computed by itself when it comes."""
    scenario = bench_scenario(_STEPPED, "gru4rec", 32, reacts=True)
    engine = scenario.engine.model_copy(update={"batching": False, "threads": 1})
    fleet = BenchFleet.of(scenario.model_copy(update={"engine": engine}), ArtifactStore(), NullProgress())
    seconds, world = timed(lambda: fleet.run(NullProgress()))
    return world.recorder.interactions / seconds


def naive_loop(fleet: BenchFleet, world: World, interactions: int) -> tuple[float, float]:
    """What a user would write first: at each event encode the window at batch 1, score the list, sort, look up.

    Returns interactions per second, and the share of ranks that differ from the engine's (float32 against exact).
    """
    queries = world.recorder.all_queries()
    chosen = np.flatnonzero(queries.target >= 0)[:interactions]
    queries = queries.take(chosen)
    expected, _ = world.scorer.place(queries)
    trained, source = fleet.drawn.trained, fleet.drawn.source
    assert source is not None
    model, log = trained.srm.model.eval(), trained.split.log
    vectors = model.item_vectors().detach()
    got = np.empty(len(queries), dtype=np.int64)
    started = time.perf_counter()
    with torch.no_grad():
        for i in range(len(queries)):
            user, step = queries.user[i : i + 1], queries.step[i : i + 1]
            window = torch.from_numpy(windows_at(log.offsets, log.items, user, step, model.max_length))
            items = source.lists(user, queries.as_of[i : i + 1]).items[0]
            candidates = torch.from_numpy(items.astype(np.int64))
            if isinstance(model, StateModel):
                scores = vectors[candidates] @ model.states(window)[0, int((window > 0).sum()) - 1]
            else:
                scores = model.window_logits(window, candidates[None], torch.from_numpy(user))[0]
            srm_order = torch.argsort(scores, descending=True, stable=True).numpy()
            n = len(items)
            srm_rank = np.empty(n)
            srm_rank[srm_order] = np.arange(n)
            fused = -(np.arange(n) + 1) / n + (1 - (srm_rank + 0.5) / n - 0.5)
            seen = set(log.items[log.offsets[user[0]] : log.offsets[user[0]] + step[0] + 1].tolist())
            slate = [int(item) for item in items[np.argsort(-fused, kind="stable")] if int(item) not in seen]
            got[i] = slate.index(int(queries.target[i])) if int(queries.target[i]) in slate else -1
    seconds = time.perf_counter() - started
    return len(queries) / seconds, float((got != expected).mean())
