"""What the finished runs of an experiment recorded, side by side: every variant at the same seeds, users and steps."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fleetrec.models.metrics import accuracy_per_query
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.notes import Note
from fleetrec.simulator.core.resampling import DRAWS, Resampling
from fleetrec.simulator.experiments.comparison.metric_values import Measure, on_common_counts
from fleetrec.simulator.experiments.comparison.run_records import Ranks, RunRecords
from fleetrec.simulator.experiments.folders import Manifest, Variant, full_metric
from fleetrec.simulator.experiments.statistics import Replicates
from fleetrec.simulator.results.account_names import FIGURES
from fleetrec.simulator.results.engagement import PREFIX, RATIOS, bounds, of_ratio
from fleetrec.simulator.results.feedback import BOUNDS, FEWEST
from fleetrec.simulator.results.feedback import PREFIX as FEEDBACK
from fleetrec.simulator.results.left_out import moved_by
from fleetrec.simulator.results.summary import NOT_EVALUATED
from fleetrec.simulator.scenario.building import suggestion

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FROM_RANKS = re.compile(r"accuracy\.(hr|ndcg|mrr)@([1-9]\d*)")
RATIO = "requests.ratio"
NO_TRAINING = -1
"""in results: the models are those of the scenario"""
_ACCOUNT = {f"cost.{figure}": column for column, figure in FIGURES.items()}
"""columns of account.parquet by the figures that they resample"""
_REPRESENTED = "represented.devices"
PLACE = ("variant", "seed", "training")


def training_key(training: int | None) -> int:
    """What stands in the column `training` of results for a training's seed."""
    return NO_TRAINING if training is None else training


