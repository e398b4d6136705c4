"""The engine's speed, measured in one process: against a naive loop, and against the floor of its own parts.

The fleet is synthetic and the models are untrained: speed does not depend on what weights say. Candidate lists are
drawn at random, so that what is timed is the simulator and the SRM, not an LLM.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.artifacts import ArtifactStore
from models.llm.base import CandidateLists
from models.memory import peak_rss_bytes
from models.progress import Progress
from models.sequences import windows_at
from models.srm.base import StateModel
from simulator.experiments.bench_adaptation import run_adaptation_bench
from simulator.learning import Learnt, first_deployed, learn, srm_scores
from simulator.policies.doubt import Doubt, doubt_of
from simulator.policies.gain import FEATURES, ExpectedGain, Features, GainModel
from simulator.policies.replay import Decisions
from simulator.preparation import Population, Prepared, populate
from simulator.randomness import Draws
from simulator.scenario import sections
from simulator.simulation import build_world, run
from simulator.slates import Jobs, ListSlates
from simulator.tuning import Tuned, calibrated_threshold, popularity
from simulator.world import World

Ints = NDArray[np.int64]

LIST_LENGTH = 50
REQUEST_RATIO = 0.2
_INTERACTIONS = 30
_HISTORY = 60
_ITEMS = 5_000
_CALIBRATED_ON = 300


def bench_scenario(
    devices: int,
    srm: str = "sasrec",
    dim: int = 64,
    ratio: float = REQUEST_RATIO,
    list_length: int = LIST_LENGTH,
    users: int | None = None,
) -> sections.Scenario:
    """Windows of 50 items, about 30 interactions a device; `users` (as many as devices) have clones where fewer."""
    events = _HISTORY + _INTERACTIONS
    loss = "bce" if srm == "din" else "full_softmax"
    return sections.Scenario(
        name="bench",
        workload=sections.Workload(
            synthetic=sections.SyntheticWorld(users=users or devices, items=_ITEMS, events_per_user=events),
            split=sections.PerUserSplit(last=_INTERACTIONS, min_history=5),
            arrivals=sections.PoissonArrivals(per_day=_INTERACTIONS),
        ),
        fleet=sections.Fleet(devices=devices),
        srm=sections.Srm.model_validate({"kind": srm, "dim": dim, "max_length": 50, "epochs": 0, "loss": loss}),
        llm=sections.Llm(list_length=list_length, served_as="llama-3.1-8b"),
        cloud=sections.Cloud(replicas=max(1, devices // 1_000)),
        policy=sections.Policy(request=sections.RandomRequest(ratio=ratio)),
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

    def place(self, jobs: Jobs) -> tuple[Ints, NDArray[np.float64]]:
        """Every target absent, every list consistent."""
        return np.full(len(jobs), -1), np.zeros(len(jobs))


def run_bench(devices: int, naive_interactions: int, progress: Progress) -> dict[str, Any]:
    """Measure; returns the figures that `bench --json` prints (rates per second of wall time)."""
    scenario = bench_scenario(devices)
    torch.set_num_threads(scenario.engine.threads)
    learnt = learn(scenario, ArtifactStore(), "cpu", progress)
    draws = Draws(scenario.seed)
    population = populate(scenario, learnt, draws)
    first = np.maximum(learnt.split.history - 1, 0)
    srm = first_deployed(scenario, learnt)
    source = RandomLists(learnt.histories.n_items, LIST_LENGTH, draws)

    def full(request: sections.RequestPolicy, tuned: Tuned) -> tuple[float, World]:
        chosen = scenario.model_copy(update={"policy": scenario.policy.model_copy(update={"request": request})})
        started = time.perf_counter()
        scores = srm_scores(learnt, first, np.unique(population.users), srm)
        prepared = Prepared(learnt, draws, population, srm, scores, source, None)
        world = build_world(chosen, prepared, tuned, None)
        world.recorder.slates.keeps_all = True
        run(world, chosen, prepared, progress)
        world.recorder.flush()
        return time.perf_counter() - started, world

    full_s, world = full(scenario.policy.request, Tuned())
    tables = world.recorder.finish()
    n = tables["interactions"].num_rows
    requests = tables["requests"].num_rows
    by_inconsistency = sections.InconsistencyRequest(threshold=0)
    inconsistency_s, _ = full(by_inconsistency, _tuned(world, population, doubt_of(by_inconsistency)))
    gain = ExpectedGain(Features(popularity(learnt)), any_gain_model())
    learned_s, _ = full(sections.LearnedRequest(), _tuned(world, population, gain))

    scores = srm_scores(learnt, first, np.unique(population.users), srm)
    prepared = Prepared(learnt, draws, population, srm, scores, source, None)
    events_s = timed(lambda: events_only(scenario, prepared, progress))
    tensor_s = timed(lambda: tensors_only(scenario, prepared, first, world))
    naive_rate, disagreement = naive_loop(learnt, population.users, source, world, naive_interactions)
    rate = n / full_s
    adapting = run_adaptation_bench(devices, scenario.engine.threads)
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
        "threads": scenario.engine.threads,
        **adapting,
    }


def timed(work: Callable[[], object]) -> float:
    """Wall seconds of `work`."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _tuned(world: World, population: Population, doubt: Doubt) -> Tuned:
    """A threshold at which a share REQUEST_RATIO of the decisions of some devices asks."""
    slates, some = world.scorer.slates, slice(0, _CALIBRATED_ON)
    assert isinstance(slates, ListSlates)
    count = population.n_interactions[some]
    newest = population.first_step[some] - 1
    decisions = Decisions(population.users[some], newest, count, newest)
    return Tuned(doubt=doubt, threshold=calibrated_threshold(slates, doubt, decisions, REQUEST_RATIO))


