"""What the finished runs of an experiment recorded, side by side: every variant at the same seeds, users and steps."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyarrow.lib import ArrowException

from models.errors import InputError
from models.metrics import accuracy_per_query
from simulator import summary as parts
from simulator.experiments.folders import ExperimentFolder, Manifest, RunPlace, Variant, flat_figures, full_metric
from simulator.experiments.measures import Measure
from simulator.experiments.statistics import mser5
from simulator.run_manifest import check_one_run
from simulator.scenario.building import suggestion

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FROM_RANKS = re.compile(r"accuracy\.(hr|ndcg|mrr)@([1-9]\d*)")
_AFTER_A_CUT = ("requests.ratio", "latency_s.", "freshness.")


@dataclass(frozen=True)
class SeedRecords:
    """What every variant evaluated at one seed, in order of (device, step); arrays over those interactions."""

    device: Ints
    step: Ints
    t_s: Floats
    user: Ints  # codes over the users of all seeds


@dataclass
class ExperimentRecords:
    """Variants that finished every seed of the baseline, with the ranks of each interaction and the figures of a run.

    ranks[variant][seed]: in the order of `seeds_records`; cuts_s[seed]: where the warm-up ends.
    """

    manifest: Manifest
    variants: list[Variant]
    seeds: list[int]
    results: pd.DataFrame
    worlds: list[SeedRecords]
    ranks: list[list[NDArray[np.int32]]]
    n_users: int
    cuts_s: list[float]
    notes: list[str]

    def index(self, variant: str) -> int:
        """The place of a variant by its name."""
        return [held.name for held in self.variants].index(variant)

    def from_ranks(self, metric: str) -> bool:
        """Whether a metric is a mean over interactions, known for each of them."""
        return _FROM_RANKS.fullmatch(metric) is not None

    def check(self, metric: str) -> str:
        """The dotted name of a metric that can be had; InputError with a suggestion for another."""
        name = full_metric(metric)
        if self.from_ranks(name) or (name in self.results and pd.api.types.is_numeric_dtype(self.results[name])):
            return name
        known = [column for column in self.results.columns if column not in ("variant", "seed")]
        hint = suggestion(name, known)
        hint = hint if "did you mean" in hint else ": take ndcg@10, or a column of results.parquet"
        raise InputError(f"metric {metric!r}: no figure of the runs has that name{hint}")

    def measure(self, metric: str) -> Measure:
        """A metric of every variant, after the cut: by seed and user where ranks give it, else by run."""
        found = _FROM_RANKS.fullmatch(metric)
        if found is None:
            table = self.results.pivot(index="variant", columns="seed", values=metric)
            values = table.reindex(index=[variant.name for variant in self.variants], columns=self.seeds)
            by_run = values.to_numpy(dtype=np.float64)[..., None]
            return Measure(by_run, np.ones(by_run.shape[1:]), self.seeds, by_user=False)
        name, k = f"{found[1]}@{found[2]}", int(found[2])
        worth = accuracy_per_query(np.append(np.arange(-1, k), -1), (k,))[name]  # by rank + 1; from k on all miss
        sums = np.zeros((len(self.variants), len(self.seeds), self.n_users))
        counts = np.zeros((len(self.seeds), self.n_users))
        for s, world in enumerate(self.worlds):
            kept = world.t_s >= self.cuts_s[s]
            user = world.user[kept]
            counts[s] = np.bincount(user, minlength=self.n_users)
            for v, ranks in enumerate(self.ranks):
                values = worth[np.minimum(ranks[s][kept], k) + 1]
                sums[v, s] = np.bincount(user, weights=values, minlength=self.n_users)
        return Measure(sums, counts, self.seeds, by_user=True)


def read_records(path: Path | str, baseline: str | None) -> tuple[ExperimentRecords, str]:
    """The records of an experiment's folder and the name of the baseline: as given, the manifest's, or the first.

    InputError where nothing is finished, where the baseline is not a variant, or where variants cannot be compared.
    """
    folder = ExperimentFolder(path)
    manifest = folder.manifest()
    results = _results(folder)
    name = _baseline(manifest, baseline)
    places = {(place.variant.name, place.seed): place for place in folder.runs(manifest)}
    done = {key for key in zip(results["variant"], results["seed"], strict=True) if key in places}
    done = {key for key in done if places[key].finished}
    seeds = [seed for seed in manifest.seeds if (name, seed) in done]
    if not seeds:
        raise InputError(f"{path}: the baseline '{name}' has no finished run; finish the experiment or name another")
    variants: list[Variant] = []
    left_out: dict[str, list[str]] = {}
    for variant in manifest.variants:
        missing = [seed for seed in seeds if (variant.name, seed) not in done]
        if not missing:
            variants.append(variant)
            continue
        why = places[variant.name, missing[0]].failure
        reason = f"not finished at seed {missing[0]}" + (f" ({why})" if why else "")
        left_out.setdefault(reason, []).append(variant.name)
    notes = [
        f"left out: '{names[0]}'{f' and {len(names) - 1} more' if len(names) > 1 else ''}, {reason}"
        for reason, names in left_out.items()
    ]
    if missing := [seed for seed in manifest.seeds if seed not in seeds]:
        notes.append(f"seeds left out, since the baseline did not finish them: {', '.join(map(str, missing))}")
    if len(variants) < 2:
        raise InputError(f"{path}: fewer than two variants finished seed {seeds[0]}; there is nothing to compare")
    worlds, ranks, n_users = _interactions(places, name, variants, seeds)
    kept = results.drop_duplicates(["variant", "seed"], keep="last")
    records = ExperimentRecords(manifest, variants, seeds, kept, worlds, ranks, n_users, [0.0] * len(seeds), notes)
    return records, name


def _results(folder: ExperimentFolder) -> pd.DataFrame:
    path = folder.path / "results.parquet"
    try:
        results = pd.read_parquet(path)
        results[["variant", "seed"]]
    except FileNotFoundError:
        raise InputError(f"{path}: there is none yet; finish the experiment (--resume)") from None
    except (OSError, ValueError, KeyError, ArrowException) as error:
        raise InputError(f"{path}: cannot be read ({str(error).splitlines()[0]}); --resume writes it anew") from error
    return results


def _baseline(manifest: Manifest, asked: str | None) -> str:
    names = [variant.name for variant in manifest.variants]
    name = asked or manifest.baseline or names[0]
    if name not in names:
        raise InputError(f"baseline {name!r}: no variant has that name{suggestion(name, names)}")
    return name


def _interactions(
    places: dict[tuple[str, int], RunPlace], baseline: str, variants: Sequence[Variant], seeds: Sequence[int]
) -> tuple[list[SeedRecords], list[list[NDArray[np.int32]]], int]:
    worlds: list[tuple[pd.DataFrame, NDArray[np.object_]]] = []
    ranks: list[list[NDArray[np.int32]]] = [[] for _ in variants]
    for seed in seeds:
        own = _read_run(places[baseline, seed])
        worlds.append(own)
        for v, variant in enumerate(variants):
            table, users = own if variant.name == baseline else _read_run(places[variant.name, seed])
            _check_same(own, (table, users), baseline, variant.name, seed)
            ranks[v].append(table["rank"].to_numpy(dtype=np.int32))
    everyone, codes = np.unique(np.concatenate([users.astype(str) for _, users in worlds]), return_inverse=True)
    ends = np.cumsum([len(users) for _, users in worlds])[:-1]
    records = [
        SeedRecords(
            table["device"].to_numpy(), table["step"].to_numpy(), table["t_s"].to_numpy(), code.astype(np.int64)
        )
        for (table, _), code in zip(worlds, np.split(codes, ends), strict=True)
    ]
    return records, ranks, len(everyone)


def _read_run(place: RunPlace) -> tuple[pd.DataFrame, NDArray[np.object_]]:
    """The interactions of a run in order of (device, step), and the user of each."""
    path = place.folder / "interactions.parquet"
    try:
        table = pd.read_parquet(path, columns=["device", "step", "t_s", "rank"])
        users = pd.read_parquet(place.folder / "devices.parquet", columns=["device", "user"])
    except (OSError, ValueError, ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read ({reason}); remove the run's folder and --resume") from error
    check_one_run(place.folder, ("interactions.parquet", "devices.parquet"))
    if table.empty:
        raise InputError(f"{path}: the run evaluated no interaction, so there is nothing to compare")
    order = np.lexsort((table["step"].to_numpy(), table["device"].to_numpy()))
    table = table.iloc[order]
    owner = users.set_index("device")["user"].reindex(table["device"]).to_numpy(dtype=object)
    return table, owner


def _check_same(
    one: tuple[pd.DataFrame, NDArray[np.object_]],
    other: tuple[pd.DataFrame, NDArray[np.object_]],
    baseline: str,
    variant: str,
    seed: int,
) -> None:
    if len(one[0]) == len(other[0]):
        same = (one[0][["device", "step"]].to_numpy() == other[0][["device", "step"]].to_numpy()).all()
        if same and (one[1] == other[1]).all():
            return
    keys = [set(zip(table["device"], table["step"], users, strict=True)) for table, users in (one, other)]
    differ = len(keys[0] ^ keys[1])
    raise InputError(
        f"'{variant}' and the baseline '{baseline}' evaluate different interactions at seed {seed} ({differ:,} "
        "differ), so their difference is not the policy's; compare variants of one fleet, workload and duration"
    )


def cut_warm_up(records: ExperimentRecords, path: Path | str, metric: str) -> None:
    """Cut the warm-up that the manifest asks for: so many seconds, or by MSER-5; the same for all variants of a seed.

    MSER-5 is taken of one series a seed: the metric of each interaction in order of time, averaged over variants, so
    that no variant's own course decides what it is judged on.
    """
    asked = records.manifest.warm_up
    if asked is None:
        return
    for s, (seed, world) in enumerate(zip(records.seeds, records.worlds, strict=True)):
        if asked == "mser5":
            order = np.lexsort((world.step, world.device, world.t_s))
            cut = mser5(_mean_series(records, s, metric)[order])
            if cut is None:
                records.notes.append(f"seed {seed}: MSER-5 would cut over half of the run, so nothing is cut")
                continue
            records.cuts_s[s] = float(world.t_s[order][cut]) if cut else 0.0
        else:
            records.cuts_s[s] = float(asked)
        if not (world.t_s >= records.cuts_s[s]).any():
            raise InputError(f"warm_up: nothing is left of seed {seed} after {records.cuts_s[s]:g} s; cut less")
    if not any(records.cuts_s):
        return
    cuts = ", ".join(f"{cut:,.0f} s" for cut in records.cuts_s)
    records.notes.append(
        f"warm-up cut ({'MSER-5' if asked == 'mser5' else 'as given'}): {cuts} by seed; accuracy, request ratio, "
        "latency and freshness are of what follows, cost and the run's own baselines of the whole run"
    )
    _figures_after(records, ExperimentFolder(path))


def _mean_series(records: ExperimentRecords, s: int, metric: str) -> Floats:
    found = _FROM_RANKS.fullmatch(metric)
    name, k = (f"{found[1]}@{found[2]}", int(found[2])) if found else ("ndcg@10", 10)
    total = np.zeros(len(records.worlds[s].t_s))
    for ranks in records.ranks:
        total += accuracy_per_query(ranks[s], (k,))[name]
    return total / len(records.ranks)


def _figures_after(records: ExperimentRecords, folder: ExperimentFolder) -> None:
    """Replace the figures that a run's records give by those after the cut."""
    results = records.results.set_index(["variant", "seed"])
    columns = [name for name in results.columns if name.startswith(_AFTER_A_CUT)]
    for variant in records.variants:
        for seed, cut_s in zip(records.seeds, records.cuts_s, strict=True):
            found = _records_after(folder.run_folder(variant, seed), cut_s)
            results.loc[(variant.name, seed), columns] = [found.get(name, math.nan) for name in columns]
    records.results = results.reset_index()


def _records_after(run: Path, cut_s: float) -> dict[str, float]:
    interactions, requests = pd.read_parquet(run / "interactions.parquet"), pd.read_parquet(run / "requests.parquet")
    interactions = interactions[interactions["t_s"] >= cut_s]
    requests = requests[requests["t_issued_s"] >= cut_s]
    sections: dict[str, Any] = {
        "requests": parts.request_section(requests, len(interactions)),
        "latency_s": parts.latency_section(interactions, requests),
        "freshness": parts.freshness_section(interactions),
    }
    return flat_figures(sections)
