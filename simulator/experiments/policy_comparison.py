"""One fleet under several request policies: the same users, arrivals, links and outages, one training, shared lists.

Every policy is run in full and leaves a run folder of its own; `comparison.json` sets them side by side.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.metrics import accuracy_per_query
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.progress import Progress
from fleetrec.simulator.core.months import times_a_month
from fleetrec.simulator.core.notes import PROVISIONED_LEAVES_OUT, PROVISIONED_NONE
from fleetrec.simulator.experiments.comparison.compare import compare_runs
from fleetrec.simulator.experiments.statistics import Replicates, over_users
from fleetrec.simulator.policies.request.always import AlwaysRequest
from fleetrec.simulator.policies.request.every import EveryRequest
from fleetrec.simulator.policies.request.inconsistency import InconsistencyRequest
from fleetrec.simulator.policies.request.never import NeverRequest
from fleetrec.simulator.policies.request.random import RandomRequest
from fleetrec.simulator.policies.request.session_start import SessionStartRequest
from fleetrec.simulator.preparation.prepare import Prepared, prepare
from fleetrec.simulator.results import summary as parts
from fleetrec.simulator.results.run_folder import RunFolder, opened
from fleetrec.simulator.results.run_result import RunResult
from fleetrec.simulator.results.summary import NOT_EVALUATED
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.simulation import run_prepared

Ints = NDArray[np.int64]

RATIO = 0.4
"""share of requests that policies are told where the scenario's own is told none"""
TODAY = {"srm": "SRM alone", "popular": "popular", "markov": "Markov"}
"""baselines that need no cloud, as their rows are named"""
PROVISIONED = "usd_provisioned_per_1k_interactions"
MARGINAL = "usd_marginal_per_1k_interactions"


def request_policies(ratio: float) -> dict[str, sections.RequestPolicy]:
    """The policies compared, by name; those that can be told a share of requests get `ratio`."""
    every = max(2, round(1 / ratio))
    return {
        "never (preloaded list)": NeverRequest(),
        f"random {ratio:.0%}": RandomRequest(ratio=ratio),
        f"every {every} interactions": EveryRequest(n=every),
        f"inconsistency {ratio:.0%}": InconsistencyRequest(ratio=ratio),
        "session start": SessionStartRequest(),
        "always": AlwaysRequest(),
    }


def compare(scenario: sections.Scenario, out: RunFolder, device: str, progress: Progress) -> dict[str, Any]:
    """Run `scenario` under each policy, each to a folder below `out`; returns what comparison.json holds.

    Its rows begin with what the user has without a cloud (`today`: the SRM alone, popular items, a Markov table), then
    come the policies. One that did not ask at the share of decisions that it was told bears the two shares in its name,
    and is named by nothing else. The decision is that of `compare_runs` against the policy that always asks.
    Policies that can be told a share of requests get that of the scenario's own policy, or 0.4 where it has none. The
    scenario's budget is lifted, so that each policy asks as often as it would. Cost is that of the provisioned account,
    or of the marginal one where a policy's objective cannot be met.
    """
    ratio = getattr(scenario.policy.request, "ratio", None) or RATIO
    if not scenario.policy.slate.asks:
        raise InputError(
            f"policy.slate: {scenario.policy.slate.kind} never asks the cloud, so request policies cannot differ; "
            "compare them with --set policy.slate=llm"
        )
    if scenario.workload.users.reacts:
        raise InputError(
            f"workload.users: {scenario.workload.users.kind} react, and these policies are compared by accuracy on one "
            "stream; `decide` compares them by what users take, or set workload.users: replay"
        )
    prepared = prepare(scenario, device, progress)
    overwrite = out.replaces  # the comparison as a whole was to be lost
    if overwrite:
        out.begin()
    metric = parts.headline_metric(scenario.metrics.k)
    points: list[dict[str, Any]] = []
    folders: dict[str, Path] = {}
    notes: dict[str, list[dict[str, Any]]] = {}
    result: RunResult | None = None
    for name, request in request_policies(ratio).items():
        if request.needs_list and not scenario.policy.slate.uses_llm:
            continue
        policy = scenario.policy.model_copy(update={"request": request, "budget": sections.Budget()})
        chosen = scenario.model_copy(update={"policy": policy})
        with opened(out.path / name.split(" (")[0].replace(" ", "-").replace("%", ""), chosen, overwrite) as folder:
            result = run_prepared(chosen, prepared, folder, device, progress)
        notes[name], called = result.summary["notes"], shown_as(name, result.summary["requests"])
        folders[called] = folder.path
        points.append(
            {
                "policy": called,
                "folder": folder.path.name,
                "run": folder.run,
                **_point(result, prepared.population.users, metric),
            }
        )
    assert result is not None
    account = PROVISIONED if all(point[PROVISIONED] is not None for point in points) else MARGINAL
    thousands = len(result.interactions) / 1000 * _times_a_month(result)
    points = [
        {**point, **{key: point.get(f"{account}{key.removeprefix('cost')}") for key in _with_ends("cost")}}
        for point in points
    ]
    points = [{**point, "usd_per_month": point["cost"] * thousands} for point in points]
    answer = compare_runs(folders, points[-1]["policy"], metric, f"cost.{account}").answer
    comparison = {
        "run": out.run,
        "scenario": scenario.name,
        "seed": scenario.seed,
        "metric": metric,
        "cost": account,
        "represents": scenario.fleet.represents or prepared.population.n_devices,
        "today": today(result, prepared, metric),
        "policies": points,
        "baselines": {name: figures[metric] for name, figures in result.summary["baselines"].items()},
        "hangs_on": result.summary["hangs_on"],
        "headline": answer["headline"],
        **{key: answer[key] for key in ("decision", "winner", "baseline", "frontier")},
        "notes": [*_notes(notes), *answer["notes"]],
        "split": result.summary["split"],
    }
    out.begin()
    out.write_text("comparison.json", json.dumps(comparison, indent=2, allow_nan=False) + "\n")
    out.finish()
    return comparison


