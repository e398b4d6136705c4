"""What the finished runs of an experiment recorded, side by side: every variant at the same seeds, users and steps."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyarrow.lib import ArrowException

from models.errors import InputError
from models.metrics import accuracy_per_query
from simulator.baselines import NOT_EVALUATED
from simulator.experiments.folders import ExperimentFolder, Manifest, Variant, flat_figures, full_metric
from simulator.experiments.measures import Measure
from simulator.experiments.run_records import Ranks, RunRecords, check_same, read_run
from simulator.experiments.statistics import Replicates
from simulator.resampling import DRAWS, Resampling
from simulator.run_manifest import SUMMARY, is_finished, made_alike_note
from simulator.scenario.building import suggestion

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FROM_RANKS = re.compile(r"accuracy\.(hr|ndcg|mrr)@([1-9]\d*)")
RATIO = "requests.ratio"
NO_TRAINING = -1
"""in results: the models are those of the scenario"""
_ACCOUNT = {
    "cost.requests_per_s_peak": "requests_per_s",
    "cost.replicas_provisioned": "replicas",
    "cost.usd_provisioned": "usd",
    "cost.usd_provisioned_per_1k_interactions": "usd_per_1k_interactions",
    "cost.usd_provisioned_per_month": "usd_per_month",
}
"""columns of account.parquet by the figures that they resample"""
_REPRESENTED = "represented.devices"
_PLACE = ("variant", "seed", "training")


@dataclass(frozen=True)
class RunWorld:
    """What every variant evaluated in one world (and training), in order of (device, step); over those interactions."""

    device: Ints
    step: Ints
    t_s: Floats
    user: Ints  # codes over the users of all runs


@dataclass(frozen=True)
class WithoutCloud:
    """A baseline that needs no request: what it reaches in each variant's runs, and what the variant adds to it."""

    name: str
    own: Measure
    gain: Measure


