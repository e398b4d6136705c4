"""summary.json: what a run found, from its records alone."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fleetrec.models.metrics import Gains, accuracy, accuracy_per_user, clustered_mean, headline_k
from fleetrec.models.runtime.pieces import at_shares, pieces
from fleetrec.simulator.core.costs import NOTHING, Cost
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.records.columns import Columns
from fleetrec.simulator.results.sentences import WITHOUT_CLOUD, Call, between, calling, signed
from fleetrec.simulator.scenario import sections

SCHEMA_VERSION = 1
GAPS = ["tie", "<=60s", "<=1h", "longer"]
TARGETS = ["head", "middle", "tail", "new", "repeat"]
_SHARE_OFF = 0.1
"""part of the wanted share by which the realised one may differ"""
NOT_EVALUATED = -2
"""rank of an item that a baseline has not been asked about"""
OUTCOMES = ("completed", "timed_out", "rejected", "lost", "abandoned", "unfinished")

Ints = NDArray[np.integer[Any]]


def date_text(seconds: float | None) -> str | None:
    """Seconds since 1970 as an ISO date in UTC; None where there is no date."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def percentiles(values: "pd.Series[float] | NDArray[np.floating[Any]]") -> dict[str, float | None]:
    """p50, p95 and p99 of the finite values; None where there is none."""
    held = np.asarray(values)
    finite = held[np.isfinite(held)]
    if not len(finite):
        return {"p50": None, "p95": None, "p99": None}
    finite.sort()
    found = at_shares(finite, np.array([50, 95, 99]) / 100)
    return dict(zip(("p50", "p95", "p99"), found.tolist(), strict=True))


def accuracy_section(ranks: Ints, users: Ints, ks: tuple[int, ...]) -> dict[str, Any]:
    """HR, NDCG and MRR at each k over interactions, and as means of users' means."""
    return {**_kept(accuracy(ranks, ks)), "per_user": _kept(accuracy_per_user(ranks, users, ks))}


def baseline_section(ranks: Ints, users: Ints, ks: tuple[int, ...]) -> dict[str, Any]:
    """The same of a baseline, over the interactions that it was asked about."""
    kept = ranks > NOT_EVALUATED
    return accuracy_section(ranks, users, ks) if kept.all() else accuracy_section(ranks[kept], users[kept], ks)


def _kept(figures: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if not name.startswith("precision")}


def by_group(ranks: Ints, groups: Ints, names: Sequence[str], ks: tuple[int, ...]) -> dict[str, Any]:
    """Accuracy within each group of interactions (`groups` [M]: numbers of `names`), with its count."""
    found = {}
    for number, name in enumerate(names):
        own = ranks[groups == number]
        if len(own):
            found[name] = {"interactions": len(own), **_kept(accuracy(own, ks))}
    return found


def gap_groups(gaps_s: NDArray[np.float64]) -> Ints:
    """How long after the user's previous interaction, as numbers of GAPS; the first of a stream comes after long."""
    return np.searchsorted([0.0, 60.0, 3600.0], gaps_s)


def kinds_of_items(trained_counts: Ints) -> Ints:
    """Which of TARGETS each item [I] is where it is no repeat, from its events in the training part: new (none), or
    head, middle, tail.

    Head are the most popular items that draw half of the training events, tail those that draw the last fifth.
    """
    order = np.argsort(-trained_counts, kind="stable")
    before = np.concatenate([[0], np.cumsum(trained_counts[order])[:-1]]) / max(trained_counts.sum(), 1)
    kind = np.full(len(trained_counts), TARGETS.index("middle"))
    kind[order[before < 0.5]] = TARGETS.index("head")
    kind[order[before >= 0.8]] = TARGETS.index("tail")
    kind[trained_counts == 0] = TARGETS.index("new")
    return kind


def target_groups(items: Ints, kinds: Ints, first_seen: Ints, steps: Ints) -> Ints:
    """What kind of item was the next one, as numbers of TARGETS: a repeat, or of its kind (`kinds_of_items`)."""
    return np.where(first_seen < steps, TARGETS.index("repeat"), kinds[items])


