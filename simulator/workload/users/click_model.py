"""The position-based click model: an item is clicked where its position is examined and it attracts.

Examination by position and attraction by item (Richardson, Dominowska and Ragno 2007), fitted to a log of what was
shown by turns, each to its sums of clicks, as in the likelihood of Poisson counts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.workload.exposures import Exposures

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_ROUNDS = 200
_CLOSE = 1e-7
_AS_SHOWN = 10.0
"""looks at the average item that each item's own are put with, so that one click of one look is no certainty"""


@dataclass(frozen=True)
class ClickModel:
    """What was fitted; the position that is examined most has examination 1."""

    examination: Floats  # [K]
    attraction: Floats  # [I]

    def rates(self) -> Floats:
        """[I, K]: how often an item is clicked at a position."""
        return self.attraction[:, None] * self.examination

    @property
    def falls_by(self) -> float:
        """The x for which examination falls as position^-x does, from 1 on; 0 where there is one position."""
        seen = self.examination > 0
        if seen.sum() < 2:
            return 0.0
        position = np.log(np.arange(1, len(seen) + 1)[seen])
        return float(-np.polyfit(position, np.log(self.examination[seen]), 1)[0])


def weighed_counts(log: Exposures, part: Ints, parts: int) -> tuple[Floats, Floats]:
    """How often each item stood at each position and was clicked there, [parts, I, K], of the rows of each `part` [R],
    as if every item had been shown alike to everybody."""
    shape = (parts, len(log.item_ids), log.n_positions)
    cells = (part * shape[1] + log.item) * shape[2] + log.position
    rare = 1 / log.propensity
    rare /= rare.mean()
    counts = (np.bincount(cells, rows, minlength=int(np.prod(shape))) for rows in (rare, rare * log.clicked))
    shown, clicked = (held.reshape(shape).astype(np.float64) for held in counts)
    return shown, clicked


def click_model_of(log: Exposures) -> ClickModel:
    """The model of a whole log of what was shown."""
    shown, clicked = weighed_counts(log, np.zeros(len(log.user), dtype=np.int64), 1)
    return fit_click_model(shown[0], clicked[0])


def fit_click_model(shown: Floats, clicked: Floats) -> ClickModel:
    """The model of how often each item was shown at each position [I, K] and clicked there; positions without a row are
    examined as the mean position is. Clicks by item and clicks by position are in the end as many as they were."""
    by_position, total = shown.sum(axis=0), float(clicked.sum())
    examination, attraction = np.ones(shown.shape[1]), np.zeros(len(shown))
    if not total:
        return ClickModel(examination, attraction)
    known = by_position > 0
    for _ in range(_ROUNDS):
        seen = shown @ examination  # [I] rows in which an item was looked at
        mean = total / float(seen.sum())
        now = np.minimum((clicked.sum(axis=1) + _AS_SHOWN * mean) / (seen + _AS_SHOWN), 1.0)
        at = np.divide(clicked.sum(axis=0), shown.T @ now, out=np.zeros_like(examination), where=known)
        at[~known] = at[known].mean()
        at /= at.max()
        moved = max(float(np.abs(at - examination).max()), float(np.abs(now - attraction).max()))
        examination, attraction = at, now
        if moved < _CLOSE:
            break
    return ClickModel(examination, attraction)
