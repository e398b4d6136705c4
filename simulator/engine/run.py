"""Runs a world until its horizon: what begins it, what ends it, and how it tells on the way."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from fleetrec.models.metrics import headline_k
from fleetrec.models.runtime.progress import Progress, Task, in_words
from fleetrec.simulator.core.clock import Process
from fleetrec.simulator.engine.world import World
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.scenario import sections

_PROGRESS_STEPS = 400


def run(world: World, scenario: sections.Scenario, prepared: Prepared, progress: Progress) -> None:
    """Let every device live until the horizon; then every request that is open is closed."""
    end_s = end_of(prepared.population.stream.horizon_s)
    begin(world, prepared, progress)
    total, k = prepared.population.n_interactions.sum(), headline_k(scenario.metrics.k)
    with progress.task("simulating interactions", total) as task, fewer_collections():
        reports = _reports(world, task, end_s, k)
        if world.known is None:
            world.clock.start(_every(world, reports, end_s))
        else:
            for part in range(1, _PROGRESS_STEPS):
                advance(world, part * end_s / _PROGRESS_STEPS)
                next(reports)
        advance(world, end_s)
        end(world, end_s)


def advance(world: World, until_s: float) -> None:
    """All that happens before `until_s`."""
    if world.known is not None:
        world.known.advance(until_s)
    else:
        world.clock.advance(until_s)


def end_of(horizon_s: float) -> float:
    """The time before which all happens that happens in a run: what is due at the horizon itself still does."""
    return horizon_s * (1 + 1e-12) + 1e-9


def begin(world: World, prepared: Prepared, progress: Progress) -> None:
    """Start all that devices and the cloud will do, in a world whose clock has not begun."""
    clock, devices, horizon_s = world.clock, world.devices, prepared.population.stream.horizon_s
    if world.known is not None:
        world.known.begin()
        return
    for device in devices:
        if device.profile.joins_s <= horizon_s:
            clock.start(device.live())
    if world.rollout is not None:
        world.rollout.start(devices, progress)
    if world.pushes:
        for device, times_s in zip(devices, world.pushes, strict=True):
            clock.start(device.pushes(times_s))


def end(world: World, end_s: float) -> None:
    """The run has come to its end: what devices have not told yet is told, what is open is closed."""
    if world.known is not None:
        world.known.end(end_s)
    for device in world.devices:
        device.catch_up(end_s)
    if world.reactions is not None:
        world.reactions.finish()
    world.service.close(end_s)
    world.requests.close_all()


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


def _every(world: World, reports: Iterator[None], end_s: float) -> Process:
    """Has it told how the run goes, at points of simulated time that are the same whoever looks."""
    while True:
        yield world.clock.timeout(end_s / _PROGRESS_STEPS)
        next(reports)


def _reports(world: World, task: Task, end_s: float, k: int) -> Iterator[None]:
    """Tells how the run goes, each time that it is asked."""
    done = 0
    while True:
        task.advance(world.recorder.interactions - done)
        done = world.recorder.interactions
        if task.watched:
            ndcg = world.recorder.ndcg_so_far(k)
            known = world.known
            now_s, open_, queue = (
                (world.clock.now, len(world.requests.ledger.open), world.service.queue_length)
                if known is None
                else (known.now_s, known.in_flight, known.queue_length)
            )
            figures = {
                "simulated": f"{in_words(now_s)} of {in_words(end_s)}",
                "requests in flight": f"{open_:,}",
                "queue": f"{queue:,}",
            }
            task.show(figures if ndcg is None else figures | {f"NDCG@{k} so far": f"{ndcg:.4f}"})
        yield
