"""The best request times against trying all of them."""

from itertools import combinations

import numpy as np
import pytest

from fleetrec.simulator.policies.counterfactual import Decisions
from fleetrec.simulator.policies.oracle import best_requests


def total(decisions: Decisions, reward: np.ndarray, user: int, asks: tuple[int, ...]) -> float:
    """Worth of a user who asks after these decisions, counted one by one."""
    in_hand, found = 0, 0.0
    for decision in range(int(decisions.count[user])):
        if decision in asks:
            in_hand = decision + 1
        found += float(reward[decisions.pair(user, decision, in_hand)])
    return found


def best_by_trying(decisions: Decisions, reward: np.ndarray, may_ask: np.ndarray, user: int, requests: int) -> float:
    starts = np.cumsum(decisions.count) - decisions.count
    allowed = [d for d in range(int(decisions.count[user])) if may_ask[starts[user] + d]]
    choices = (asks for n in range(requests + 1) for asks in combinations(allowed, n))
    return max(total(decisions, reward, user, asks) for asks in choices)


@pytest.mark.parametrize("seed", range(6))
def test_one_users_times_are_the_best_for_every_number_of_requests(seed: int) -> None:
    generator = np.random.default_rng(seed)
    decisions = Decisions(np.array([0]), np.array([3]), np.array([7]), np.array([1]))
    reward = generator.random(int(decisions.base[-1]))
    may_ask = generator.random(7) < 0.8
    starts = [0]
    for budget in range(8):
        asks = best_requests(decisions, reward, may_ask, budget)
        assert asks.sum() <= budget
        assert not (asks & ~may_ask).any()
        got = total(decisions, reward, 0, tuple(np.flatnonzero(asks).tolist()))
        starts.append(got)
        if asks.sum() == budget:  # the hull has a corner here
            assert got == pytest.approx(best_by_trying(decisions, reward, may_ask, 0, budget))
    assert starts[-1] == pytest.approx(best_by_trying(decisions, reward, may_ask, 0, 7))
    assert (np.diff(starts[1:]) >= -1e-12).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_fleets_budget_goes_where_it_pays_most(seed: int) -> None:
    """Not worse than any way to share the budget out, but for the last hull step of one user."""
    generator = np.random.default_rng(seed)
    count = np.array([4, 5, 3])
    decisions = Decisions(np.arange(3), np.full(3, 2), count, np.full(3, 1))
    reward = generator.random(int(decisions.base[-1]))
    may_ask = np.ones(12, dtype=bool)
    curves = [[best_by_trying(decisions, reward, may_ask, u, k) for k in range(count[u] + 1)] for u in range(3)]
    starts = np.cumsum(count) - count
    for budget in range(9):
        asks = best_requests(decisions, reward, may_ask, budget)
        got = sum(
            total(decisions, reward, u, tuple(np.flatnonzero(asks[starts[u] : starts[u] + count[u]]).tolist()))
            for u in range(3)
        )
        best = max(
            curves[0][a] + curves[1][b] + curves[2][c]
            for a in range(5)
            for b in range(6)
            for c in range(4)
            if a + b + c <= budget
        )
        step = max(np.diff(curve).max() for curve in curves)
        assert asks.sum() <= budget
        assert best - step - 1e-9 <= got <= best + 1e-9
