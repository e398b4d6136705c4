"""Which points to try next: a space-filling start, then Optuna's GP, NSGA-II or TPE sampler, batch by batch.

A batch depends on the trials before it and on the seed alone: every study that asks is built anew from what is
recorded and every trial has a sampler of its own, so a search that was interrupted goes on as if it had not been.
"""

import json
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import optuna
import torch
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import qmc

from fleetrec.simulator.experiments.optimise.goals import Goals
from fleetrec.simulator.experiments.optimise.space import SearchParameter, Settings, Space

SamplerName = Literal["gp", "nsga2", "tpe"]

_MOST_REPEATS = 40
"""asks in a row that give known points, after which the space counts as searched through"""
_EXCESS = "excess"
_SETTINGS = "settings"
_FAILURE = "failure"
_BATCH = "batch"
_OF_BATCH = "of_batch"


@dataclass(frozen=True)
class Result:
    """What a point gave: its values in the order of the goals and by how much it passes each limit, or a failure."""

    values: tuple[float, ...] = ()
    excess: tuple[float, ...] = ()
    failure: str | None = None


class Evaluate(Protocol):
    """Whoever finds out what new points give."""

    def __call__(self, points: Sequence[Settings]) -> list[Result]: ...


class Search:
    """The trials of one search so far."""

    def __init__(self, space: Space, goals: Goals, sampler: SamplerName, seed: int, start: int):
        """`start`: trials of the space-filling start."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.trials: list[FrozenTrial] = []
        self._space, self._goals, self._seed = space, goals, seed
        self._sampler, self._start = sampler, start
        free = [parameter for parameter in space.parameters if parameter.points != 1]
        self._design = qmc.Sobol(len(free), rng=seed).random_base2(max(start - 1, 1).bit_length())
        self._free = {parameter.name: place for place, parameter in enumerate(free)}
        self._known: dict[str, Result] = {}
        self._batches = 0

    def recall(self, trials: Sequence[FrozenTrial]) -> None:
        """Take up finished trials. Of a batch that is recorded in part (a crash) none is: it is asked for again."""
        recorded = Counter(trial.user_attrs[_BATCH] for trial in trials)
        for trial in trials:
            if recorded[trial.user_attrs[_BATCH]] == trial.user_attrs[_OF_BATCH]:
                self.trials.append(trial)
                self._known[trial.user_attrs[_SETTINGS]] = _result(trial)
                self._batches = trial.user_attrs[_BATCH] + 1

    @property
    def points(self) -> list[Settings]:
        """The settings of the trials so far, each once, in order of appearance."""
        return [json.loads(text) for text in self._known]

    def batch(self, size: int, evaluate: Evaluate) -> list[FrozenTrial]:
        """Ask for `size` new points, have them evaluated, and take up what came out; returns the finished trials.

        Points that are known already become trials with their known results. Fewer new points, or none: the space has
        no more that the sampler would find.
        """
        study = self._study()
        asked: list[tuple[optuna.Trial, str]] = []
        fresh: dict[str, Settings] = {}
        repeats = 0
        while len(fresh) < size and repeats < _MOST_REPEATS:
            trial, settings = self._ask(study)
            text = json.dumps(settings)
            if text in self._known or text in fresh:
                repeats += 1
            else:
                fresh[text], repeats = settings, 0
            asked.append((trial, text))
            if text in self._known:
                _tell(study, trial, text, self._known[text])
        results = dict(zip(fresh, evaluate(list(fresh.values())), strict=True))
        for trial, text in asked:
            if text in results:
                _tell(study, trial, text, results[text])
        self._known |= results
        finished = study.get_trials(deepcopy=False)[len(self.trials) :]
        for done in finished:
            done.user_attrs |= {_BATCH: self._batches, _OF_BATCH: len(finished)}
        self.trials += finished
        self._batches += 1
        return finished

    def _study(self) -> optuna.Study:
        study = optuna.create_study(directions=list(self._goals.directions.values()))
        study.add_trials(self.trials)
        return study

    def _ask(self, study: optuna.Study) -> tuple[optuna.Trial, Settings]:
        number = len(study.get_trials(deepcopy=False))
        study.sampler = _sampler(self._sampler, self._seed, number, self._start)
        if number < self._start:
            row = self._design[number]
            study.enqueue_trial(
                {parameter.name: _param(parameter, row[self._free[parameter.name]]) for parameter in self._known_free()}
            )
        with _one_thread():
            trial = study.ask()
        # Knobs that do not exist beside the others are asked for too: samplers learn from what all trials have.
        places = {parameter.name: _place(trial, parameter) for parameter in self._space.parameters}
        return trial, self._space.settings(lambda parameter: places[parameter.name])

    def _known_free(self) -> list[SearchParameter]:
        return [parameter for parameter in self._space.parameters if parameter.name in self._free]


def is_ours(trial: FrozenTrial) -> bool:
    """Whether a trial holds all that a search writes to it."""
    return trial.state.is_finished() and {_SETTINGS, _EXCESS, _BATCH, _OF_BATCH} <= set(trial.user_attrs)


def _tell(study: optuna.Study, trial: optuna.Trial, text: str, result: Result) -> None:
    trial.set_user_attr(_SETTINGS, text)
    trial.set_user_attr(_EXCESS, list(result.excess))
    for number, excess in enumerate(result.excess):
        trial.set_constraint(f"limit {number}", excess)
    if result.failure is None:
        study.tell(trial, result.values)
    else:
        trial.set_user_attr(_FAILURE, result.failure)
        study.tell(trial, state=TrialState.FAIL)


def _result(trial: FrozenTrial) -> Result:
    values = tuple(trial.values) if trial.state is TrialState.COMPLETE else ()
    return Result(values, tuple(trial.user_attrs[_EXCESS]), trial.user_attrs.get(_FAILURE))


def _sampler(name: SamplerName, seed: int, number: int, start: int) -> BaseSampler:
    """The sampler of one trial."""
    own = (seed * 1_000_003 + number) % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "gp":
            return GPSampler(seed=own, n_startup_trials=start, deterministic_objective=True)
        if name == "tpe":
            return TPESampler(seed=own, n_startup_trials=start, multivariate=True)
    return NSGAIISampler(seed=own, population_size=start)


@contextmanager
def _one_thread() -> Iterator[None]:
    """A sampler's sums must not depend on how many threads this process happens to have."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _is_category(parameter: SearchParameter) -> bool:
    """Whether its choices have no order."""
    return any(isinstance(choice, str | bool) for choice in parameter.choices)


def _param(parameter: SearchParameter, place: float) -> str | float | int | bool:
    """What Optuna calls the value at a place in [0, 1): a choice, a number of a step, or the place itself."""
    if _is_category(parameter):
        return parameter.value(place)
    return min(int(place * parameter.points), parameter.points - 1) if parameter.points is not None else place


def _place(trial: optuna.Trial, parameter: SearchParameter) -> float:
    """Where the trial puts a search parameter, in [0, 1)."""
    if parameter.points == 1:
        return 0.0
    if _is_category(parameter):
        choice = trial.suggest_categorical(parameter.name, parameter.choices)
        return (parameter.choices.index(choice) + 0.5) / len(parameter.choices)
    if parameter.points is not None:
        return (trial.suggest_int(parameter.name, 0, parameter.points - 1) + 0.5) / parameter.points
    return trial.suggest_float(parameter.name, 0.0, 1.0)
