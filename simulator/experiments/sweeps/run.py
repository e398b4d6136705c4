"""`run_sweep`: a sweep file from its plan to its tables; `run_all`: any runs on any executor."""

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fleetrec.models.runtime.cores import available_cores
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.experiments.comparison.compare import compare
from fleetrec.simulator.experiments.folders import RunPlace
from fleetrec.simulator.experiments.sweeps.jobs import Executor, Outcome, RunJob, TrainingJob
from fleetrec.simulator.experiments.sweeps.local import LocalProcesses, ThisProcess
from fleetrec.simulator.experiments.sweeps.plan import Plan
from fleetrec.simulator.experiments.sweeps.ray_cluster import RayCluster
from fleetrec.simulator.experiments.sweeps.sweep_folder import finished_runs, opened, write_failure
from fleetrec.simulator.experiments.sweeps.tables import write_tables
from fleetrec.simulator.scenario.text_files import read_object

Say = Callable[[str], None]


@dataclass(frozen=True)
class Finished:
    """What became of a sweep: runs in its tables, and the failed ones with their reasons."""

    folder: Path
    runs: int
    failed: list[tuple[RunPlace, str]]

    def figures(self) -> dict[str, Any]:
        """As JSON."""
        failed = [{"variant": run.variant.name, "seed": run.seed, "error": why} for run, why in self.failed]
        return {"folder": str(self.folder), "runs": self.runs, "failed": failed}

    def failures(self, most: int = 5) -> list[str]:
        """Lines on what failed, the first few by name, with the count last."""
        if not self.failed:
            return []
        lines = [f"{run.variant.name!r} at seed {run.seed}: {why}" for run, why in self.failed[:most]]
        of = f"{len(self.failed)} of {counted(self.runs + len(self.failed), 'run')} failed"
        return [*lines, f"{of} (failure.json in their folders says why); --resume tries them again"]


def executor_for(
    engine: Literal["local", "ray"] = "local", jobs: int | None = None, address: str | None = None
) -> Executor:
    """The executor of `--engine`, `--jobs` and `--ray-address`. Without `jobs`, a worker for each core."""
    if engine == "ray":
        return RayCluster(jobs, address)
    if address is not None:
        raise InputError("--ray-address needs --engine ray")
    workers = jobs or available_cores()
    return ThisProcess() if workers == 1 else LocalProcesses(workers)


