"""Baselines as scores of the whole catalogue, of histories that grow: slates of them can be put on a screen."""

import numpy as np

from fleetrec.models.baselines import Baseline, Popular
from fleetrec.models.runtime.ragged import ragged
from fleetrec.simulator.ranking.growing import GrowingHistories
from fleetrec.simulator.ranking.srm_logits import Floats, Ints


class BaselineScores:
    """What `CatalogueSlates` needs of SrmScores: the place of items in their order is that of `Baseline.ranks`."""

    def __init__(self, baseline: Baseline, histories: GrowingHistories):
        self._baseline, self._histories = baseline, histories

    def of_catalogue(self, users: Ints, steps: Ints, weights: Ints) -> Floats:
        """Scores [M, n_items] after the histories (users [M], steps [M]); -inf for what the baseline does not show."""
        histories = self._histories
        if isinstance(self._baseline, Popular):
            newest = histories.item_at(users, np.maximum(steps, 0))
            return self._baseline.worth(np.where(steps >= 0, newest, histories.n_items))
        rows, positions = ragged(steps + 1)
        had = rows * histories.n_items + histories.items[histories.offsets[users][rows] + positions]
        cells = len(users) * histories.n_items
        times, latest = np.bincount(had, minlength=cells), np.zeros(cells)
        np.maximum.at(latest, had, positions)
        longest = int(steps.max(initial=0)) + 1
        scores = latest + (longest * times if self._baseline.name == "frequent" else 0)
        return np.where(times > 0, scores, -np.inf).reshape(len(users), -1)
