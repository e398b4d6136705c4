"""The answer of a comparison in one or two plain sentences."""

from typing import Any

from simulator.experiments.savings import SURE, Plane, Saving


def headline(
    plane: Plane,
    metric: str,
    cost: str,
    sign: float,
    found: Saving | None,
    winner: int | None,
    rivals: list[dict[str, Any]],
) -> str:
    """The answer first. Where a baseline without a cloud is as good, that comes before all else.

    sign: -1 where less of the metric is better. rivals: those baselines, best first, against the winner or the best.
    """
    label = metric.removeprefix("accuracy.").upper() if metric.startswith("accuracy.") else metric
    equal = "accuracy" if metric.startswith("accuracy.") else metric
    verb = "costs" if cost.startswith("cost.") else "takes"
    base, b = plane.names[plane.baseline], plane.baseline

    def reached(v: int) -> str:
        return f"{label} {sign * plane.worth[v]:.4g} against {sign * plane.worth[b]:.4g}"

    if not plane.allowed.any():
        return "No variant keeps the limits: relax one, or try other variants."
    said = ""
    if rivals and rivals[0]["difference"] <= 0:
        rival = rivals[0]
        who = "No variant beats" if winner is None else f"'{rival['variant']}' does not beat"
        said = (
            f"{who} the baseline '{rival['baseline']}' alone: {label} {rival['mean']:.4g} without a request, "
            f"against {rival['mean'] + rival['difference']:.4g} of '{rival['variant']}'. "
        )
    if found is not None:
        name = plane.names[found.variant]
        who = f"'{name}' ({reached(found.variant)})"
        if found.below is not None:
            who = f"'{found.family}', interpolated between its runs '{plane.names[found.below]}' and '{name}',"
        sure = f"probability {found.probability:.0%}" + ("" if found.probability >= SURE else ", so not sure yet")
        return said + (
            f"At the {equal} of '{base}' {who} {verb} {found.share:.0%} less: "
            f"{_price(cost, found.price, plane.cost[b])} (95% {found.low:.0%} to {found.high:.0%} less, {sure})."
        )
    if winner is not None:
        return said + (
            f"Nothing is as good as '{base}' for less; '{plane.names[winner]}' is shown to be better "
            f"({reached(winner)}) and {verb} {_price(cost, plane.cost[winner], plane.cost[b])}."
        )
    own = f"{label} {sign * plane.worth[b]:.4g} at {_price(cost, plane.cost[b])}"
    return said + f"No variant is shown to beat '{base}' ({own})."


def _price(cost: str, *values: float) -> str:
    amounts = " against ".join(f"{value:.4g}" for value in values)
    if cost.startswith("cost.usd") and cost.endswith("per_1k_interactions"):
        return f"USD {amounts} per 1,000 interactions"
    return f"{cost} {amounts}"
