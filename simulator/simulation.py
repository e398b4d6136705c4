"""Builds the world of a scenario, runs it and returns what was recorded: `simulate` is the whole tool in one call."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.artifacts import ArtifactStore
from models.llm.base import CandidateSource
from models.progress import NullProgress, Progress, Task, in_words
from simulator.clock import Clock
from simulator.device import NO_LIST, Device
from simulator.learning import Learnt, candidate_source, slates_of, srm_scores
from simulator.messages import messages_of
from simulator.policies.calibration import inconsistency_threshold
from simulator.policies.request import Budget, Moments, next_true, request_policy
from simulator.preparation import WITHOUT_CLOUD, Population, Prepared, prepare, push_times
from simulator.recorder import Recorder
from simulator.results import RunResult, collect
from simulator.scenario import sections
from simulator.scoring import Scorer
from simulator.service import build_service
from simulator.summary import headline_metric
from simulator.tracing import Tracer, TraceRequest
from simulator.world import World

Ints = NDArray[np.int64]

_PROGRESS_STEPS = 400


def simulate(
    scenario: sections.Scenario,
    out: Path | str | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    store: ArtifactStore | None = None,
    trace: TraceRequest | None = None,
) -> RunResult:
    """Run `scenario`; with `out` its files are written there, with `trace` also a timeline of chosen devices.

    Deterministic in the scenario, whatever the machine's load, the number of workers or `engine.batching`. Raises
    InputError for what the user can mend.
    """
    progress = progress or NullProgress()
    started = time.perf_counter()
    prepared = prepare(scenario, device, progress, store)
    folder = Path(out) if out is not None else None
    return simulate_prepared(scenario, prepared, folder, device, progress, time.perf_counter() - started, trace)


def simulate_prepared(
    scenario: sections.Scenario,
    prepared: Prepared,
    out: Path | None,
    device: str,
    progress: Progress,
    prepare_s: float = 0.0,
    trace: TraceRequest | None = None,
) -> RunResult:
    """Run `scenario` on what was prepared for it, or for a scenario that differs in request policy or fusion only.

    `prepare_s`, the wall time that the preparation took, is passed on to the run's timing.
    """
    started = time.perf_counter()
    threshold = calibrated_threshold(scenario, prepared, device, progress)
    world = build_world(scenario, prepared, threshold, out / "parts" if out is not None else None)
    tracer = Tracer(trace) if trace is not None else None
    if tracer is not None:
        tracer.watch(world)
    run(world, scenario, prepared, progress)
    simulated = time.perf_counter()
    result = collect(scenario, prepared, world, threshold, progress)
    if prepared.source is not None:
        prepared.source.save()
    result.timing = {
        "prepare_s": prepare_s,
        "simulate_s": simulated - started,
        "collect_s": time.perf_counter() - simulated,
    }
    if out is not None:
        result.write(out)
    if tracer is not None:
        tracer.write(world, scenario, result)
    return result


def calibrated_threshold(
    scenario: sections.Scenario, prepared: Prepared, device: str, progress: Progress
) -> float | None:
    """The threshold of an inconsistency policy that was given a ratio, from the validation users; None for others."""
    section = scenario.policy.request
    if not isinstance(section, sections.InconsistencyRequest) or section.ratio is None:
        return None
    ratio = section.ratio
    return prepared.memo.get(
        ["threshold", scenario.policy.slate, ratio],  # the two orders of a list do not depend on how they are fused
        lambda: _calibrate(scenario, prepared.learnt, ratio, device, progress),
    )


def _calibrate(scenario: sections.Scenario, learnt: Learnt, ratio: float, device: str, progress: Progress) -> float:
    data = learnt.training
    users = np.flatnonzero(data.fit_end < data.valid_end)
    lag = scenario.fleet.preloaded.lag if scenario.fleet.preloaded else None
    newest_known = np.maximum(data.fit_end - 1, 0)
    first = np.maximum(newest_known - (lag or 0), 0)
    scores = srm_scores(learnt, first, users)
    source, _ = candidate_source(scenario, learnt, first, scores, device, progress)
    slates = slates_of(scenario, learnt, scores, source)
    threshold = inconsistency_threshold(slates, users, newest_known[users] + 1, data.valid_end[users], lag, ratio)
    source.save()
    return threshold


def build_world(scenario: sections.Scenario, prepared: Prepared, threshold: float | None, folder: Path | None) -> World:
    """The world of one run; its records are written to `folder` in parts where one is given."""
    learnt, population, draws, source = prepared.learnt, prepared.population, prepared.draws, prepared.source
    policy, fleet, stream = scenario.policy, population.fleet, population.stream
    env = Clock()
    slates = slates_of(scenario, learnt, prepared.scores, source)
    scorer = Scorer(slates, learnt.histories, population.users, scenario.engine.lookahead, scenario.engine.batching)
    owner = np.repeat(np.arange(population.n_devices), np.diff(stream.device_offsets))
    items = learnt.histories.item_at(population.users[owner], stream.step.astype(np.int64))
    online = population.presence.reachable_at(owner, stream.t_s)
    steps = stream.step.astype(np.int64)
    recorder = Recorder(scorer, population.users, owner, steps, items, stream.t_s, online, folder)
    flops = ranking_flops(scenario, learnt)
    compute_s = fleet.overhead_s + flops / fleet.speed_flops
    preloaded = preloaded_lists(scenario, population, source)
    moments = Moments(owner, steps, stream.t_s, population.first_row, population.presence.joined_s, scorer)
    world = World(
        env=env,
        t_s=stream.t_s.tolist(),
        next_tie=next_true(moments.ties),
        first_row=population.first_row.tolist(),
        end_row=population.end_row.tolist(),
        first_step=population.first_step.tolist(),
        joined_s=population.presence.joined_s.tolist(),
        left_s=population.presence.left_s.tolist(),
        compute_s=compute_s.tolist(),
        compute_j=(compute_s * fleet.power_w).tolist(),
        battery_j=fleet.battery_j.tolist(),
        preloaded_as_of=preloaded.tolist(),
        presence=population.presence,
        network=population.network,
        service=build_service(env, scenario, prepared, lambda ticket: world.settle(ticket)),
        messages=messages_of(scenario.llm, scenario.srm, scenario.cloud),
        scorer=scorer,
        recorder=recorder,
        policy=request_policy(policy.request, draws, threshold, moments),
        budget=Budget(policy.budget, population.n_devices),
        request_timeout_s=scenario.cloud.request_timeout,
        patience_s=policy.patience,
        blocking=policy.mode == "blocking",
        fails_offline=policy.when_offline == "fail",
        decides_at_join=policy.decide_at != "interaction" and policy.slate not in WITHOUT_CLOUD,
        decides_at_interaction=policy.decide_at != "join" and policy.slate not in WITHOUT_CLOUD,
        empty_is_miss=scenario.fleet.when_empty == "miss",
        looks_ahead=isinstance(policy.request, sections.InconsistencyRequest),
        sleeps=scenario.engine.sleep and (policy.budget.scope == "device" or policy.budget.ratio >= 1.0),
        stored_lists=preloaded.tolist() if scenario.cloud.stores == "lists" else None,
    )
    return world


def ranking_flops(scenario: sections.Scenario, learnt: Learnt) -> float:
    """FLOPs of one ranking on the device; 0 where the slate needs no SRM."""
    policy, srm = scenario.policy, learnt.srm
    asks = isinstance(policy.request, sections.InconsistencyRequest)
    if policy.slate in ("popular", "recent", "frequent", "markov", "cloud_srm"):
        return 0.0
    if policy.slate == "llm" and isinstance(policy.fusion, sections.LlmOnly) and not asks:
        return 0.0
    scored = scenario.llm.list_length if policy.slate == "llm" else learnt.histories.n_items
    return srm.flops_encode + srm.flops_per_candidate * scored


def preloaded_lists(scenario: sections.Scenario, population: Population, source: CandidateSource | None) -> Ints:
    """What the list of each device [D] is as of when it joins; -1: none."""
    if not scenario.fleet.preloaded or source is None:
        return np.full(population.n_devices, NO_LIST)
    as_of = np.maximum(population.first_step - 1 - scenario.fleet.preloaded.lag, NO_LIST)
    if isinstance(scenario.llm.candidates, sections.CandidateTable):
        having = np.flatnonzero(as_of >= 0)
        lists = source.lists(population.users[having], as_of[having])
        as_of[having] = np.where(lists.found, lists.as_of, NO_LIST)
    return as_of


def run(world: World, scenario: sections.Scenario, prepared: Prepared, progress: Progress) -> None:
    """Let every device live until the horizon; then every request that is open is closed."""
    population = prepared.population
    horizon_s = population.stream.horizon_s
    devices = [Device(world, index) for index in range(population.n_devices)]
    for device in devices:
        if world.joined_s[device.device] <= horizon_s:
            world.env.process(device.live())
    section = scenario.policy.request
    if isinstance(section, sections.CloudPush):
        for device, times_s in zip(devices, push_times(section, population, prepared.draws), strict=True):
            world.env.process(device.pushes(times_s))
    end_s = horizon_s * (1 + 1e-12) + 1e-9  # what happens at the horizon itself still happens
    total = population.end_row.sum() - population.first_row.sum()
    with progress.task("simulating interactions", total) as task, fewer_collections():
        world.env.process(_report(world, task, end_s, int(headline_metric(scenario.metrics.k).split("@")[1])))
        world.env.run(until=end_s)
        for device in devices:
            device.catch_up(end_s)
    world.energy_j = [device.energy_j for device in devices]
    world.service.node.close(end_s)
    _close_open_requests(world)


@contextmanager
def fewer_collections() -> Iterator[None]:
    """Python's cycle collector would look at the same long-lived records again and again: a fifth of the run's time."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _report(world: World, task: Task, end_s: float, k: int):  # type: ignore[no-untyped-def]
    """Tells how the run goes, at moments of simulated time that are the same whoever looks."""
    done = 0
    while True:
        yield world.env.timeout(end_s / _PROGRESS_STEPS)
        task.advance(world.recorder.interactions - done)
        done = world.recorder.interactions
        if task.watched:
            ndcg = world.recorder.ndcg_so_far(k)
            figures = {
                "simulated": f"{in_words(world.env.now)} of {in_words(end_s)}",
                "requests in flight": f"{len(world.open_requests):,}",
                "queue": f"{world.service.node.queue_length:,}",
            }
            task.show(figures if ndcg is None else figures | {f"NDCG@{k} so far": f"{ndcg:.4f}"})


def _close_open_requests(world: World) -> None:
    """At the horizon, what is still under way is unfinished; what it has cost so far it has cost."""
    for record in list(world.open_requests.values()):
        if record.ticket is not None:
            record.t_started_s, record.replica = record.ticket.t_started_s, record.ticket.replica
        record.outcome = "unfinished"
        world.close_request(record)
