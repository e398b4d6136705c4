"""`optimise`: search the policies of a scenario for its front of accuracy and cost, in an experiment's folder.

Each new point is a variant whose runs are kept like those of a sweep; study.db, an Optuna study, holds the trials.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import yaml

from models.artifacts import atomic_path, content_hash
from models.errors import InputError
from models.progress import NullProgress, Progress
from simulator.experiments.folders import ExperimentFolder, Manifest, Variant, flat_figures
from simulator.experiments.optimise.answer import answer
from simulator.experiments.optimise.goals import Goals
from simulator.experiments.optimise.sampling import Result, SamplerName, Search, settings_of
from simulator.experiments.optimise.space import Settings, Space, label_of, overrides_of
from simulator.experiments.sweeps import Executor, RunJob, run_all
from simulator.experiments.sweeps.opening import write_failure
from simulator.experiments.sweeps.plan import versions
from simulator.experiments.sweeps.tables import write_tables
from simulator.scenario import Scenario, resolved_yaml

BASE = Variant("base", "base", {})
_STUDY = "optimisation"


@dataclass(frozen=True)
class Problem:
    """What is searched, and how. `trials`: points to run, the scenario as it stands among them."""

    base: Path
    overrides: Sequence[str]
    goals: Goals
    space: Space
    trials: int = 40
    seeds: Sequence[int] = (1,)
    sampler: SamplerName = "gp"
    sampler_seed: int = 0
    batch: int = 4
    """points that are asked for at once, so the most that can run at a time"""

    @property
    def start(self) -> int:
        """Trials of the space-filling start, the same however long the search goes on."""
        free = sum(knob.points != 1 for knob in self.space.knobs)
        return min(max(2 * free, 8), 16)

    def scenario(self, settings: Settings, seed: int | None = None) -> Scenario:
        """The base scenario with settings; InputError where they do not go together."""
        return Scenario.load(self.base, [*self.overrides, *overrides_of(settings)], seed)

    def terms(self) -> dict[str, Any]:
        """What must stay as it is when a search goes on: all but the number of trials."""
        knobs = [[knob.name, knob.choices, knob.low, knob.high, knob.step, knob.log] for knob in self.space.knobs]
        return {
            "base": content_hash(resolved_yaml(self.scenario({}))),
            "space": content_hash(knobs),
            "goals": json.dumps([self.goals.directions, self.goals.limits]),
            "seeds": list(self.seeds),
            "sampler": f"{self.sampler} with seed {self.sampler_seed} in batches of {self.batch}",
            "versions": versions(),
        }


@dataclass
class _State:
    """What is known so far."""

    variants: list[Variant] = field(default_factory=list)
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    """of each variant, the mean over its seeds"""
    failures: dict[str, str] = field(default_factory=dict)


def optimise(
    problem: Problem, out: Path, executor: Executor, progress: Progress, resume: bool = False
) -> dict[str, Any]:
    """Run the search in the folder `out`; returns what answer.json holds.

    Deterministic in the problem, whoever executes the runs and however often it was interrupted. Raises InputError for
    what the user can mend; runs that fail are recorded with the reason, and the rest goes on.
    """
    problem.space.check(problem.scenario, "search space")
    base, terms = problem.scenario({}), problem.terms()
    folder, study = _open(problem, terms, out, resume)
    search = Search(problem.space, problem.goals, problem.sampler, problem.sampler_seed, problem.start)
    recorded = study.get_trials()
    whole = _whole_batches(recorded)
    search.recall(whole)
    state = _State()
    with executor, progress.task("points", problem.trials) as task:

        def evaluate(points: Sequence[Settings]) -> list[Result]:
            new = [_variant(settings) for settings in points]
            state.variants += new
            folder.write_manifest(_manifest(problem, base.name, terms, state.variants))
            _run(problem, folder, new, executor)
            results = [_judge(problem, folder, variant, state) for variant in new]
            task.advance(len(new), f"{len(state.failures)} failed" if state.failures else "")
            return results

        evaluate([{}])
        evaluate(_points(whole))
        number = len(whole) and whole[-1].user_attrs["batch"] + 1
        while len(state.variants) < problem.trials:
            before = len(state.variants)
            finished = search.batch(min(problem.batch, problem.trials - before), evaluate)
            for trial in finished:
                trial.user_attrs |= {"batch": number, "of_batch": len(finished)}
                if trial.number >= len(recorded):
                    study.add_trial(trial)
            if len(state.variants) == before:
                break
            number += 1
    write_tables(folder)
    found = answer(problem.goals, state.variants, state.figures, state.failures, problem.trials)
    with atomic_path(out / "answer.json") as path:
        path.write_text(json.dumps(found, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return found


def _whole_batches(trials: Sequence[optuna.trial.FrozenTrial]) -> list[optuna.trial.FrozenTrial]:
    """The trials of batches that are recorded whole: a crash may have left a part of the last one."""
    recorded = Counter(trial.user_attrs["batch"] for trial in trials)
    return [trial for trial in trials if recorded[trial.user_attrs["batch"]] == trial.user_attrs["of_batch"]]


def _points(trials: Sequence[optuna.trial.FrozenTrial]) -> list[Settings]:
    """The settings of the trials, each once, in order of appearance."""
    return [json.loads(text) for text in dict.fromkeys(json.dumps(settings_of(trial)) for trial in trials)]


def _variant(settings: Settings) -> Variant:
    if not settings:
        return BASE
    return Variant(label_of(settings), content_hash(settings), settings)


def _run(problem: Problem, folder: ExperimentFolder, variants: Sequence[Variant], executor: Executor) -> None:
    """Run what of the variants is neither finished nor failed."""
    places = [(variant, seed, folder.run_folder(variant, seed)) for variant in variants for seed in problem.seeds]
    jobs = []
    for variant, seed, place in places:
        if (place / "summary.json").is_file() or (place / "failure.json").is_file():
            continue
        try:
            jobs.append(RunJob(problem.scenario(dict(variant.settings), seed), place))
        except InputError as error:
            write_failure(place, str(error), "")
    for number, outcome in run_all(jobs, executor, NullProgress()):
        if outcome.error is not None:
            write_failure(jobs[number].folder, outcome.error, outcome.details)


def _judge(problem: Problem, folder: ExperimentFolder, variant: Variant, state: _State) -> Result:
    """The goals of a variant, as means over its seeds; it fails with the first of its runs that did."""
    rows = []
    for seed in problem.seeds:
        place = folder.run_folder(variant, seed)
        if not (place / "summary.json").is_file():
            reason = json.loads((place / "failure.json").read_text(encoding="utf-8"))["error"]
            state.failures[variant.name] = f"seed {seed}: {reason}"
            return Result(failure=reason)
        summary = json.loads((place / "summary.json").read_text(encoding="utf-8"))
        if variant == BASE:
            problem.goals.check(_names(summary))
        rows.append(flat_figures(summary))
    missing = [name for name in problem.goals.names if any(name not in row for row in rows)]
    if missing:
        why = next((note for note in summary["notes"] if ": none, since" in note), "")
        reason = f"{missing[0]} has no value" + (f" ({why})" if why else "")
        state.failures[variant.name] = reason
        return Result(failure=reason)
    means = {name: sum(row[name] for row in rows) / len(rows) for name in problem.goals.names}
    state.figures[variant.name] = means
    return Result(tuple(problem.goals.values(means)), tuple(problem.goals.excess(means)))


def _names(summary: dict[str, Any], prefix: str = "") -> list[str]:
    """The dotted names of all figures of a summary, those without a value too."""
    names: list[str] = []
    for key, value in summary.items():
        names += _names(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]
    return names


# ------------------------------------------------------------------------------------------ the folder


def _open(problem: Problem, terms: dict[str, Any], out: Path, resume: bool) -> tuple[ExperimentFolder, optuna.Study]:
    folder = ExperimentFolder(out)
    path = out / "study.db"
    try:
        out.mkdir(parents=True, exist_ok=True)
        present = {entry.name for entry in out.iterdir()}
    except FileExistsError:
        raise InputError(f"--out {out}: is a file; name a folder") from None
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written ({error.strerror}); name another folder") from None
    if path.name in present and not resume:
        raise InputError(f"--out {out}: holds an optimisation; add --resume to go on with it, or name another folder")
    if present and path.name not in present:
        raise InputError(f"--out {out}: holds files that are not an optimisation's; name a new or an empty folder")
    study = _study(problem, path)
    held = study.user_attrs.get("terms")
    if held is None:
        study.set_user_attr("terms", terms)
    elif held != terms:
        changed = ", ".join(name for name, value in terms.items() if held.get(name) != value)
        raise InputError(f"--resume: {out} was searched with another {changed}; undo the change or name another folder")
    given: dict[str, Any] = {"base": str(problem.base), "set": list(problem.overrides)}
    given["directions"] = dict(problem.goals.directions)
    given |= {"limits": dict(problem.goals.limits), "seeds": list(problem.seeds), "trials": problem.trials}
    given |= {"sampler": problem.sampler, "space": [knob.name for knob in problem.space.knobs]}
    with atomic_path(out / "experiment.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(given, sort_keys=False), encoding="utf-8")
    return folder, study


def _study(problem: Problem, path: Path) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(
            storage=f"sqlite:///{path.resolve()}",
            study_name=_STUDY,
            load_if_exists=True,
            directions=list(problem.goals.directions.values()),
        )
    except Exception as error:  # whatever the database library raises for a file that is not its own
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"{path}: cannot be read ({reason}); remove it to begin anew: finished runs are kept"
        ) from error


def _manifest(problem: Problem, name: str, terms: dict[str, Any], variants: Sequence[Variant]) -> Manifest:
    axes = {
        key: list(dict.fromkeys(variant.settings[key] for variant in variants if key in variant.settings))
        for key in problem.space.keys
    }
    return Manifest(
        kind="optimisation",
        name=f"{name}-optimised",
        question=f"Which policy of {name} is best, and at what cost?",
        base=str(problem.base),
        base_hash=terms["base"],
        seeds=list(problem.seeds),
        axes=axes,
        variants=list(variants),
        metrics=problem.goals.names,
        baseline=BASE.name,
        versions=terms["versions"],
        directions=dict(problem.goals.directions),
        limits=dict(problem.goals.limits),
    )
