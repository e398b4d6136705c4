"""A folder of runs read back (a sweep, an optimisation, a policy comparison): results, comparisons, conclusion."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
from pyarrow.lib import ArrowException
from scipy.special import stdtrit

from fleetrec.models.runtime.errors import InputError
from fleetrec.reports.data.answer_shape import checked_answer
from fleetrec.reports.data.estimates import Estimate
from fleetrec.reports.data.metric_names import metric
from fleetrec.reports.data.run_folder import ACCOUNTS, read_mapping, setting
from fleetrec.simulator.experiments.comparison.months import with_marginal_month
from fleetrec.simulator.experiments.folders import ExperimentFolder, Manifest, Variant, flat_figures, full_metric
from fleetrec.simulator.records.run_manifest import check_one_run

_COMPARED = (
    "variant",
    "metric",
    "mean",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
    "p_adjusted",
)
_MOST_SHOWN = 6
MOST_COLOURS = 7
COSTS = {account: f"cost.{key}" for account, key in ACCOUNTS.items()}


@dataclass(frozen=True)
class Experiment:
    """What an experiment's folder holds. `results`: a row a finished run; `failures`: (variant, seed, reason)."""

    path: Path
    kind: str
    manifest: Manifest
    results: pd.DataFrame
    comparisons: pd.DataFrame | None
    answer: Mapping[str, Any] | None
    failures: Sequence[tuple[str, int, str]]
    missing: Sequence[tuple[str, int]]
    summary: Mapping[str, Any]

    @cached_property
    def baseline(self) -> str | None:
        """The variant that others are compared to."""
        return (self.answer or {}).get("baseline") or self.manifest.baseline

    @cached_property
    def accuracy(self) -> str:
        """Dotted name of the metric of the question, one that the results hold."""
        wanted = [(self.answer or {}).get("metric"), *self.manifest.directions, *self.manifest.metrics, "ndcg@10"]
        for name in wanted:
            if name and full_metric(name) in self.results and metric(full_metric(name)).higher_is_better:
                return full_metric(name)
        return next((str(name) for name in self.results if str(name).startswith("accuracy.")), "interactions")

    @cached_property
    def cost(self) -> str:
        """Dotted name of the cost metric: the one stated; else the account that every run has a figure of."""
        stated = [str((self.answer or {}).get("cost")), *self.manifest.directions]
        held = [
            name for name in (*stated, *COSTS.values()) if name in self.results and not metric(name).higher_is_better
        ]
        whole = [name for name in held if name in stated or self.results[name].notna().all()]
        return next(iter([*whole, *held]), "requests.ratio")

    @cached_property
    def variants(self) -> list[Variant]:
        """Those with a finished run, in the manifest's order."""
        held = set(self.results["variant"])
        return [variant for variant in self.manifest.variants if variant.name in held]

    @cached_property
    def _compared(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        rows: list[Any] = [] if self.comparisons is None else self.comparisons.to_dict("records")
        return {(str(row["variant"]), full_metric(str(row["metric"]))): row for row in rows}

    @cached_property
    def _moments(self) -> dict[str, pd.DataFrame]:
        numbers = (
            self.results.set_index("variant")
            .select_dtypes("number")
            .drop(columns=["seed", "training"], errors="ignore")
        )
        groups = numbers.groupby(level=0, sort=False)
        return {"mean": groups.mean(), "std": groups.std(ddof=1), "count": groups.count()}

    def estimate(self, variant: str, key: str) -> Estimate:
        """Mean and interval of a figure: as compared, else Student's t over seeds where there are two or more.

        One run has the interval that its own account states, over users, where it states one.
        """
        row = self._compared.get((variant, key))
        if row is not None and _finite(row["mean"]):
            return Estimate(float(row["mean"]), _number(row["low"]), _number(row["high"]))
        if key not in self._moments["mean"] or variant not in self._moments["mean"].index:
            return Estimate(math.nan, math.nan, math.nan)
        held: list[Any] = [self._moments[name].at[variant, key] for name in ("mean", "std", "count")]
        mean, std, n = map(float, held)
        if n < 2:
            return Estimate(mean, *(self._end(variant, f"{key}_{end}") for end in ("low", "high")))
        half = float(stdtrit(n - 1, 0.975)) * std / math.sqrt(n)
        return Estimate(mean, mean - half, mean + half)

    def _end(self, variant: str, key: str) -> float:
        return _number(self._moments["mean"].at[variant, key]) if key in self._moments["mean"] else math.nan

    def difference(self, variant: str, key: str) -> tuple[Estimate, float] | None:
        """The difference to the baseline and its adjusted p, where it was compared."""
        row = self._compared.get((variant, key))
        if row is None or not _finite(row["difference"]):
            return None
        parts = (_number(row[name]) for name in ("difference", "difference_low", "difference_high"))
        return Estimate(*parts), _number(row["p_adjusted"])

    @cached_property
    def front(self) -> list[str]:
        """The front that the answer states, cheapest first; a page finds none of its own."""
        known = {variant.name for variant in self.variants}
        stated = [str(row["variant"]) for row in (self.answer or {}).get("frontier") or ()]
        return [name for name in stated if name in known]

    @property
    def flat_front(self) -> bool:
        """Whether the front is over cost and accuracy alone, so that a line in their plane can join it."""
        return (self.answer or {}).get("third") is None

    @cached_property
    def shown(self) -> list[str]:
        """The few variants that are looked at closely: baseline, winner, knee, then the front from both ends."""
        answer, front = self.answer or {}, self.front
        ends = [front[i] for pair in zip(range(len(front)), range(len(front) - 1, -1, -1), strict=True) for i in pair]
        known = {variant.name for variant in self.variants}
        wanted = [self.baseline, answer.get("winner"), answer.get("knee"), *ends]
        found = [name for name in wanted if name in known]
        found += [] if front else [variant.name for variant in self.variants]
        chosen = list(dict.fromkeys(found))[:_MOST_SHOWN]
        return [variant.name for variant in self.variants if variant.name in chosen]

    @cached_property
    def looks(self) -> dict[str, int]:
        """The number of each variant's colour, one for all pictures; where they are many, of those in `shown` alone."""
        names = [variant.name for variant in self.variants]
        return {name: i for i, name in enumerate(names if len(names) <= MOST_COLOURS else self.shown)}

    @cached_property
    def baselines(self) -> dict[str, dict[str, float]]:
        """What the baselines without a cloud reached, by metric and name: means over all runs."""
        found: dict[str, dict[str, float]] = {}
        for column in self.results:
            parts = str(column).split(".")
            if parts[0] == "baselines" and len(parts) == 3 and self.results[column].notna().any():
                found.setdefault(f"accuracy.{parts[2]}", {})[parts[1]] = float(self.results[column].mean())
        return found

    @cached_property
    def ties(self) -> dict[str, list[str]]:
        """By variant, those that do not differ from it in any run, as the answer states them."""
        groups = ((self.answer or {}).get("decision") or {}).get("ties") or ()
        return {name: [other for other in group if other != name] for group in groups for name in group}

    def run_folder(self, variant: str, seed: int) -> Path:
        """Where the run of a variant at a seed is kept; the first of its trainings, where those are replicated."""
        chosen = next(v for v in self.manifest.variants if v.name == variant)
        if self.kind == "comparison":
            return self.path / chosen.folder
        training = None
        if self.manifest.trainings:
            own = self.results[(self.results["variant"] == variant) & (self.results["seed"] == seed)]
            training = int(own["training"].iloc[0])
        return ExperimentFolder(self.path).run_folder(chosen, seed, training)

    def first_seed(self, variant: str) -> int:
        """The first seed at which that variant has finished."""
        return int(self.results.loc[self.results["variant"] == variant, "seed"].iloc[0])

    @property
    def keys(self) -> list[str]:
        """Swept keys with more than one value among the finished variants."""
        names = dict.fromkeys(key for variant in self.variants for key in variant.settings)
        return [key for key in names if len({repr(variant.settings.get(key)) for variant in self.variants}) > 1]


def read_experiment(folder: Path) -> Experiment:
    """Read a sweep, an optimisation or a policy comparison; InputError names what is missing or damaged.

    What a sweep concludes (comparisons.parquet, answer.json) may be missing: `comparisons` and `answer` are None then.
    """
    if (folder / "comparison.json").is_file() and not (folder / "experiment.json").is_file():
        return _read_comparison(folder)
    held = ExperimentFolder(folder)
    manifest = held.manifest()
    results = _table(folder / "results.parquet", ("variant", "seed"))
    if results.empty:
        raise InputError(f"{folder / 'results.parquet'}: holds no finished run; run the experiment with --resume")
    results = with_marginal_month(results.assign(variant=results["variant"].astype(str)))
    unknown = sorted(set(results["variant"]) - {variant.name for variant in manifest.variants})
    if unknown:
        raise InputError(f"{folder / 'results.parquet'}: variant {unknown[0]!r} is not in experiment.json; run again")
    place_of = ["variant", "seed", *(["training"] if manifest.trainings else [])]
    if place_of[-1] not in results:
        raise InputError(f"{folder / 'results.parquet'}: has no trainings, and experiment.json does; run it again")
    done = set(results[place_of].itertuples(index=False, name=None))
    failures, missing = [], []
    for place in held.runs(manifest):
        training = () if place.training is None else (place.training,)
        if (place.variant.name, place.seed, *training) in done:
            continue
        failure = place.failure
        if failure is None:
            missing.append((place.variant.name, place.seed))
        else:
            failures.append((place.variant.name, place.seed, failure))
    compared, concluded = folder / "comparisons.parquet", folder / "answer.json"
    again = "run `compare` on the folder again"
    experiment = Experiment(
        path=folder,
        kind=manifest.kind,
        manifest=manifest,
        results=results,
        comparisons=_table(compared, _COMPARED) if compared.is_file() else None,
        answer=checked_answer(read_mapping(concluded), concluded, again) if concluded.is_file() else None,
        failures=failures,
        missing=missing,
        summary={},
    )
    baseline = experiment.baseline
    first = baseline if baseline and baseline in set(results["variant"]) else str(results["variant"].iloc[0])
    return replace(
        experiment, summary=read_mapping(experiment.run_folder(first, experiment.first_seed(first)) / "summary.json")
    )


def _read_comparison(folder: Path) -> Experiment:
    """`compare-policies` as an experiment of one seed, whose intervals are over users."""
    path = folder / "comparison.json"
    held = read_mapping(path)
    try:
        seed, key = int(held["seed"]), full_metric(str(held["metric"]))
        variants = [
            Variant(str(row["policy"]), str(row["folder"]), {"policy": str(row["policy"])}) for row in held["policies"]
        ]
        summaries = [read_mapping(folder / variant.folder / "summary.json") for variant in variants]
        _check_compared(folder, held, summaries)
        compared = [
            {
                "variant": str(row["policy"]),
                "metric": key,
                "mean": row["accuracy"],
                "low": row["low"],
                "high": row["high"],
            }
            for row in held["policies"]
        ]
        results = [
            {"variant": v.name, "seed": seed} | flat_figures(s) | {"seed": seed}
            for v, s in zip(variants, summaries, strict=True)
        ]
        manifest = Manifest(
            kind="sweep",
            name=str(held["scenario"]),
            question="Which request policy is worth what it costs?",
            base="",
            base_hash="",
            seeds=[seed],
            axes={},
            variants=variants,
            metrics=[key, f"cost.{held['cost']}"],
            baseline=None,
            versions=dict(summaries[0].get("versions") or {}),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{path}: not a whole comparison ({error!r}); run the comparison again") from error
    comparisons = pd.DataFrame(compared).reindex(columns=list(_COMPARED))
    answer: dict[str, Any] = {
        "headline": held.get("headline"),
        "metric": key,
        "cost": f"cost.{held['cost']}",
        "notes": [],
        **{
            name: held[name]
            for name in ("decision", "frontier", "winner", "baseline", "today", "hangs_on")
            if name in held
        },
    }
    checked_answer(answer, path, "run the comparison again")
    return Experiment(
        folder,
        "comparison",
        manifest,
        with_marginal_month(pd.DataFrame(results)),
        comparisons,
        answer,
        [],
        [],
        summaries[0],
    )


def _check_compared(folder: Path, held: Mapping[str, Any], summaries: Sequence[Mapping[str, Any]]) -> None:
    """InputError where a comparison was broken off, or a run in it is not the one that was compared."""
    check_one_run(folder, ("comparison.json",))
    for row, summary in zip(held["policies"], summaries, strict=True):
        if row.get("run") != summary.get("run"):
            where = folder / str(row["folder"])
            raise InputError(f"{where}: is another run than comparison.json speaks of; run the comparison again")


def base_value(scenario: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key in a resolved scenario; None where it has none."""
    return setting(scenario, *key.split("."))


def _table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    try:
        table: pd.DataFrame = pyarrow.parquet.read_table(path).to_pandas()
    except (OSError, ValueError, ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read ({reason}); run the experiment again with --resume") from error
    lacking = [name for name in columns if name not in table]
    if lacking:
        raise InputError(f"{path}: has no column {lacking[0]!r}; run the experiment again with --resume")
    return table


def _finite(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and math.isfinite(float(value))


def _number(value: Any) -> float:
    return float(value) if _finite(value) else math.nan
