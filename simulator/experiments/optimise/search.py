"""`optimise`: search the policies of a scenario for its front of accuracy and cost, in an experiment's folder.

Each new point is a variant whose runs are kept like those of a sweep, and compared like them at the end.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import NullProgress, Progress
from fleetrec.simulator.core.notes import PROVISIONED_NONE, Note, note
from fleetrec.simulator.experiments.comparison.compare import Comparison, compare
from fleetrec.simulator.experiments.folders import FAILURE, ExperimentFolder, Variant, flat_figures
from fleetrec.simulator.experiments.optimise.problem import BASE, Problem
from fleetrec.simulator.experiments.optimise.sampling import Result, Search
from fleetrec.simulator.experiments.optimise.space import Settings, label_of
from fleetrec.simulator.experiments.optimise.study import opened
from fleetrec.simulator.experiments.sweeps import Executor, RunJob, run_all
from fleetrec.simulator.experiments.sweeps.sweep_folder import remove_failed, write_failure
from fleetrec.simulator.experiments.sweeps.tables import write_tables
from fleetrec.simulator.records.run_manifest import is_finished
from fleetrec.simulator.scenario.text_files import read_object

_OF_A_RUN = ("file of a run", "the run's own file, or remove the run's folder")


@dataclass
class _State:
    """What is known so far. `able`: variants that have every figure of the goals; `failures`: why others lack one."""

    variants: list[Variant] = field(default_factory=list)
    able: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    extents: list[str] = field(default_factory=list)
    """that each seed evaluates, alike for all variants"""


@dataclass(frozen=True)
class Found:
    """What a search left in its folder, and lines on how it went."""

    comparison: Comparison
    notes: list[Note]


def optimise(problem: Problem, out: Path, executor: Executor, progress: Progress, resume: bool = False) -> Found:
    """Run the search in the folder `out`, then compare its points.

    Deterministic in the problem, whoever executes the runs and however often it was interrupted. Raises InputError for
    what the user can mend; runs that fail are recorded with the reason, and the rest goes on.
    """
    problem.check()
    with opened(problem, out, resume) as (folder, trials):
        search = Search(problem.space, problem.goals, problem.sampler, problem.sampler_seed, problem.start)
        search.recall(trials.recorded)
        state = _State()
        with executor, progress.task("points", problem.trials) as task:

            def evaluate(points: Sequence[Settings]) -> list[Result]:
                new = [_variant(problem, settings) for settings in points]
                state.variants += new
                folder.write_manifest(problem.manifest(state.variants))
                _run(problem, folder, new, executor)
                results = [_judge(problem, folder, variant, state) for variant in new]
                task.advance(len(new), f"{len(state.failures)} failed" if state.failures else "")
                return results

            evaluate([{}])
            evaluate(search.points)
            while len(state.variants) < problem.trials:
                before = len(state.variants)
                for trial in search.batch(min(problem.batch, problem.trials - before), evaluate):
                    if trial.number >= len(trials.recorded):
                        trials.add(trial)
                if len(state.variants) == before:
                    break
        write_tables(folder)
        if not state.able:
            raise InputError(f"{out}: no point has all figures; {_failures(state)[0].text}")
        if BASE not in state.able:  # the others can be compared nevertheless
            folder.write_manifest(problem.manifest(state.variants, state.able[0]))
        return Found(compare(out), [*_failures(state), *_searched_through(problem, state)])


def _variant(problem: Problem, settings: Settings) -> Variant:
    """A point as a variant; no settings: the scenario as it stands."""
    if not settings:
        return problem.own
    return Variant(label_of(settings), content_hash(settings), settings)


def _run(problem: Problem, folder: ExperimentFolder, variants: Sequence[Variant], executor: Executor) -> None:
    """Run what of the variants is neither finished nor failed."""
    jobs = []
    for variant in variants:
        for seed in problem.seeds:
            place = folder.run_folder(variant, seed)
            if is_finished(place) or (place / FAILURE).is_file():
                continue
            remove_failed(place)
            try:
                settings = {} if variant.name == BASE else dict(variant.settings)
                jobs.append(RunJob(problem.scenario(settings, seed), place))
            except InputError as error:
                write_failure(place, str(error), "")
    for number, outcome in run_all(jobs, executor, NullProgress()):
        if outcome.error is not None:
            write_failure(jobs[number].folder, outcome.error, outcome.details)


def _judge(problem: Problem, folder: ExperimentFolder, variant: Variant, state: _State) -> Result:
    """The goals of a variant, as means over its seeds; it fails with the first of its runs that did."""
    rows, extents = [], []
    for seed in problem.seeds:
        place = folder.run_folder(variant, seed)
        if not is_finished(place):
            reason = str(read_object(place / FAILURE, *_OF_A_RUN).get("error"))
            state.failures[variant.name] = f"seed {seed}: {reason}"
            return Result(failure=reason)
        summary = read_object(place / "summary.json", *_OF_A_RUN)
        if variant.name == BASE:
            problem.goals.check(_names(summary))
        rows.append(flat_figures(summary))
        extents.append(_extent(summary))
    _check_same_world(variant, extents, state)
    missing = problem.goals.missing(rows)
    if missing:
        why = next((note["text"] for note in summary["notes"] if note["key"] == PROVISIONED_NONE), "")
        reason = f"{missing[0]} has no value" + (f" ({why})" if why else "")
        state.failures[variant.name] = reason
        return Result(failure=reason)
    state.able.append(variant.name)
    means = problem.goals.means(rows)
    return Result(tuple(problem.goals.values(means)), tuple(problem.goals.excess(means)))


def _extent(summary: Mapping[str, Any]) -> str:
    """What every point of a space has alike: its interactions; where users react, how many may have some, how long."""
    if "engagement" in summary:
        return f"{summary['devices']:,} users for {summary['simulated_seconds']:,.0f} s"
    return f"{summary['interactions']:,}"


def _check_same_world(variant: Variant, extents: list[str], state: _State) -> None:
    """InputError, as soon as it shows, where points of the space cannot be compared."""
    state.extents = state.extents or extents
    if extents != state.extents:
        raise InputError(
            f"search space: {variant.name!r} evaluates other interactions than the points before it ({extents[0]} "
            f"against {state.extents[0]}), so they cannot be compared; keep fleet and workload out of the space"
        )


def _names(summary: dict[str, Any], prefix: str = "") -> list[str]:
    """The dotted names of all figures of a summary, those without a value too."""
    names: list[str] = []
    for key, value in summary.items():
        names += _names(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]
    return names


def _failures(state: _State) -> list[Note]:
    """A note for each reason, with how many points it stopped."""
    notes = []
    for reason, count in Counter(state.failures.values()).most_common():
        first = next(name for name, why in state.failures.items() if why == reason)
        more = f" and {count - 1} more" if count > 1 else ""
        said = f"failed: '{{first}}'{more}: {{reason}}"
        notes.append(note("failed", said, first=first, points=count, reason=reason))
    return notes


def _searched_through(problem: Problem, state: _State) -> list[Note]:
    if len(state.variants) >= problem.trials:
        return []
    said = "the space has no more points that the sampler would find: {run} of {trials} were run"
    return [note("searched_through", said, run=len(state.variants), trials=problem.trials)]
