"""The cost-accuracy plot of a policy comparison, from the `comparison.json` that it wrote."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fleetrec.models.runtime.errors import InputError
from fleetrec.reports.data.metric_names import metric
from fleetrec.reports.data.months import cent_a_month
from fleetrec.reports.data.quantities import told
from fleetrec.reports.data.run_folder import figure_footer, read_mapping
from fleetrec.reports.figures.cost_accuracy import PolicyPoint, cost_accuracy
from fleetrec.simulator.core.money import told_in
from fleetrec.simulator.experiments.folders import currency_of


def draw_comparison(folder: Path) -> Path:
    """Draw `figures/cost_accuracy.png` of a comparison's folder and return its path.

    InputError where comparison.json is missing or lacks what the plot needs.
    """
    path = folder / "comparison.json"
    comparison = read_mapping(path)
    with told_in(currency_of(folder)):
        return _draw(folder, path, comparison)


def _draw(folder: Path, path: Path, comparison: Mapping[str, Any]) -> Path:
    try:
        metric, cost = str(comparison["metric"]), str(comparison["cost"])
        points = [
            # An interval has no end where a single user was seen: it is the whole of [0, 1] then.
            PolicyPoint(
                str(row["policy"]),
                told(float(row["cost"])),
                float(row["accuracy"]),
                low=0.0 if row["low"] is None else max(float(row["low"]), 0.0),
                high=1.0 if row["high"] is None else min(float(row["high"]), 1.0),
                cost_low=None if row.get("cost_low") is None else told(row["cost_low"]),
                cost_high=None if row.get("cost_high") is None else told(row["cost_high"]),
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
    label = f"{metric(f'cost.{cost}').label} account"
    fleet = f", fleet of {represents:,}" if "provisioned" in cost and isinstance(represents, int) else ""
    rates = [row["usd_per_month"] / row["cost"] for row in policies if row.get("usd_per_month") and row["cost"]]
    month = f"; {cent_a_month(rates[0])}" if rates else ""
    return f"{label}{fleet}{month}"