def run_sweep(
    plan: Plan,
    out: Path,
    executor: Executor,
    progress: Progress,
    say: Say,
    resume: bool = False,
    overwrite: Sequence[str] = (),
    before_the_end: Callable[[], None] = lambda: None,
    conclude: bool = True,
) -> Finished:
    """Run what is still to be run of `plan` in the folder `out`, then compare where it is to `conclude`. `say` takes a
    line for the user; `before_the_end` is called once all runs have ended.

    Raises InputError for a folder that cannot be used (see `opened`) and when the disk is full; what is finished stays.
    """
    with opened(out, plan, resume, overwrite) as folder:
        places = list(folder.runs(plan.manifest))
        if outside := [run for run in finished_runs(folder) if run not in {place.folder for place in places}]:
            named = ", ".join(str(run.relative_to(out)) for run in outside[:4])
            more = ", ..." if len(outside) > 4 else ""
            they = "it stays" if len(outside) == 1 else "they stay"
            held = counted(len(outside), "finished run is", "finished runs are")
            say(f"{held} not in this sweep's plan; {they}: {named}{more}")
        todo = [place for place in places if not place.finished]
        say(_intention(plan, places, len(todo), executor.workers))
        jobs = [RunJob(plan.scenario(place.variant.name, place.seed, place.training), place.folder) for place in todo]
        failed: list[tuple[RunPlace, str]] = []
        if jobs:
            sample = max(2 * executor.workers, len(jobs) // 20)
            with executor:
                started = time.monotonic()
                for count, (number, outcome) in enumerate(run_all(jobs, executor, progress), start=1):
                    if outcome.error is not None:
                        write_failure(todo[number].folder, outcome.error, outcome.details)
                        failed.append((todo[number], outcome.error))
                    if count == sample < len(jobs):
                        left = duration((time.monotonic() - started) / count * (len(jobs) - count))
                        say(f"{counted(count, 'run is', 'runs are')} done; at this pace about {left} to go")
        before_the_end()
        order = {place.folder: i for i, place in enumerate(places)}
        failed.sort(key=lambda pair: order[pair[0].folder])
        runs = write_tables(folder)
        say(f"{counted(runs, 'finished run')}: {out / 'results.parquet'}")
        if runs and conclude:
            say(_conclusion(out))
        return Finished(out, runs, failed)


def run_all(jobs: Sequence[RunJob], executor: Executor, progress: Progress) -> Iterator[tuple[int, Outcome]]:
    """Do the runs; (number, outcome) of each as it ends. Models are trained first, each once.

    To be called inside the executor's `with` block, as often as need be: its workers keep what they know. Raises
    OSError (ENOSPC) when a worker finds the disk full.
    """
    learning: dict[tuple[str, str], TrainingJob] = {}
    keys_of = []
    for job in jobs:
        needed = job.trainings
        keys_of.append([one.key for one in needed])
        for key, one in zip(keys_of[-1], needed, strict=True):
            learning.setdefault(key, one)
    untrained: dict[tuple[str, str], Outcome] = {}
    keys = list(learning)
    with progress.task("models", len(learning)) as task:
        for number, outcome in executor.outcomes(list(learning.values())):
            _stop_if_full(outcome)
            task.advance()
            if outcome.error is not None:
                untrained[keys[number]] = outcome
    able = []
    for number, needs in enumerate(keys_of):
        failed_at = next((key for key in needs if key in untrained), None)
        if failed_at is None:
            able.append(number)
        else:
            yield number, untrained[failed_at]
    first: dict[str, int] = {}  # runs on one preparation come one after the other: a worker keeps the last one
    prepared = {number: first.setdefault(jobs[number].key[0], number) for number in able}
    able.sort(key=lambda number: (prepared[number], number))
    failed = 0
    with progress.task("runs", len(able)) as task:
        for place, outcome in executor.outcomes([jobs[number] for number in able]):
            _stop_if_full(outcome)
            failed += outcome.error is not None
            task.advance(note=f"{failed} failed" if failed else "")
            yield able[place], outcome


def _conclusion(out: Path) -> str:
    """Compares the finished runs; what was found in a line, or why they cannot be compared."""
    try:
        return str(compare(out).answer["headline"])
    except InputError as error:
        return f"not compared: {error}"


def _stop_if_full(outcome: Outcome) -> None:
    if outcome.disk_full:
        raise OSError(errno.ENOSPC, outcome.error)


def _intention(plan: Plan, places: list[RunPlace], todo: int, workers: int) -> str:
    """How many runs there are and, where earlier ones tell, about how long the rest takes."""
    variants, seeds = len(plan.manifest.variants), len(plan.manifest.seeds)
    trainings = f" x {counted(len(plan.manifest.trainings), 'training')}" if plan.manifest.trainings else ""
    planned = f"{counted(plan.n_runs, 'run')} ({counted(variants, 'variant')} x {counted(seeds, 'seed')}{trainings})"
    with_whom = f" on {workers} workers" if workers > 1 else ""
    if todo == len(places):
        return f"{planned}{with_whom}; how long they take is known once the first have ended"
    took = [_seconds(place.folder) for place in places if place.finished]
    left = sum(took) / len(took) * todo / max(workers, 1)
    return f"{planned}, {todo} of them to do{with_whom}: about {duration(left)}, as the finished ones took"


def _seconds(folder: Path) -> float:
    timing = read_object(folder / "timing.json", "timing of a run", "the run's own file, or --overwrite the run")
    return float(sum(timing.get(name) or 0.0 for name in ("prepare_s", "simulate_s", "collect_s")))


def duration(seconds: float) -> str:
    """A time in words: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
