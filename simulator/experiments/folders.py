"""The folder of an experiment: many runs of variants of one scenario, over seeds, and what was concluded from them.

experiment.json      `Manifest`: what was to be run
experiment.yaml      the file that the user wrote, as it was read
runs/<variant>/<seed>/   a run folder each, as `simulate` writes it; `failure.json` instead of a summary where it failed
                     (<seed>-training-<seed of the models> where trainings are replicated)
results.parquet      one row a finished run; timing.parquet: its wall-clock figures
comparisons.parquet  one row a variant and metric; answer.json: the conclusion
report.html, figures/
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from fleetrec.models.runtime.artifacts import atomic_path
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.user_files import read_json
from fleetrec.simulator.records.run_manifest import is_finished
from fleetrec.simulator.results.engagement import PREFIX, RATIOS
from fleetrec.simulator.scenario.sections import Currency
from fleetrec.simulator.scenario.text_files import read_object

SCHEMA_VERSION = 1
FAILURE = "failure.json"

Kind = Literal["sweep", "optimisation"]
Read = TypeVar("Read")


@dataclass(frozen=True)
class Variant:
    """One setting of the base scenario: dotted keys and their values, under a name that labels it everywhere."""

    name: str
    folder: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Manifest:
    """What an experiment runs. `base_hash` and `versions` say whether finished runs can be joined by new ones."""

    kind: Kind
    name: str
    question: str
    base: str
    base_hash: str
    seeds: list[int]
    axes: Mapping[str, list[Any]]
    variants: list[Variant]
    metrics: list[str]
    baseline: str | None
    versions: Mapping[str, str]
    warm_up: float | Literal["mser5"] | None = None
    directions: Mapping[str, Literal["maximize", "minimize"]] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    trainings: list[int] = field(default_factory=list)
    """seeds of the models that every variant is run with, crossed with `seeds`; none: those of the scenario"""
    schema_version: int = SCHEMA_VERSION


_MANIFEST = TypeAdapter(Manifest)


@dataclass(frozen=True)
class RunPlace:
    """One run of an experiment and where it is kept."""

    variant: Variant
    seed: int
    folder: Path
    training: int | None = None

    @property
    def finished(self) -> bool:
        """Whether all its records are there."""
        return is_finished(self.folder)

    @property
    def failure(self) -> str | None:
        """Why it failed, where it did."""
        path = self.folder / FAILURE
        if not path.is_file():
            return None
        return str(read_object(path, "record of a failed run", "--resume, which runs it again").get("error"))


class ExperimentFolder:
    """Reads and writes the plan of an experiment; the runs are whoever's that makes them."""

    def __init__(self, path: Path | str):
        self.path = Path(path)

    def __fspath__(self) -> str:
        return str(self.path)

    def write_manifest(self, manifest: Manifest) -> None:
        """Write experiment.json whole."""
        with atomic_path(self.path / "experiment.json") as path:
            path.write_text(json.dumps(asdict(manifest), indent=2, allow_nan=False) + "\n", encoding="utf-8")

    def manifest(self) -> Manifest:
        """Read experiment.json; InputError where it is missing, damaged or of another version."""
        path = self.path / "experiment.json"
        try:
            held = read_json(path)
            if held["schema_version"] != SCHEMA_VERSION:
                raise InputError(f"{path}: written by another version of Fleetrec; run the experiment again")
            manifest = _MANIFEST.validate_python(held)
        except FileNotFoundError:
            raise InputError(f"{self.path}: holds no experiment; give the --out of `sweep` or `optimize`") from None
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"]))
            raise InputError(f"{path}: {where}: {problem['msg']}; run the experiment again") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: cannot be read ({error}); run the experiment again") from error
        outside = [variant.folder for variant in manifest.variants if Path(variant.folder).name != variant.folder]
        if outside:
            raise InputError(f"{path}: {outside[0]!r} is no folder of a variant; run the experiment again")
        return manifest

    def run_folder(self, variant: Variant, seed: int, training: int | None = None) -> Path:
        """Where the run of `variant` at `seed` is kept, with models of the seed `training` where that is replicated."""
        name = str(seed) if training is None else f"{seed}-training-{training}"
        return self.path / "runs" / variant.folder / name

    def runs(self, manifest: Manifest | None = None) -> Iterator[RunPlace]:
        """Every planned run, by variant, then seed, then training in the manifest's order."""
        manifest = manifest or self.manifest()
        trainings: Sequence[int | None] = manifest.trainings or [None]
        for variant in manifest.variants:
            for seed in manifest.seeds:
                for training in trainings:
                    yield RunPlace(variant, seed, self.run_folder(variant, seed, training), training)


def read_written(path: Path, meant: Callable[[Any], Read]) -> Read:
    """What a JSON or YAML file that a run wrote says, as it is `meant`; an InputError names what cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
        return meant(json.loads(text) if path.suffix == ".json" else yaml.safe_load(text))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: cannot be read ({reason}); run the scenario again") from error


def currency_of(folder: Path) -> Currency:
    """In which money is told of what a folder holds: as the scenario of its run has it, or of the baseline's runs."""
    path = folder / "scenario.yaml"
    if (folder / "experiment.json").is_file():
        experiment = ExperimentFolder(folder)
        manifest = experiment.manifest()
        baseline = manifest.baseline or manifest.variants[0].name
        runs = sorted(experiment.runs(manifest), key=lambda one: one.variant.name != baseline)
        places = (one.folder / "scenario.yaml" for one in runs)
        path = next((place for place in places if place.is_file()), path)
    elif not path.is_file():  # of policies compared, each in a folder of its own
        path = next(iter(sorted(folder.glob("*/scenario.yaml"))), path)
    if not path.is_file():
        return Currency()
    return read_written(path, lambda held: Currency(**((held or {}).get("tariffs") or {}).get("currency") or {}))


def flat_figures(summary: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Every number of a summary under its dotted name; words, lists and what is not known are left out."""
    figures: dict[str, float] = {}
    for key, value in summary.items():
        if isinstance(value, Mapping):
            figures |= flat_figures(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            figures[f"{prefix}{key}"] = float(value)
    return figures


def full_metric(name: str) -> str:
    """The dotted name of a metric: `ndcg@10` is short for `accuracy.ndcg@10`, `regret` for `engagement.regret`."""
    if name in RATIOS:
        return f"{PREFIX}{name}"
    return f"accuracy.{name}" if name.split("@")[0] in ("hr", "ndcg", "mrr") and "." not in name else name