def _times_a_month(result: RunResult) -> float:
    summary = result.summary
    return float(times_a_month(summary["devices"], summary["represented"]["devices"], summary["simulated_seconds"]))


def _with_ends(name: str) -> tuple[str, str, str]:
    """A figure and the ends of its 95% interval."""
    return name, f"{name}_low", f"{name}_high"


def shown_as(name: str, requests: Mapping[str, Any]) -> str:
    """A policy's name; where it did not ask at the share that the name says, "inconsistency (asked 107%, told 40%)"."""
    off = parts.off_share(requests)
    return name if off is None else f"{name.rsplit(' ', 1)[0] if name.endswith('%') else name} ({off})"


def today(result: RunResult, prepared: Prepared, metric: str) -> list[dict[str, Any]]:
    """What the user has without a cloud, as rows: accuracy with its 95% interval over users, at no cost."""
    users = prepared.population.users[result.baselines["device"].to_numpy()]
    rows = []
    for name, shown in TODAY.items():
        ranks = result.baselines[name].to_numpy()
        judged = ranks != NOT_EVALUATED
        rows.append(
            {
                "policy": shown,
                **_accuracy(ranks[judged], users[judged], metric),
                "cost": 0.0,
                "ratio": 0.0,
                "usd_per_month": 0.0,
            }
        )
    return rows


def _accuracy(ranks: Ints, users: Ints, metric: str) -> dict[str, float]:
    """Mean with its 95% interval over users, that of `compare_runs`."""
    rewards = accuracy_per_query(ranks, (int(metric.split("@")[1]),))[metric]
    _, user = np.unique(users, return_inverse=True)
    sums, counts = (np.bincount(user, weights=of).astype(np.float64) for of in (rewards, None))
    found = over_users(sums[None, None], counts[None], Replicates((0,)))
    mean, low, high = (float(values[0]) for values in (found.mean, found.low, found.high))
    return {"accuracy": mean, "low": max(low, 0.0), "high": min(high, 1.0)}


def _notes(by_policy: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Notes that all policies share, and whose cost could not be told in full; others stand in each run's folder."""
    shared = [note for note in next(iter(by_policy.values())) if all(note in notes for notes in by_policy.values())]
    of_cost = [
        {**note, "text": f"{policy}: {note['text']}", "values": note["values"] | {"policy": policy}}
        for policy, notes in by_policy.items()
        for note in notes
        if note["key"] in (PROVISIONED_NONE, PROVISIONED_LEAVES_OUT) and note not in shared
    ]
    return shared + of_cost


def _point(result: RunResult, users: Ints, metric: str) -> dict[str, Any]:
    interactions = result.interactions
    summary = result.summary
    return {
        **_accuracy(interactions["rank"].to_numpy(), users[interactions["device"].to_numpy()], metric),
        "hr@10": summary["accuracy"].get("hr@10"),
        **{key: summary["cost"][key] for key in (*_with_ends(PROVISIONED), MARGINAL, "replicas_provisioned")},
        **{key: summary["requests"][key] for key in ("ratio", "decisions", "wanted_ratio", "realised_ratio")},
        "completed": summary["requests"]["completed"],
        "mean_staleness": summary["freshness"]["mean_staleness"],
        "latency_p95_s": summary["latency_s"]["request"]["p95"],
        "utilization": summary["cloud"]["utilization"],
    }
