"""Builds the world of a scenario that is prepared, runs it and returns what was recorded."""

import gc
import math
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.progress import Progress, Task, in_words
from fleetrec.models.srm.base import SmallModel
from fleetrec.simulator.core.clock import Clock
from fleetrec.simulator.engine.adaptation_setup import own_adapters, own_weights
from fleetrec.simulator.engine.cloud_service import build_service
from fleetrec.simulator.engine.context import World
from fleetrec.simulator.engine.device import Device
from fleetrec.simulator.engine.retraining import FleetLearning
from fleetrec.simulator.fleet.message_sizes import held_bytes, messages_of
from fleetrec.simulator.policies.request.registry import Budget, Moments, next_true, request_policy
from fleetrec.simulator.policies.request.share import Share
from fleetrec.simulator.preparation.memory_estimate import check_memory
from fleetrec.simulator.preparation.policy_calibration import Tuned, tails_of, tune
from fleetrec.simulator.preparation.prepare import (
    WITHOUT_CLOUD,
    Population,
    Prepared,
    decides_joining,
    preloaded_lists,
    push_times,
)
from fleetrec.simulator.preparation.training import Learnt, slates_of
from fleetrec.simulator.ranking.lookahead import Foresight, Scorer
from fleetrec.simulator.ranking.slates import ListSlates, Slates
from fleetrec.simulator.ranking.weight_versions import DeviceWeights
from fleetrec.simulator.records.recorder import Recorder, Streamed
from fleetrec.simulator.records.update_log import UpdateLog
from fleetrec.simulator.results.collect import RunResult, collect
from fleetrec.simulator.results.run_folder import RunFolder, opened
from fleetrec.simulator.results.summary import headline_metric
from fleetrec.simulator.results.timeline_trace import Tracer, TraceRequest
from fleetrec.simulator.scenario import sections

Ints = NDArray[np.int64]

_PROGRESS_STEPS = 400


def simulate_prepared(
    scenario: sections.Scenario,
    prepared: Prepared,
    out: Path | RunFolder | None,
    device: str,
    progress: Progress,
    prepare_s: float = 0.0,
    trace: TraceRequest | None = None,
    tuned: Tuned | None = None,
) -> RunResult:
    """Run `scenario` on what was prepared for it, or for a scenario that differs in request policy or fusion only.

    `prepare_s`, the wall time that the preparation took, is passed on to the run's timing. `tuned` is what the policy
    has learnt before the stream, where that is known already.
    """
    started = time.perf_counter()
    if isinstance(out, Path):
        with opened(out, scenario) as folder:
            return simulate_prepared(scenario, prepared, folder, device, progress, prepare_s, trace, tuned)
    check_memory(prepared.population)
    if tuned is None:
        tuned = tune(scenario, prepared, lambda: tails_of(scenario, prepared.learnt, device, progress))
    world = build_world(scenario, prepared, tuned, out.parts if out is not None else None, device)
    tracer = Tracer(trace) if trace is not None else None
    if tracer is not None:
        tracer.watch(world)
    run(world, scenario, prepared, progress)
    simulated = time.perf_counter()
    result = collect(scenario, prepared, world, tuned, progress)
    result.timing = {
        "prepare_s": prepare_s,
        "simulate_s": simulated - started,
        "collect_s": time.perf_counter() - simulated,
    }
    if out is not None:
        result.write(out)
    if tracer is not None:
        tracer.write(world, scenario, result)
    if prepared.source is not None:
        prepared.source.save()  # last: a cache that is full or lost takes no result with it
    return result


