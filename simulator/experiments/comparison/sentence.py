"""The answer in plain words and money: first whether to call the cloud at all, then which policy."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.experiments.comparison.cost_plane import Plane
from fleetrec.simulator.experiments.comparison.decision import PER_MONTH
from fleetrec.simulator.experiments.comparison.savings import Saving
from fleetrec.simulator.results.engagement import metric_words
from fleetrec.simulator.results.sentences import between, calling, money, signed


def headline(
    decision: Mapping[str, Any],
    plane: Plane,
    metric: str,
    cost: str,
    sign: float,
    found: Saving | None,
    represents: int | None,
) -> str:
    """The sentence, from the decision; it names nobody better whom the decision does not.

    sign: -1 where less of the metric is better. found: the winner's saving, where that is what it won by.
    """
    if not plane.allowed.any():
        return "No variant keeps the limits: relax one, or try other variants."
    said = [_calling(decision, metric, represents), _choosing(decision, plane, metric, cost, sign, found)]
    worlds = decision["replicated"]["worlds"]
    if len(worlds) == 1 and (decision["winner"] is not None or decision["call"] in ("yes", "no")):
        said.append(f"Shown for new users in the world of seed {worlds[0]} alone.")
    return " ".join(part for part in said if part)


def _calling(decision: Mapping[str, Any], metric: str, represents: int | None) -> str:
    """Whether to call the cloud, against the best that needs no request; empty where none of that is known.

    The interval of the gain is the one that decides: it holds for all variants at once.
    """
    if not decision["nothing"]:
        return ""
    best, who = decision["nothing"][0], f"'{decision['policy']}'"
    month, seen = decision["policy_usd_per_month"], best["gain"]
    gain = {"mean": seen["mean"], "low": seen["mean"] - seen["bound"], "high": seen["mean"] + seen["bound"]}
    said = calling(decision["call"], metric_words(metric), who, best["baseline"], best["mean"], gain, month, represents)
    if decision["call"] == "not shown" and best["more_seeds"]:
        return f"{said.removesuffix('.')}; {_seeds(best['more_seeds'])} would show such a difference."
    return said


def _choosing(
    decision: Mapping[str, Any], plane: Plane, metric: str, cost: str, sign: float, found: Saving | None
) -> str:
    """Which policy is named, by what it saves or adds against the baseline; else that none is."""
    base, b = plane.names[plane.baseline], plane.baseline
    equal = "accuracy" if metric.startswith("accuracy.") else metric_words(metric)

    def reached(v: int) -> str:
        return f"{metric_words(metric)} {sign * plane.reward[v]:.4f} against {sign * plane.reward[b]:.4f}"

    def priced(*values: float) -> str:
        return price(cost, values, decision["interactions_per_month"])

    if len(plane.names) == 1:
        return ""
    if found is not None:
        v, name = found.variant, plane.names[found.variant]
        who = f"'{name}' ({reached(v)})"
        if found.below is not None:
            who = f"'{found.family}', interpolated between its runs '{plane.names[found.below]}' and '{name}',"
        verb = "costs" if cost.startswith("cost.") else "takes"
        ends = f"with 95% over all variants at least {found.low:.0%}"
        return (
            f"At the {equal} of '{base}' {who} {verb} {found.share:.0%} less ({ends}): "
            f"{priced(found.price, plane.cost[b])}{_a_month(decision, base, found.below is None)}."
        )
    if decision["winner"] is not None:
        v = plane.names.index(decision["winner"])
        more = decision["difference"][metric] if decision["runner_up"] == base else None
        ends = "" if more is None else f", {between(signed, more)}"
        first = f"Nothing is as good as '{base}' for less; '{decision['winner']}' is shown to be better"
        return f"{first}: {reached(v)}{ends}, at {priced(plane.cost[v], plane.cost[b])}{_a_month(decision, base)}."
    more = decision["more_seeds"]
    said = f"Nothing is shown to be better than '{base}', or as good for less"
    if len(decision["not_told_apart"]) == sum(name != base for name in plane.names):
        said = f"No difference between the {len(plane.names)} variants is shown"
    less = decision["cheaper"]
    if less is not None:
        moved = f"{metric_words(metric)} {between(signed, less[metric])}"
        return f"{said}; '{less['variant']}' is shown to cost {less['share_saved']:.0%} less, with {moved}."
    if more is None and len(decision["replicated"]["worlds"]) == 1:
        return f"{said}; one seed does not say how many would show one, five are a start."
    if more is None:
        return f"{said}."
    if more["of"] == metric:
        return f"{said}; {_seeds(more['seeds'])} would show one of {signed(more['effect'])} ('{more['variant']}')."
    verb, than = "costs" if cost.startswith("cost.") else "takes", "less" if more["effect"] < 0 else "more"
    moved = f"{verb} {priced(abs(more['effect']))} {than}"
    return f"{said}; {_seeds(more['seeds'])} would show that '{more['variant']}' {moved}."


def _seeds(more: int) -> str:
    return counted(more, "more seed")


def _a_month(decision: Mapping[str, Any], base: str, of_a_run: bool = True) -> str:
    """What the winner costs a month beyond the baseline, or less than it; of a run, not of a price between two."""
    moved = (decision["difference"] or {}).get(PER_MONTH)
    if moved is None or decision["runner_up"] != base or not of_a_run:
        return ""
    if moved["mean"] >= 0:
        return f", {between(money, moved, 'a month')} more"
    less = {"mean": -moved["mean"], "low": -moved["high"], "high": -moved["low"]}
    return f", {between(money, less, 'a month')} less"


def price(cost: str, values: Sequence[float], interactions: float) -> str:
    """One cost, or two of which the first is had instead of the second; of 1,000 interactions also that of the fleet's
    month, in which there are so many (NaN: nobody knows)."""
    if not cost.startswith("cost."):
        return f"{cost} " + " instead of ".join(f"{value:.3g}" for value in values)
    said = " instead of ".join(map(money, values))
    if cost == PER_MONTH:
        return f"{said} a month"
    if not cost.endswith("per_1k_interactions"):
        return said
    month = " instead of ".join(money(value * interactions / 1000) for value in values)
    return f"{said} per 1,000 interactions" + (f" ({month} a month)" if math.isfinite(interactions) else "")
