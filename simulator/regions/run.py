"""A run in regions: from barrier to barrier, whoever simulates them, then their records and figures put together."""

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import Progress
from fleetrec.simulator.core.randomness import Draws, RegionDraws
from fleetrec.simulator.engine.retraining import Trainer
from fleetrec.simulator.fleet.devices import build_fleet
from fleetrec.simulator.fleet.population import DeviceRange, Population, populate
from fleetrec.simulator.preparation.closed_loop import fitted_users
from fleetrec.simulator.preparation.fitted_users import is_fitted
from fleetrec.simulator.preparation.input_checks import check_inputs
from fleetrec.simulator.preparation.training import TrainedModels, first_deployed, train_llm, train_models
from fleetrec.simulator.regions.barrier import Barriers
from fleetrec.simulator.regions.executors import Executor, ThisProcess
from fleetrec.simulator.regions.merging import FolderTables, merge_lives, merge_tables, read_tables
from fleetrec.simulator.regions.messages import RegionState, RunSpec, Task
from fleetrec.simulator.regions.summary import fleet_summary
from fleetrec.simulator.regions.uploads import ChosenUploads, ReplayedUploads
from fleetrec.simulator.results.run_folder import RunFolder, disk_full_told, opened
from fleetrec.simulator.results.run_result import RunResult
from fleetrec.simulator.results.update_summary import training_cost
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.inputs import ListInputs, PreparationInputs, TrainingInputs
from fleetrec.simulator.scenario.regional import arrivals_of, device_bounds, regional
from fleetrec.simulator.workload.arrivals import arrival_times
from fleetrec.simulator.workload.splitting import SplitLog