def any_gain_model() -> GainModel:
    """A model of gains that was never trained, of the default size."""
    generator, features, hidden = np.random.default_rng(1), len(FEATURES), sections.LearnedRequest().hidden
    return GainModel(
        mean=np.zeros(features),
        scale=np.ones(features),
        hidden=generator.normal(size=(features, hidden)),
        hidden_bias=np.zeros(hidden),
        out=generator.normal(size=hidden),
        linear=generator.normal(size=features),
        bias=np.zeros(1),
    )


def events_only(scenario: sections.Scenario, prepared: Prepared, progress: Progress) -> None:
    """A whole run in which ranking costs nothing."""
    world = build_world(scenario, prepared, Tuned(), None)
    world.scorer.slates = NoModelWork()
    run(world, scenario, prepared, progress)
    world.recorder.flush()


def tensors_only(scenario: sections.Scenario, prepared: Prepared, first: Ints, world: World) -> None:
    """All states, and all rankings of the full run in one call."""
    scores = srm_scores(prepared.learnt, first, np.unique(prepared.population.users), prepared.srm)
    again = build_world(scenario, replace(prepared, scores=scores), Tuned(), None)
    again.scorer.place(world.recorder.all_jobs())


def naive_loop(
    learnt: Learnt, users: Ints, source: RandomLists, world: World, interactions: int
) -> tuple[float, float]:
    """What a user would write first: at each event encode the window at batch 1, score the list, sort, look up.

    Returns interactions per second, and the share of ranks that differ from the engine's (float32 against exact).
    """
    jobs = world.recorder.all_jobs()
    chosen = np.flatnonzero(jobs.target >= 0)[:interactions]
    jobs = jobs.take(chosen)
    expected, _ = world.scorer.place(jobs)
    model, log = learnt.srm.model.eval(), learnt.split.log
    vectors = model.item_vectors().detach()
    got = np.empty(len(jobs), dtype=np.int64)
    started = time.perf_counter()
    with torch.no_grad():
        for i in range(len(jobs)):
            user, step = jobs.user[i : i + 1], jobs.step[i : i + 1]
            window = torch.from_numpy(windows_at(log.offsets, log.items, user, step, model.max_length))
            items = source.lists(user, jobs.as_of[i : i + 1]).items[0]
            candidates = torch.from_numpy(items.astype(np.int64))
            if isinstance(model, StateModel):
                scores = vectors[candidates] @ model.states(window)[0, int((window > 0).sum()) - 1]
            else:
                scores = model.window_logits(window, candidates[None])[0]
            srm_order = torch.argsort(scores, descending=True, stable=True).numpy()
            n = len(items)
            srm_rank = np.empty(n)
            srm_rank[srm_order] = np.arange(n)
            fused = -(np.arange(n) + 1) / n + (1 - (srm_rank + 0.5) / n - 0.5)
            seen = set(log.items[log.offsets[user[0]] : log.offsets[user[0]] + step[0] + 1].tolist())
            slate = [int(item) for item in items[np.argsort(-fused, kind="stable")] if int(item) not in seen]
            got[i] = slate.index(int(jobs.target[i])) if int(jobs.target[i]) in slate else -1
    seconds = time.perf_counter() - started
    return len(jobs) / seconds, float((got != expected).mean())
