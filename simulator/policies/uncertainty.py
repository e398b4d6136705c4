"""Uncertainty scores: numbers that grow with how much reason a device has to want a new list, from what it knows.

The inconsistency of LSC4Rec, the SRM's uncertainty, or the gain that a learned model expects of a fresh list. Each is a
pure function of (user, step, list), rounded, so that neither batch nor company decides whether a device asks.
"""

from dataclasses import dataclass

import numpy as np

from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.ranking.list_view import Floats, ListView, UncertaintyScore
from fleetrec.simulator.ranking.scored_lists import confidence, inconsistency

_GRID = 2.0**30
_COIN = 2.0**-20  # below any difference of scores that means something


def on_grid(values: Floats, view: ListView) -> Floats:
    """`values` [M] as they are compared with a threshold."""
    with np.errstate(over="ignore"):  # what is too large for the grid is infinite
        rounded = np.round(values * _GRID) / _GRID
    return np.where(view.lists.count > 0, rounded, np.inf)


def entropy(view: ListView) -> Floats:
    """Entropy [M] of the SRM's softmax over the list, as a share of the largest that so many candidates allow."""
    return confidence(view.lists)[0]


def closeness(view: ListView) -> Floats:
    """One less the margin [M] by which the SRM's best candidate leads the second in probability."""
    return confidence(view.lists)[1]


@dataclass(frozen=True)
class NamedScore:
    """A score that needs no training (sections/request.py names them)."""

    of: UncertaintyScore
    flops_per_candidate: float = 0.0
    """beyond a ranking"""
    of_ranks: bool = False
    """whether it hangs on how both orders compare and on nothing else"""

    def __call__(self, view: ListView) -> Floats:
        return self.of(view)


SCORES: dict[str, NamedScore] = {
    "entropy": NamedScore(lambda view: on_grid(entropy(view), view), 8.0),
    "closeness": NamedScore(lambda view: on_grid(closeness(view), view), 8.0),
    "inconsistency": NamedScore(lambda view: inconsistency(view.lists), of_ranks=True),
    "rank_gap": NamedScore(lambda view: inconsistency(view.lists, "rank"), of_ranks=True),
    "invalid_penalty": NamedScore(lambda view: inconsistency(view.lists, "invalid"), of_ranks=True),
}


@dataclass(frozen=True)
class WithCoin:
    """A score whose ties a coin decides, keyed by user and step, so that there is a threshold for every share: an LLM
    that names no invalid item, say, leaves the penalty for them the same everywhere."""

    score: UncertaintyScore

    @property
    def of_ranks(self) -> bool:
        """See NamedScore."""
        return isinstance(self.score, NamedScore) and self.score.of_ranks

    def __call__(self, view: ListView) -> Floats:
        coin = _COIN * Draws(0).uniform("policy.tie", view.user, view.step)
        return np.asarray(self.score(view) + coin)
