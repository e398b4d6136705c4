"""Made sweeps whose truth is known: what a policy hits, what it costs, and what the SRM alone hits."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fleetrec.simulator.experiments.folders import ExperimentFolder
from tests.simulator.experiments.made_experiment import N_DEVICES, N_STEPS, make_experiment

ALONE = 0.30
"""what the SRM alone hits, first in its list: HR@10 and NDCG@10"""
USD_PER_1K = "usd_provisioned_per_1k_interactions"
DAY_S, REPRESENTED = 86_400.0, 4_000


def sweep_of(
    path: Path,
    policies: Mapping[str, tuple[float, float]],
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    seeds: tuple[int, ...] = (1, 2, 3),
    chance: int | None = None,
    alone: float = ALONE,
    lists: Mapping[str, float] | None = None,
) -> Path:
    """A sweep over a day of 40 phones that stand for 4,000; policies: (share hit, US dollars per 1,000 interactions).

    Dollars a month are those per 1,000 times 3,000 thousand interactions. chance: the seed of which interactions each
    policy hits on its own, instead of those that all hit where the uniforms are least. lists: NDCG@10 of fresh lists.
    """
    names = list(policies)

    def ranks(name: str, seed: int, u: Any) -> Any:
        own = u if chance is None else np.random.default_rng([chance, seed, names.index(name)]).random(u.shape)
        return np.where(own < policies[name][0], 0, -1)

    def figures(name: str, seed: int) -> dict[str, Any]:
        usd = policies[name][1] * (1 + 0.001 * seed)
        month = usd * N_DEVICES * N_STEPS * (REPRESENTED / N_DEVICES) * 30 / 1000
        return {
            "cost": {
                USD_PER_1K: usd,
                "usd_provisioned_per_month": month,
                "device_joules": 2.0,
                "gpu_joules_provisioned_per_month": 5.0,
            },
            "requests": {"ratio": 0.0 if name.startswith("never") else 0.5},
            "represented": {"devices": REPRESENTED},
        }

    held = settings or {name: {"policy.request": name} for name in policies}
    folder = make_experiment(path, held, ranks, figures, seeds, alone={"srm": alone}, metrics=["ndcg@10"])
    _complete(folder, lists or {})
    return path


def _complete(folder: ExperimentFolder, lists: Mapping[str, float]) -> None:
    """What summaries say beside sections: devices, interactions, time, and how good fresh lists are."""
    for place in folder.runs():
        path = place.folder / "summary.json"
        summary = json.loads(path.read_text())
        quality = lists.get(place.variant.name)
        rows = [] if quality is None else [{"key": "llm_quality", "values": {"fresh_llm_order": quality}}]
        summary |= {"hangs_on": rows, "notes": [], "split": "made"}
        path.write_text(json.dumps(summary))
        (place.folder / "scenario.yaml").write_text("name: made\n")
    table = pd.read_parquet(folder.path / "results.parquet")
    table = table.assign(devices=float(N_DEVICES), interactions=float(N_DEVICES * N_STEPS), simulated_seconds=DAY_S)
    table.to_parquet(folder.path / "results.parquet")
