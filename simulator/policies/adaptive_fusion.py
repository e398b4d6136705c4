"""Fusion that learns: the SRM's weight follows the list's age, what the newest interactions say of it, or a fit.

Linear fusion is -(rank + 1) / N + weight * (score - 0.5); what differs is where the weight comes from. Every weight is
a pure function of (user, step, list): a device looks back at its interactions since the list's own history, the newest
`view.NEWEST` of them at most.
"""

from collections.abc import Callable

import numpy as np

from fleetrec.simulator.policies.fusion import fused_scores, lead_of_srm, rounded
from fleetrec.simulator.policies.uncertainty import entropy
from fleetrec.simulator.ranking.list_view import NEWEST, Floats, ListView
from fleetrec.simulator.ranking.scored_lists import ScoredLists, rank_of
from fleetrec.simulator.ranking.srm_logits import with_floor
from fleetrec.simulator.scenario import sections

Fusion = Callable[[ListView], Floats]

ONLINE_WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)
LOGISTIC_TERMS = 6


def fusion_of(section: sections.Fusion, weights: Floats | None = None) -> Fusion:
    """The fusion that a scenario names, as a function of what a device sees; `weights` [6] are those of `logistic`."""
    match section:
        case sections.StalenessFusion():
            return lambda view: _linear(view, section.score, weight_by_age(section, view))
        case sections.ReliabilityFusion():
            return lambda view: _trusting(view, section)
        case sections.OnlineFusion():
            return lambda view: _linear(view, section.score, online_weight(section, view))
        case sections.LogisticFusion():
            assert weights is not None
            return lambda view: rounded(logistic_terms(view) @ weights, view.lists.valid)
        case _:
            return lambda view: fused_scores(section, view.lists)


def _linear(view: ListView, score: sections.Score, weight: Floats) -> Floats:
    n = view.lists.logits.shape[-1]
    fused = -(view.lists.llm_rank + 1.0) / n + weight[:, None] * lead_of_srm(score, view.lists)
    return rounded(fused, view.lists.valid)


def weight_by_age(section: sections.StalenessFusion, view: ListView) -> Floats:
    """Weight [M] of the SRM's score: `growth` of the first weight more for each interaction the list has not seen."""
    return np.clip(section.srm_weight * (1.0 + section.growth * view.age), 0.0, section.largest)


def reliability(view: ListView, prior: float) -> Floats:
    """Trust [M] in the LLM's order, from 0 to 1: how high the items since stood in it, after `prior` perfect ones.

    An item at 0-based place j counts 1 / log2(j + 2), an item that is not there nothing.
    """
    _, unseen = view.newest
    count = unseen.sum(axis=1)
    return np.asarray((prior + discounts(view).sum(axis=1)) / (prior + count))


def discounts(view: ListView) -> Floats:
    """1 / log2(j + 2) [M, NEWEST] for the newest items since the list's history, at places j; 0 where not there."""
    return np.where(view.places >= 0, 1.0 / np.log2(np.maximum(view.places, 0) + 2.0), 0.0)


def _trusting(view: ListView, section: sections.ReliabilityFusion) -> Floats:
    n = view.lists.logits.shape[-1]
    trust = reliability(view, section.prior)[:, None]
    fused = -trust * (view.lists.llm_rank + 1.0) / n + section.srm_weight * lead_of_srm(section.score, view.lists)
    return rounded(fused, view.lists.valid)


def online_weight(section: sections.OnlineFusion, view: ListView) -> Floats:
    """Weight [M] of the SRM's score, by exponential weights over ONLINE_WEIGHTS and the section's own.

    Each choice gains 1 / log2(rank + 2) for every interaction since the list's history whose item it would have ranked
    so, with the SRM as it stood before it; the weight is the mean of all choices under exp(rate * gain).
    """
    view = view.received or view  # the past is judged on what was received
    choices = np.array([section.srm_weight, *ONLINE_WEIGHTS])
    gains = np.zeros((len(view.step), len(choices)))
    back = min(NEWEST, int(view.age.max(initial=0)))
    if back:
        positions, _ = view.newest
        targets = view.places[:, :back]
        before = np.maximum(positions[:, :back] - 1, view.as_of[:, None])
        logits = view.scores.of_lists(view.user, before, view.items, view.weights)  # [M, back, N]
        valid = np.broadcast_to(view.lists.valid[:, None, :], logits.shape)
        llm_rank = np.broadcast_to(view.lists.llm_rank[:, None, :], logits.shape)
        past = ScoredLists(with_floor(logits, valid), valid, llm_rank)
        lead, by_llm = lead_of_srm(section.score, past), -(llm_rank + 1.0) / logits.shape[-1]
        for number, choice in enumerate(choices.tolist()):
            ranks = rank_of(targets, rounded(by_llm + choice * lead, valid), valid)
            gains[:, number] = np.where(ranks >= 0, 1.0 / np.log2(np.maximum(ranks, 0) + 2.0), 0.0).sum(axis=1)
    prior = np.array([float(len(ONLINE_WEIGHTS)), *(1.0 for _ in ONLINE_WEIGHTS)])  # as much as all others together
    shares = prior * np.exp(section.rate * (gains - gains.max(axis=1, keepdims=True)))
    return np.asarray((shares * choices).sum(axis=1) / shares.sum(axis=1))


def logistic_terms(view: ListView) -> Floats:
    """What logistic fusion weighs [M, N, 6]: log rank and log score, alone, times age, and times confidence."""
    rank = -np.log1p(view.lists.llm_rank)
    score = np.log(np.maximum(view.lists.probabilities, 1e-12))
    age, confidence = np.log1p(view.age)[:, None], (1.0 - entropy(view))[:, None]
    return np.stack([rank, score, rank * age, score * age, rank * confidence, score * confidence], axis=-1)
