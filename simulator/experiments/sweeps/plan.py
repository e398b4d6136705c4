"""A sweep checked whole: every variant meets the base scenario before anything runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.experiments.folders import Manifest
from fleetrec.simulator.experiments.sweeps.reading import Settings, Sweep
from fleetrec.simulator.experiments.sweeps.variants import Point, draw, expand
from fleetrec.simulator.preparation.input_checks import check_inputs
from fleetrec.simulator.results.run_identity import versions
from fleetrec.simulator.scenario import Scenario, resolved_yaml
from fleetrec.simulator.scenario.overrides import setting_of, to_node
from fleetrec.simulator.scenario.reading import Place

ASK_ABOVE = 1000
"""runs that a plan may have without being asked for twice"""


@dataclass(frozen=True)
class Plan:
    """What a sweep runs: its manifest, and the scenario of each variant before its seed is set."""

    manifest: Manifest
    scenarios: Mapping[str, Scenario]
    text: str

    def scenario(self, variant: str, seed: int, training: int | None = None) -> Scenario:
        """The scenario of one run; `training`: the seed of its models, where that is replicated."""
        scenario = self.scenarios[variant].model_copy(update={"seed": seed})
        return scenario if training is None else scenario.trained_with(training)

    @property
    def n_runs(self) -> int:
        return len(self.manifest.variants) * len(self.manifest.seeds) * max(len(self.manifest.trainings), 1)


def make_plan(sweep: Sweep, overrides: Sequence[str] = (), confirmed: bool = False) -> Plan:
    """Every variant of `sweep` resolved and checked. `overrides` ("dotted.key=value") change the base for all of them.

    Raises InputError for the first thing that is wrong, naming the file, its line and the variant; and for a plan of
    more than ASK_ABOVE runs unless it is `confirmed`.
    """
    points = expand(sweep)
    file = sweep.file
    replicates = len(file.seeds) * max(len(sweep.trainings), 1)
    given = dict(setting_of(override) for override in overrides)
    for key in given:
        _check_not_swept(key, points)
    fixed = {**sweep.fixed, **given}
    names = [point.variant.name for point in points]
    if file.budget is not None:
        most = file.budget // replicates
        if most < 1:
            runs = counted(file.budget, "run does", "runs do")
            text = f"{runs} not reach for one variant at {counted(replicates, 'seed')}"
            raise InputError(f"{sweep.place('budget')}: budget: {text}; raise it, or drop seeds")
        points = draw(points, most, file.baseline)
    n_runs = len(points) * replicates
    if n_runs > ASK_ABOVE and not confirmed:
        raise InputError(
            f"{sweep.path}: {counted(len(points), 'variant')} x {counted(replicates, 'seed')} are {n_runs:,} runs; "
            "add --yes if they are meant, or set 'budget'"
        )
    base = Scenario.load(sweep.base, settings=fixed)
    scenarios = {point.variant.name: _resolve(sweep, fixed, point) for point in points}
    if file.baseline is not None and file.baseline not in names:
        near = get_close_matches(file.baseline, names, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names[:6])}"
        raise InputError(f"{sweep.place('baseline')}: baseline: no variant is named {file.baseline!r} ({hint})")
    manifest = Manifest(
        kind="sweep",
        name=file.name,
        question=file.question,
        base=str(sweep.base),
        base_hash=content_hash(resolved_yaml(base)),
        seeds=list(file.seeds),
        axes=_values(points),
        variants=[point.variant for point in points],
        metrics=list(file.metrics),
        baseline=file.baseline,
        versions=versions(),
        warm_up=file.warm_up,
        trainings=sweep.trainings,
    )
    return Plan(manifest, scenarios, sweep.text)


def scenario_with(base: Path, settings: Mapping[str, Any], seed: int | None = None) -> Scenario:
    """The scenario in `base` with dotted keys set to JSON-like values, as a variant's settings are.

    Raises InputError, one line that names the key.
    """
    nodes = {key: to_node(value, Place(f"{key} of {base}")) for key, value in settings.items()}
    return Scenario.load(base, seed=seed, settings=nodes)


def _resolve(sweep: Sweep, fixed: Settings, point: Point) -> Scenario:
    try:
        return Scenario.load(sweep.base, settings={**fixed, **point.settings}, check=check_inputs)
    except InputError as error:
        raise InputError(f"{error} (variant {point.variant.name!r} of {sweep.path})") from None


def _check_not_swept(key: str, points: Sequence[Point]) -> None:
    for point in points:
        for swept in point.settings:
            if f"{swept}.".startswith(f"{key}.") or f"{key}.".startswith(f"{swept}."):
                raise InputError(f"--set {key}: the sweep varies {swept}; change the sweep file instead")


def _values(points: Sequence[Point]) -> dict[str, list[Any]]:
    """Every value that each swept key has, in order of appearance."""
    values: dict[str, list[Any]] = {}
    for point in points:
        for key, value in point.variant.settings.items():
            known = values.setdefault(key, [])
            if value not in known:
                known.append(value)
    return values
