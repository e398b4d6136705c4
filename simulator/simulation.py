"""`simulate`: the whole tool in one call; and the same for a scenario that is prepared already."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress, Progress
from fleetrec.simulator.engine.retelling import may_be_retold, told
from fleetrec.simulator.engine.run import run
from fleetrec.simulator.engine.world import build_world
from fleetrec.simulator.preparation.closed_loop import fitted_users, grown, lived
from fleetrec.simulator.preparation.fitted_users import is_fitted
from fleetrec.simulator.preparation.held_out import held_out_of
from fleetrec.simulator.preparation.memory_estimate import check_memory
from fleetrec.simulator.preparation.policy_calibration import Tuned, tune
from fleetrec.simulator.preparation.prepare import Prepared, prepare
from fleetrec.simulator.regions import Executor, simulate_regions
from fleetrec.simulator.results.collect import collect
from fleetrec.simulator.results.run_folder import RunFolder, opened
from fleetrec.simulator.results.run_result import RunResult
from fleetrec.simulator.results.timeline_trace import Tracer, TraceRequest
from fleetrec.simulator.scenario import check_scenario, sections
from fleetrec.simulator.scenario.inputs import SlateInputs
from fleetrec.simulator.scenario.shapes import families_below


def simulate(
    scenario: sections.Scenario,
    out: Path | str | RunFolder | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
    store: ArtifactStore | None = None,
    trace: TraceRequest | None = None,
    executor: Executor | None = None,
    **kinds: Any,
) -> RunResult:
    """Run `scenario`; with `out` its files are written there, with `trace` also a timeline of chosen devices.

    `kinds` stand in place of the scenario's, by the last word of their key (`request=`, `fusion=`, `router=`, `srm=`
    and so on): a built-in kind, an object of a class of your own, the class itself, or a `functools.partial` of it with
    keys. `executor`: who simulates the regions of a scenario that has some; none: this process. Deterministic in the
    scenario, whatever the machine's load, the number of workers or `engine.batching`. Raises InputError for what the
    user can mend.
    """
    if kinds:
        scenario = _with(scenario, kinds)
    if isinstance(out, Path | str):
        with opened(out, scenario) as held:
            return simulate(scenario, held, device, progress, store, trace, executor)
    progress = progress or NullProgress()
    if scenario.regions:
        if trace is not None:
            raise InputError("--trace: a scenario with regions cannot be traced; remove regions, or trace one of them")
        return simulate_regions(scenario, out, device, progress, store or ArtifactStore(), executor=executor)
    if executor is not None:
        raise InputError(
            f"{executor.option}: the scenario has no regions to share out; give it some (docs/how-to/regions.md)"
        )
    started = time.perf_counter()
    prepared = prepare(scenario, device, progress, store)
    return simulate_prepared(scenario, prepared, out, device, progress, time.perf_counter() - started, trace)


def _with(scenario: sections.Scenario, kinds: Mapping[str, Any]) -> sections.Scenario:
    """The scenario with kinds, by the last word of their key, in place of its own."""
    keys = {key.rsplit(".", 1)[-1]: key for key in families_below(sections.Scenario) if ".N." not in key}
    for name, value in kinds.items():
        if name not in keys:
            raise TypeError(f"simulate() takes no {name!r}; what a scenario has kinds of: {', '.join(sorted(keys))}")
        scenario = sections.with_kind(scenario, keys[name], value)
    check_scenario(scenario)
    return scenario


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
        return simulate_regions(scenario, out, device, progress, prepared.trained.store, prepared.trained)
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
    tracer = Tracer(trace) if trace is not None else None
    with sections.silent(scenario):
        if tuned is None:
            inputs = SlateInputs.of(scenario)
            tuned = tune(scenario.policy, inputs, prepared, lambda: held_out_of(prepared, device, progress))
        reacts, parts = scenario.workload.users.reacts, out.parts if out is not None else None
        fit = None
        if is_fitted(scenario.workload):
            fit = fitted_users(scenario.workload, prepared.trained, scenario.engine.threads, progress).fit
        before, prepared = prepared, grown(prepared, device, progress) if reacts else prepared
        if tracer is None and may_be_retold(scenario):
            world = told(scenario, prepared, tuned, parts, device, progress)
        else:
            world = build_world(scenario, prepared, tuned, parts, device, before, in_steps=tracer is not None)
            if tracer is not None:
                tracer.watch(world)
            run(world, scenario, prepared, progress)
        simulated = time.perf_counter()
        if world.reactions is not None:
            prepared = lived(before, prepared, world.reactions.streamed)
        result = collect(scenario, prepared, world, tuned, progress, users_fit=fit)
    result.timing = {
        "prepare_s": prepare_s,
        "simulate_s": simulated - started,
        "collect_s": time.perf_counter() - simulated,
    }
    if out is not None:
        result.write(out)
    if tracer is not None:
        tracer.write(world, result)
    if prepared.source is not None:
        prepared.source.save()  # last: a cache that is full or lost takes no result with it
    return result


def check_repeatable(first: RunResult, device: str, progress: Progress, store: ArtifactStore) -> None:
    """Run the scenario of `first` once more; own models learn and answer once more. InputError where the two differ,
    which own code alone can bring about."""
    kept = {"srm": ("srm", "srm_cooperative", "srm_update", "srm_states"), "llm.candidates": ("candidates",)}
    own = list(sections.own_kinds(first.scenario))
    with store.forgetting([name for key, _ in own for name in kept.get(key, ())]) as before:
        again = simulate(first.scenario, None, device, progress, before)
    other = [name for name, table in first.tables.items() if not table.equals(again.tables[name])]
    summary = {key: value for key, value in first.summary.items() if key != "run"}
    if not other and summary == {key: value for key, value in again.summary.items() if key != "run"}:
        return
    kinds = [f"{kind.own_source().place}: {kind.own_source().name}" for _, kind in own]
    whose = f"; {' or '.join(kinds)} hangs on more than its keys and what it is handed" if kinds else ""
    raise InputError(f"--check: a second run differs in {', '.join(other) or 'its summary'}{whose}")