@dataclass(frozen=True)
class RunWorld:
    """What every variant evaluated in one world (and training), in order of (device, step); over those interactions.

    Of users who react, who have other interactions under every variant: the devices, to the end of the run."""

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

    ranks[variant][run]: in the order of `worlds`, but for users who react, of whom lived[variant][run] has it;
    alone[variant][run]: those of baselines without a cloud, by name; accounts[variant][run]: draws of the provisioned
    account; both empty where a run has not kept them. cuts_s[run]: where the warm-up ends.
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
    notes: list[Note]
    lived: list[list[RunRecords]] | None = None

    @property
    def reacts(self) -> bool:
        """Whether users react to what they are shown."""
        return self.lived is not None

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
        if self.reacts and name.startswith(FEEDBACK) and name.removeprefix(FEEDBACK) in BOUNDS:
            raise InputError(
                f"metric {metric!r}: users took fewer than {FEWEST} items in every run, too few to tell it; simulate "
                "more devices or a longer duration"
            )
        known = [column for column in self.results.columns if column not in ("variant", "seed", "training")]
        hint = suggestion(name, known)
        hint = hint if "did you mean" in hint else ": take ndcg@10, or a column of results.parquet"
        raise InputError(f"metric {metric!r}: no figure of the runs has that name{hint}")

    def measure(self, metric: str) -> Measure:
        """A metric of every variant, after the cut: by run and user where ranks give it, else by run."""
        if self.lived is not None and metric.removeprefix(PREFIX) in RATIOS:
            return self._engagement(metric.removeprefix(PREFIX), self.lived)
        if self.lived is not None and metric.startswith(FEEDBACK) and metric.removeprefix(FEEDBACK) in BOUNDS:
            return self._feedback(metric, self.lived)
        if not self.from_ranks(metric):
            return self._by_run(metric)
        return self._over_users(*self._totals(metric, self.ranks))

    def without_cloud(self, metric: str) -> list[WithoutCloud]:
        """The baselines of the runs themselves, paired with the variants interaction by interaction."""
        found = []
        for name in self.alone[0][0] if self.from_ranks(metric) else ():
            theirs = [[run[name] for run in runs] for runs in self.alone]
            own, counts = self._totals(metric, theirs)
            same = self.reacts or bool((counts == counts[0]).all())
            if not same or not counts.sum(axis=-1).all():
                continue  # evaluated on a sample that differs, or nowhere
            kept = [
                [np.where(t == NOT_EVALUATED, t, o) for o, t in zip(*pair, strict=True)]
                for pair in zip(self.ranks, theirs, strict=True)
            ]
            sums, _ = self._totals(metric, kept)
            found.append(WithoutCloud(name, self._over_users(own, counts), self._over_users(sums - own, counts)))
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

    def _over_users(self, sums: Floats, counts: Floats, least: float = 0.0, most: float = 1.0) -> Measure:
        """A measure of sums and counts [V, R, U]; where users react counts differ."""
        if not self.reacts:
            return Measure(sums, counts[0], self.replicates, by_user=True)
        common = self._devices()
        held = on_common_counts(sums, counts, common)
        return Measure(held, common, self.replicates, by_user=True, least=least, most=most)

    def _devices(self) -> Floats:
        """How many devices each user has in each run [R, U], of users who react."""
        return np.stack([np.bincount(world.user, minlength=len(self.users)) for world in self.worlds]).astype(float)

    def _engagement(self, name: str, lived: Sequence[Sequence[RunRecords]]) -> Measure:
        """What users did: see `RATIOS`."""
        shape = (2, len(self.variants), len(self.replicates), len(self.users))
        found = np.zeros(shape)
        for v, runs in enumerate(lived):
            for r, run in enumerate(runs):
                assert run.lives is not None
                for part, values in enumerate(of_ratio(run.lives.totals(self.cuts_s[r]), name)):
                    found[part, v, r] = np.bincount(self.worlds[r].user, values, shape[-1])
        return self._over_users(found[0], found[1], *bounds(name))

    def _feedback(self, metric: str, lived: Sequence[Sequence[RunRecords]]) -> Measure:
        """What users took, of the whole run: each user moves a figure as far as it would be moved without it. By run
        where one of them has not kept that."""
        by_run, name, devices = self._by_run(metric), metric.removeprefix(FEEDBACK), self._devices()
        tables = [[run.lives.feedback for run in runs if run.lives is not None] for runs in lived]
        if any(name not in table for runs in tables for table in runs):
            return by_run
        sums = by_run.by_run[..., None] * devices
        for v, runs in enumerate(tables):
            for r, table in enumerate(runs):
                moved = moved_by(table[name].to_numpy(np.float64))
                sums[v, r, np.searchsorted(self.users, table.index.to_numpy(str))] += moved * devices[r].sum()
        least, most = BOUNDS[name]
        return Measure(sums, devices, self.replicates, by_user=True, least=least, most=most)

    def _by_run(self, metric: str) -> Measure:
        table = self.results.set_index(["variant", "seed", "training"])[metric]
        places = [(seed, training_key(training)) for seed, training in self.places]
        rows = [(variant.name, *place) for variant in self.variants for place in places]
        values = table.reindex(rows).to_numpy(dtype=np.float64).reshape(len(self.variants), len(places))
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
        rewards = accuracy_per_query(np.append(np.arange(-1, k), -1), (k,))[name]  # by rank + 1; from k on all miss
        shape = (len(self.variants), len(self.replicates), len(self.users))
        sums, counts = np.zeros(shape), np.zeros(shape)
        for r, world in enumerate(self.worlds):
            for v, runs in enumerate(ranks):
                t_s, users = world.t_s, world.user
                if self.lived is not None:
                    own = self.lived[v][r].interactions
                    t_s, users = own["t_s"].to_numpy(), world.user[own["device"].to_numpy()]
                kept = (t_s >= self.cuts_s[r]) & (runs[r] != NOT_EVALUATED)
                user = users[kept]
                counts[v, r] = np.bincount(user, minlength=shape[-1])
                values = rewards[np.minimum(runs[r][kept], k) + 1]
                sums[v, r] = np.bincount(user, weights=values, minlength=shape[-1])
        return sums, counts
