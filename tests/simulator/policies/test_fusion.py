"""Fusion rules and the inconsistency score against the formulas of LSC4Rec, worked by hand."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetrec.simulator.policies.fusion.gated import GatedFusion
from fleetrec.simulator.policies.fusion.linear import LinearFusion
from fleetrec.simulator.policies.fusion.llm_only import LlmOnly
from fleetrec.simulator.policies.fusion.reciprocal_rank import ReciprocalRankFusion
from fleetrec.simulator.policies.fusion.scores import RunningFusion
from fleetrec.simulator.policies.fusion.srm_only import SrmOnly
from fleetrec.simulator.ranking.scored_lists import ScoredLists, inconsistency, places_of, rank_of, srm_order
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.sections.fusion import Score

LOGITS = np.array([[0.0, 3.0, -3.0, 1.0]])  # p = .5, .953, .047, .731
ALL = np.ones((1, 4), dtype=bool)


def fused_scores(rule: sections.FusionRule, lists: ScoredLists) -> np.ndarray:
    view: Any = SimpleNamespace(lists=lists)
    return RunningFusion(rule)(view)


def order(rule: sections.FusionRule, logits: np.ndarray = LOGITS) -> list[int]:
    valid = np.ones(logits.shape, dtype=bool)
    fused = fused_scores(rule, ScoredLists.of(logits, valid))
    return np.argsort(-fused[0], kind="stable").tolist()


def test_rule_1_keeps_the_llms_order() -> None:
    assert order(LlmOnly()) == [0, 1, 2, 3]


def test_rule_5_is_the_srms_order() -> None:
    assert order(SrmOnly()) == [1, 3, 0, 2]


def test_rule_3_adds_the_srms_lead_to_the_llms_rank() -> None:
    fused = fused_scores(LinearFusion(score="sigmoid"), ScoredLists.of(LOGITS, ALL))[0]
    by_hand = [-(j + 1) / 4 + 1 / (1 + math.exp(-x)) - 0.5 for j, x in enumerate([0.0, 3.0, -3.0, 1.0])]
    assert fused == pytest.approx(by_hand, abs=1e-8)


def test_rule_4_doubles_the_srms_lead() -> None:
    fused = fused_scores(LinearFusion(score="sigmoid", srm_weight=2), ScoredLists.of(LOGITS, ALL))[0]
    by_hand = [-(j + 1) / 4 + 2 * (1 / (1 + math.exp(-x)) - 0.5) for j, x in enumerate([0.0, 3.0, -3.0, 1.0])]
    assert fused == pytest.approx(by_hand, abs=1e-8)


def test_rule_2_lets_only_a_sure_srm_speak() -> None:
    fused = fused_scores(GatedFusion(score="sigmoid"), ScoredLists.of(LOGITS, ALL))[0]
    lead = [1 / (1 + math.exp(-x)) - 0.5 for x in [0.0, 3.0, -3.0, 1.0]]  # only items 1 and 2 exceed 0.4
    assert fused == pytest.approx([0.25, 0.0 + lead[1], -0.25 + lead[2], -0.5], abs=1e-8)


def test_reciprocal_rank_fusion_adds_reciprocal_ranks() -> None:
    fused = fused_scores(ReciprocalRankFusion(), ScoredLists.of(LOGITS, ALL))[0]
    assert fused == pytest.approx([1 / 61 + 1 / 63, 1 / 62 + 1 / 61, 1 / 63 + 1 / 64, 1 / 64 + 1 / 62], abs=1e-8)


@pytest.mark.parametrize("score", ["list_softmax", "zscore", "rank"])
def test_standardised_scores_do_not_see_a_shift_of_all_logits(score: Score) -> None:
    rule = LinearFusion(score=score)
    shifted = fused_scores(rule, ScoredLists.of(LOGITS + 7.0, ALL))
    assert shifted == pytest.approx(fused_scores(rule, ScoredLists.of(LOGITS, ALL)), abs=1e-8)


def test_equal_srm_scores_go_by_the_llms_rank() -> None:
    assert places_of(srm_order(np.array([[1.0, 2.0, 2.0, 1.0]]), ALL)).tolist() == [[2, 0, 1, 3]]


def test_a_tie_is_never_decided_in_the_targets_favour() -> None:
    fused = np.array([[1.0, 1.0, 1.0]])
    shown = np.ones((1, 3), dtype=bool)
    assert [int(rank_of(np.array([i]), fused, shown)[0]) for i in range(3)] == [0, 1, 2]


def test_a_hidden_candidate_neither_ranks_nor_counts() -> None:
    fused, shown = np.array([[3.0, 2.0, 1.0]]), np.array([[False, True, True]])
    assert rank_of(np.array([0]), fused, shown).tolist() == [-1]
    assert rank_of(np.array([2]), fused, shown).tolist() == [1]


def test_inconsistency_of_equal_orders_is_the_bare_penalty() -> None:
    assert inconsistency(ScoredLists.of(np.array([[4.0, 3.0, 2.0, 1.0]]), ALL)).tolist() == [16.0]


def test_inconsistency_of_opposite_orders_by_hand() -> None:
    assert inconsistency(ScoredLists.of(np.array([[1.0, 2.0, 3.0, 4.0]]), ALL)).tolist() == [16.0 + (3 + 1 + 1 + 3) / 4]


def test_missing_candidates_raise_the_penalty_and_leave_the_mean() -> None:
    valid = np.array([[True, False, True, False]])
    gaps = inconsistency(ScoredLists.of(np.array([[1.0, 9.0, 2.0, 9.0]]), valid))
    assert gaps.tolist() == pytest.approx([(4 + 0.3 * 2) ** 2 + (1 + 1) / 2])


def test_a_list_without_valid_candidates_is_wholly_inconsistent() -> None:
    assert inconsistency(ScoredLists.of(np.zeros((1, 3)), np.zeros((1, 3), dtype=bool))).tolist() == [math.inf]


def test_two_independent_orders_of_50_give_a_mean_of_16_66() -> None:
    generator = np.random.default_rng(1)
    valid = np.ones((20_000, 50), dtype=bool)
    gaps = inconsistency(ScoredLists.of(generator.random((20_000, 50)), valid)) - 16.0
    assert gaps.mean() == pytest.approx(16.66, abs=0.05)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["list_softmax", "zscore", "rank"]), st.floats(0, 3))
def test_company_and_order_of_slates_change_no_fused_score(seed: int, score: Score, weight: float) -> None:
    generator = np.random.default_rng(seed)
    logits = np.round(generator.normal(size=(7, 5)) * 2**20) / 2**20
    valid = generator.random((7, 5)) < 0.8
    rule = LinearFusion(srm_weight=weight, score=score)
    together = fused_scores(rule, ScoredLists.of(logits, valid))
    shuffle = generator.permutation(7)
    again = fused_scores(rule, ScoredLists.of(logits[shuffle], valid[shuffle]))
    assert (again == together[shuffle]).all()
    for i in range(7):
        alone = fused_scores(rule, ScoredLists.of(logits[i : i + 1], valid[i : i + 1]))
        assert (alone == together[i : i + 1]).all()
