"""Doubt: a number that grows with how much a device has reason to want a new list, from what it knows of its own one.

The inconsistency of LSC4Rec, the SRM's uncertainty, or the gain that a learned model expects of a fresh list. Each is a
pure function of (user, step, list), rounded, so that neither batch nor company decides whether a device asks.
"""

from collections.abc import Callable

import numpy as np

from simulator.policies.fusion import inconsistency
from simulator.policies.view import Floats, ListView
from simulator.scenario import sections

Doubt = Callable[[ListView], Floats]
"""Doubt [M] of devices in their lists; infinite for a list without a valid candidate."""

_GRID = 2.0**30


def on_grid(values: Floats, view: ListView) -> Floats:
    """`values` [M] as they are compared with a threshold."""
    return np.where(view.lists.valid.any(axis=1), np.round(values * _GRID) / _GRID, np.inf)


def entropy(view: ListView) -> Floats:
    """Entropy [M] of the SRM's softmax over the list, as a share of the largest that so many candidates allow."""
    p = view.lists.probabilities
    terms = np.where(p > 0, p * np.log(np.maximum(p, 1e-300)), 0.0)
    most = np.log(np.maximum(view.lists.valid.sum(axis=1), 2))
    return np.asarray(-terms.sum(axis=1) / most)


def closeness(view: ListView) -> Floats:
    """One less the margin [M] by which the SRM's best candidate leads the second in probability."""
    p = view.lists.probabilities
    if p.shape[1] < 2:
        return np.zeros(len(p))
    best = np.partition(p, -2, axis=1)[:, -2:]
    return np.asarray(1.0 - (best[:, 1] - best[:, 0]))


def doubt_of(section: sections.InconsistencyRequest | sections.UncertaintyRequest) -> Doubt:
    """The doubt that a policy of fixed form looks at."""
    if isinstance(section, sections.InconsistencyRequest):
        return lambda view: inconsistency(view.lists, section.terms)
    measure = {"entropy": entropy, "margin": closeness}[section.measure]
    return lambda view: on_grid(measure(view), view)
