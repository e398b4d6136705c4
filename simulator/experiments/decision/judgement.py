"""Policies judged against what needs no request: what each adds and costs, and whom the value of accuracy chooses.

Whether a policy adds anything holds with 95% for all policies at once, so that no winner is named by chance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.months import MONTH_S
from fleetrec.simulator.core.resampling import INTERVAL
from fleetrec.simulator.core.signals import DAY_S
from fleetrec.simulator.experiments.comparison.cost_plane import band_level
from fleetrec.simulator.experiments.comparison.decision import PER_MONTH, hint
from fleetrec.simulator.experiments.comparison.metric_values import Measure
from fleetrec.simulator.experiments.comparison.months import energy, interactions
from fleetrec.simulator.experiments.comparison.records import ExperimentRecords
from fleetrec.simulator.experiments.comparison.shares import missed_shares
from fleetrec.simulator.experiments.decision.value import POINT, Value
from fleetrec.simulator.experiments.folders import Variant
from fleetrec.simulator.experiments.statistics import Estimates, joint_draws
from fleetrec.simulator.results.engagement import FIRST, LESS_IS_BETTER, PREFIX

Floats = NDArray[np.float64]
Interval = dict[str, float]
Call = Literal["yes", "no", "not shown"]

SRM = "srm"
_SEED = 0


@dataclass(frozen=True)
class Rival:
    """What makes no request: a baseline, or a policy that never asks, whose phones came with a list say.

    own: what it reaches; gain: what each variant adds to that; extra: what each costs beyond it.
    """

    name: str
    own: Measure
    gain: Measure
    extra: Measure
    variant: int | None = None
    """the policy's place"""


