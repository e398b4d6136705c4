"""The start of every run that a comparison leaves out: so many seconds, or what MSER-5 finds."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fleetrec.models.metrics import accuracy_per_query
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.notes import note
from fleetrec.simulator.experiments.comparison.records import FROM_RANKS, ExperimentRecords, training_key
from fleetrec.simulator.experiments.folders import ExperimentFolder, flat_figures
from fleetrec.simulator.experiments.statistics import mser5
from fleetrec.simulator.results import summary as parts

Floats = NDArray[np.float64]

_AFTER_A_CUT = ("requests.ratio", "latency_s.", "freshness.")


def cut_warm_up(records: ExperimentRecords, path: Path | str, metric: str) -> None:
    """Cut the warm-up that the manifest asks for: so many seconds, or by MSER-5; the same for all variants of a run.

    MSER-5 is taken of one series a run: the metric of each interaction in order of time, averaged over variants, so
    that no variant's own course decides what it is judged on.
    """
    asked = records.manifest.warm_up
    if asked is None:
        return
    if records.reacts and asked == "mser5":
        raise InputError("warm_up: mser5 needs interactions that variants share, and users react; set seconds")
    for r, ((seed, _), world) in enumerate(zip(records.places, records.worlds, strict=True)):
        if asked == "mser5":
            order = np.lexsort((world.step, world.device, world.t_s))
            cut = mser5(_mean_series(records, r, metric)[order])
            if cut is None:
                said = "seed {seed}: MSER-5 would cut over half of the run, so nothing is cut"
                records.notes.append(note("warm_up_unsettled", said, seed=seed))
                continue
            records.cuts_s[r] = float(world.t_s[order][cut]) if cut else 0.0
        else:
            records.cuts_s[r] = float(asked)
        if not (world.t_s >= records.cuts_s[r]).any():
            raise InputError(f"warm_up: nothing is left of seed {seed} after {records.cuts_s[r]:g} s; cut less")
    if not any(records.cuts_s):
        return
    cuts = ", ".join(f"{cut:,.0f} s" for cut in records.cuts_s)
    said = (
        f"warm-up cut ({{how}}): {cuts} by seed; accuracy, that of baselines, request ratio, latency and freshness are "
        "of what follows, cost of the whole run"
    )
    how = "MSER-5" if asked == "mser5" else "as given"
    records.notes.append(note("warm_up_cut", said, how=how, cuts_s=list(records.cuts_s)))
    _figures_after(records, ExperimentFolder(path))


def _mean_series(records: ExperimentRecords, r: int, metric: str) -> Floats:
    found = FROM_RANKS.fullmatch(metric)
    name, k = (f"{found[1]}@{found[2]}", int(found[2])) if found else ("ndcg@10", 10)
    total = np.zeros(len(records.worlds[r].t_s))
    for ranks in records.ranks:
        total += accuracy_per_query(ranks[r], (k,))[name]
    return total / len(records.ranks)


def _figures_after(records: ExperimentRecords, folder: ExperimentFolder) -> None:
    """Replace the figures that a run's records give by those after the cut."""
    results = records.results.set_index(["variant", "seed", "training"])
    columns = [name for name in results.columns if name.startswith(_AFTER_A_CUT)]
    for variant in records.variants:
        for (seed, training), cut_s in zip(records.places, records.cuts_s, strict=True):
            found = _records_after(folder.run_folder(variant, seed, training), cut_s)
            row = (variant.name, seed, training_key(training))
            results.loc[row, columns] = [found.get(name, math.nan) for name in columns]
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
