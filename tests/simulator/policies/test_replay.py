"""Replays at zero latency: a threshold calibrated for a share of requests meets that share."""

import numpy as np
import pytest

from fleetrec.simulator.policies.counterfactual import Decisions, replay, threshold_for


def drifting(users: int, count: int) -> tuple[Decisions, np.ndarray]:
    """Scores that grow with a list's age, plus noise."""
    all_users = np.arange(users)
    decisions = Decisions(all_users, np.full(users, 9), np.full(users, count), np.full(users, 9))
    user, decision, number = decisions.pairs()
    noise = np.random.default_rng(1).random((users, count))[user, decision]
    age = np.where(number == 0, decision, decision - (number - 1))
    scores = np.zeros(int(decisions.base[-1]))
    scores[decisions.pair(user, decision, number)] = 16 + 2.0 * age + 4 * noise
    return decisions, scores


@pytest.mark.parametrize("ratio", [0.05, 0.2, 0.5])
def test_the_threshold_meets_the_wanted_share_with_the_effect_of_its_own_requests(ratio: float) -> None:
    decisions, scores = drifting(400, 50)
    asked, _ = replay(decisions, scores >= threshold_for(decisions, scores, ratio))
    assert asked.mean() == pytest.approx(ratio, abs=0.02)


def test_where_all_scores_are_alike_a_coin_far_below_them_makes_any_share() -> None:
    decisions, scores = drifting(200, 20)
    alike = 16.0 + 2.0**-20 * np.random.default_rng(2).random(len(scores))
    alike[-1] = 5000.0  # one list without hope, which widens the range
    for ratio in (0.05, 0.2, 0.5):
        asked, _ = replay(decisions, alike >= threshold_for(decisions, alike, ratio))
        assert asked.mean() == pytest.approx(ratio, abs=0.01)


def test_no_share_is_no_request_and_the_whole_share_is_every_one() -> None:
    decisions, scores = drifting(10, 10)
    never, always = threshold_for(decisions, scores, 0.0), threshold_for(decisions, scores, 1.0)
    assert not replay(decisions, scores >= never)[0].any()
    assert replay(decisions, scores >= always)[0].all()


def test_a_replay_by_hand() -> None:
    """Two users of two and one decisions, who ask where the list in hand is two interactions old."""
    decisions = Decisions(np.array([7, 8]), np.array([4, 6]), np.array([3, 1]), np.array([3, 4]))
    user, decision, number = decisions.pairs()
    jobs = decisions.queries(user, decision, number, np.full(len(user), -1))
    asks = np.zeros(int(decisions.base[-1]), dtype=bool)
    asks[decisions.pair(user, decision, number)] = jobs.step - jobs.as_of >= 2
    asked, shown = replay(decisions, asks)
    assert asked.tolist() == [False, True, False, True]
    assert shown.tolist() == [0, 2, 2, 1]


def test_a_list_is_never_newer_than_the_decision_it_answers() -> None:
    decisions = Decisions(np.array([0]), np.array([5]), np.array([4]), np.array([2]))
    jobs = decisions.queries(*decisions.pairs(), np.full(len(decisions.pairs()[0]), -1))
    assert (jobs.as_of <= jobs.step).all()
    assert len(jobs) == 2 + 3 + 4 + 5
