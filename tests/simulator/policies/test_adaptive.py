"""Fusion that learns and uncertainty scores, worked by hand on one list of four candidates."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fleetrec.simulator.policies.fusion.linear import LinearFusion
from fleetrec.simulator.policies.fusion.logistic import LogisticFusion
from fleetrec.simulator.policies.fusion.online import OnlineFusion
from fleetrec.simulator.policies.fusion.reliability import ReliabilityFusion, reliability
from fleetrec.simulator.policies.fusion.scores import RunningFusion
from fleetrec.simulator.policies.fusion.staleness import StalenessFusion
from fleetrec.simulator.policies.uncertainty import SCORES
from fleetrec.simulator.ranking.histories import Histories
from fleetrec.simulator.ranking.list_view import ListView
from fleetrec.simulator.ranking.scored_lists import ScoredLists

LOG = [4, 5, 6, 0, 7, 2, 8]  # of one user; the list [0, 1, 2, 3] has seen the items up to position 2


class Scores:
    """An SRM that prefers candidate 2 at every step."""

    def of_lists(self, users: np.ndarray, steps: np.ndarray, items: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.broadcast_to((items == 2) * 5.0, (*steps.shape, items.shape[1])).copy()

    def of_catalogue(self, users: np.ndarray, steps: np.ndarray, weights: np.ndarray) -> np.ndarray:
        raise AssertionError("a look at a list needs no catalogue")

    def similarity(self, users: np.ndarray, steps: np.ndarray, others: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.ones(len(users))


def view(step: int, as_of: int = 2, logits: tuple[float, ...] = (0, 0, 5, 0), invalid: int = 0) -> ListView:
    histories = Histories(np.array([0, len(LOG)]), np.array(LOG, dtype=np.int32), 10)
    items = np.array([[0, 1, 2, 3]])
    items[0, 4 - invalid :] = -1
    user = np.array([0])
    lists = ScoredLists.of(np.array([logits], dtype=float), items >= 0)
    return ListView(user, np.array([step]), np.array([as_of]), user, items, lists, histories, Scores())


def test_the_newest_interactions_are_looked_up_in_the_list_and_those_it_has_seen_are_not() -> None:
    assert view(step=5).places[0].tolist() == [2, -1, 0, -1, -1, -1, -1, -1]
    assert view(step=5, as_of=3).places[0].tolist() == [2, -1, -1, -1, -1, -1, -1, -1]


def test_a_weight_grows_with_every_interaction_that_the_list_has_not_seen() -> None:
    rule = StalenessFusion(srm_weight=2, growth=0.5, largest=4.5)
    assert [rule.weight(view(step))[0] for step in (2, 3, 4, 5)] == [2, 3, 4, 4.5]
    falling = StalenessFusion(srm_weight=2, growth=-0.4)
    assert [falling.weight(view(step))[0] for step in (2, 3, 5)] == pytest.approx([2, 1.2, 0])


def test_a_fresh_list_is_fused_as_if_the_weight_were_fixed() -> None:
    fresh = view(step=2)
    fixed = RunningFusion(LinearFusion(srm_weight=1.5))(fresh)
    assert (RunningFusion(StalenessFusion(srm_weight=1.5))(fresh) == fixed).all()
    assert (RunningFusion(ReliabilityFusion(srm_weight=1.5))(fresh) == fixed).all()


def test_trust_is_the_mean_discount_of_the_newest_items_after_perfect_ones() -> None:
    assert reliability(view(step=2), 2.0).tolist() == [1.0]
    assert reliability(view(step=5), 2.0)[0] == pytest.approx((2 + 1 + 0 + 1 / math.log2(4)) / 5)


def test_a_weight_learnt_online_rises_where_the_srm_was_right_and_falls_where_the_llm_was() -> None:
    rule = OnlineFusion(srm_weight=1.0, rate=2.0)
    prior = rule.weight(view(step=2))[0]
    assert prior == pytest.approx((5 * 1 + 0 + 0.5 + 1 + 2 + 4) / 10)
    assert rule.weight(view(step=5, as_of=4))[0] > prior  # item 2, which the SRM puts first and the LLM third
    assert rule.weight(view(step=3))[0] < prior  # item 0, which the LLM puts first
    assert rule.weight(view(step=4, as_of=3))[0] == pytest.approx(prior)  # item 7 is not in the list


def test_logistic_fusion_weighs_log_rank_and_log_score() -> None:
    weights = np.array([2.0, 3.0, 0, 0, 0, 0])
    p = np.exp([0.0, 0, 5, 0]) / np.exp([0.0, 0, 5, 0]).sum()
    by_hand = [-2 * math.log(j + 1) + 3 * math.log(p[j]) for j in range(4)]
    assert RunningFusion(LogisticFusion(), weights)(view(step=5))[0] == pytest.approx(by_hand, abs=1e-8)


def test_logistic_fusion_has_finite_terms_where_a_list_begins_with_an_invalid_item() -> None:
    lists = ScoredLists.of(np.zeros((1, 4)), np.array([[False, True, True, False]]))
    here: Any = SimpleNamespace(lists=lists, age=np.array([3.0]))
    with np.errstate(all="raise"):
        terms = LogisticFusion().terms(here)
    assert np.isfinite(terms).all()
    assert terms[0, 1:3, 0].tolist() == [0.0, -math.log(2)]


def test_terms_of_the_inconsistency_add_up_to_both() -> None:
    here = view(5, logits=(0, 1, 2, 3), invalid=1)
    both, rank, invalid = (float(SCORES[name](here)[0]) for name in ("inconsistency", "rank_gap", "invalid_penalty"))
    assert invalid == pytest.approx(4.3**2)
    assert rank == pytest.approx((2 + 0 + 2) / 3)
    assert both == rank + invalid


def test_entropy_and_margin_of_the_softmax_over_the_list() -> None:
    entropy, margin = SCORES["entropy"], SCORES["closeness"]
    assert entropy(view(5, logits=(1, 1, 1, 1)))[0] == pytest.approx(1)
    assert margin(view(5, logits=(1, 1, 1, 1)))[0] == pytest.approx(1)
    p = np.exp([0.0, 1, 3]) / np.exp([0.0, 1, 3]).sum()
    three = view(5, logits=(0, 1, 3, 9), invalid=1)
    assert entropy(three)[0] == pytest.approx(-(p * np.log(p)).sum() / math.log(3), abs=1e-8)
    assert margin(three)[0] == pytest.approx(1 - (p[2] - p[1]), abs=1e-8)
    assert entropy(view(5, invalid=4))[0] == math.inf
