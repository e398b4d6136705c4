"""The decision as a page shows it: winner, runner-up and doing nothing beside each other, as the answer states them.

Nobody is named whom the answer does not name.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleetrec.models.runtime.wording import counted
from fleetrec.reports.data.estimates import Estimate
from fleetrec.reports.data.experiment_folder import Experiment
from fleetrec.reports.data.metric_names import Metric, metric
from fleetrec.simulator.core.money import currency
from fleetrec.simulator.results.sentences import WITHOUT_CLOUD, money

PER_MONTH = "cost.usd_provisioned_per_month"


@dataclass(frozen=True)
class Choice:
    """One of the three: what it is, its name, and its figures as (text, interval or remark) each."""

    role: str
    name: str
    figures: Sequence[tuple[str, str]] = ()
    remark: str = ""
    colour: int | None = None


def choices(experiment: Experiment) -> list[Choice]:
    """Winner, runner-up and doing nothing; where the answer names no winner, that is what stands in its place.

    Without a decision nobody is named: what stands is what the user has without a cloud, where that is known.
    """
    answer, of = experiment.answer or {}, metric(experiment.accuracy)
    decision = answer.get("decision")
    if not isinstance(decision, Mapping):
        return [_today(row, of) for row in answer.get("today") or ()]
    return [_first(experiment, decision, of), *_second(experiment, decision, of), *_nothing(decision, of)]


def _first(experiment: Experiment, decision: Mapping[str, Any], of: Metric) -> Choice:
    if decision.get("winner"):
        won = {"saving": "as good for less", "gain": "more accurate"}.get(str(decision.get("winner_by")), "")
        return _variant(experiment, "Winner", str(decision["winner"]), of, won)
    more, cheaper = decision.get("more_seeds"), decision.get("cheaper")
    remark = "no variant is shown to be better than the baseline, or as good for less"
    if cheaper:
        change = of.change_text(cheaper[of.key]["mean"])
        remark = f"“{cheaper['variant']}” is shown to cost {cheaper['share_saved']:.0%} less, with {of.label} {change}"
    elif more:
        remark = f"{counted(more['seeds'], 'more seed')} would show a difference as large as one seen"
    return Choice("Winner", "none is shown", remark=remark)


def _second(experiment: Experiment, decision: Mapping[str, Any], of: Metric) -> list[Choice]:
    second, policy = decision.get("runner_up"), decision.get("policy")
    if second:
        return [_variant(experiment, "Runner-up", str(second), of)]
    if policy and not decision.get("winner"):
        remark = "compared with doing nothing; not shown to be better than the other variants"
        return [_variant(experiment, "Policy", str(policy), of, remark)]
    return []


def _nothing(decision: Mapping[str, Any], of: Metric) -> list[Choice]:
    rows = decision.get("nothing") or []
    if not rows:
        return []
    best = rows[0]
    own = Estimate(*(_number(best.get(end)) for end in ("mean", "low", "high")))
    name = WITHOUT_CLOUD.get(str(best["baseline"]), str(best["baseline"]))
    shown = {"adds": "calling is shown to add accuracy", "as good alone": "shown to be as good as calling"}
    remark = shown.get(str(best.get("shown")), "not shown to be worse or better than calling")
    figures = [
        (f"{of.label} {of.text(own.mean)}", interval_text(of, own)),
        (f"{money(0.0)} a month", "no request is made"),
    ]
    return [Choice("Doing nothing", name, figures, remark)]


def _today(row: Mapping[str, Any], of: Metric) -> Choice:
    own = Estimate(*(_number(row.get(key)) for key in ("accuracy", "low", "high")))
    figures = [
        (f"{of.label} {of.text(own.mean)}", interval_text(of, own)),
        (f"{money(0.0)} a month", "no request is made"),
    ]
    return Choice("Without a cloud", str(row["policy"]), figures)


def _variant(experiment: Experiment, role: str, name: str, of: Metric, remark: str = "") -> Choice:
    accuracy, month = experiment.estimate(name, of.key), experiment.estimate(name, PER_MONTH)
    figures = [(f"{of.label} {of.text(accuracy.mean)}", interval_text(of, accuracy)), month_texts(month)]
    return Choice(role, name, figures, remark, experiment.looks.get(name))


def month_texts(held: Estimate) -> tuple[str, str]:
    """Money a month with its interval, rounded as the sentence rounds them."""
    if not math.isfinite(held.mean):
        return f"{currency().label} a month: n/a", ""
    interval = f"95%: {money(held.low)} to {money(held.high)}" if math.isfinite(held.low + held.high) else ""
    return f"{money(held.mean)} a month", interval


def interval_text(of: Metric, held: Estimate) -> str:
    """The 95% interval in words; empty where there is none."""
    if not (held.low == held.low and held.high == held.high):
        return ""
    return f"95%: {of.text(held.low)} to {of.text(held.high)}"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