@dataclass
class ExperimentRecords:
    """Variants that finished every run of the baseline, with the ranks of each interaction and the figures of a run.

    ranks[variant][run]: in the order of `worlds`; alone[variant][run]: those of baselines without a cloud, by name;
    accounts[variant][run]: draws of the provisioned account; both empty where a run has not kept them. cuts_s[run]:
    where the warm-up ends.
    """

    manifest: Manifest
    variants: list[Variant]
    replicates: Replicates
    results: pd.DataFrame
    worlds: list[RunWorld]
    ranks: list[list[Ranks]]
    alone: list[list[Mapping[str, Ranks]]]
    accounts: list[list[pd.DataFrame]]
    users: NDArray[np.str_]
    cuts_s: list[float]
    notes: list[str]

    @property
    def places(self) -> list[tuple[int, int | None]]:
        """The seed and training of each run of a variant."""
        return [
            (seed, training) for seed in self.replicates.worlds for training in self.replicates.trainings or (None,)
        ]

    def index(self, variant: str) -> int:
        """The place of a variant by its name."""
        return [held.name for held in self.variants].index(variant)

    def from_ranks(self, metric: str) -> bool:
        """Whether a metric is a mean over interactions, known for each of them."""
        return FROM_RANKS.fullmatch(metric) is not None

    def check(self, metric: str) -> str:
        """The dotted name of a metric that can be had; InputError with a suggestion for another."""
        name = full_metric(metric)
        if self.from_ranks(name) or (name in self.results and pd.api.types.is_numeric_dtype(self.results[name])):
            return name
        known = [column for column in self.results.columns if column not in ("variant", "seed", "training")]
        hint = suggestion(name, known)
        hint = hint if "did you mean" in hint else ": take ndcg@10, or a column of results.parquet"
        raise InputError(f"metric {metric!r}: no figure of the runs has that name{hint}")

    def measure(self, metric: str) -> Measure:
        """A metric of every variant, after the cut: by run and user where ranks give it, else by run."""
        if not self.from_ranks(metric):
            return self._by_run(metric)
        sums, counts = self._totals(metric, self.ranks)
        return Measure(sums, counts[0], self.replicates, by_user=True)

    def without_cloud(self, metric: str) -> list[WithoutCloud]:
        """The baselines of the runs themselves, paired with the variants interaction by interaction."""
        found = []
        for name in self.alone[0][0] if self.from_ranks(metric) else ():
            theirs = [[run[name] for run in runs] for runs in self.alone]
            own, counts = self._totals(metric, theirs)
            if not (counts == counts[0]).all() or not counts[0].sum(axis=1).all():
                continue  # evaluated on a sample that differs, or nowhere
            kept = [
                [np.where(t == NOT_EVALUATED, t, o) for o, t in zip(*pair, strict=True)]
                for pair in zip(self.ranks, theirs, strict=True)
            ]
            sums, _ = self._totals(metric, kept)
            found.append(
                WithoutCloud(
                    name,
                    Measure(own, counts[0], self.replicates, by_user=True),
                    Measure(sums - own, counts[0], self.replicates, by_user=True),
                )
            )
        return found

    def replicated(self) -> dict[str, Any]:
        """What was run anew, and what was not (None)."""
        return {
            "worlds": list(self.replicates.worlds),
            "users": len(self.users),
            "trainings": list(self.replicates.trainings) or None,
        }

    def represents(self) -> int | None:
        """How many devices all runs stand for."""
        if _REPRESENTED not in self.results:
            return None
        found = self.results[_REPRESENTED].dropna().unique()
        return int(found[0]) if len(found) == 1 else None

    def without_requests(self) -> NDArray[np.bool_]:
        """The runs [V, R] that made no request."""
        return self.measure(RATIO).by_run == 0 if RATIO in self.results else np.zeros((len(self.variants), 1), bool)

    def weights(self) -> list[NDArray[np.uint8]]:
        """For each run, how often a user [U] is taken in each draw [B]: those of the run's own account."""
        weights = []
        for world in self.worlds:
            met = np.unique(world.user)
            resampling = Resampling.of(self.users[met])
            taken = np.zeros((DRAWS, len(self.users)), dtype=np.uint8)
            taken[:, met] = resampling.weights[:, resampling.cluster]
            weights.append(taken)
        return weights

    def _by_run(self, metric: str) -> Measure:
        table = self.results.set_index(["variant", "seed", "training"])[metric]
        places = [(seed, NO_TRAINING if training is None else training) for seed, training in self.places]
        rows = [[(variant.name, *place) for place in places] for variant in self.variants]
        values = np.stack([table.reindex(row).to_numpy(dtype=np.float64) for row in rows])
        draws = self._drawn(metric, values)
        return Measure(values[..., None], np.ones((len(places), 1)), self.replicates, by_user=False, draws=draws)

    def _drawn(self, metric: str, values: Floats) -> Floats | None:
        """A figure of the provisioned account under resamples of users, [V, R, B]; None where runs do not keep it."""
        column = _ACCOUNT.get(metric)
        if column is None or any(column not in table for runs in self.accounts for table in runs):
            return None
        if {len(table) for runs in self.accounts for table in runs} != {DRAWS}:
            return None  # of another version, so not paired with the accuracies
        draws = np.stack([np.stack([table[column].to_numpy(np.float64) for table in runs]) for runs in self.accounts])
        return draws if np.isfinite(draws).all() else None

    def _totals(self, metric: str, ranks: Sequence[Sequence[Ranks]]) -> tuple[Floats, Floats]:
        """Sums and counts [V, R, U] of a metric over interactions that were evaluated, after the cut."""
        found = FROM_RANKS.fullmatch(metric)
        assert found is not None
        name, k = f"{found[1]}@{found[2]}", int(found[2])
        worth = accuracy_per_query(np.append(np.arange(-1, k), -1), (k,))[name]  # by rank + 1; from k on all miss
        shape = (len(self.variants), len(self.replicates), len(self.users))
        sums, counts = np.zeros(shape), np.zeros(shape)
        for r, world in enumerate(self.worlds):
            after = world.t_s >= self.cuts_s[r]
            for v, runs in enumerate(ranks):
                kept = after & (runs[r] != NOT_EVALUATED)
                user = world.user[kept]
                counts[v, r] = np.bincount(user, minlength=shape[-1])
                values = worth[np.minimum(runs[r][kept], k) + 1]
                sums[v, r] = np.bincount(user, weights=values, minlength=shape[-1])
        return sums, counts


def read_records(path: Path | str, baseline: str | None) -> tuple[ExperimentRecords, str]:
    """The records of an experiment's folder and the name of the baseline: as given, the manifest's, or the first.

    InputError where nothing is finished, where the baseline is not a variant, or where variants cannot be compared.
    """
    folder = ExperimentFolder(path)
    manifest = folder.manifest()
    results = _results(folder)
    name = _baseline(manifest, baseline)
    places = {(place.variant.name, place.seed, _key(place.training)): place for place in folder.runs(manifest)}
    done = {key for key in zip(*(results[column] for column in _PLACE), strict=True) if key in places}
    done = {key for key in done if places[key].finished}
    trainings = manifest.trainings or [NO_TRAINING]
    seeds = [seed for seed in manifest.seeds if all((name, seed, training) in done for training in trainings)]
    if not seeds:
        raise InputError(f"{path}: the baseline '{name}' has no finished run; finish the experiment or name another")
    variants: list[Variant] = []
    left_out: dict[str, list[str]] = {}
    for variant in manifest.variants:
        wanted = [(variant.name, seed, training) for seed in seeds for training in trainings]
        missing = next((key for key in wanted if key not in done), None)
        if missing is None:
            variants.append(variant)
            continue
        why = places[missing].failure
        reason = f"not finished at seed {missing[1]}" + (f" ({why})" if why else "")
        left_out.setdefault(reason, []).append(variant.name)
    notes = [
        f"left out: '{names[0]}'{f' and {len(names) - 1} more' if len(names) > 1 else ''}, {reason}"
        for reason, names in left_out.items()
    ]
    if unfinished := [seed for seed in manifest.seeds if seed not in seeds]:
        notes.append(f"seeds left out, since the baseline did not finish them: {', '.join(map(str, unfinished))}")
    if len(variants) < 2:
        raise InputError(f"{path}: fewer than two variants finished seed {seeds[0]}; there is nothing to compare")
    replicates = Replicates(tuple(seeds), tuple(manifest.trainings))
    kept = results.drop_duplicates(list(_PLACE), keep="last")
    notes += made_alike_note(places[key].folder for key in done)
    folders = {key: place.folder for key, place in places.items()}
    return gathered(manifest, variants, replicates, kept, folders, name, notes), name


