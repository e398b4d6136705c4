"""The cost-accuracy plot of a policy comparison, from the `comparison.json` that it wrote."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fleetrec.models.runtime.errors import InputError
from fleetrec.reports.data.run_folder import figure_footer, read_mapping
from fleetrec.reports.figures.cost_accuracy import PolicyPoint, cost_accuracy
from fleetrec.simulator.results.sentences import money

_COST_LABELS = {
    "usd_marginal_per_1k_interactions": "USD per 1,000 interactions, marginal account",
    "usd_provisioned_per_1k_interactions": "USD per 1,000 interactions, provisioned account",
}


def draw_comparison(folder: Path) -> Path:
    """Draw `figures/cost_accuracy.png` of a comparison's folder and return its path.

    InputError where comparison.json is missing or lacks what the plot needs.
    """
    path = folder / "comparison.json"
    comparison = read_mapping(path)
    try:
        metric, cost = str(comparison["metric"]), str(comparison["cost"])
        points = [
            # An interval has no end where a single user was seen: it is the whole of [0, 1] then.
            PolicyPoint(
                str(row["policy"]),
                float(row["cost"]),
                float(row["accuracy"]),
                low=0.0 if row["low"] is None else max(float(row["low"]), 0.0),
                high=1.0 if row["high"] is None else min(float(row["high"]), 1.0),
                cost_low=row.get("cost_low"),
                cost_high=row.get("cost_high"),
            )
            for row in comparison["policies"]
        ]
        baselines = {str(name): float(value) for name, value in comparison["baselines"].items() if value is not None}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a whole comparison ({error!r}); run the comparison again") from error
    return cost_accuracy(
        points,
        baselines,
        folder / "figures" / "cost_accuracy.png",
        _cost_label(cost, comparison.get("represents"), comparison["policies"]),
        f"{metric.upper()}, with 95% interval",
        front=[str(row["variant"]) for row in comparison.get("frontier") or ()],
        title=f"{comparison.get('scenario', 'fleet')}, seed {comparison.get('seed', '?')}: accuracy against cost",
        subtitle=str(comparison.get("headline") or ""),
        footer=figure_footer(comparison),
    )


def _cost_label(cost: str, represents: object, policies: Sequence[Mapping[str, Any]]) -> str:
    label = _COST_LABELS.get(cost, cost)
    fleet = f", fleet of {represents:,}" if "provisioned" in cost and isinstance(represents, int) else ""
    rates = [row["usd_per_month"] / row["cost"] for row in policies if row.get("usd_per_month") and row["cost"]]
    month = f"; $0.01 is {money(0.01 * rates[0])} a month" if rates else ""
    return f"{label}{fleet}{month}"
