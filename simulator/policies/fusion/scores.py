"""What fusion rules share: the SRM's logits as scores, the grid on which scores are compared, and what runs.

Everything here works on the last axis (the candidates, in the LLM's order) and keeps all others, so one call fuses
any number of slates. Higher is better; equal scores go by LLM rank. Scores are rounded to 2^-30, so that the last
bits of a sum or an exponential, which may change with the shape of a batch, never decide a rank.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy  # loads special where it is used: to read a scenario takes none of it

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.ranking.scored_lists import Bools, Floats, ScoredLists
from fleetrec.simulator.scenario.sections.fusion import FusionRule, Score
from fleetrec.simulator.scenario.sections.own_kinds import OwnMethod

SCORE = "how the SRM's logits become scores; sigmoid needs `srm.loss: bce`"
"""description of the key `score`"""
SRM_WEIGHTS = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 8.0)
"""that `optimise` tries"""
_GRID = 2.0**30


def _sigmoid(lists: ScoredLists) -> Floats:
    return np.asarray(scipy.special.expit(lists.logits))


def _list_softmax(lists: ScoredLists) -> Floats:
    return lists.probabilities


def _zscore(lists: ScoredLists) -> Floats:
    logits, valid = lists.logits, lists.valid
    count = np.maximum(valid.sum(axis=-1, keepdims=True), 1)
    centred = np.where(valid, logits - np.where(valid, logits, 0.0).sum(axis=-1, keepdims=True) / count, 0.0)
    spread = np.sqrt((centred**2).sum(axis=-1, keepdims=True) / count)
    return np.asarray(scipy.special.expit(centred / np.maximum(spread, 1e-12)))


def _rank(lists: ScoredLists) -> Floats:
    return np.asarray(_of_rank(lists.logits.shape[-1]).take(lists.srm_rank))


def _of_rank(n: int) -> Floats:
    return np.asarray(1.0 - (np.arange(n) + 0.5) / n)


_PROBABILITY: dict[str, Callable[[ScoredLists], Floats]] = {
    "sigmoid": _sigmoid,
    "list_softmax": _list_softmax,
    "zscore": _zscore,
    "rank": _rank,
}


def lead_of_srm(score: Score, lists: ScoredLists) -> Floats:
    """The SRM's score of every candidate [..., N] less 0.5: what linear fusion weighs."""
    return _PROBABILITY[score](lists) - 0.5


def lead_of_rank(n: int) -> Floats:
    """The same of the score `rank`, by the SRM's 0-based rank [n] in lists of `n`."""
    return _of_rank(n) - 0.5


def weighed(lists: ScoredLists, score: Score, weight: Floats) -> Floats:
    """Linear fusion with a weight [M] of the SRM's score for each list."""
    n = lists.logits.shape[-1]
    return np.asarray(-(lists.llm_rank + 1.0) / n + weight[:, None] * lead_of_srm(score, lists))


def rounded(fused: Floats, valid: Bools) -> Floats:
    """Scores as they are compared: on the grid of 2^-30, -inf where there is no candidate."""
    with np.errstate(over="ignore"):  # scores too large for the grid are infinite
        scores = np.rint(fused * _GRID)
    scores /= _GRID
    return scores if valid.all() else np.where(valid, scores, -np.inf)


class RunningFusion:
    """A rule as it runs: scores [M, N] of what devices see."""

    def __init__(self, rule: FusionRule, weights: Floats | None = None):
        """`weights` are those of one that was fitted."""
        self._rule = rule
        self._fuse: Callable[[Any], Floats] = _Own(rule) if rule.is_own() else rule.start(weights)

    def __call__(self, view: Any) -> Floats:
        return rounded(self._fuse(view), view.lists.valid)

    def of_ranks(self, n: int) -> tuple[Floats, Floats] | None:
        """See FusionRule; of a user's own rule nothing is known but `fuse`."""
        return None if self._rule.is_own() else self._rule.of_ranks(n)


class _Own:
    """A user's own rule: what it gives is checked."""

    def __init__(self, rule: FusionRule):
        self._fuse = OwnMethod(rule, "fuse", every=1)

    def __call__(self, view: Any) -> Floats:
        given, place = self._fuse(view), self._fuse.place
        if np.iscomplexobj(given):
            raise InputError(f"{place} returned complex numbers; return one real number for each candidate")
        try:
            fused = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"{place}: {type(error).__name__}: {error}") from None
        shape = view.lists.valid.shape
        if fused.shape != shape:
            raise InputError(f"{place} returned scores {fused.shape} of candidates {shape}; return one for each")
        if np.isnan(fused[view.lists.valid]).any():
            raise InputError(f"{place} returned a score that is no number; return one for each candidate")
        return fused