def read_runs(folders: Mapping[str, Path], baseline: str | None) -> tuple[ExperimentRecords, str]:
    """The records of runs, each a variant under the name given, and the baseline: as named, or the first.

    InputError where a folder holds no finished run, or where runs are not of one world.
    """
    names = list(folders)
    summaries = {name: _summary(path) for name, path in folders.items()}
    name = baseline or names[0]
    if name not in names:
        raise InputError(f"baseline {name!r}: no run has that name{suggestion(name, names)}")
    seed = summaries[name]["seed"]
    for other, summary in summaries.items():
        if summary["seed"] != seed:
            raise InputError(
                f"'{other}' was run at seed {summary['seed']} and '{name}' at seed {seed}: worlds that differ cannot "
                "be paired; run both at one --seed, or compare policies over seeds with a sweep"
            )
    variants = [Variant(held, "", {}) for held in names]
    manifest = Manifest("sweep", "runs", "", "", "", [seed], {}, variants, [], name, {})
    rows = [{"variant": held, "seed": seed, "training": NO_TRAINING, **flat_figures(summaries[held])} for held in names]
    results = pd.DataFrame([row | {"seed": seed} for row in rows])
    places = {(held, seed, NO_TRAINING): path for held, path in folders.items()}
    return gathered(manifest, variants, Replicates((seed,)), results, places, name, []), name


def _summary(folder: Path) -> dict[str, Any]:
    path = folder / SUMMARY
    if not is_finished(folder):
        raise InputError(f"{folder}: holds no finished run; give the folders of `simulate`, or one of a sweep")
    try:
        held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        int(held["seed"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); run the scenario again") from error
    return held


def gathered(
    manifest: Manifest,
    variants: list[Variant],
    replicates: Replicates,
    results: pd.DataFrame,
    folders: Mapping[tuple[str, int, int], Path],
    baseline: str,
    notes: list[str],
) -> ExperimentRecords:
    """The records of finished runs, whose folders are by variant, seed and training.

    InputError where a run cannot be read, or evaluated other interactions than the baseline's at its seed.
    """
    names = [variant.name for variant in variants]
    read: list[list[RunRecords]] = [[] for _ in variants]
    places = [(seed, training) for seed in replicates.worlds for training in replicates.trainings or (NO_TRAINING,)]
    for seed, training in places:
        own = read_run(folders[baseline, seed, training])
        for v, name in enumerate(names):
            run = own if name == baseline else read_run(folders[name, seed, training])
            check_same(own, run, baseline, name, seed)
            read[v].append(run)
    first = read[names.index(baseline)]
    users, codes = np.unique(np.concatenate([run.users for run in first]), return_inverse=True)
    by_run = np.split(codes.astype(np.int64), np.cumsum([len(run.users) for run in first])[:-1])
    worlds = [
        RunWorld(
            run.interactions["device"].to_numpy(),
            run.interactions["step"].to_numpy(),
            run.interactions["t_s"].to_numpy(),
            user,
        )
        for run, user in zip(first, by_run, strict=True)
    ]
    has_alone = all(run.alone for runs in read for run in runs)
    return ExperimentRecords(
        manifest,
        variants,
        replicates,
        results,
        worlds,
        [[run.ranks for run in runs] for runs in read],
        [[run.alone if has_alone else {} for run in runs] for runs in read],
        [[run.account for run in runs] for runs in read],
        users,
        [0.0] * len(replicates),
        notes,
    )


def _key(training: int | None) -> int:
    return NO_TRAINING if training is None else training


def _results(folder: ExperimentFolder) -> pd.DataFrame:
    path = folder.path / "results.parquet"
    try:
        results = pd.read_parquet(path)
        results[["variant", "seed"]]
    except FileNotFoundError:
        raise InputError(f"{path}: there is none yet; finish the experiment (--resume)") from None
    except (OSError, ValueError, KeyError, ArrowException) as error:
        raise InputError(f"{path}: cannot be read ({str(error).splitlines()[0]}); --resume writes it anew") from error
    return results if "training" in results else results.assign(training=NO_TRAINING)


def _baseline(manifest: Manifest, asked: str | None) -> str:
    names = [variant.name for variant in manifest.variants]
    name = asked or manifest.baseline or names[0]
    if name not in names:
        raise InputError(f"baseline {name!r}: no variant has that name{suggestion(name, names)}")
    return name
