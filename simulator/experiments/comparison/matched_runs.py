"""Finished runs matched with each other: those of an experiment's folder, or any that lie in folders of their own."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyarrow.lib import ArrowException

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.experiments.comparison.months import with_marginal_month
from fleetrec.simulator.experiments.comparison.records import (
    NO_TRAINING,
    PLACE,
    ExperimentRecords,
    RunWorld,
    training_key,
)
from fleetrec.simulator.experiments.comparison.run_records import RunRecords, check_same, read_run
from fleetrec.simulator.experiments.folders import ExperimentFolder, Manifest, Variant, flat_figures
from fleetrec.simulator.experiments.statistics import Replicates
from fleetrec.simulator.records.run_manifest import SUMMARY, is_finished, made_alike_note
from fleetrec.simulator.scenario.building import suggestion


def read_records(
    path: Path | str, baseline: str | None, among: Collection[str] | None = None
) -> tuple[ExperimentRecords, str]:
    """The records of an experiment's folder and the name of the baseline: as given, the manifest's, or the first.

    among: the names of the variants that are read, one or more; none: all, two or more.
    InputError where nothing is finished, where the baseline is not a variant, or where variants cannot be compared.
    """
    folder = ExperimentFolder(path)
    manifest = folder.manifest()
    results = _results(folder)
    name = _baseline(manifest, baseline)
    places = {(place.variant.name, place.seed, training_key(place.training)): place for place in folder.runs(manifest)}
    done = {key for key in zip(*(results[column] for column in PLACE), strict=True) if key in places}
    done = {key for key in done if places[key].finished}
    trainings = manifest.trainings or [NO_TRAINING]
    seeds = [seed for seed in manifest.seeds if all((name, seed, training) in done for training in trainings)]
    if not seeds:
        raise InputError(f"{path}: the baseline '{name}' has no finished run; finish the experiment or name another")
    variants: list[Variant] = []
    left_out: dict[str, list[str]] = {}
    for variant in manifest.variants:
        if among is not None and variant.name not in among:
            continue
        wanted = [(variant.name, seed, training) for seed in seeds for training in trainings]
        missing = next((key for key in wanted if key not in done), None)
        if missing is None:
            variants.append(variant)
            continue
        why = places[missing].failure
        reason = f"not finished at seed {missing[1]}" + (f" ({why})" if why else "")
        left_out.setdefault(reason, []).append(variant.name)
    notes = [
        note("left_out", "left out: {variants!r}, {reason}", variants=names, reason=reason)
        for reason, names in left_out.items()
    ]
    if unfinished := [seed for seed in manifest.seeds if seed not in seeds]:
        said = "seeds left out, since the baseline did not finish them: {seeds}"
        notes.append(note("seeds_left_out", said, seeds=unfinished))
    if among is None and len(variants) < 2:
        raise InputError(f"{path}: fewer than two variants finished seed {seeds[0]}; there is nothing to compare")
    replicates = Replicates(tuple(seeds), tuple(manifest.trainings))
    read = {variant.name for variant in variants}
    kept = results[results["variant"].isin(read)].drop_duplicates(list(PLACE), keep="last")
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
    rows = [{**flat_figures(summaries[held]), "variant": held, "seed": seed, "training": NO_TRAINING} for held in names]
    results = pd.DataFrame(rows)
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
    notes: list[Note],
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
    if first[0].lives is not None:
        notes.append(first[0].lives.measures)
    whose = [run.users if run.lives is None else run.lives.users for run in first]
    users, codes = np.unique(np.concatenate(whose), return_inverse=True)
    by_run = np.split(codes.astype(np.int64), np.cumsum([len(held) for held in whose])[:-1])
    worlds = [_world(run, user) for run, user in zip(first, by_run, strict=True)]
    has_alone = all(run.alone for runs in read for run in runs)
    return ExperimentRecords(
        manifest,
        variants,
        replicates,
        with_marginal_month(results),
        worlds,
        [[run.ranks for run in runs] for runs in read],
        [[run.alone if has_alone else {} for run in runs] for runs in read],
        [[run.account for run in runs] for runs in read],
        users,
        [0.0] * len(replicates),
        notes,
        None if first[0].lives is None else read,
    )


def _world(run: RunRecords, user: NDArray[np.int64]) -> RunWorld:
    """What is common to all variants of a run, whose interactions (devices, where users react) are of these users."""
    if run.lives is None:
        held = run.interactions
        return RunWorld(held["device"].to_numpy(), held["step"].to_numpy(), held["t_s"].to_numpy(), user)
    devices = np.arange(len(user))
    return RunWorld(devices, np.zeros_like(devices), np.full(len(user), run.lives.horizon_s), user)


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
