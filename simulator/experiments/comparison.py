"""Compare the variants of an experiment: means, paired differences to a baseline, and what follows from them.

Writes comparisons.parquet and answer.json into the experiment's folder; the same runs give the same bytes.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.artifacts import atomic_path
from models.errors import InputError
from simulator.experiments.answer import conclude, higher_is_better
from simulator.experiments.families import at_equal_ratio
from simulator.experiments.folders import full_metric
from simulator.experiments.measures import Measure
from simulator.experiments.records import ExperimentRecords, cut_warm_up, read_records
from simulator.experiments.statistics import holm, seeds_to_resolve
from simulator.parquet import write_table

Floats = NDArray[np.float64]

RATIO = "requests.ratio"
PROVISIONED = "cost.usd_provisioned_per_1k_interactions"
MARGINAL = "cost.usd_marginal_per_1k_interactions"
_ALWAYS = (RATIO, "latency_s.slate.p95", "latency_s.request.p95", "freshness.mean_staleness", PROVISIONED, MARGINAL)
_SHARES = ("hr@", "ndcg@", "mrr@")
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
    else NDCG@10 and the provisioned account (the marginal one where a run has no provisioned account). third: another
    objective of the front; a search for three goals has its own. equal_ratio: also compare families at equal realised
    request ratios. InputError where runs cannot be compared: none finished, other interactions, no such metric or
    baseline.
    """
    records, base = read_records(folder, baseline)
    metric = records.check(metric or _first_metric(records, accuracy=True))
    cost = records.check(cost or _first_metric(records, accuracy=False))
    third = third or _third_goal(records, metric, cost)
    costs = [cost] if third is None else [cost, records.check(third)]
    if len({metric, *costs}) <= len(costs):
        raise InputError(f"--metric {metric}: is an objective twice; name different ones")
    cut_warm_up(records, folder, metric)
    at = records.index(base)
    measures = {name: records.measure(name) for name in _metrics(records, metric, *costs)}
    table = pd.concat([_rows(records, at, name, measure) for name, measure in measures.items()], ignore_index=True)
    answer = conclude(records, at, metric, costs, measures, table)
    if equal_ratio:
        found = at_equal_ratio(records.variants, at, records.measure(RATIO).by_seed, measures[metric])
        answer["equal_ratio"] = found.rows
        answer["notes"] += found.notes
    answer = rounded(answer)
    _write(Path(folder), table, answer)
    return Comparison(table, answer)


def _first_metric(records: ExperimentRecords, accuracy: bool) -> str:
    held = [full_metric(name) for name in (*records.manifest.directions, *records.manifest.metrics)]
    wanted = [name for name in held if higher_is_better(name, records.manifest.directions) == accuracy]
    if accuracy:
        return next(iter(wanted), "accuracy.ndcg@10")
    wanted = [name for name in wanted if name.startswith("cost.")] or wanted
    if wanted:
        return wanted[0]
    held_by_all = PROVISIONED in records.results and bool(np.isfinite(records.measure(PROVISIONED).sums).all())
    if not held_by_all:
        records.notes.append("cost is that of the marginal account: some run has no provisioned one")
    return PROVISIONED if held_by_all else MARGINAL


def _third_goal(records: ExperimentRecords, metric: str, cost: str) -> str | None:
    """What a search for three goals wanted beside the two."""
    goals = list(records.manifest.directions)
    return next((name for name in goals if name not in (metric, cost)), None) if {metric, cost} <= set(goals) else None


def _metrics(records: ExperimentRecords, *objectives: str) -> list[str]:
    """What is compared: the question's own, the manifest's, every accuracy of the summaries, and the usual figures."""
    columns = [str(name) for name in records.results.columns]
    asked = [records.check(name) for name in (*records.manifest.metrics, *records.manifest.limits)]
    accuracies = [name for name in columns if name.startswith("accuracy.") and records.from_ranks(name)]
    return list(dict.fromkeys([*objectives, *asked, *accuracies, *(name for name in _ALWAYS if name in columns)]))


def _rows(records: ExperimentRecords, baseline: int, metric: str, measure: Measure) -> pd.DataFrame:
    """A row a variant: its mean, and its paired difference to the baseline; p is adjusted over variants by Holm."""
    own = measure.estimate(measure.sums)
    paired = measure.sums - measure.sums[baseline]
    difference = measure.estimate(paired)
    others = np.arange(len(records.variants)) != baseline
    p = np.where(others, difference.p, np.nan)
    deviation = _deviation(measure, paired)
    resolved = (difference.low > 0) | (difference.high < 0)
    low, high = own.low, own.high
    if metric.startswith("accuracy.") and any(share in metric for share in _SHARES):
        low, high = np.maximum(low, 0.0), np.minimum(high, 1.0)
    hints = [
        seeds_to_resolve(float(difference.mean[v]), float(deviation[v]), len(records.seeds), bool(resolved[v]))
        if others[v]
        else None
        for v in range(len(records.variants))
    ]
    return pd.DataFrame(
        {
            "variant": [variant.name for variant in records.variants],
            "metric": metric,
            "n_seeds": len(records.seeds),
            "mean": own.mean,
            "low": low,
            "high": high,
            "baseline": records.variants[baseline].name,
            "difference": np.where(others, difference.mean, np.nan),
            "difference_low": np.where(others, difference.low, np.nan),
            "difference_high": np.where(others, difference.high, np.nan),
            "p": p,
            "p_adjusted": holm(p),
            "method": own.method,
            "generalises_to": own.generalises_to,
            "seeds_to_resolve": pd.array(hints, dtype="Int64"),
        }
    )


def _deviation(measure: Measure, paired: Floats) -> Floats:
    """Standard deviation over seeds of each difference [V]; NaN with one seed."""
    by_seed = paired.sum(axis=-1) / measure.counts.sum(axis=-1)
    return by_seed.std(axis=-1, ddof=1) if by_seed.shape[-1] > 1 else np.full(len(by_seed), np.nan)


def rounded(value: Any) -> Any:
    """The same tree with 10 significant digits, so that the last bits of sums show in no file; None if not finite."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def _write(folder: Path, table: pd.DataFrame, answer: dict[str, Any]) -> None:
    for name in table.select_dtypes("float").columns:
        table[name] = pd.Series([rounded(value) for value in table[name].tolist()], dtype="float64")
    write_table(table, folder / "comparisons.parquet")
    with atomic_path(folder / "answer.json") as path:
        path.write_text(json.dumps(answer, indent=2, allow_nan=False) + "\n", encoding="utf-8")
