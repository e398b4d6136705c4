"""An LLM of one's own as a class: nearest neighbours of the newest items, by who chose both.

fleetrec simulate examples/retrieval.yaml
"""

import numpy as np
from numpy.typing import NDArray

from fleetrec import Histories, LearningData


class Retrieval:
    """Items that followed, in the log before the stream, what a user has had last."""

    neighbours: int = 20
    newest: int = 5

    def fit(self, data: LearningData) -> None:
        same_user = data.users[1:] == data.users[:-1]
        follows = np.zeros((data.n_items, data.n_items))
        np.add.at(follows, (data.items[:-1][same_user], data.items[1:][same_user]), 1.0)
        weight = follows / np.sqrt(np.maximum(follows.sum(axis=0), 1.0))
        least = -np.sort(-weight, axis=1)[:, self.neighbours - 1, None]
        self.follows = np.where(weight >= least, weight, 0.0)
        self.popular = np.bincount(data.items, minlength=data.n_items) / len(data.items)

    def candidates(self, histories: Histories) -> list[NDArray[np.int64]]:
        return [self.ranked(history, histories) for history in histories]

    def ranked(self, history: NDArray[np.int64], histories: Histories) -> NDArray[np.int64]:
        last = history[-self.newest :]
        score = 0.5 ** np.arange(len(last))[::-1] @ self.follows[last] + 1e-3 * self.popular
        if histories.hides_seen:
            score[history] = -1.0
        return np.argsort(-score, kind="stable")[: histories.list_length]
