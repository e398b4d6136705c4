"""What items are worth to the users of a log, by a model fitted on what recommenders have not seen.

The network of `models/users/choice_model.py`, in numbers on grids, so that every sum is exact in float64 and no utility
depends on the batch. A utility is the log-probability of the item among all, counted from that of an item that is as
likely as any other: 0 is an item drawn blindly.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.users.choice_features import AGES, CONTEXT, COUNTS, DIM, RECENT, away_class
from fleetrec.simulator.workload.users.utility import Floats, Ints, Laws, Moments, Past, State, largest, on_grid

_STEP = 2.0**-12
"""of weights and states: products of two are multiples of 2^-24, and sums of 48 of them fit a float64 whatever their
order"""
_LARGEST = 8.0
_TILE = 1024
_FEW = 128
"""whose utilities of the catalogue are looked through at once: more leave the processor's cache"""
_NEVER = np.int32(-1)


class FittedUsers:
    """The utilities of one log's users (a UserModel)."""

    def __init__(self, weights: Mapping[str, NDArray[Any]], laws: Laws, fit: Mapping[str, Any] | None = None):
        """`weights`: of `ChoiceModel.state_dict`, as arrays. `fit`: how they compare with users that were held out."""
        held = {name: values.astype(np.float64) for name, values in weights.items()}
        into, bias = held["gru.weight_ih_l0"].T, held["gru.bias_ih_l0"]
        self._taken = _rounded(held["taken.weight"] @ into + bias)  # [I, 3 DIM]
        self._pauses = _rounded(held["pauses.weight"] @ into)
        self._recur = _rounded(held["gru.weight_hh_l0"].T)
        self._recur_bias = _rounded(held["gru.bias_hh_l0"])
        self._vectors = _rounded(held["vectors.weight"])
        popular = held["before"] + held["since"]
        self._popular = _rounded(popular + held["new_offset"] + np.log(len(popular)), 64.0)
        own = np.append(held["had"].ravel(), 0.0)  # the last: what has not been had
        self._had = _rounded(own, 64.0)
        self._had_by_length = held["had_by_length"].item()
        more = held["had_by_popularity"] * popular + held["had_offset"] - held["new_offset"]
        self._popular_of_had = _rounded(more, 64.0)
        self.n_items, self.laws, self.fit = len(self._popular), laws, fit or {}
        self._kind = np.dtype(
            [
                ("count", np.uint8, self.n_items),
                ("recent", np.int32, RECENT),  # the newest first; -1: none
                ("state", np.int16, DIM),
                ("length", np.int32),
                ("last_s", np.float64),
            ]
        )

    # ------------------------------------------------------------------------------------------ UserModel

    def initial(self, past: Past) -> State:
        """See UserModel. The network reads the newest `CONTEXT` events."""
        lengths = np.diff(past.offsets)
        state = self._nobody(len(lengths))
        rows = state[:, 0]
        for user, (start, end) in enumerate(zip(past.offsets[:-1].tolist(), past.offsets[1:].tolist(), strict=True)):
            mine = past.items[start:end]
            rows["count"][user] = np.minimum(np.bincount(mine, minlength=self.n_items), 255)
            newest = mine[::-1][:RECENT]
            rows["recent"][user, : len(newest)] = newest
        rows["length"] = lengths
        rows["last_s"] = np.where(
            lengths > 0, past.times[np.maximum(past.offsets[1:] - 1, 0)] if len(past.times) else 0, -np.inf
        )
        read = np.minimum(lengths, CONTEXT)
        order = np.argsort(-read, kind="stable")
        for place in range(int(read.max(initial=0))):
            here = order[: int(np.searchsorted(-read[order], -place, side="left"))]
            at = past.offsets[1:][here] - read[here] + place
            before = np.where(at > past.offsets[:-1][here], past.times[at - 1], -np.inf)
            rows["state"][here] = self._stepped(rows["state"][here], past.items[at], past.times[at] - before)
        return state

    def advance(self, state: State, some: Ints, at: Moments, items: Ints) -> None:
        """See UserModel."""
        rows, every = state[some, 0], np.arange(len(items))
        rows["state"] = self._stepped(rows["state"], items, at.t_s - rows["last_s"])
        rows["count"][every, items] = np.minimum(rows["count"][every, items].astype(np.int64) + 1, 255)
        rows["recent"][:, 1:] = rows["recent"][:, :-1].copy()
        rows["recent"][:, 0] = items
        rows["length"] += 1
        rows["last_s"] = at.t_s
        state[some, 0] = rows

    def of(self, state: State, at: Moments, items: Ints) -> Floats:
        """See UserModel."""
        rows, named = state[:, 0], np.maximum(items, 0)
        every = np.arange(len(rows))[:, None]
        wanted = np.einsum("md,mkd->mk", rows["state"] * _STEP, self._vectors[named])
        age = np.full(items.shape, len(AGES) - 1)
        for back in range(RECENT, 0, -1):
            age[rows["recent"][:, back - 1, None] == named] = _AGE_OF[back]
        worth = wanted + self._popular[named] + self._of_had(rows, at, rows["count"][every, named], age, named)
        return np.where(items >= 0, on_grid(worth), -np.inf)

    def catalogue(self, state: State, at: Moments) -> Floats:
        """See UserModel."""
        found = np.empty((len(state), self.n_items))
        for start in range(0, len(state), _TILE):
            some = slice(start, start + _TILE)
            rows = state[some, 0]
            worth = (rows["state"] * _STEP) @ self._vectors.T + self._popular
            row, item = np.nonzero(rows["count"])
            age = np.full(rows["count"].shape, len(AGES) - 1, dtype=np.int8)
            every = np.arange(len(rows))
            for back in range(RECENT, 0, -1):
                had = rows["recent"][:, back - 1] >= 0
                age[every[had], rows["recent"][had, back - 1]] = _AGE_OF[back]
            whose = at.take(np.arange(start, start + len(rows))[row])
            worth[row, item] += self._of_had(rows[row], whose, rows["count"][row, item], age[row, item], item)
            found[some] = on_grid(worth)
        return found

    def best(self, state: State, at: Moments, hidden: NDArray[np.bool_], count: int) -> Floats:
        """See UserModel."""
        found = np.empty((len(state), count))
        for start in range(0, len(state), _FEW):
            some = slice(start, start + _FEW)
            worth = self.catalogue(state[some], at.take(some))
            worth[hidden[some]] = -np.inf
            found[some] = largest(worth, count)
        return found

    # ------------------------------------------------------------------------------------------ parts

    def _nobody(self, users: int) -> State:
        state = np.zeros((users, 1), dtype=self._kind)
        state["recent"] = _NEVER
        return state

    def _of_had(self, rows: Any, at: Moments, count: NDArray[Any], age: NDArray[Any], items: Ints) -> Floats:
        """What it adds to items that users have had them so often and so long ago; 0 where they have not."""
        shape = (-1, *(1,) * (count.ndim - 1))
        pause = away_class(at.t_s - rows["last_s"]).reshape(shape)
        kind = (pause * len(COUNTS) + np.searchsorted(COUNTS, count, side="right") - 1) * len(AGES) + age
        length = on_grid(self._had_by_length * np.log(np.maximum(rows["length"], 1))).reshape(shape)
        return np.where(count > 0, self._had[kind] + length + self._popular_of_had[items], 0.0)

    def _stepped(self, state: NDArray[np.int16], items: Ints, away_s: Floats) -> NDArray[np.int16]:
        """States after one more event each, as multiples of `_STEP`."""
        before = state * _STEP
        x = self._taken[items] + self._pauses[away_class(away_s)]
        h = before @ self._recur + self._recur_bias
        reset = 1 / (1 + np.exp(-(x[:, :DIM] + h[:, :DIM])))
        keep = 1 / (1 + np.exp(-(x[:, DIM : 2 * DIM] + h[:, DIM : 2 * DIM])))
        new = (1 - keep) * np.tanh(x[:, 2 * DIM :] + reset * h[:, 2 * DIM :]) + keep * before
        return np.rint(new / _STEP).astype(np.int16)


_AGE_OF = np.searchsorted(AGES, np.arange(RECENT + 1), side="right") - 1
"""class of each number of events since"""


def _rounded(values: NDArray[Any], largest: float = _LARGEST) -> Floats:
    return np.asarray(np.rint(np.clip(values, -largest, largest) / _STEP) * _STEP)