def simulate_regions(
    scenario: sections.Scenario,
    out: Path | RunFolder | None,
    device: str,
    progress: Progress,
    store: ArtifactStore,
    trained: TrainedModels | None = None,
    executor: Executor | None = None,
) -> RunResult:
    """Run a scenario with regions; the same bytes whatever the executor (none: this process alone)."""
    started = time.perf_counter()
    check_inputs(scenario)
    _check(executor, len(scenario.regions))
    with ExitStack() as stack:
        if executor is not None:
            stack.enter_context(executor)  # workers load libraries meanwhile
        place = out if out is not None else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = stack.enter_context(opened(place, scenario))
        stack.enter_context(disk_full_told(folder.path))
        trained = trained or train_models(TrainingInputs.of(scenario), store, device, progress)
        if scenario.policy.slate.uses_llm:
            train_llm(ListInputs.of(scenario), trained, device, progress)
        if is_fitted(scenario.workload):
            fitted_users(
                scenario.workload, trained, scenario.engine.threads, progress
            )  # workers find them in the store
        who = executor or ThisProcess(store, trained)
        duration_s, fleet, regions = scenario.duration, scenario.fleet, scenario.regions
        if duration_s is None:
            duration_s = _longest_s(scenario.seed, fleet, regions, scenario.workload.arrivals, trained.split)
        timed = scenario.model_copy(update={"duration": duration_s})
        spec = RunSpec(timed, device, max(1, scenario.engine.threads // who.workers), store.root)
        parts = [folder.parts / f"{number:03d}" for number in range(len(regions))]
        prepared_s = time.perf_counter()
        states, barriers, took_s = _run(spec, parts, who, trained, progress)
        simulated_s = time.perf_counter()
        training = training_cost(barriers.trainer, scenario.tariffs)
        folder.begin()
        merge_tables(regions, fleet, duration_s, parts, folder, training.usd)
        lived, alone = None, None
        if scenario.workload.users.reacts:
            lived, alone = merge_lives(fleet, trained, parts, folder)
        summary = fleet_summary(scenario, parts, folder.path, states, barriers.trainer, lived, alone)
        tables = FolderTables(folder.path) if out is not None else read_tables(folder.path)
        result = RunResult(summary, tables, scenario)
        result.timing = {
            "prepare_s": prepared_s - started,
            "simulate_s": simulated_s - prepared_s,
            "collect_s": time.perf_counter() - simulated_s,
            "workers": who.workers,
            "region_s": {region.name: s for region, s in zip(regions, took_s, strict=True)},
            "worker_peak_rss_bytes": max(state.peak_rss_bytes for state in states),
        }
        if out is not None:
            result.write_texts(folder)
    return result


def _run(
    spec: RunSpec, folders: list[Path], executor: Executor, trained: TrainedModels, progress: Progress
) -> tuple[list[RegionState], Barriers, list[float]]:
    """All regions to the end of the run: how they stand, and the wall time [R] that each took."""
    scenario, duration_s = spec.scenario, spec.scenario.duration
    assert duration_s is not None
    schedule, shared = scenario.policy.update, None
    if schedule.retraining is not None:
        inputs, reacts = PreparationInputs.of(scenario), scenario.workload.users.reacts
        srm = first_deployed(inputs.item_table, trained)
        uploads = ChosenUploads(trained, _populations(spec, trained.split)) if reacts else ReplayedUploads(trained)
        trainer = Trainer(schedule, scenario.cloud.gpu, inputs, uploads.trained, srm, spec.device)
        shared = trainer, uploads
    sizes = np.diff(device_bounds(scenario.regions, scenario.fleet.devices))
    barriers = Barriers(duration_s, sizes, scenario.policy.budget, shared, progress)
    held = 1 if barriers.next_s is None else math.ceil(len(folders) / executor.workers)  # by a worker at a time
    spec = replace(spec, at_once=held * executor.workers_here)
    tasks: list[list[Task]] = [[Task(until_s=barriers.next_s)] for _ in folders]
    with progress.task("simulating regions", duration_s) as task:
        done_s, took_s = 0.0, [0.0] * len(folders)
        while True:
            states = [_sound(state) for state in executor.run_until_barrier(spec, tasks, folders)]
            took_s = [before + state.took_s for before, state in zip(took_s, states, strict=True)]
            until_s = barriers.next_s
            task.advance((duration_s if until_s is None else until_s) - done_s)
            if until_s is None:
                return states, barriers, took_s
            done_s = until_s
            for own, update in zip(tasks, barriers.reached(states), strict=True):
                own.append(Task(update, barriers.next_s))


def _populations(spec: RunSpec, split: SplitLog) -> Iterator[Population]:
    """Those of the regions, as they are drawn where these are simulated."""
    scenario = spec.scenario
    bounds = pairwise(device_bounds(scenario.regions, scenario.fleet.devices))
    for number, (region, (low, high)) in enumerate(zip(scenario.regions, bounds, strict=True)):
        draws, own = RegionDraws(scenario.seed, region.name, low), DeviceRange(region.name, low, high)
        yield populate(PreparationInputs.of(regional(scenario, number)), split, draws, own)


def _sound(state: RegionState) -> RegionState:
    if state.error is None:
        return state
    if state.details:
        raise RuntimeError(f"{state.error}\n{state.details}")
    raise InputError(state.error)


def _check(executor: Executor | None, regions: int) -> None:
    if executor is not None and executor.workers > regions:
        raise InputError(
            f"{executor.option}: the scenario has {regions} regions, and a region is simulated in one piece; "
            f"take at most {regions}"
        )


def _longest_s(
    seed: int, fleet: sections.Fleet, regions: Sequence[sections.Region], arrivals: sections.Arrivals, split: SplitLog
) -> float:
    """The time until the last interaction in any region."""
    streamed = np.flatnonzero(split.streamed)
    users = streamed[build_fleet(fleet, len(streamed), Draws(seed)).user]
    ends_s = []
    for region, (low, high) in zip(regions, pairwise(device_bounds(regions, fleet.devices)), strict=True):
        draws, own = RegionDraws(seed, region.name, low), arrivals_of(region, arrivals)
        ends_s.append(arrival_times(split, own, users[low:high], None, draws, users).horizon_s)
    return max(ends_s)
