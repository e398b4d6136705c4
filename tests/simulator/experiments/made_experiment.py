"""Hand-made experiments: folders as a sweep leaves them, with ranks and costs that a test chooses."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fleetrec.simulator.experiments.folders import ExperimentFolder, Manifest, Variant, flat_figures

N_DEVICES, N_STEPS, STEP_S = 40, 25, 60.0
Ranks = Callable[[str, int, NDArray[np.float64]], NDArray[np.int64]]


def make_experiment(
    path: Path,
    variants: Mapping[str, Mapping[str, Any]],
    ranks: Ranks,
    figures: Callable[[str, int], Mapping[str, Any]],
    seeds: Sequence[int] = (1, 2, 3),
    clones: int = 1,
    alone: Mapping[str, float] | None = None,
    **manifest: Any,
) -> ExperimentFolder:
    """40 devices with 25 interactions each, one a minute; device d replays user d // clones.

    ranks(variant, seed, u): the ranks of uniforms u [device, step] that are the same for all variants of a seed.
    figures(variant, seed): what the summary says beside the accuracy. alone: what share of the interactions each
    baseline without a cloud hits, where the uniforms are least.
    """
    planned = [Variant(name, f"v{i}", settings) for i, (name, settings) in enumerate(variants.items())]
    axes = {key: [] for settings in variants.values() for key in settings}
    plan = {"metrics": ["ndcg@10", "cost.usd"], "baseline": planned[0].name, "versions": {}} | manifest
    folder = ExperimentFolder(path)
    folder.write_manifest(Manifest("sweep", "made", "Which one?", "made.yaml", "0", list(seeds), axes, planned, **plan))
    device = np.repeat(np.arange(N_DEVICES, dtype=np.int32), N_STEPS)
    step = np.tile(np.arange(N_STEPS, dtype=np.int32), N_DEVICES)
    rows = []
    for place in folder.runs():
        u = np.random.default_rng(place.seed).random((N_DEVICES, N_STEPS))
        rank = ranks(place.variant.name, place.seed, u).reshape(-1)
        place.folder.mkdir(parents=True)
        interactions = pd.DataFrame({"device": device, "step": step, "t_s": step * STEP_S, "rank": rank})
        interactions = interactions.assign(as_of=0, staleness=1, list_age_s=1.0, slate_latency_s=0.1)
        interactions.sort_values(["t_s", "device"]).to_parquet(place.folder / "interactions.parquet")
        held = {name: np.where(u.reshape(-1) < share, 0, -1) for name, share in (alone or {}).items()}
        if alone:
            pd.DataFrame({"device": device, "step": step, **held}).to_parquet(place.folder / "baselines.parquet")
        users = [f"u{d // clones}" for d in range(N_DEVICES)]
        pd.DataFrame({"device": range(N_DEVICES), "user": users}).to_parquet(place.folder / "devices.parquet")
        asked = pd.DataFrame({"t_issued_s": np.arange(5) * 300.0, "outcome": "completed"})
        asked = asked.assign(t_delivered_s=asked.t_issued_s + 1, t_started_s=0.0, t_arrived_s=0.0, bytes_up=1.0)
        asked.to_parquet(place.folder / "requests.parquet")
        hit = (rank >= 0) & (rank < 10)
        summary = {
            "accuracy": {
                "hr@10": float(hit.mean()),
                "ndcg@10": float(np.where(hit, 1 / np.log2(np.maximum(rank, 0) + 2), 0).mean()),
            },
            "requests": {"ratio": 0.5},
            "seed": place.seed,
        }
        for key, value in figures(place.variant.name, place.seed).items():
            summary[key] = {**summary.get(key, {}), **value}
        (place.folder / "summary.json").write_text(json.dumps(summary))
        key = {"variant": place.variant.name, "seed": place.seed}
        key |= {} if place.training is None else {"training": place.training}
        rows.append({**flat_figures(summary), **key})
    pd.DataFrame(rows).to_parquet(path / "results.parquet")
    return folder
