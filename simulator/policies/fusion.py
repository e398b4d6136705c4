"""Fusion rules: how the LLM's order and the SRM's scores of one candidate list make one slate (LSC4Rec's rules 1 to 5).

Everything here works on the last axis (the candidates, in the LLM's order) and keeps all others, so one call fuses
any number of slates. Higher is better; equal scores go by LLM rank. Scores are rounded to 2^-30, so that the last
bits of a sum or an exponential, which may change with the shape of a batch, never decide a rank.
"""

from collections.abc import Callable

import numpy as np
from scipy.special import expit

from fleetrec.simulator.ranking.scored_lists import Bools, Floats, ScoredLists
from fleetrec.simulator.scenario import sections

_GRID = 2.0**30


def _sigmoid(lists: ScoredLists) -> Floats:
    return np.asarray(expit(lists.logits))


def _list_softmax(lists: ScoredLists) -> Floats:
    return lists.probabilities


def _zscore(lists: ScoredLists) -> Floats:
    logits, valid = lists.logits, lists.valid
    count = np.maximum(valid.sum(axis=-1, keepdims=True), 1)
    centred = np.where(valid, logits - np.where(valid, logits, 0.0).sum(axis=-1, keepdims=True) / count, 0.0)
    spread = np.sqrt((centred**2).sum(axis=-1, keepdims=True) / count)
    return np.asarray(expit(centred / np.maximum(spread, 1e-12)))


def _rank(lists: ScoredLists) -> Floats:
    n = lists.logits.shape[-1]
    of_rank = 1.0 - (np.arange(n) + 0.5) / n
    return np.asarray(of_rank.take(lists.srm_rank))


_PROBABILITY: dict[str, Callable[[ScoredLists], Floats]] = {
    "sigmoid": _sigmoid,
    "list_softmax": _list_softmax,
    "zscore": _zscore,
    "rank": _rank,
}


def lead_of_srm(score: sections.Score, lists: ScoredLists) -> Floats:
    """The SRM's score of every candidate [..., N] less 0.5: what linear fusion weighs."""
    return _PROBABILITY[score](lists) - 0.5


def rounded(fused: Floats, valid: Bools) -> Floats:
    """Scores as they are compared: on the grid of 2^-30, -inf where there is no candidate."""
    scores = np.rint(fused * _GRID)
    scores /= _GRID
    return scores if valid.all() else np.where(valid, scores, -np.inf)


def fused_scores(rule: sections.FixedFusion, lists: ScoredLists) -> Floats:
    """Score of every candidate [..., N] under `rule`; invalid candidates score -inf."""
    llm_rank, n = lists.llm_rank, lists.logits.shape[-1]
    match rule:
        case sections.LlmOnly():
            fused = -(llm_rank + 1.0)
        case sections.SrmOnly():
            fused = lists.logits
        case sections.LinearFusion():
            fused = -(llm_rank + 1.0) / n + rule.srm_weight * lead_of_srm(rule.score, lists)
        case sections.GatedFusion():
            lead = lead_of_srm(rule.score, lists)
            fused = 0.5 - (llm_rank + 1.0) / n + np.where(np.abs(lead) > rule.gate, lead, 0.0)
        case sections.ReciprocalRankFusion():
            fused = 1.0 / (rule.constant + llm_rank + 1.0)
            fused = fused + rule.srm_weight / (rule.constant + lists.srm_rank + 1.0)
    return rounded(fused, lists.valid)
