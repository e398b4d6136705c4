"""Compare the variants of an experiment: means, paired differences to a baseline, and what follows from them.

Writes comparisons.parquet and answer.json into the experiment's folder; the same runs give the same bytes.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fleetrec.models.runtime.artifacts import atomic_path
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.money import told_in
from fleetrec.simulator.core.notes import data_of, note
from fleetrec.simulator.experiments.comparison.conclusion import conclude, higher_is_better
from fleetrec.simulator.experiments.comparison.cost_plane import LEVEL
from fleetrec.simulator.experiments.comparison.decision import PER_MONTH, hint
from fleetrec.simulator.experiments.comparison.families import at_equal_ratio
from fleetrec.simulator.experiments.comparison.matched_runs import read_records, read_runs
from fleetrec.simulator.experiments.comparison.metric_values import Measure
from fleetrec.simulator.experiments.comparison.months import MARGINAL_PER_MONTH
from fleetrec.simulator.experiments.comparison.records import RATIO, ExperimentRecords
from fleetrec.simulator.experiments.comparison.warm_up import cut_warm_up
from fleetrec.simulator.experiments.folders import currency_of, full_metric
from fleetrec.simulator.experiments.statistics import holm
from fleetrec.simulator.records.parquet import write_table
from fleetrec.simulator.records.run_manifest import edits_told
from fleetrec.simulator.results.engagement import FIRST, RATIOS

Floats = NDArray[np.float64]

PROVISIONED = "cost.usd_provisioned_per_1k_interactions"
MARGINAL = "cost.usd_marginal_per_1k_interactions"
_ALWAYS = (
    RATIO,
    "latency_s.slate.p95",
    "latency_s.request.p95",
    "freshness.mean_staleness",
    PROVISIONED,
    PER_MONTH,
    "cost.replicas_provisioned",
    MARGINAL,
    MARGINAL_PER_MONTH,
)
_DIGITS = 10


@dataclass(frozen=True)
class Comparison:
    """What comparisons.parquet and answer.json hold."""

    table: pd.DataFrame
    answer: dict[str, Any]


def compare(
    folder: Path | str,
    baseline: str | None = None,
    metric: str | None = None,
    cost: str | None = None,
    third: str | None = None,
    equal_ratio: bool = False,
) -> Comparison:
    """Compare the finished runs of an experiment's folder and write what was found to it.

    metric and cost: dotted names (`ndcg@10` is short for `accuracy.ndcg@10`); where not given, those of the manifest,
    else NDCG@10 (of users who react, what they took a day) and the provisioned account (the marginal one where a run
    has no provisioned account). third: another objective of the front; a search for three goals has its own.
    equal_ratio: also compare families at equal realised request ratios. InputError where runs cannot be compared: none
    finished, other interactions, no such metric or baseline.
    """
    with edits_told(Path(folder)), told_in(currency_of(Path(folder))):
        records, base = read_records(folder, baseline)
        found = _compared(records, base, metric, cost, third, equal_ratio, Path(folder))
    _write(Path(folder), found)
    return found


def compare_runs(
    folders: Mapping[str, Path],
    baseline: str | None = None,
    metric: str | None = None,
    cost: str | None = None,
    third: str | None = None,
) -> Comparison:
    """Compare runs, each in a folder of its own, under the names given; the first is the baseline where none is named.

    Nothing is written; the answer has `differences` too, a row a run and figure. InputError where a folder holds no
    finished run, or runs are not of one world: another seed, or other interactions.
    """
    records, base = read_runs(folders, baseline)
    with told_in(currency_of(folders[base])):
        found = _compared(records, base, metric, cost, third, False, None)
    told = found.table.loc[
        found.table["variant"] != base, ["variant", "metric", "difference", "difference_low", "difference_high"]
    ]
    rows = told.rename(columns={"difference_low": "low", "difference_high": "high"}).to_dict("records")
    return Comparison(found.table, found.answer | {"differences": rounded(rows)})


def named_runs(folders: Sequence[Path]) -> dict[str, Path]:
    """Runs by the names of their folders; by their whole paths where two are called the same."""
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    if len(set(names)) < len(names):
        raise InputError(f"{folders[0]}: a run is named twice; give folders that differ")
    return dict(zip(names, folders, strict=True))


def _compared(
    records: ExperimentRecords,
    base: str,
    metric: str | None,
    cost: str | None,
    third: str | None,
    equal_ratio: bool,
    folder: Path | None,
) -> Comparison:
    metric = records.check(metric or _first_metric(records, accuracy=True))
    cost = records.check(cost or _first_metric(records, accuracy=False))
    third = third or _third_goal(records, metric, cost)
    costs = [cost] if third is None else [cost, records.check(third)]
    if len({metric, *costs}) <= len(costs):
        raise InputError(f"--metric {metric}: is an objective twice; name different ones")
    if folder is not None:
        cut_warm_up(records, folder, metric)
    at = records.index(base)
    measures = {name: records.measure(name) for name in _metrics(records, metric, *costs)}
    table = pd.concat([_rows(records, at, name, measure) for name, measure in measures.items()], ignore_index=True)
    answer = conclude(records, at, metric, costs, measures, table)
    if equal_ratio:
        found = at_equal_ratio(records.variants, at, records.measure(RATIO).by_run, measures[metric])
        answer["equal_ratio"] = found.rows
        answer["notes"] += data_of(*found.notes)
    for name in table.select_dtypes("float").columns:
        table[name] = pd.Series([rounded(value) for value in table[name].tolist()], dtype="float64")
    return Comparison(table, rounded(answer))


def _first_metric(records: ExperimentRecords, accuracy: bool) -> str:
    held = [full_metric(name) for name in (*records.manifest.directions, *records.manifest.metrics)]
    wanted = [name for name in held if higher_is_better(name, records.manifest.directions) == accuracy]
    if accuracy:
        return next(iter(wanted), full_metric(FIRST if records.reacts else "ndcg@10"))
    wanted = [name for name in wanted if name.startswith("cost.")] or wanted
    if wanted:
        return wanted[0]
    first = PER_MONTH if records.reacts else PROVISIONED  # users who react do not do the same under every policy
    held_by_all = first in records.results and bool(np.isfinite(records.measure(first).by_run).all())
    if not held_by_all:
        said = "cost is that of the marginal account: some run has no provisioned one"
        records.notes.append(note("cost_marginal", said))
    return first if held_by_all else MARGINAL


def _third_goal(records: ExperimentRecords, metric: str, cost: str) -> str | None:
    """What a search for three goals wanted beside the two."""
    goals = list(records.manifest.directions)
    return next((name for name in goals if name not in (metric, cost)), None) if {metric, cost} <= set(goals) else None


def _metrics(records: ExperimentRecords, *objectives: str) -> list[str]:
    """What is compared: the question's own, the manifest's, every accuracy of the summaries, what users did who react,
    and the usual figures."""
    columns = [str(name) for name in records.results.columns]
    asked = [records.check(name) for name in (*records.manifest.metrics, *records.manifest.limits)]
    accuracies = [name for name in columns if name.startswith("accuracy.") and records.from_ranks(name)]
    engaged = [name for name in map(full_metric, RATIOS) if records.reacts]
    told = [name for name in columns if name.startswith("feedback.") and ".over_time." not in name]
    usual = [name for name in _ALWAYS if name in columns]
    return list(dict.fromkeys([*objectives, *asked, *accuracies, *engaged, *told, *usual]))


def _rows(records: ExperimentRecords, baseline: int, metric: str, measure: Measure) -> pd.DataFrame:
    """A row a variant: its mean, and its paired difference to the baseline; p is adjusted over variants by Holm."""
    own, difference = measure.own(), measure.difference(baseline)
    others = np.arange(len(records.variants)) != baseline
    p = np.where(others, difference.p, np.nan)
    adjusted = holm(p)
    low, high = measure.interval()
    level, seeds = 1 - (1 - LEVEL) / max(int(others.sum()), 1), len(records.replicates.worlds)
    hints = [
        None if v == baseline else 0 if adjusted[v] < 1 - LEVEL else hint(difference, v, seeds, level)
        for v in range(len(records.variants))
    ]
    return pd.DataFrame(
        {
            "variant": [variant.name for variant in records.variants],
            "metric": metric,
            "n_seeds": seeds,
            "n_trainings": records.replicates.n_trainings,
            "mean": own.mean,
            "low": low,
            "high": high,
            "baseline": records.variants[baseline].name,
            "difference": np.where(others, difference.mean, np.nan),
            "difference_low": np.where(others, difference.low, np.nan),
            "difference_high": np.where(others, difference.high, np.nan),
            "p": p,
            "p_adjusted": adjusted,
            "method": own.method,
            "generalises_to": own.generalises_to,
            "seeds_to_resolve": pd.array(hints, dtype="Int64"),
        }
    )


def rounded(value: Any) -> Any:
    """The same tree with 10 significant digits, so that the last bits of sums show in no file; None if not finite."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def _write(folder: Path, found: Comparison) -> None:
    write_table(found.table, folder / "comparisons.parquet")
    with atomic_path(folder / "answer.json") as path:
        path.write_text(json.dumps(found.answer, indent=2, allow_nan=False) + "\n", encoding="utf-8")
