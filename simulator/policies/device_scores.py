"""Uncertainty scores of one device at a time, for policies that do not say beforehand which one they look at."""

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.policies.uncertainty import SCORES
from fleetrec.simulator.ranking.list_view import ListView
from fleetrec.simulator.ranking.lookahead import Scorer

Ints = NDArray[np.int64]


class DeviceScores:
    """Scores of cached lists: the next few steps of a device at once, since its next items are known."""

    def __init__(self, scorer: Scorer, name: str | None):
        """`name`: of the score that `scorer` computes in bulk."""
        self._scorer, self._name = scorer, name
        self._known: dict[tuple[int, str], tuple[int, int, int, list[float]]] = {}

    def of(self, name: str, device: int, as_of: int, step: int, weights: int) -> float:
        """The score `name` of a device's list at this step, with these weights; infinite without a list."""
        if as_of < 0:
            return float("inf")
        if name == self._name:
            return self._scorer.uncertainty(device, as_of, step, weights)
        known = self._known.get((device, name))
        if known is None or (known[0], known[2]) != (as_of, weights) or not 0 <= step - known[1] < len(known[3]):
            values = self._work_out(name, device, as_of, step, weights)
            known = self._known[device, name] = (as_of, step, weights, values)
        return known[3][step - known[1]]

    def _work_out(self, name: str, device: int, as_of: int, step: int, weights: int) -> list[float]:
        queries = self._scorer.next_queries(device, as_of, step, weights)
        found = np.empty(len(queries))

        def look(chosen: Ints, view: ListView) -> None:
            found[chosen] = SCORES[name](view)

        self._scorer.look(queries, look)
        values: list[float] = found.tolist()
        return values
