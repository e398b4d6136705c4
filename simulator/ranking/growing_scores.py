"""The SRM's states of histories that grow while a run goes (growing.py); those of what did not happen go with it."""

import numpy as np
import torch
from numpy.typing import NDArray

from fleetrec.models.prefixes import carried_states, rounded_item_vectors, segment_states
from fleetrec.models.runtime.ragged import ragged
from fleetrec.models.runtime.threads import operators_undivided
from fleetrec.models.sequences import window_start
from fleetrec.models.srm.base import StateModel
from fleetrec.models.tiles import tiles_of
from fleetrec.simulator.ranking.growing import GrowingHistories
from fleetrec.simulator.ranking.histories import Ints
from fleetrec.simulator.ranking.srm_logits import StateScores

_STRIDE = 8
"""items of windows that are looked at anew, from starts at different distances, that are taken at once"""


class GrowingScores(StateScores):
    """Logits of an SRM with a user state over histories that grow: states are computed as positions come to be, from
    what the model carries on where it does that, else from its window."""

    def __init__(
        self,
        model: StateModel,
        histories: GrowingHistories,
        first: Ints,
        users: Ints,
        known: NDArray[np.bool_],
    ):
        """States of `users` at positions `first` [U] on, of items that are `known` [n_items]."""
        rooms = np.zeros(len(first), dtype=np.int64)
        rooms[users] = np.maximum(np.diff(histories.offsets) - first, 0)[users]
        row_offsets = np.concatenate(([0], np.cumsum(rooms)))
        device = model.embedding.weight.device
        states = torch.empty((int(row_offsets[-1]), model.dim), device=device)
        super().__init__(states, row_offsets, first, rounded_item_vectors(model), known)
        self._states, self._device = states, device
        self._model, self._histories, self._first_at = model.eval(), histories, first
        self._upto = first.copy()  # [U] before which there are states
        self._carried = torch.empty((len(states), model.carried, model.dim), device=device)
        self._tiles, self._carries_in = tiles_of(self._model)
        self._half = model.max_length // 2

    @property
    def _codes(self) -> torch.Tensor:
        return torch.from_numpy(self._histories.items).to(self._device)

    def ready(self, users: Ints, steps: Ints) -> None:
        """See SrmScores."""
        until = np.zeros(len(self._upto), dtype=np.int64)
        np.maximum.at(until, users, steps + 1)
        some = np.flatnonzero(until > self._upto)
        if len(some):
            with operators_undivided():  # copies between tiles, of a size that would be split
                (self._carry_on if self._model.carried else self._look_anew)(some, self._upto[some], until[some])
            self._upto[some] = until[some]

    def plain(self) -> StateScores | None:
        """See SrmScores; they are there once they have been made ready."""
        return self if self.adapt is None and self._cpu is not None else None

    def _at(self, places: Ints) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(places)).to(self._device)

    def _look_anew(self, users: Ints, first: Ints, until: Ints) -> None:
        model, numbers = self._model, self._histories.numbers[users]
        histories = self._histories.offsets[users], self._codes, first, until, numbers
        states = segment_states(model.states, self._device, model.dim, model.max_length, *histories, self._tiles)
        which, nth = ragged(until - first)
        self._states[self._at(self._row[users][which] + first[which] + nth)] = states

    def _carry_on(self, users: Ints, first: Ints, until: Ints) -> None:
        """Of every user the next position at once. One after which nothing was carried, or whose window begins anew, is
        come to from its window's start."""
        length, first_at = self._model.max_length, self._first_at[users]
        for turn in range(int((until - first).max())):
            some = np.flatnonzero(first + turn < until)
            position = first[some] + turn
            start = window_start(position, length)
            anew = (position == first_at[some]) | (start != window_start(position - 1, length))
            for here in (np.flatnonzero(anew), np.flatnonzero(~anew)):
                if len(here):
                    self._carry(users[some[here]], position[here], start[here], bool(anew[here[0]]))

    def _carry(self, users: Ints, position: Ints, start: Ints, anew: bool) -> None:
        """States at `position` [M], carried on from those before; `anew`: from the starts of windows, in strides that
        end together."""
        counts = position - start + 1 if anew else np.ones(len(users), dtype=np.int64)
        begin = self._histories.offsets[users] + position + 1 - counts
        numbers, segments, places = self._histories.numbers[users], start // self._half, self._row[users] + position
        hidden = self._carried[self._at(places - (not anew))]
        if anew:
            hidden.zero_()
        states = torch.empty((len(users), self._model.dim), device=self._device)

        def go_on(some: Ints, taken: Ints, count: int) -> None:
            """`count` items more for `some`, after the first `taken` [some]."""
            at = self._at(some)
            items = self._codes[self._at((begin[some] + taken)[:, None] + np.arange(count))]
            of = numbers[some], segments[some]
            states[at], hidden[at] = carried_states(self._model, items, hidden[at], *of, self._carries_in)

        stride = _STRIDE if len(np.unique(counts)) > _STRIDE // 2 else int(counts.max()) + 1
        odd = counts % stride
        for count in np.unique(odd[odd > 0]).tolist():
            some = np.flatnonzero(odd == count)
            go_on(some, np.zeros(len(some), dtype=np.int64), count)
        for whole in range(int(counts.max()) // stride):
            some = np.flatnonzero(counts // stride > whole)
            go_on(some, odd[some] + whole * stride, stride)
        to = self._at(places)
        self._states[to], self._carried[to] = states, hidden

    def rewind(self, users: Ints, lengths: Ints) -> None:
        """States of these users [M] beyond their first `lengths` [M] interactions are of histories that never were."""
        self._upto[users] = np.minimum(self._upto[users], np.maximum(lengths, self._first_at[users]))
