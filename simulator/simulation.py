"""`simulate`: the whole tool in one call; and the same for a scenario that is prepared already."""

import time
from pathlib import Path

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress, Progress
from fleetrec.simulator.engine.run import run
from fleetrec.simulator.engine.world import build_world
from fleetrec.simulator.preparation.memory_estimate import check_memory
from fleetrec.simulator.preparation.policy_calibration import Tuned, tails_of, tune
from fleetrec.simulator.preparation.prepare import Prepared, prepare
from fleetrec.simulator.regions import Crew, simulate_regions
from fleetrec.simulator.results.collect import collect
from fleetrec.simulator.results.run_folder import RunFolder, opened
from fleetrec.simulator.results.run_result import RunResult
from fleetrec.simulator.results.timeline_trace import Tracer, TraceRequest
from fleetrec.simulator.scenario import sections


def simulate(
    scenario: sections.Scenario,
    out: Path | str | RunFolder | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    store: ArtifactStore | None = None,
    trace: TraceRequest | None = None,
    crew: Crew | None = None,
) -> RunResult:
    """Run `scenario`; with `out` its files are written there, with `trace` also a timeline of chosen devices.

    `crew`: who simulates the regions of a scenario that has some; none: this process. Deterministic in the scenario,
    whatever the machine's load, the number of workers or `engine.batching`. Raises InputError for what the user can
    mend.
    """
    if isinstance(out, Path | str):
        with opened(out, scenario) as held:
            return simulate(scenario, held, device, progress, store, trace, crew)
    progress = progress or NullProgress()
    if scenario.regions:
        if trace is not None:
            raise InputError("--trace: a scenario with regions cannot be traced; remove regions, or trace one of them")
        return simulate_regions(scenario, out, device, progress, store or ArtifactStore(), crew=crew)
    if crew is not None:
        raise InputError(
            f"{crew.option}: the scenario has no regions to share out; give it some (docs/how-to/regions.md)"
        )
    started = time.perf_counter()
    prepared = prepare(scenario, device, progress, store)
    return simulate_prepared(scenario, prepared, out, device, progress, time.perf_counter() - started, trace)


def run_prepared(
    scenario: sections.Scenario,
    prepared: Prepared,
    out: Path | RunFolder | None,
    device: str,
    progress: Progress,
    prepare_s: float = 0.0,
) -> RunResult:
    """Run `scenario` on what was prepared for it in this process, in regions where it has some."""
    if scenario.regions:
        return simulate_regions(scenario, out, device, progress, prepared.learnt.store, prepared.learnt)
    return simulate_prepared(scenario, prepared, out, device, progress, prepare_s)


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