def build_world(
    scenario: sections.Scenario, prepared: Prepared, tuned: Tuned, folder: Path | None, device: str = "cpu"
) -> World:
    """The world of one run; its records are written to `folder` in parts where one is given. `device` retrains."""
    messages = messages_of(scenario.llm, scenario.srm, scenario.cloud)
    held_bytes(scenario, prepared.srm, messages.answer_bytes)
    learnt, population, draws, source = prepared.learnt, prepared.population, prepared.draws, prepared.source
    policy, fleet, stream = scenario.policy, population.fleet, population.stream
    env = Clock()
    weights = DeviceWeights(prepared.scores, own_weights(scenario, prepared, lambda version: model_of(version)))
    slates = slates_of(scenario, learnt, weights, source, tuned.fusion, tuned.doubt)
    foresight = foresight_of(scenario, prepared, slates, tuned)
    engine = scenario.engine
    scorer = Scorer(slates, learnt.histories, population.users, engine.lookahead, engine.batching, weights, foresight)
    owner = np.repeat(np.arange(population.n_devices), np.diff(stream.device_offsets))
    items = learnt.histories.item_at(population.users[owner], stream.step.astype(np.int64))
    online = population.presence.reachable_at(owner, stream.t_s)
    steps = stream.step.astype(np.int64)
    streamed = Streamed(owner.astype(np.int32), stream.step, items.astype(np.int32), stream.t_s, online)
    recorder = Recorder(scorer, weights, population.users, streamed, folder)
    flops = ranking_flops(scenario, learnt, tuned)
    compute_s = fleet.overhead_s + flops / fleet.speed_flops
    preloaded = preloaded_lists(scenario, population, source)
    if foresight is not None:
        scorer.expect_all(preloaded, population.first_step - 1)
    moments = Moments(
        owner,
        steps,
        stream.t_s,
        population.first_row,
        np.where(population.presence.joined_s > 0, population.presence.joined_s, -np.inf),
        population.network.link_names,
        scorer,
    )
    asks = policy.slate not in WITHOUT_CLOUD
    joining = decides_joining(policy, population) & asks
    at_interaction = policy.decides("interaction") and asks
    share = None
    if tuned.threshold is not None:
        decided_s = decision_times(population, moments.ties, joining, at_interaction)
        share = Share(tuned.threshold, getattr(policy.request, "ratio", None) or 0.0, tuned.curve, decided_s)
    retraining = sections.retraining_of(policy.update)
    learning = FleetLearning(scenario, retraining, prepared, preloaded, device) if retraining is not None else None

    def model_of(version: int) -> SmallModel:
        return learning.releases[version - 1].srm.model if version and learning is not None else prepared.srm.model

    world = World(
        env=env,
        t_s=array("d", stream.t_s.tobytes()),
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
        messages=messages,
        weights=weights,
        scorer=scorer,
        recorder=recorder,
        policy=request_policy(policy.request, draws, share, moments, tuned.schedule),
        budget=Budget(policy.budget, population.n_devices),
        request_timeout_s=scenario.cloud.request_timeout,
        patience_s=policy.patience,
        late_s=policy.request.late if isinstance(policy.request, sections.CongestionRequest) else math.inf,
        blocking=policy.mode == "blocking",
        fails_offline=policy.when_offline == "fail",
        decides_joining=joining.tolist(),
        decides_at_interaction=at_interaction,
        decides_online=policy.decides("online") and asks,
        decides_at_answer=policy.decides("answer") and asks,
        empty_is_miss=scenario.fleet.when_empty == "miss",
        looks_ahead=foresight is not None,
        sleeps=scenario.engine.sleep and (policy.budget.scope == "device" or policy.budget.ratio >= 1.0),
        vectors_with_list=isinstance(scenario.srm.item_table, sections.WithListTable),
        updates=policy.update.kind != "none",
        learning=learning,
        adapters=own_adapters(scenario, prepared, moments),
        log=UpdateLog(population.n_devices),
        stored_lists=preloaded.tolist() if scenario.cloud.stores == "lists" else None,
    )
    return world


def decision_times(
    population: Population, ties: NDArray[np.bool_], joining: NDArray[np.bool_], at_interaction: bool
) -> NDArray[np.float64]:
    """When the fleet's decisions fall [N], rising, if no battery runs empty: as devices `joining` [D] join, and at
    interactions; on rows `ties` [S] of the stream nothing is decided."""
    t_s, joined_s = population.stream.t_s, population.presence.joined_s
    change = np.zeros(len(t_s) + 1, dtype=np.int64)
    np.add.at(change, population.first_row, 1)
    np.add.at(change, population.end_row, -1)
    taking_part = np.cumsum(change)[:-1] > 0  # rows of devices lie one after the other
    rows = t_s[taking_part & ~ties] if at_interaction else t_s[:0]
    joins = joined_s[joining & (joined_s <= population.stream.horizon_s)]
    return np.sort(np.concatenate([rows, joins]))