def request_section(requests: pd.DataFrame, interactions: int) -> dict[str, Any]:
    """How many requests were asked for, sent and answered, how they ended, and each of the three per interaction.

    Asked: what devices (or pushes) wanted and their budgets allowed. Sent: whose history left the device; a request
    made offline is asked and never sent. Answered: whose list came in time. `ratio` is that of requests sent.
    """
    counts = requests["outcome"].value_counts()
    asked, sent = len(requests), int((requests["bytes_up"] > 0).sum())
    answered = int(counts.get("completed", 0))
    interacted = max(interactions, 1)
    return {
        "asked": asked,
        "sent": sent,
        "answered": answered,
        **{name: int(counts.get(name, 0)) for name in OUTCOMES},
        "ratio": sent / interacted,
        "asked_ratio": asked / interacted,
        "answered_ratio": answered / interacted,
    }


def share_section(policy: sections.Policy, asked: int, decisions: int) -> dict[str, Any]:
    """The share of decisions that the policy was told to ask at, as far as its budget lets it (None: it was told none),
    and the share that did."""
    told = policy.request.wanted_share()
    told = None if told is None else min(told, policy.budget.ratio)
    return {"decisions": decisions, "wanted_ratio": told, "realised_ratio": asked / max(decisions, 1)}


def off_share(requests: Mapping[str, Any]) -> str | None:
    """ "asked 107%, told 40%" where a run's policy did not ask at the share of decisions that it was told.

    By a tenth of it, and by more than three standard errors of a coin. `requests`: the section of a summary.
    """
    told, asked, decisions = (requests.get(name) for name in ("wanted_ratio", "realised_ratio", "decisions"))
    if told is None or asked is None or not decisions:
        return None
    if abs(asked - told) <= max(_SHARE_OFF * told, 3.0 * math.sqrt(told * (1.0 - told) / decisions)):
        return None
    return f"asked {asked:.1%}, told {told:.1%}".replace(".0%", "%")


def request_notes(requests: pd.DataFrame, joined_s: NDArray[np.float64]) -> list[Note]:
    """What of the requests may surprise: those that were never sent, and those that joining devices sent in vain.

    joined_s [D]: when devices joined.
    """
    notes = []
    never_sent = int(((requests["outcome"] == "lost") & (requests["bytes_up"] == 0)).sum())
    if never_sent:
        said = "lost requests that were never sent, since their devices were offline: {requests:,}"
        notes.append(note("never_sent", said, requests=never_sent))
    joining = requests["t_issued_s"].to_numpy() == joined_s[requests["device"].to_numpy()]
    at_the_node = np.isfinite(requests["t_arrived_s"].to_numpy())
    in_vain = int((joining & at_the_node & requests["outcome"].isin(["rejected", "timed_out"]).to_numpy()).sum())
    if in_vain > 0.01 * len(requests):
        said = (
            "requests that devices made as they joined and that were turned away or came too late: {requests:,}; where "
            "so many do not join at one moment, set fleet.churn.join_over"
        )
        notes.append(note("joined_in_vain", said, requests=in_vain))
    return notes


def latency_section(interactions: pd.DataFrame | Columns, requests: pd.DataFrame) -> dict[str, Any]:
    """Percentiles of what users and requests waited for, in seconds."""
    return {
        "slate": percentiles(interactions["slate_latency_s"]),
        "request": percentiles(response_times_s(requests)),
        "queue": percentiles(requests["t_started_s"].to_numpy() - requests["t_arrived_s"].to_numpy()),
    }


def response_times_s(requests: pd.DataFrame) -> NDArray[np.float64]:
    """From asking to the list's landing, of the requests that were completed."""
    done = np.flatnonzero(requests["outcome"] == "completed")
    delivered_s, issued_s = (requests[name].to_numpy()[done] for name in ("t_delivered_s", "t_issued_s"))
    return np.asarray(delivered_s - issued_s, dtype=np.float64)


def headline_metric(ks: tuple[int, ...]) -> str:
    """The metric that a headline speaks of: NDCG@10 where it is measured, else NDCG at the first k."""
    return f"ndcg@{headline_k(ks)}"


