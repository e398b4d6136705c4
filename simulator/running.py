"""`simulate`: the whole tool in one call."""

import time
from pathlib import Path

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress, Progress
from fleetrec.simulator.preparation.prepare import Prepared, prepare
from fleetrec.simulator.regions import Crew, simulate_regions
from fleetrec.simulator.results.collect import RunResult
from fleetrec.simulator.results.run_folder import RunFolder, opened
from fleetrec.simulator.results.timeline_trace import TraceRequest
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.simulation import simulate_prepared


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
        raise InputError(f"{crew.option}: the scenario has no regions to share out; give it some (docs/regions.md)")
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