def foresight_of(scenario: sections.Scenario, prepared: Prepared, slates: Slates, tuned: Tuned) -> Foresight | None:
    """How far ahead a policy that looks at rankings may be followed; None for one that does not.

    Lists that nobody has asked for yet are made ahead of time only where they are likely to be asked for, and where
    one that cannot be made ends no run: with no budget to refuse them, and not from a table.
    """
    if tuned.doubt is None:
        return None
    assert isinstance(slates, ListSlates)
    assert tuned.threshold is not None
    stream, population = prepared.population.stream, prepared.population
    ties = np.append(stream.t_s[1:] == stream.t_s[:-1], False)
    ties[stream.device_offsets[1:] - 1] = False
    first_row = stream.device_offsets[:-1] - prepared.learnt.split.history[population.users]
    table = isinstance(scenario.llm.candidates, sections.CandidateTable)
    lists = not table and scenario.policy.budget.ratio >= 1.0 and scenario.policy.decides("interaction")
    first_decision = population.first_step - decides_joining(scenario.policy, population)
    return Foresight(slates, tuned.threshold, first_row, first_decision, ties, lists)


def ranking_flops(scenario: sections.Scenario, learnt: Learnt, tuned: Tuned) -> float:
    """FLOPs of one ranking on the device, and of the doubt in it; 0 where neither slate nor policy needs the SRM."""
    policy, srm = scenario.policy, learnt.srm
    if policy.slate in ("popular", "recent", "frequent", "markov", "cloud_srm"):
        return 0.0
    asks = isinstance(policy.request, sections.InconsistencyRequest | sections.UncertaintyRequest)
    asks = asks or isinstance(policy.request, sections.LearnedRequest)
    idle = isinstance(policy.fusion, sections.LlmOnly) and not scenario.workload.refills and not asks
    if policy.slate == "llm" and idle:
        return 0.0
    of_list = policy.slate == "llm" and not scenario.workload.refills  # a device that refills ranks the catalogue
    scored = scenario.llm.list_length if of_list else learnt.histories.n_items
    return srm.flops_encode + srm.flops_per_candidate * scored + tuned.flops


def run(world: World, scenario: sections.Scenario, prepared: Prepared, progress: Progress) -> None:
    """Let every device live until the horizon; then every request that is open is closed."""
    devices, end_s = begin(world, scenario, prepared, progress), end_of(prepared.population.stream.horizon_s)
    population = prepared.population
    total = population.n_interactions.sum()
    with progress.task("simulating interactions", total) as task, fewer_collections():
        world.env.tell(_report(world, task, end_s, int(headline_metric(scenario.metrics.k).split("@")[1])))
        world.env.advance(end_s)
        end(world, devices, end_s)


def end_of(horizon_s: float) -> float:
    """The moment before which all happens that happens in a run: what is due at the horizon itself still does."""
    return horizon_s * (1 + 1e-12) + 1e-9


def begin(world: World, scenario: sections.Scenario, prepared: Prepared, progress: Progress) -> list[Device]:
    """The devices of a world whose clock has not begun, with all that they and the cloud will do."""
    population = prepared.population
    horizon_s = population.stream.horizon_s
    devices = [Device(world, index) for index in range(population.n_devices)]
    world.recorder.slates.in_use = lambda: np.fromiter(
        (slate for device in devices for slate in (device.shown_slate, device.next_slate)), np.int64, 2 * len(devices)
    )
    for device in devices:
        if world.joined_s[device.device] <= horizon_s:
            world.env.tell(device.live())
    if world.learning is not None:
        world.env.tell(world.learning.retrain(world, devices, progress))
        for device in devices if world.learning.uploads_s is not None else []:
            world.env.tell(world.learning.uploads(world, device))
    section = scenario.policy.request
    if isinstance(section, sections.CloudPush):
        for device, times_s in zip(devices, push_times(section, population, prepared.draws), strict=True):
            world.env.tell(device.pushes(times_s))
    return devices


def end(world: World, devices: list[Device], end_s: float) -> None:
    """The run has come to its end: what devices have not told yet is told, what is open is closed."""
    for device in devices:
        device.catch_up(end_s)
    world.energy_j = [device.energy_j for device in devices]
    world.decisions = [device.decisions for device in devices]
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