@dataclass(frozen=True)
class Judged:
    """The policies of an experiment, [V] each, and the best that needs no request."""

    records: ExperimentRecords
    value: Value
    metric: str
    cost_name: str
    accuracy: Measure
    cost: Measure
    month: Measure | None
    alone: list[Rival]
    """what makes no request, best first"""
    added: list[Measure]
    """the value of the policies beyond each of `alone`"""
    calls: NDArray[np.bool_]
    """who asks the cloud, at the share that it was told, for dollars that are known"""
    level: float
    """of each bound, so that all hold at once"""

    @cached_property
    def names(self) -> list[str]:
        return [variant.name for variant in self.records.variants]

    @cached_property
    def within(self) -> NDArray[np.bool_]:
        """Who keeps the budget, [V]: at the upper end of the interval, where there is one."""
        if self.value.budget_usd is None:
            return self.calls
        ends = [self.usd_per_month(v) for v in range(len(self.names))]
        return np.array([(one["high"] if np.isfinite(one["high"]) else one["mean"]) for one in ends]) <= (
            self.value.budget_usd
        )

    @cached_property
    def shown(self) -> NDArray[np.bool_]:
        """Who is shown to add value to everything that needs no request, [V]."""
        own = [one.own() for one in self.added]
        beaten = np.all([one.mean > one.bound(self.level) for one in own], axis=0)
        return np.asarray(beaten & self.calls & self.within)

    def call(self) -> Call:
        """Whether to call the cloud at all."""
        if self.shown.any():
            return "yes"
        able = self.calls & self.within
        worse = [
            bool((one.mean + one.bound(self.level) <= 0)[able].all()) for one in (held.own() for held in self.added)
        ]
        return "no" if any(worse) else "not shown"

    def chosen(self) -> int | None:
        """The policy to run, or that which comes nearest to being worth it; none where none can be run."""
        able = self.shown if self.shown.any() else self.calls & self.within
        if not able.any():
            able = self.calls
        if not able.any():
            return None
        wanted = self.added[0].means
        if self.value == Value() and self.shown.any():
            wanted = -self.cost.means  # the cheapest of those that are shown
        return int(np.argmax(np.where(able, wanted, -np.inf)))

    @property
    def rival(self) -> Variant | None:
        """The best that makes no request, where that is a variant."""
        v = self.alone[0].variant
        return None if v is None else self.records.variants[v]

    def best_name(self) -> str | None:
        """The name of the chosen policy."""
        chosen = self.chosen()
        return None if chosen is None else self.names[chosen]

    def like(self, chosen: int) -> list[str]:
        """Policies that are not told apart from the chosen in value."""
        others = [v for v in np.flatnonzero(self.calls) if v != chosen]
        found = self.added[0].difference(chosen)
        bound = found.bound(band_level(len(others)))
        return [self.names[v] for v in others if not abs(found.mean[v]) > bound[v]]

    def chances(self) -> tuple[Floats, Floats]:
        """Shares of joint draws, [V] each: in which a policy adds value to all that needs no request, and in which it
        adds most of all policies."""
        weights = self.records.weights()
        held = [one.resampled(weights) for one in self.added]  # [A][V, R, B]
        own = [one.by_run for one in self.added]  # [A][V, R]
        values = np.concatenate(own).T  # [R, A V]
        by_users = np.concatenate(held).transpose(2, 1, 0)  # [B, R, A V]
        drawn = joint_draws(values, by_users, self.records.replicates, np.random.default_rng(_SEED))
        least = drawn.reshape(len(drawn), len(self.added), -1).min(axis=1)  # [N, V]
        first = np.argmax(np.where(self.calls, least, -np.inf), axis=1)
        return (least > 0).mean(axis=0), np.bincount(first, minlength=least.shape[1]) / len(least)

    def pays_from(self) -> list[Interval | None]:
        """Dollars for what the metric is `priced_in` from which each policy pays for what it adds to the best that
        needs no request; infinite where no worth does."""
        best, extra = self.alone[0].gain, self.alone[0].extra
        weights = self.records.weights()
        values = np.concatenate([best.by_run, extra.by_run]).T
        by_users = np.concatenate([best.resampled(weights), extra.resampled(weights)]).transpose(2, 1, 0)
        drawn = joint_draws(values, by_users, self.records.replicates, np.random.default_rng(_SEED))
        gains, costs = np.split(drawn, 2, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            worths = np.where(gains > 0, np.maximum(costs, 0.0) / gains, np.inf) * self._unit
        found: list[Interval | None] = []
        for v, (gain, spent) in enumerate(zip(best.means, extra.means, strict=True)):
            low, high = np.quantile(worths[:, v], INTERVAL, method="inverted_cdf")
            mean = spent / gain * self._unit if gain > 0 else np.inf
            found.append({"mean": float(mean), "low": float(low), "high": float(high)} if self.calls[v] else None)
        return found

    @property
    def _unit(self) -> float:
        """What turns dollars per 1,000 interactions for 1 of the metric into those for what it is `priced_in`."""
        if not self.metric.startswith(PREFIX):
            return POINT
        phones = self.records.represents() or float(self.records.results["devices"].mean())
        of_phone = _interactions(self.records) / 1000 / phones  # dollars a month
        return of_phone / (MONTH_S / DAY_S) if self.metric.endswith("_per_day") else of_phone * POINT

    def interactions_per_month(self, v: int) -> float:
        """Of the represented fleet."""
        return interactions(self.runs(v))

    def row(self, v: int) -> dict[str, Any]:
        """What is said of a policy."""
        srm = next((held for held in self.alone if held.name == SRM), None)
        added, count = self.added[0].own(), self.interactions_per_month(v)
        found: dict[str, Any] = {
            "policy": self.names[v],
            "calls": bool(self.calls[v]),
            "within_budget": bool(self.within[v]),
            "accuracy": stated(self.accuracy, v),
            "gain_over_srm": None if srm is None else estimate(srm.gain.own(), v),
            "gain_over_best": estimate(self.alone[0].gain.own(), v),
            "usd_per_1k_interactions": stated(self.cost, v),
            "usd_per_month": self.usd_per_month(v),
            **energy(self.runs(v)),
            "shown": bool(self.shown[v]),
        }
        if self.value.worth_usd is not None:
            net, bound = estimate(added, v), float(added.bound(self.level)[v])
            net |= {"least_of_all": net["mean"] - bound}
            found["net_usd_per_1k_interactions"] = net
            found["net_usd_per_month"] = {end: held * count / 1000 for end, held in net.items()}
        return found

    def at(self, value: Value, price: float, v: int) -> Interval:
        """Net dollars a month of a policy at another worth, and at `price` times the dollars."""
        best, count = self.alone[0], self.interactions_per_month(v)
        net = value.of(best.gain, scaled(best.extra, price), self.records.weights())
        return {end: held * count / 1000 for end, held in estimate(net.own(), v).items()}

    def more_seeds(self, v: int) -> int | None:
        """How many more seeds would show a value as large as that seen."""
        seeds = len(self.records.replicates.worlds)
        found = [hint(one.own(), v, seeds, self.level) for one in self.added]
        return None if any(more is None for more in found) else max(more for more in found if more is not None)

    def usd_per_month(self, v: int) -> Interval:
        """Dollars a month of the represented fleet."""
        if self.month is not None:
            return stated(self.month, v)
        count = self.interactions_per_month(v)
        return {end: held * count / 1000 for end, held in stated(self.cost, v).items()}

    def runs(self, v: int) -> Any:
        """The results of a policy's runs, a row each."""
        results = self.records.results
        seeds = results["seed"].isin(self.records.replicates.worlds)
        return results[seeds & (results["variant"] == self.names[v])]


def judge(records: ExperimentRecords, value: Value, metric: str, cost_name: str) -> Judged:
    """Judge the variants of `records`. InputError where runs keep nothing that they could be judged against."""
    accuracy, cost = records.measure(records.check(metric)), records.measure(records.check(cost_name))
    month = records.measure(PER_MONTH) if PER_MONTH in records.results else None
    if month is not None and not np.isfinite(month.by_run).all():
        month = None
    spent = cost if month is None else scaled(month, 1000 / _interactions(records))  # as the month has it
    silent = np.broadcast_to(records.without_requests().all(axis=1), len(records.variants))
    rivals = [Rival(held.name, held.own, held.gain, spent) for held in records.without_cloud(metric)]
    rivals += [_of_variant(records, accuracy, spent, int(v)) for v in np.flatnonzero(silent)]
    if metric.startswith(PREFIX):
        _check_engagement(metric.removeprefix(PREFIX), value, rivals)
    elif not rivals or rivals[0].variant is not None:
        raise InputError(
            f"{metric}: the runs keep no baselines that need no request for it; take an accuracy such as ndcg@10, or "
            "run the experiment again"
        )
    alone = sorted(rivals, key=lambda held: -float(held.own.means.mean()))
    added = [value.of(held.gain, held.extra, records.weights()) for held in alone]
    missed = missed_shares(records.results)
    names = [variant.name for variant in records.variants]
    calls = np.isfinite(cost.means) & np.isfinite(accuracy.means) & ~silent
    calls &= np.array([name not in missed for name in names])
    level = band_level(max(int(calls.sum()), len(alone)))
    return Judged(records, value, metric, cost_name, accuracy, cost, month, alone, added, calls, level)


def _check_engagement(name: str, value: Value, rivals: Sequence[Rival]) -> None:
    """InputError where policies cannot be judged by what users did who react."""
    if name in LESS_IS_BETTER:
        raise InputError(f"--metric {name}: less of it is better, and decide asks what is added; take {FIRST}")
    value.check(f"{PREFIX}{name}")
    if not rivals:
        raise InputError(f"{name}: no run does without requests, to be judged against; run a variant that never asks")


def scaled(held: Measure, times: float) -> Measure:
    """A measure times so much."""
    return replace(held, sums=held.sums * times, draws=None if held.draws is None else held.draws * times)


def _interactions(records: ExperimentRecords) -> float:
    """Of the represented fleet in a month; variants evaluate the same."""
    results = records.results
    own = (results["variant"] == records.variants[0].name) & results["seed"].isin(records.replicates.worlds)
    return interactions(results[own])


def _of_variant(records: ExperimentRecords, accuracy: Measure, cost: Measure, v: int) -> Rival:
    draws = None if cost.draws is None else cost.draws - cost.draws[v]
    own = replace(accuracy, sums=np.broadcast_to(accuracy.sums[v], accuracy.sums.shape))
    gain, extra = (
        replace(accuracy, sums=accuracy.sums - own.sums),
        replace(cost, sums=cost.sums - cost.sums[v], draws=draws),
    )
    return Rival(records.variants[v].name, own, gain, extra, v)


def estimate(found: Estimates, v: int) -> Interval:
    """A mean with its own 95% interval."""
    return {"mean": float(found.mean[v]), "low": float(found.low[v]), "high": float(found.high[v])}


def stated(held: Measure, v: int) -> Interval:
    """A mean with the interval that every table states of it."""
    low, high = held.interval()
    return {"mean": float(held.means[v]), "low": float(low[v]), "high": float(high[v])}


def nothing(judged: Judged) -> list[Mapping[str, Any]]:
    """What needs no request and what it reaches, best first."""
    return [
        {"baseline": held.name, "accuracy": stated(held.own, 0), "policy": held.variant is not None}
        for held in judged.alone
    ]
