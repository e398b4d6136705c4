"""Request policies and their budget: when a device asks."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.policies.request.budget import Budget
from fleetrec.simulator.policies.request.congestion import CongestionRequest
from fleetrec.simulator.policies.request.decision_points import DecisionPoints
from fleetrec.simulator.policies.request.every import EveryRequest
from fleetrec.simulator.policies.request.inconsistency import InconsistencyRequest
from fleetrec.simulator.policies.request.nightly import NightlyRequest
from fleetrec.simulator.policies.request.oracle_dp import OracleDpRequest, Schedule
from fleetrec.simulator.policies.request.random import RandomRequest
from fleetrec.simulator.policies.request.session_start import SessionStartRequest
from fleetrec.simulator.policies.request.share import Share
from fleetrec.simulator.policies.request.staleness import StalenessRequest
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.sections.request import RunningRequestPolicy


@dataclass
class Knows:
    device: int = 0
    step: int = 10
    decisions: int = 0
    as_of: int = 8
    list_time_s: float = 0.0
    since_s: float = 0.0
    late_answers: int = 0
    last_gap_s: float = 5.0
    row: int = 0
    end: int = 8
    used_weights: int = 0
    list_age_s: float = 100.0
    score: float = 20.0


class Rankings:
    """A scorer that knows where scores are high, by step."""

    def __init__(self, high: list[int]):
        self.high = high

    def next_uncertain(self, device: int, as_of: int, step: int, weights: int) -> int:
        return next((h for h in self.high if h >= step), 1000)


def points(t_s: list[float], high: tuple[int, ...] = (), link: str = "lte", seed: int = 1) -> DecisionPoints:
    """A device that joined at 0 and meets step 11 in row 0, step 12 in row 1, and so on."""
    scorer: Any = Rankings(list(high))
    n = len(t_s)
    rows = np.arange(n)
    times = np.array(t_s, dtype=float)
    return DecisionPoints(rows * 0, rows + 11, times, np.zeros(1, int), np.zeros(1), [link], scorer, Draws(seed))


def policy_of(
    section: sections.RequestPolicy, at: DecisionPoints | None = None, threshold: float | None = None
) -> RunningRequestPolicy:
    share = Share(threshold) if threshold is not None else None
    return section.start(replace(at or points([]), threshold=share))


def wants(section: sections.RequestPolicy, knows: Knows, threshold: float | None = None) -> bool:
    return policy_of(section, threshold=threshold).wants(knows)


def test_staleness_counts_the_interactions_that_the_list_has_not_seen() -> None:
    assert wants(StalenessRequest(threshold=2), Knows(step=10, as_of=8))
    assert not wants(StalenessRequest(threshold=3), Knows(step=10, as_of=8))


def test_an_old_list_is_asked_for_again() -> None:
    assert wants(StalenessRequest(age=60), Knows(list_age_s=61))
    assert not wants(StalenessRequest(age=60), Knows(list_age_s=59))


def test_every_nth_decision_asks_the_first_included() -> None:
    asked = [wants(EveryRequest(n=3), Knows(decisions=i)) for i in range(7)]
    assert asked == [True, False, False, True, False, False, True]


def test_a_session_starts_after_a_long_pause_and_when_the_device_joins() -> None:
    section = SessionStartRequest(gap=1800)
    assert wants(section, Knows(last_gap_s=1800))
    assert wants(section, Knows(last_gap_s=math.inf))
    assert not wants(section, Knows(last_gap_s=1799))


def test_a_calibrated_threshold_decides_for_inconsistency() -> None:
    assert wants(InconsistencyRequest(ratio=0.2), Knows(score=21), threshold=20.5)
    assert not wants(InconsistencyRequest(ratio=0.2), Knows(score=20), threshold=20.5)


def test_random_requests_meet_their_ratio_and_are_the_same_coin_every_time() -> None:
    n = 10_000
    policy = policy_of(RandomRequest(ratio=0.3), points([60.0 * k for k in range(n)], seed=7))
    as_they_come = np.array([policy.wants(Knows(step=11 + k, row=k + 1)) for k in range(n)])
    tossed_alone = np.array([policy.wants(Knows(step=11 + k)) for k in range(n)])
    assert (as_they_come == tossed_alone).all()
    assert as_they_come.mean() == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / n))


def spends(budget: Budget, device: int) -> bool:
    """Whether the bucket held a token, which is taken then."""
    held = budget.holds(device)
    if held:
        budget.spend(device)
    return held


def test_a_budget_never_lets_more_through_than_its_share_and_its_burst() -> None:
    budget = Budget(sections.Budget(ratio=0.05, scope="fleet", burst=3), devices=100)
    spent = 0
    for decision in range(1, 2001):
        budget.earn(decision % 100)
        spent += spends(budget, decision % 100)
        assert spent <= 3 + 0.05 * decision + 1e-6
    assert spent == 102  # the bucket was full, so the first decision earned nothing


def test_a_budget_of_one_decision_at_five_percent_is_no_request_at_all() -> None:
    budget = Budget(sections.Budget(ratio=0.05, scope="device", burst=0), devices=2)
    budget.earn(0)
    assert not spends(budget, 0)


def test_a_device_budget_is_not_spent_by_others() -> None:
    budget = Budget(sections.Budget(ratio=0.5, scope="device", burst=1), devices=2)
    assert spends(budget, 0)
    assert not spends(budget, 0)
    assert spends(budget, 1)


def test_a_ratio_of_one_is_no_limit() -> None:
    budget = Budget(sections.Budget(ratio=1.0), devices=1)
    assert all(spends(budget, 0) for _ in range(1000))


def test_a_device_sleeps_until_its_list_is_stale() -> None:
    policy = policy_of(StalenessRequest(threshold=4))
    assert policy.next_ask(Knows(step=10, as_of=8), 0) == 1  # row 1 is step 12: four past 8
    assert policy.next_ask(Knows(step=10, as_of=10), 0) == 3
    assert policy.next_ask(Knows(step=10, as_of=2), 0) == 0


def test_a_device_sleeps_until_its_list_is_old() -> None:
    policy = policy_of(StalenessRequest(age=60), points([10, 59, 61, 200, 300, 400, 500, 600]))
    assert policy.next_ask(Knows(list_time_s=0.0), 0) == 2
    assert policy.next_ask(Knows(list_time_s=150.0), 3) == 4
    assert policy.next_ask(Knows(as_of=-1), 1) == 1


def test_a_device_sleeps_through_decisions_that_are_not_the_nth() -> None:
    policy = policy_of(EveryRequest(n=4))
    assert [policy.next_ask(Knows(decisions=done), 10) for done in (4, 5, 6, 7)] == [10, 13, 12, 11]


def test_a_device_sleeps_until_the_first_interaction_after_a_pause() -> None:
    at = points([5, 5, 2000, 2000, 2001, 9000, 9001, 9002])
    policy = policy_of(SessionStartRequest(gap=1800), at)
    assert [policy.next_ask(Knows(), row) for row in range(6)] == [3, 3, 3, 3, 5, 5]


def test_a_device_sleeps_until_its_coin_shows_heads() -> None:
    at = points([float(t) for t in range(200)], seed=3)
    policy = policy_of(RandomRequest(ratio=0.1), at)
    heads = [row for row in range(200) if policy.wants(Knows(step=row + 11))]
    assert len(heads) > 5
    assert [policy.next_ask(Knows(), row) for row in range(heads[-1])] == [
        next(head for head in heads if head >= row) for row in range(heads[-1])
    ]


def test_a_device_sleeps_until_its_score_is_high() -> None:
    at = points([1, 2, 3, 4, 5, 6, 7, 8], high=(13, 17))
    policy = policy_of(InconsistencyRequest(threshold=9), at, threshold=9)
    assert policy.next_ask(Knows(), 0) == 2
    assert policy.next_ask(Knows(), 3) == 6
    assert policy.next_ask(Knows(as_of=-1), 0) == 0


def test_late_answers_raise_the_threshold_of_a_congested_device_and_answers_in_time_lower_it() -> None:
    section = CongestionRequest(threshold=2, backoff=3, longest=20)
    lists_not_seen = {
        late: next(n for n in range(40) if wants(section, Knows(step=8 + n, late_answers=late))) for late in range(4)
    }
    assert lists_not_seen == {0: 2, 1: 6, 2: 18, 3: 20}
    policy = policy_of(section)
    assert policy.next_ask(Knows(step=9, as_of=8, late_answers=1), 0) == 4
    assert policy.next_ask(Knows(step=9, as_of=-1, late_answers=3), 0) == 0


def test_a_device_asks_once_a_night_and_on_an_allowed_link_only() -> None:
    section = NightlyRequest(at=2 * 3600, window=4 * 3600)
    hour = 3600.0
    at = points([1 * hour, 3 * hour, 5 * hour, 7 * hour, 26.5 * hour], link="wifi")
    policy = policy_of(section, at)
    night = [policy.wants(Knows(since_s=t, list_time_s=0.0)) for t in (1 * hour, 3 * hour, 5.9 * hour, 6.1 * hour)]
    assert night == [False, True, True, False]
    assert not policy.wants(Knows(since_s=5 * hour, list_time_s=3 * hour))
    assert policy.wants(Knows(since_s=26.5 * hour, list_time_s=3 * hour))
    assert [policy.next_ask(Knows(), row) for row in range(4)] == [1, 1, 2, 4]
    on_lte = policy_of(section, points([3 * hour]))
    assert not on_lte.wants(Knows(since_s=3 * hour))


def test_a_schedule_is_kept_to_the_step() -> None:
    at = points([1, 2, 3, 4])
    chosen = Schedule(np.array([False, True, False, True]), np.array([True]), np.array([10]))
    policy = OracleDpRequest().start(replace(at, chosen=chosen))
    assert [policy.wants(Knows(step=step)) for step in (10, 11, 12, 13, 14)] == [True, False, True, False, True]
    assert [policy.next_ask(Knows(), row) for row in range(4)] == [1, 1, 3, 3]


def test_moments_before_a_device_joined_are_no_pause() -> None:
    scorer: Any = Rankings([])
    at = DecisionPoints(
        np.array([0, 0, 0]),
        np.arange(3),
        np.array([1.0, 5000.0, 5001.0]),
        np.array([1]),
        np.array([4999.0]),
        ["lte"],
        scorer,
        Draws(1),
    )
    assert at.gaps_s()[1:].tolist() == [1.0, 1.0]


def test_a_device_that_was_there_from_the_start_had_its_last_interaction_long_ago() -> None:
    scorer: Any = Rankings([])
    rows = np.arange(3)
    at = DecisionPoints(
        rows * 0, rows, np.array([1.0, 1.0, 60.0]), np.zeros(1, int), np.array([-np.inf]), ["lte"], scorer, Draws(1)
    )
    assert at.gaps_s().tolist() == [np.inf, np.inf, 59.0]
    policy = policy_of(SessionStartRequest(gap=60.0), at)
    assert [policy.next_ask(Knows(), row) for row in (0, 1)] == [1, 1]
