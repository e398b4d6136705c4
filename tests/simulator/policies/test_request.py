"""Request policies and their budget: when a device asks."""

import math
from dataclasses import dataclass

import numpy as np
import pytest

from simulator.policies.request import Budget, request_policy
from simulator.randomness import Draws
from simulator.scenario import sections


@dataclass
class Knows:
    device: int = 0
    step: int = 10
    decisions: int = 0
    as_of: int = 8
    last_gap_s: float = 5.0
    age_s: float = 100.0
    gap: float = 20.0

    def list_age_s(self) -> float:
        return self.age_s

    def inconsistency(self) -> float:
        return self.gap


def wants(section: sections.RequestPolicy, knows: Knows, threshold: float | None = None) -> bool:
    return request_policy(section, Draws(1), threshold).wants(knows)


def test_staleness_counts_the_interactions_that_the_list_has_not_seen() -> None:
    assert wants(sections.StalenessRequest(threshold=2), Knows(step=10, as_of=8))
    assert not wants(sections.StalenessRequest(threshold=3), Knows(step=10, as_of=8))


def test_an_old_list_is_asked_for_again() -> None:
    assert wants(sections.StalenessRequest(age=60), Knows(age_s=61))
    assert not wants(sections.StalenessRequest(age=60), Knows(age_s=59))


def test_every_nth_decision_asks_the_first_included() -> None:
    asked = [wants(sections.EveryRequest(n=3), Knows(decisions=i)) for i in range(7)]
    assert asked == [True, False, False, True, False, False, True]


def test_a_session_starts_after_a_long_pause_and_when_the_device_joins() -> None:
    section = sections.SessionStartRequest(gap=1800)
    assert wants(section, Knows(last_gap_s=1800))
    assert wants(section, Knows(last_gap_s=math.inf))
    assert not wants(section, Knows(last_gap_s=1799))


def test_a_calibrated_threshold_decides_for_inconsistency() -> None:
    assert wants(sections.InconsistencyRequest(ratio=0.2), Knows(gap=21), threshold=20.5)
    assert not wants(sections.InconsistencyRequest(ratio=0.2), Knows(gap=20), threshold=20.5)


def test_random_requests_meet_their_ratio_and_are_the_same_coin_every_time() -> None:
    policy = request_policy(sections.RandomRequest(ratio=0.3), Draws(7), None)
    asked = np.array([policy.wants(Knows(device=d, step=s)) for d in range(100) for s in range(100)])
    again = np.array([policy.wants(Knows(device=d, step=s)) for d in range(100) for s in range(100)])
    assert (asked == again).all()
    assert asked.mean() == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / 10_000))


def test_a_budget_never_lets_more_through_than_its_share_and_its_burst() -> None:
    budget = Budget(sections.Budget(ratio=0.05, scope="fleet", burst=3), devices=100)
    spent = 0
    for decision in range(1, 2001):
        budget.earn(decision % 100)
        spent += budget.spend(decision % 100)
        assert spent <= 3 + 0.05 * decision + 1e-6
    assert spent == 102  # the bucket was full, so the first decision earned nothing


def test_a_budget_of_one_decision_at_five_percent_is_no_request_at_all() -> None:
    budget = Budget(sections.Budget(ratio=0.05, scope="device", burst=0), devices=2)
    budget.earn(0)
    assert not budget.spend(0)


def test_a_device_budget_is_not_spent_by_others() -> None:
    budget = Budget(sections.Budget(ratio=0.5, scope="device", burst=1), devices=2)
    assert budget.spend(0)
    assert not budget.spend(0)
    assert budget.spend(1)


def test_a_ratio_of_one_is_no_limit() -> None:
    budget = Budget(sections.Budget(ratio=1.0), devices=1)
    assert all(budget.spend(0) for _ in range(1000))
