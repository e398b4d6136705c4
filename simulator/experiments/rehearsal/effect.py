"""What it does to a fleet's accuracy and dollars that its cloud is as fast as a measured server, not as was guessed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fleetrec.models.metrics import accuracy_per_query, clustered_mean, headline_k
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import Progress
from fleetrec.simulator.core.months import times_a_month
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.experiments.rehearsal.clouds import Cloud
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.results.run_result import RunResult
from fleetrec.simulator.results.summary import finite
from fleetrec.simulator.simulation import simulate_prepared

COSTS = (
    "usd_provisioned_per_month",
    "usd_provisioned_per_1k_interactions",
    "usd_marginal_per_1k_interactions",
    "replicas_provisioned",
)


def effect_of(
    guess: RunResult, prepared: Prepared, taken_for: Cloud, folder: Path, device: str, progress: Progress
) -> tuple[dict[str, Any] | None, list[Note]]:
    """Accuracy, latency and dollars of the scenario as it is and with what was fitted, and the paired difference in
    accuracy; None, with a note of why, where the scenario cannot be served so. `folder`: of the rehearsal."""
    scenario = guess.scenario
    try:
        cloud = taken_for.fitted_section(scenario.cloud, folder)
        fitted = simulate_prepared(scenario.model_copy(update={"cloud": cloud}), prepared, None, device, progress)
    except InputError as error:
        said = "the scenario cannot be simulated with what was fitted: {why}"
        return None, [note("no_effect", said, why=str(error))]
    return finite(_beside(guess, fitted, headline_k(scenario.metrics.k))), []


def _beside(guess: RunResult, fitted: RunResult, k: int) -> dict[str, Any]:
    metric = f"ndcg@{k}"
    places = ["device", "step"]
    both = guess.interactions[[*places, "rank"]].merge(fitted.interactions[[*places, "rank"]], on=places)
    gain = [accuracy_per_query(both[name].to_numpy(), (k,))[metric] for name in ("rank_x", "rank_y")]
    owners = pd.Series(guess.users["user"].to_numpy(np.int64), guess.users["device"].to_numpy(np.int64))
    mean, half = clustered_mean(gain[1] - gain[0], owners.reindex(both["device"]).to_numpy(np.int64))
    return {
        "metric": metric,
        "guess": _figures(guess, metric),
        "profile": _figures(fitted, metric),
        "accuracy_difference": {"mean": mean, "low": mean - half, "high": mean + half},
    }


def _figures(run: RunResult, metric: str) -> dict[str, Any]:
    summary = run.summary
    return {
        "accuracy": summary["accuracy"][metric],
        "request_latency_p95_s": summary["latency_s"]["request"]["p95"],
        "answered_ratio": summary["requests"]["answered_ratio"],
        **{name: summary["cost"].get(name) for name in COSTS},
        "usd_marginal_per_month": summary["cost"]["usd_marginal"] * times_a_month(*_fleet(summary)),
    }


def _fleet(summary: Mapping[str, Any]) -> tuple[float, float, float]:
    return summary["devices"], summary["represented"]["devices"], summary["simulated_seconds"]
