"""Histories that grow while a run goes, and the SRM's states of them: those of users who choose what they have.

Every device has a user of its own: the log's history of before the run, then a place for each opportunity that its user
may take. What stands at a position is final once it has happened; what was written ahead of that may be taken back, and
everything that was computed of it goes with it (`rewind`).
"""

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from fleetrec.models.prefixes import carried_states, rounded_item_vectors, segment_states
from fleetrec.models.runtime.ragged import ragged
from fleetrec.models.runtime.threads import operators_undivided
from fleetrec.models.sequences import window_start
from fleetrec.models.srm.base import StateModel
from fleetrec.models.tiles import tiles_of
from fleetrec.simulator.ranking.histories import Histories, Ints
from fleetrec.simulator.ranking.srm_logits import StateScores

_STRIDE = 8
"""items of windows that are looked at anew, from starts at different distances, that are taken at once"""


class GrowingHistories(Histories):
    """Histories with room: `items` is -1 where nothing has been had yet."""

    before: Ints
    """[U] interactions of each user before the run"""
    numbers: Ints
    """[U] the place in the log of each"""
    lengths: Ints
    """[U] interactions of each user so far, those written ahead included"""
    reached: NDArray[np.int32]
    """[E] beside the items: which interaction of its user the log has where each was had"""

    def __init__(self, offsets: Ints, items: NDArray[np.int32], n_items: int, before: Ints, numbers: Ints):
        super().__init__(offsets, items, n_items)
        reached = (np.arange(len(items)) - np.repeat(offsets[:-1], np.diff(offsets))).astype(np.int32)
        own = {"before": before, "numbers": numbers, "lengths": before.copy(), "reached": reached}
        for name, values in own.items():
            object.__setattr__(self, name, values)

    def append(self, users: Ints, items: Ints, opportunities: Ints) -> None:
        """One more item for each of these different users [M], had at an opportunity [M] of theirs, from 0."""
        at = self.offsets[users] + self.lengths[users]
        self.items[at], self.reached[at] = items, self.before[users] + opportunities
        self.lengths[users] += 1

    def rewind(self, users: Ints, lengths: Ints) -> None:
        """What these different users [M] had beyond their first `lengths` [M] did not happen."""
        self.lengths[users] = lengths

    @cached_property
    def _first(self) -> tuple[Ints, Ints]:
        """Of the items of before the run."""
        owners = np.repeat(np.arange(len(self.before)), self.before)
        rows = np.arange(len(owners)) - (np.cumsum(self.before) - self.before - self.offsets[:-1])[owners]
        keys, firsts = np.unique(owners * self.n_items + self.items[rows], return_index=True)
        return keys, (rows - self.offsets[owners])[firsts]

    def first_position(self, users: Ints, items: Ints) -> Ints:
        """See Histories."""
        first = super().first_position(users, items)
        before, grown = self.before[users], self.lengths[users] - self.before[users]
        at = np.arange(int(grown.max(initial=0)))[:, None]
        inside = at < grown
        had = np.where(inside, self.items[np.where(inside, (self.offsets[users] + before) + at, 0)], -2)
        named, since = items.astype(np.int32), np.full(items.shape, len(had), dtype=np.int32)
        for back in range(len(had) - 1, -1, -1):
            np.copyto(since, back, where=named == had[back][:, None])
        return np.where(since < len(had), np.minimum(first, before[:, None] + since), first)


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
        return self if self.adapt is None and self._device.type == "cpu" else None

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
