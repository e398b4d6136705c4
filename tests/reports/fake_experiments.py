"""Experiment folders made up by hand in the agreed layout, so that reports can be tested without a simulation."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fleetrec.simulator.experiments.folders import ExperimentFolder, Manifest, RunPlace, Variant, flat_figures
from tests.reports.fake_runs import summary_of, write_run

COST = "cost.usd_provisioned_per_1k_interactions"
NDCG = "accuracy.ndcg@10"


def variants_of(names: Sequence[str]) -> list[Variant]:
    """Variants that ask for a growing share of interactions; every second has another fusion weight."""
    kinds = ("never", "random", "always")
    return [
        Variant(
            name,
            f"v{i}",
            {
                "policy.request": {"kind": kinds[i % 3], "ratio": i / len(names)},
                "policy.fusion.srm_weight": 0.5 + i % 2,
            },
        )
        for i, name in enumerate(names)
    ]


def write_experiment(
    folder: Path,
    names: Sequence[str] = ("never", "random 20%", "inconsistency 20%", "always"),
    seeds: Sequence[int] = (1, 2, 3),
    *,
    question: str = "Which policy is worth its cost?",
    concluded: bool = True,
    answer: Mapping[str, Any] | None = None,
    with_records: int = 4,
    **manifest: Any,
) -> Path:
    """Write a finished sweep: dearer variants are more accurate, with less and less gain. Variant i costs i + 1 cents.

    The first seed of the first `with_records` variants and of the last four has a whole run folder.
    """
    variants = variants_of(names)
    plan = Manifest(
        **{
            "kind": "sweep",
            "name": "fake_sweep",
            "question": question,
            "base": "scenarios/fake.yaml",
            "base_hash": "0123abcd",
            "seeds": list(seeds),
            "axes": {},
            "variants": variants,
            "metrics": ["ndcg@10", COST],
            "baseline": names[-1],
            "versions": {"fleetrec": "0.1.0", "numpy": "2.0.0"},
        }
        | manifest
    )
    held = ExperimentFolder(folder)
    held.write_manifest(plan)
    rng = np.random.default_rng(5)
    rows, compared = [], []
    for i, variant in enumerate(variants):
        cost, accuracy = 0.01 * (i + 1), 0.2 * (1 - 0.5 ** (i + 1))
        for seed in seeds:
            summary = summary_of(seed=seed)
            summary["accuracy"] = summary["accuracy"] | {"ndcg@10": accuracy + 0.002 * rng.normal()}
            summary["cost"] = summary["cost"] | {COST.split(".")[1]: cost}
            keys = {key: json.dumps(value) for key, value in variant.settings.items()}
            rows.append({"variant": variant.name, **keys, **flat_figures(summary), "seed": seed})
        for metric, mean, width in ((NDCG, accuracy, 0.004), (COST, cost, 0.001)):
            compared.append(
                {
                    "variant": variant.name,
                    "metric": metric,
                    "n_seeds": len(seeds),
                    "mean": mean,
                    "low": mean - width,
                    "high": mean + width,
                    "baseline": 0.2,
                    "difference": mean - 0.2,
                    "difference_low": mean - 0.2 - width,
                    "difference_high": mean - 0.2 + width,
                    "p": 0.01,
                    "p_adjusted": 0.03,
                    "method": "paired t over seeds",
                    "generalises_to": "seeds",
                    "seeds_to_resolve": np.nan,
                }
            )
        if i < with_records or i >= len(variants) - 4:
            place = RunPlace(variant, seeds[0], held.run_folder(variant, seeds[0]))
            write_run(place.folder, devices=25, request_share=0.1 * (i % 10), seed=i)
    pd.DataFrame(rows).to_parquet(folder / "results.parquet", index=False)
    if concluded:
        pd.DataFrame(compared).to_parquet(folder / "comparisons.parquet", index=False)
        (folder / "answer.json").write_text(json.dumps(answer or answer_of(names)), encoding="utf-8")
    return folder


def answer_of(names: Sequence[str], **changes: Any) -> dict[str, Any]:
    """A conclusion with every key: the last but one wins against the last."""
    base: dict[str, Any] = {
        "schema_version": 2,
        "question": "Which policy is worth its cost?",
        "headline": f"{names[-2]} costs a quarter less than {names[-1]} at the same accuracy.",
        "baseline": names[-1],
        "metric": NDCG,
        "cost": COST,
        "winner": names[-2],
        "saving": {
            "variant": names[-2],
            "cost_baseline": 0.04,
            "cost_variant": 0.03,
            "share_saved": 0.25,
            "low": 0.2,
        },
        "frontier": [{"variant": name, "x": 0.0, "y": 0.0, "probability_on_front": 0.9} for name in names[-4:]],
        "knee": names[-2],
        "hypervolume": {"value": 0.0123, "low": 0.011, "high": 0.013, "reference": [0.1, 0.0]},
        "sensitivity": [
            {"key": "policy.request", "metric": "ndcg@10", "share_of_variance": 0.7},
            {"key": "policy.fusion.srm_weight", "metric": "ndcg@10", "share_of_variance": 0.2},
        ],
        "notes": [{"key": "seeds", "text": "4 more seeds would resolve the rest", "values": {}}],
    }
    return base | changes
