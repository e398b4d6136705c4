"""Uncertainty scores of one device at a time, for policies that do not say beforehand which one they look at."""

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.policies.uncertainty import SCORES
from fleetrec.simulator.ranking.list_view import ListView
from fleetrec.simulator.ranking.lookahead import Scorer
from fleetrec.simulator.ranking.slates import ListSlates, Queries
from fleetrec.simulator.ranking.weight_versions import DeviceWeights

Ints = NDArray[np.int64]


class DeviceScores:
    """Scores of cached lists: the next few steps of a device at once, since its next items are known."""

    def __init__(self, scorer: Scorer, users: Ints, ends: Ints, weights: DeviceWeights, ahead: int, name: str | None):
        """`ends` [D]: length of each device's log; `name`: of the score that `scorer` computes in bulk."""
        self._scorer, self._users, self._weights, self._ahead, self._name = scorer, users, weights, ahead, name
        self._ends: list[int] = ends.tolist()
        self._known: dict[tuple[int, str], tuple[int, int, int, list[float]]] = {}

    def of(self, name: str, device: int, as_of: int, step: int, weights: int) -> float:
        """The score `name` of a device's list at this step, with these weights; infinite without a list."""
        if as_of < 0:
            return float("inf")
        if name == self._name:
            return self._scorer.uncertainty(device, as_of, step, weights)
        known = self._known.get((device, name))
        if known is None or (known[0], known[2]) != (as_of, weights) or not 0 <= step - known[1] < len(known[3]):
            count = max(min(self._ahead, self._ends[device] - step), 1)
            values = self._work_out(name, device, as_of, step, weights, count)
            known = self._known[device, name] = (as_of, step, weights, values)
        return known[3][step - known[1]]

    def _work_out(self, name: str, device: int, as_of: int, step: int, weights: int, count: int) -> list[float]:
        slates = self._scorer.slates
        assert isinstance(slates, ListSlates)
        steps = np.arange(step, step + count)
        users = np.full(count, self._users[device])
        queries = Queries(users, steps, np.full(count, as_of), np.full(count, -1), steps, np.full(count, weights))
        self._weights.make_ready(queries.user, queries.step, queries.weights)
        found = np.empty(count)

        def look(chosen: Ints, view: ListView) -> None:
            found[chosen] = SCORES[name](view)

        slates.look(queries, look)
        values: list[float] = found.tolist()
        return values
