"""The figures of summary.json in words: what a dotted name means, how its values are written, which way is better."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from fleetrec.models.runtime.wording import with_minus
from fleetrec.reports.data.quantities import number_text, seconds_text, told
from fleetrec.simulator.core.money import currency
from fleetrec.simulator.results.engagement import LESS_IS_BETTER, PREFIX, WORDS
from fleetrec.simulator.results.sentences import money

World = Literal["", "simulated", "represented"]
"""whose figures: the simulated phones on the configured cloud, or the represented fleet on the provisioned replicas"""
WORLDS: Mapping[World, str] = {
    "": "",
    "simulated": "of the simulated phones, on the configured cloud",
    "represented": "of the represented fleet, on the replicas that it needs",
}
Form = Literal["accuracy", "seconds", "money", "share", "number"]

FIT: Mapping[str, str] = {
    "popularity": "popularity rank of what they choose",
    "repeats": "share of what they had before",
    "session_length_after_others": "interactions a session, by others' pauses",
    "gap_after_others": "gap (s), by others' pauses",
    "session_length_after_self": "interactions a session, by own pauses",
    "gap_after_self": "gap (s), by own pauses",
    "left": "share of screens of which nothing is taken",
}
"""what is compared of fitted and held-out users"""
_LABELS = {
    "cost.usd_provisioned_per_1k_interactions": "USD per 1,000 interactions, provisioned",
    "cost.usd_provisioned_per_month": "USD a month, provisioned",
    "cost.requests_per_s_peak": "requests a second at the peak",
    "cost.usd_marginal_per_1k_interactions": "USD per 1,000 interactions, marginal",
    "cost.usd_marginal_per_month": "USD a month, marginal",
    "cost.usd_provisioned": "USD, provisioned account",
    "cost.usd_marginal": "USD, marginal account",
    "cost.usd_serving": "USD for computing in the cloud",
    "cost.usd_network": "USD for the network",
    "cost.usd_replicas": "USD for the configured replicas",
    "cost.replicas_provisioned": "replicas needed",
    "cost.devices_per_replica": "devices that a replica serves",
    "cost.device_joules": "energy of the devices, J",
    "cost.gpu_joules": "energy of the cloud, J",
    "cost.gpu_joules_provisioned_per_month": "energy of the cloud a month, J, provisioned",
    "cost.gco2_provisioned_per_month": "carbon a month, gCO2, provisioned",
    "cost.bytes_up": "bytes sent up",
    "cost.bytes_down": "bytes sent down",
    "cost.gco2": "carbon, gCO2",
    "requests.ratio": "requests sent an interaction",
    "requests.asked_ratio": "requests asked for an interaction",
    "requests.answered_ratio": "requests answered an interaction",
    "requests.realised_ratio": "share of decisions that ask",
    "requests.wanted_ratio": "share of decisions that were to ask",
    "requests.decisions": "decisions whether to ask",
    "requests.asked": "requests asked for",
    "requests.sent": "requests sent",
    "requests.answered": "requests answered",
    "requests.completed": "requests completed",
    "freshness.mean_staleness": "staleness of the list, interactions",
    "freshness.mean_list_age_s": "age of the list",
    "cloud.utilization": "time that GPUs are busy, not full",
    "cloud.headroom": "headroom of the configured cloud over the busiest load",
    "represented.utilization": "time that the replicas needed are busy, not full",
    "represented.headroom": "headroom of the replicas needed over the busiest load",
    "represented.replicas": "replicas needed, represented",
    "represented.requests_per_s": "requests a second at the peak, represented",
    "cloud.gpu_seconds": "GPU seconds",
    "feedback.coverage": "share of the catalogue taken",
    "feedback.gini": "Gini of what was taken, over the catalogue",
    "feedback.popularity": "popularity of what was taken (1: the most popular)",
    "feedback.own_taste": "closeness of what was taken to the user's earlier taste",
    "feedback.coverage_drift": "coverage, last eighth less the first",
    "feedback.gini_drift": "Gini, last eighth less the first",
    "feedback.popularity_drift": "popularity, last eighth less the first",
    "feedback.own_taste_drift": "closeness to earlier taste, last eighth less the first",
    "interactions": "interactions",
    "devices": "devices",
}
_OF_REPRESENTED = {
    "latency_s": "of a request",
    "node_s": "at the replicas",
    "queue_s": "in the queue",
    "ttft_s": "to the first token",
    "tpot_s": "per output token",
}
_LATENCIES = {"slate": "until a new slate", "request": "of a request", "queue": "in the queue"}
_UNSHOWN = (
    "accuracy_by.",
    "engagement_by.",
    "baselines.",
    "gain_over.",
    "models.",
    "split.",
    "accuracy.per_user.",
    "pace.",
    "schema_version",
    "seed",
)
_SIMULATED = ("accuracy.", "latency_s.", "cloud.", "cost.", "requests.", "freshness.", "engagement.", "feedback.")
_HIGHER = ("accuracy.", "feedback.coverage", "requests.completed", "requests.answered", "cost.devices_per_replica")


@dataclass(frozen=True)
class Metric:
    """A figure of a run: its dotted name, a label with its unit, the form of its values, whether more is better."""

    key: str
    label: str
    form: Form
    higher_is_better: bool

    @property
    def world(self) -> World:
        """Whose figure it is: of the simulated phones, or of the fleet that they stand for."""
        represented = self.key.startswith("represented.") or "provisioned" in self.key
        if represented or self.key in ("cost.devices_per_replica", "cost.requests_per_s_peak"):
            return "represented"
        return "simulated" if self.key.startswith(_SIMULATED) else ""

    def text(self, value: float | None) -> str:
        """A value as a reader wants it: four places of an accuracy, a time with its unit, dollars, a percentage."""
        if value is None or not math.isfinite(value):
            return "n/a"
        if self.form == "accuracy":
            return f"{value:.4f}"
        if self.form == "seconds":
            return seconds_text(value)
        if self.form == "money":
            return money(value)
        if self.form == "share":
            return f"{value:.1%}" if abs(value) < 10 else f"{value:,.0f} times"
        return number_text(value)

    def drawn(self, value: float) -> float:
        """A value as charts have it: of money, in the currency that is told."""
        return told(value) if self.form == "money" else value

    def change_text(self, value: float | None) -> str:
        """A difference with its sign."""
        text = self.text(value)
        return f"+{text}" if value is not None and value > 0 else with_minus(text)


def metric(key: str) -> Metric:
    """What is known of a figure by its dotted name; an unknown one is labelled by its name."""
    name = key.rsplit(".", 1)[-1]
    higher = key.startswith(_HIGHER) or name == "headroom"
    if key.startswith(PREFIX) and name in WORDS:
        form_of: Form = "seconds" if name.endswith("_s") else "share" if name.endswith("_share") else "number"
        return Metric(key, WORDS[name], form_of, name not in LESS_IS_BETTER)
    if "@" in name:
        label = name.upper()
        return Metric(
            key, label if key.startswith("accuracy.") else f"{label} ({key.rsplit('.', 1)[0]})", "accuracy", True
        )
    if key.startswith("latency_s."):
        _, what, quantile = key.split(".", 2)
        return Metric(key, f"{quantile} latency {_LATENCIES.get(what, what)}", "seconds", False)
    if key.startswith("represented.") and name in ("p50", "p95", "p99"):
        what = key.split(".")[1]
        return Metric(key, f"{name} latency {_OF_REPRESENTED.get(what, what)}, represented", "seconds", False)
    form: Form = "number"
    if name.endswith("_s") and not name.endswith("per_s"):
        form = "seconds"
    elif name.startswith("usd"):
        form = "money"
    elif name in ("utilization", "headroom") or name.endswith("_share"):
        form = "share"
    label = _LABELS.get(key, key.replace("_", " ").replace(".", ": "))
    return Metric(key, label.replace("USD", currency().code), form, higher)


def worth_showing(keys: Iterable[str]) -> list[str]:
    """The figures that a reader can put on an axis; breakdowns and constants of the data are left out."""
    return [key for key in keys if not key.startswith(_UNSHOWN) and not key.endswith(("_low", "_high"))]
