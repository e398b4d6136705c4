"""The decision in one sentence: what to run, what a month of it costs and adds, how sure, and what would turn it."""

from collections.abc import Mapping
from typing import Any

from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.results.engagement import metric_words, priced_in
from fleetrec.simulator.results.sentences import WITHOUT_CLOUD, between, money, signed


def of(decision: Mapping[str, Any]) -> str:
    """The sentence of a decision, from what decision.json holds of it."""
    row = next(one for one in decision["policies"] if one["policy"] == decision["policy"])
    parts = [_run(decision, row), _adds(decision, row), _sure(decision, row), _turn(decision)]
    return f"{'; '.join(part for part in parts if part)}."


def _alone(decision: Mapping[str, Any]) -> str:
    name = str(decision["nothing"][0]["baseline"])
    return WITHOUT_CLOUD.get(name, f"'{name}'")


def _run(decision: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    month = between(money, row["usd_per_month"], "a month")
    phones = decision["represents"]
    of_fleet = "" if phones is None else f" for {counted(phones, 'phone')}"
    if decision["call"] == "yes":
        return f"Run '{row['policy']}', at {month}{of_fleet}"
    alone = _alone(decision)
    if decision["call"] == "no":
        return f"Do not call the cloud, {alone} is best: '{row['policy']}' would cost {month}{of_fleet}"
    said = "Nothing is told apart from chance, so do not call the cloud yet"
    if _lost(row):
        said = f"Do not call the cloud, no policy is shown to add to {alone}, and even the nearest came out below it"
    return f"{said}: '{row['policy']}' would cost {month}{of_fleet}"


def _lost(row: Mapping[str, Any]) -> bool:
    """Whether a policy came out below the best that makes no request, by chance or not."""
    return bool(row["gain_over_best"]["mean"] <= 0)


def _adds(decision: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    metric, best = metric_words(decision["metric"]), decision["nothing"][0]["baseline"]
    gain = row["gain_over_srm"]
    verb = "adds" if decision["call"] == "yes" else "would add"
    said = f"it {verb} {metric} {between(signed, gain or row['gain_over_best'])} to "
    said += _alone(decision) if gain is None else "the SRM alone"
    if best != "srm" and gain is not None:
        said += f" and {between(signed, row['gain_over_best'])} to {_alone(decision)}, the best that makes no request"
    net = row.get("net_usd_per_month")
    if net is None:
        return said
    worth = money(decision["value"]["worth_usd"])
    left = f"{between(money, net, 'a month')}"
    return f"{said}, which at {worth} for 0.01 over 1,000 interactions leaves {left}"


def _sure(decision: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    if decision["call"] == "yes":
        said = "shown with 95% over all policies at once"
        like = len(decision["not_told_apart"])
        return said + (f", not told apart from {counted(like, 'other')}" if like else "")
    if decision["call"] == "no":
        return "shown with 95% over all policies at once"
    more = 0 if _lost(row) else decision["more_seeds"]
    return f"{counted(more, 'more seed')} would show a difference as large as that seen" if more else ""


def _turn(decision: Mapping[str, Any]) -> str:
    """The nearest assumption that would turn the answer, and the worth from which the policy pays."""
    turns, axes = decision["turns"], decision["axes"]
    pays = next(one for one in decision["policies"] if one["policy"] == decision["policy"])["pays_from_usd"]
    said = []
    if turns:
        said.append(f"this turns at {turns[0]['at']}")
    elif axes:
        said.append(f"nothing that was tried of {', '.join(axis['axis'] for axis in axes)} turns this")
    if pays is not None and pays["mean"] < float("inf") and not (turns and turns[0]["axis"] == "worth of accuracy"):
        said.append(f"it pays from {money(pays['mean'])} for {priced_in(decision['metric'])}")
    return ", and ".join(said) or f"no worth of {metric_words(decision['metric'])} would turn this"
