"""Runs a world until its horizon: what begins it, what ends it, and how it tells on the way."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fleetrec.models.metrics import headline_k
from fleetrec.models.runtime.progress import Progress, Task, in_words
from fleetrec.simulator.engine.context import World
from fleetrec.simulator.engine.device import Device
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.scenario import sections

_PROGRESS_STEPS = 400


def run(world: World, scenario: sections.Scenario, prepared: Prepared, progress: Progress) -> None:
    """Let every device live until the horizon; then every request that is open is closed."""
    devices, end_s = begin(world, scenario, prepared, progress), end_of(prepared.population.stream.horizon_s)
    population = prepared.population
    total = population.n_interactions.sum()
    with progress.task("simulating interactions", total) as task, fewer_collections():
        world.env.tell(_report(world, task, end_s, headline_k(scenario.metrics.k)))
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
    request, presence = scenario.policy.request, population.presence
    if request.push_period_s() is not None:
        until_s = np.minimum(presence.left_s, horizon_s)
        pushes = request.push_times(presence.joined_s, until_s, horizon_s, prepared.draws)
        for device, times_s in zip(devices, pushes, strict=True):
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
