"""Request policies and their budget: when a device asks."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from simulator.policies.request import Budget, Moments, RequestPolicy, request_policy
from simulator.randomness import Draws
from simulator.scenario import sections


@dataclass
class Knows:
    device: int = 0
    step: int = 10
    decisions: int = 0
    as_of: int = 8
    list_time_s: float = 0.0
    last_gap_s: float = 5.0
    end: int = 8
    used_weights: int = 0
    age_s: float = 100.0
    gap: float = 20.0

    def list_age_s(self) -> float:
        return self.age_s

    def inconsistency(self) -> float:
        return self.gap


class Rankings:
    """Inconsistencies that a scorer has computed already, by step."""

    def __init__(self, gaps: dict[int, float]):
        self.gaps = gaps

    def known(self, device: int, as_of: int, step: int) -> tuple[int, float] | None:
        return (0, self.gaps[step]) if step in self.gaps else None

    def expect(self, device: int, as_of: int, step: int) -> None:
        self.expected = step


def moments(t_s: list[float], gaps: dict[int, float] | None = None) -> Moments:
    """A device that joined at 0 and meets step 11 in row 0, step 12 in row 1, and so on."""
    scorer: Any = Rankings(gaps or {})
    n = len(t_s)
    rows = np.arange(n)
    return Moments(rows * 0, rows + 11, np.array(t_s, dtype=float), np.zeros(1, int), np.zeros(1), scorer)


def policy_of(
    section: sections.RequestPolicy, at: Moments | None = None, threshold: float | None = None, seed: int = 1
) -> RequestPolicy:
    return request_policy(section, Draws(seed), threshold, at or moments([]))


def wants(section: sections.RequestPolicy, knows: Knows, threshold: float | None = None) -> bool:
    return policy_of(section, threshold=threshold).wants(knows)


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
    policy = policy_of(sections.RandomRequest(ratio=0.3), seed=7)
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


def test_a_device_sleeps_until_its_list_is_stale() -> None:
    policy = policy_of(sections.StalenessRequest(threshold=4))
    assert policy.next_ask(Knows(step=10, as_of=8), 0) == 1  # row 1 is step 12: four past 8
    assert policy.next_ask(Knows(step=10, as_of=10), 0) == 3
    assert policy.next_ask(Knows(step=10, as_of=2), 0) == 0


def test_a_device_sleeps_until_its_list_is_old() -> None:
    policy = policy_of(sections.StalenessRequest(age=60), moments([10, 59, 61, 200, 300, 400, 500, 600]))
    assert policy.next_ask(Knows(list_time_s=0.0), 0) == 2
    assert policy.next_ask(Knows(list_time_s=150.0), 3) == 4
    assert policy.next_ask(Knows(as_of=-1), 1) == 1


def test_a_device_sleeps_through_decisions_that_are_not_the_nth() -> None:
    policy = policy_of(sections.EveryRequest(n=4))
    assert [policy.next_ask(Knows(decisions=done), 10) for done in (4, 5, 6, 7)] == [10, 13, 12, 11]


def test_a_device_sleeps_until_the_first_interaction_after_a_pause() -> None:
    at = moments([5, 5, 2000, 2000, 2001, 9000, 9001, 9002])
    policy = policy_of(sections.SessionStartRequest(gap=1800), at)
    assert [policy.next_ask(Knows(), row) for row in range(6)] == [3, 3, 3, 3, 5, 5]


def test_a_device_sleeps_until_its_coin_shows_heads() -> None:
    at = moments([float(t) for t in range(200)])
    policy = policy_of(sections.RandomRequest(ratio=0.1), at, seed=3)
    heads = [row for row in range(200) if policy.wants(Knows(step=row + 11))]
    assert len(heads) > 5
    assert [policy.next_ask(Knows(), row) for row in range(heads[-1])] == [
        next(head for head in heads if head >= row) for row in range(heads[-1])
    ]


def test_a_device_sleeps_until_orders_disagree_or_nobody_knows_yet() -> None:
    at = moments([1, 2, 3, 4, 5, 6, 7, 8], {11: 3.0, 12: 4.0, 13: 9.0, 14: 1.0})
    policy = policy_of(sections.InconsistencyRequest(threshold=9), at)
    assert policy.next_ask(Knows(), 0) == 2
    assert policy.next_ask(Knows(), 3) == 4
    assert at.scorer.expected == 15  # type: ignore[attr-defined]
    assert policy.next_ask(Knows(as_of=-1), 0) == 0


def test_moments_before_a_device_joined_are_no_pause() -> None:
    scorer: Any = Rankings({})
    at = Moments(
        np.array([0, 0, 0]), np.arange(3), np.array([1.0, 5000.0, 5001.0]), np.array([1]), np.array([4999.0]), scorer
    )
    assert at.gaps_s()[1:].tolist() == [1.0, 1.0]
