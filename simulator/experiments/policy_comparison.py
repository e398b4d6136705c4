"""One fleet under several request policies: the same users, arrivals, links and outages, one training, shared lists.

Every policy is run in full and leaves a run folder of its own; `comparison.json` sets them side by side.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import InputError
from models.metrics import accuracy_per_query, clustered_mean
from models.progress import Progress
from simulator import summary as parts
from simulator.outputs import RunFolder, opened
from simulator.preparation import WITHOUT_CLOUD, prepare
from simulator.results import RunResult
from simulator.running import run_prepared
from simulator.scenario import sections

_RATIO = 0.4
PROVISIONED = "usd_provisioned_per_1k_interactions"
MARGINAL = "usd_marginal_per_1k_interactions"


def request_policies(ratio: float) -> dict[str, sections.RequestPolicy]:
    """The policies compared, by name; those that can be told a share of requests get `ratio`."""
    every = max(2, round(1 / ratio))
    return {
        "never (preloaded list)": sections.NeverRequest(),
        f"random {ratio:.0%}": sections.RandomRequest(ratio=ratio),
        f"every {every} interactions": sections.EveryRequest(n=every),
        f"inconsistency {ratio:.0%}": sections.InconsistencyRequest(ratio=ratio),
        "session start": sections.SessionStartRequest(),
        "always": sections.AlwaysRequest(),
    }


def compare(scenario: sections.Scenario, out: RunFolder, device: str, progress: Progress) -> dict[str, Any]:
    """Run `scenario` under each policy, each to a folder below `out`; returns what comparison.json holds.

    Policies that can be told a share of requests get that of the scenario's own policy, or 0.4 where it has none. The
    scenario's budget is lifted, so that each policy asks as often as it would. Cost is that of the provisioned account,
    or of the marginal one where a policy's objective cannot be met.
    """
    ratio = getattr(scenario.policy.request, "ratio", None) or _RATIO
    if scenario.policy.slate in WITHOUT_CLOUD:
        raise InputError(
            f"policy.slate: {scenario.policy.slate} never asks the cloud, so request policies cannot differ; "
            "compare them with --set policy.slate=llm"
        )
    prepared = prepare(scenario, device, progress)
    overwrite = out.replaces  # the comparison as a whole was to be lost
    if overwrite:
        out.begin()
    metric = parts.headline_metric(scenario.metrics.k)
    points: list[dict[str, Any]] = []
    notes: dict[str, list[str]] = {}
    result: RunResult | None = None
    for name, request in request_policies(ratio).items():
        if isinstance(request, sections.InconsistencyRequest) and scenario.policy.slate not in ("llm", "both"):
            continue
        policy = scenario.policy.model_copy(update={"request": request, "budget": sections.Budget()})
        chosen = scenario.model_copy(update={"policy": policy})
        with opened(out.path / name.split(" (")[0].replace(" ", "-").replace("%", ""), chosen, overwrite) as folder:
            result = run_prepared(chosen, prepared, folder, device, progress)
        notes[name] = result.summary["notes"]
        points.append(
            {
                "policy": name,
                "folder": folder.path.name,
                "run": folder.run,
                **_point(result, prepared.population.users, metric),
            }
        )
    assert result is not None
    account = PROVISIONED if all(point[PROVISIONED] is not None for point in points) else MARGINAL
    points = [{**point, "cost": point[account]} for point in points]
    comparison = {
        "run": out.run,
        "scenario": scenario.name,
        "seed": scenario.seed,
        "metric": metric,
        "cost": account,
        "represents": scenario.fleet.represents or prepared.population.n_devices,
        "policies": points,
        "baselines": {name: figures[metric] for name, figures in result.summary["baselines"].items()},
        "headline": _headline(points, result.summary["baselines"], metric),
        "notes": _notes(notes),
        "split": result.summary["split"],
    }
    out.begin()
    out.write_text("comparison.json", json.dumps(comparison, indent=2, allow_nan=False) + "\n")
    out.finish()
    return comparison


def _notes(by_policy: Mapping[str, list[str]]) -> list[str]:
    """Notes that all policies share, and whose cost could not be told in full; others stand in each run's folder."""
    shared = set.intersection(*map(set, by_policy.values()))
    of_cost = [
        f"{policy}: {note}"
        for policy, notes in by_policy.items()
        for note in notes
        if note.startswith("provisioned account") and note not in shared
    ]
    return [note for note in next(iter(by_policy.values())) if note in shared] + of_cost


def _point(result: RunResult, users: NDArray[np.int64], metric: str) -> dict[str, Any]:
    ranks = result.interactions["rank"].to_numpy()
    k = int(metric.split("@")[1])
    per_query = accuracy_per_query(ranks, (k,))[metric]
    mean, half = clustered_mean(per_query, users[result.interactions["device"].to_numpy()])
    summary = result.summary
    return {
        "accuracy": mean,
        "low": mean - half,
        "high": mean + half,
        "hr@10": summary["accuracy"].get("hr@10"),
        **{key: summary["cost"][key] for key in (PROVISIONED, MARGINAL, "replicas_provisioned")},
        "ratio": summary["requests"]["ratio"],
        "completed": summary["requests"]["completed"],
        "mean_staleness": summary["freshness"]["mean_staleness"],
        "latency_p95_s": summary["latency_s"]["request"]["p95"],
        "utilization": summary["cloud"]["utilization"],
    }


def _headline(points: list[dict[str, Any]], baselines: dict[str, Any], metric: str) -> str:
    best = max(points, key=lambda point: point["accuracy"])
    name = max(baselines, key=lambda key: baselines[key][metric] or 0.0)
    bar = baselines[name][metric] or 0.0
    if best["accuracy"] < bar:
        return (
            f"no policy pays: the baseline '{name}' reaches {metric.upper()} {bar:.4f} without a request, "
            f"the best policy, '{best['policy']}', {best['accuracy']:.4f}"
        )
    return (
        f"'{best['policy']}' is the most accurate ({metric.upper()} {best['accuracy']:.4f}, USD {best['cost']:.4f} per "
        f"1,000 interactions); the best baseline is '{name}' ({bar:.4f})"
    )