def gain_section(ranks: Ints, base: Mapping[str, Ints], users: Ints, ks: tuple[int, ...]) -> dict[str, Any]:
    """What the run adds to each baseline in the headline's metric, paired by interaction, users as clusters.

    ranks, users [M]; base: ranks [M] by baseline, under -1 where it was not evaluated. Intervals are at 95%.
    """
    metric = headline_metric(ks)
    gain_of, found = Gains(metric), {}
    for name, values in base.items():
        kept = values > NOT_EVALUATED
        ours, theirs, whose = (ranks, values, users) if kept.all() else (ranks[kept], values[kept], users[kept])
        added = np.empty(len(theirs))
        for piece in pieces(len(added)):
            added[piece] = gain_of(ours[piece]) - gain_of(theirs[piece])
        mean, half = clustered_mean(added, whose)
        found[name] = {"metric": metric, "mean": mean, "low": mean - half, "high": mean + half}
    return found


def headline(policy: sections.Policy, summary: Mapping[str, Any]) -> str:
    """The run in one line: whether calling the cloud pays, in money. Where a policy did not ask as often as it was
    told, that comes first."""
    off, kind = off_share(summary["requests"]), policy.request.kind
    said = _against_baselines(policy, summary)
    return said if off is None else f"policy {kind} {off} of decisions, so it is not the policy that was named; {said}"


def _against_baselines(policy: sections.Policy, summary: Mapping[str, Any]) -> str:
    baselines, gain, cost = (summary[name] for name in ("baselines", "gain_over", "cost"))
    metric = next(iter(gain.values()))["metric"]
    own, slate, kind = summary["accuracy"][metric], policy.slate.kind, policy.request.kind
    if not math.isfinite(own):
        return "no interaction was evaluated: the stream is empty, or nobody took part in it"
    best = max(baselines, key=lambda name: _or_zero(baselines[name][metric]))
    if slate == best:
        return f"{metric.upper()} {own:.4f} with slate {slate}"
    added = gain[best]
    if summary["requests"].get("realised_ratio") == 0:
        rival = f"{WITHOUT_CLOUD.get(best, best)}, {_or_zero(baselines[best][metric]):.4f}"
        moved = between(signed, added)
        return f"no request is made: {metric.upper()} {own:.4f} with slate {slate}, against {rival}: {moved}"
    call: Call = "yes" if added["low"] > 0 else "no" if added["high"] <= 0 else "not shown"
    name = "usd_provisioned_per_month"
    month = {"mean": cost[name], "low": cost[f"{name}_low"], "high": cost[f"{name}_high"]}
    known = month if isinstance(month["mean"], int | float) and math.isfinite(month["mean"]) else None
    who = f"'{kind}'" if slate == "llm" else f"'{kind}' with slate {slate}"
    reached = _or_zero(baselines[best][metric])
    return calling(call, metric.upper(), who, best, reached, added, known, summary["represented"]["devices"])


def _or_zero(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def freshness_section(interactions: pd.DataFrame | Columns) -> dict[str, Any]:
    """How old the lists on screen were, over interactions that had one."""
    listed = np.asarray(interactions["as_of"]) >= 0

    def mean(name: str) -> float:
        return float(pd.Series(np.asarray(interactions[name])[listed]).mean())

    return {
        "mean_staleness": mean("staleness"),
        "mean_list_age_s": mean("list_age_s"),
        "without_list": int((~listed).sum()),
    }


def cost_section(
    used: Cost,
    kept: Cost,
    network: Cost,
    devices: Cost,
    interactions: int,
    training: Cost = NOTHING,
    bytes_installed: float = 0.0,
) -> dict[str, Any]:
    """The marginal account (what requests and trainings used), and what the configured replicas cost, idle time
    included. `bytes_installed` of the bytes down are the run's share of installations."""
    usd_marginal = used.usd + network.usd + training.usd
    return {
        "usd_marginal": usd_marginal,
        "usd_replicas": kept.usd,
        "usd_serving": used.usd,
        "usd_network": network.usd,
        "usd_training": training.usd,
        "usd_marginal_per_1k_interactions": 1000 * usd_marginal / max(interactions, 1),
        "gpu_joules": used.joules,
        "gpu_joules_replicas": kept.joules,
        "device_joules": devices.joules,
        "bytes_up": network.bytes_up,
        "bytes_down": network.bytes_down,
        "bytes_installed": bytes_installed,
        "gco2": used.gco2 + devices.gco2,
    }


def finite(value: Any) -> Any:
    """The same tree of dicts and lists with None for every number that is not finite, and plain Python numbers."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, np.generic):
        return finite(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
