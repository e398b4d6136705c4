"""Inverse-propensity, self-normalised and doubly robust estimates of a policy's click rate, with intervals by user.

A click is taken to depend on the user, the item and its position, and not on what else was on the slate (the
item-position model of Li et al. 2018), so each row that was shown is a trial of its own. Rows of a user are one
cluster: intervals are those of a ratio of sums over users.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.core.notes import Note, data_of, note
from fleetrec.simulator.core.resampling import user_keys
from fleetrec.simulator.experiments.off_policy.target import Target
from fleetrec.simulator.experiments.statistics import Replicates, over_users
from fleetrec.simulator.workload.exposures import Exposures
from fleetrec.simulator.workload.users.click_model import ClickModel, fit_click_model, weighed_counts

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

ESTIMATORS = ("ips", "snips", "dr")
_FOLDS = 5
_FEW_ROWS = 100
_ONE_LOG = Replicates((0,))


@dataclass(frozen=True)
class Interval:
    """A figure and its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PolicyEstimate:
    """What a policy would be clicked per item that it shows."""

    policy: str
    rows: int  # of the log, of users and at positions for which the policy shows something
    support: float  # share of what it shows there that are items which the log ever showed
    mean_weight: Interval  # the policy's probability over the log's: on the mean the support, if propensities are right
    effective_rows: float  # as many rows of weight 1 would say as much
    estimates: dict[str, Interval]  # by name of ESTIMATORS
    click_model: float  # what the click model says, which knows items and positions, and no user
    gain: Interval  # the doubly robust estimate less what the log's own policy was clicked in the same rows
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class OffPolicy:
    """A log, what its own policy was clicked, and the estimates of others."""

    log: Exposures
    logged: Interval
    click_model: ClickModel
    policies: tuple[PolicyEstimate, ...]

    def as_data(self) -> dict[str, Any]:
        """As JSON holds it."""
        told = []
        for one in self.policies:
            held = asdict(one)
            del held["notes"]
            told.append(held.pop("estimates") | held)
        assumed = note(
            "item_position", "a click is taken to depend on user, item and position, not on the rest of the slate"
        )
        return {
            "log": self.log.source,
            "rows": len(self.log.user),
            "users": len(self.log.user_ids),
            "items": len(self.log.item_ids),
            "logged": asdict(self.logged),
            "examination": self.click_model.examination.tolist(),
            "examination_falls_by": self.click_model.falls_by,
            "policies": told,
            "notes": data_of(assumed, *self.log.notes, *(held for one in self.policies for held in one.notes)),
        }


def off_policy(log: Exposures, targets: Sequence[Target]) -> OffPolicy:
    """The estimates of each target. InputError where the log never showed what it shows."""
    fold = np.asarray(user_keys(log.user_ids) % _FOLDS)[log.user]
    shown, clicked = weighed_counts(log, fold, _FOLDS)
    everything, clicks = shown.sum(axis=0), clicked.sum(axis=0)
    models = [fit_click_model(everything - shown[k], clicks - clicked[k]) for k in range(_FOLDS)]
    found = tuple(_estimated(log, target, fold, models) for target in targets)
    rate = _ratio(log, log.clicked.astype(np.float64), np.ones(len(log.user)))
    return OffPolicy(log, rate, fit_click_model(everything, clicks), found)


def _estimated(log: Exposures, target: Target, fold: Ints, models: Sequence[ClickModel]) -> PolicyEstimate:
    used = target.context >= 0
    ever = np.ones((len(log.item_ids), log.n_positions))  # the log's items are those that it showed
    support = float(target.expected(ever, log.position)[used].mean())
    weight = np.where(used, target.probabilities(log.item, len(log.item_ids)) / log.propensity, 0.0)
    if not weight.any():
        raise InputError(
            f"{target.name}: in no row did the log show an item to a user at a position where this policy shows it "
            f"({support:.1%} of what it shows are items that the log ever showed): nothing can be said of it from this "
            "log; give one with more random exposure"
        )
    expected, here = np.zeros(len(fold)), np.zeros(len(fold))
    for k, model in enumerate(models):  # of a row speaks a model that has not seen its user
        rates, rows = model.rates(), fold == k
        expected[rows] = target.expected(rates, log.position)[rows]
        here[rows] = rates[log.item[rows], log.position[rows]]
    if len(np.unique(log.user[weight > 0])) < 2:
        raise InputError(f"{target.name}: only one user was shown what it shows; intervals are over users: give more")
    clicked, one = log.clicked.astype(np.float64), used.astype(np.float64)
    expected[~used] = 0.0
    robust = expected + weight * (clicked - here)
    estimates = {
        "ips": _ratio(log, weight * clicked, one),
        "snips": _ratio(log, weight * clicked, weight),
        "dr": _ratio(log, robust, one),
    }
    gain, mean_weight = _ratio(log, robust - clicked * one, one), _ratio(log, weight, one)
    effective = float(weight.sum() ** 2 / (weight**2).sum())
    return PolicyEstimate(
        target.name,
        int(used.sum()),
        support,
        mean_weight,
        effective,
        estimates,
        float(expected.sum() / used.sum()),
        gain,
        _doubts(target.name, used, support, mean_weight, effective),
    )


def _doubts(
    name: str, used: NDArray[np.bool_], support: float, mean_weight: Interval, effective: float
) -> tuple[Note, ...]:
    """What keeps the estimates from being taken at their word."""
    found = []
    if not used.all():
        told = "{policy}: {share:.1%} of the rows are left out: it shows nothing to their users or at their positions"
        found.append(note("policy_silent", told, policy=name, share=1 - float(used.mean())))
    if support < 1 - 1e-9:
        told = "{policy}: {share:.1%} of what it shows the log never showed: ips and dr count it as never clicked"
        found.append(note("policy_unsupported", told, policy=name, share=1 - support))
    elif not mean_weight.low <= 1 <= mean_weight.high:
        told = (
            "{policy}: the mean weight is {mean:.3f} ({low:.3f} to {high:.3f}) and should be 1: the propensities are "
            "not those with which the items were shown, or the weights' tail is too heavy for this many rows"
        )
        values = {"mean": mean_weight.value, "low": mean_weight.low, "high": mean_weight.high}
        found.append(note("policy_weights", told, policy=name, **values))
    if effective < _FEW_ROWS:
        told = "{policy}: its weights rest on no more than {rows:.0f} rows: its intervals are too narrow to be believed"
        found.append(note("policy_few_rows", told, policy=name, rows=effective))
    return tuple(found)


def _ratio(log: Exposures, sums: Floats, counts: Floats) -> Interval:
    """Sum over sum, with the interval of user clusters."""
    by_user = [np.bincount(log.user, values, len(log.user_ids)).astype(np.float64) for values in (sums, counts)]
    told = over_users(by_user[0][None], by_user[1][None], _ONE_LOG)
    return Interval(float(told.mean), float(told.low), float(told.high))
