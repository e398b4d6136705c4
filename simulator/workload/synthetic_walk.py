"""What the built-in world's users choose: one block of users, all of them one step further at a time.

Each user has a taste (fixed weights of genre-style cells) and, in a session, two threads: places in series or in
makers' works that it goes through in turns. Threads it leaves can be taken up again. See
docs/background/synthetic_world.md.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import SyntheticWorld
from fleetrec.simulator.workload.synthetic_catalogue import Catalogue

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_TASTE_GENRES = (0.5, 0.3, 0.2)  # shares of a user's genres, before popularity weighs in
_TASTE_STYLES = (0.45, 0.3)  # shares of a user's two styles; all styles share the rest
_TURN = 0.6  # chance that the next event belongs to the session's other thread
_JUMP = 0.5  # chance that a step along a thread passes over one more item, for now
BY_MAKER = 0.3  # share of new threads that go through a maker's works instead of a series
_LEFT = 6  # threads that a user can come back to
_TRIES = (4, 32, 256)  # draws of an unseen item at once, before any unseen one is taken
_TASTE, _ANY = -1, -2  # where to draw an item from, beside the cells 0, 1, ...


class _Choice(IntEnum):
    """Rows of a step's uniforms. Those of a new thread are per slot, hence the strides of two."""

    SOURCE, INTENT, BACK, DRIFT, TURN, JUMP = range(6)
    RESUME, WHICH, OFF_TASTE, BY_MAKER = range(6, 14, 2)


class Walk:
    """A block of users (ids, longest log first) on their way through the catalogue."""

    def __init__(self, section: SyntheticWorld, catalogue: Catalogue, users: Ints, draws: Draws):
        n = len(users)
        self.section, self.catalogue, self.users, self.draws = section, catalogue, users, draws
        self.seen = np.zeros((n, section.items), dtype=bool)
        self.taste_cells, self.taste_cumulative = self._tastes()
        bounds = catalogue.cumulative[catalogue.cell_start]
        self.cell_low = np.append(bounds[:-1], [0.0, 0.0])  # at _ANY: the whole catalogue
        self.cell_high = np.append(bounds[1:], [catalogue.cumulative[-1], 0.0])
        self.thread = np.full((n, 2), -1)  # the chain in each of the session's two slots; -1: none
        self.left = np.full((n, _LEFT), -1)  # chains laid aside
        self.left_count = np.zeros(n, dtype=np.int64)
        self.slot = np.zeros(n, dtype=np.int64)

    def run(self, offsets: Ints, starts: Flags, items: NDArray[np.int32]) -> None:
        """Fill items[offsets[u] + k] for this block's users; starts[offsets[u] + k]: a session begins at step k."""
        base = offsets[self.users]
        lengths = offsets[self.users + 1] - base
        for step in range(int(lengths[0])):
            rows = np.arange(int(np.searchsorted(-lengths, -step)))  # users whose log goes on: a prefix of the block
            here = base[rows] + step
            self.chance = self.draws.uniform("choices", self.users[rows], step, np.arange(14)[:, None])
            self._move_on(rows, step, starts[here])
            items[here] = item = self._next(rows, step, items, base)
            self.seen[rows, item] = True

    def _next(self, rows: Ints, step: int, items: NDArray[np.int32], base: Ints) -> Ints:
        """One item for each row: an earlier one again, noise, or by intent or taste."""
        section = self.section
        source = self.chance[_Choice.SOURCE]
        again = source < (section.repeats if step else 0.0)
        noisy = ~again & (source < section.repeats + section.noise)
        intent = ~again & ~noisy & (self.chance[_Choice.INTENT] < section.freshness)

        item = np.full(len(rows), -1)
        item[intent] = self._follow(rows[intent])
        back = (self.chance[_Choice.BACK, again] * step).astype(np.int64)
        item[again] = items[base[rows[again]] + back]
        free = item < 0
        item[free] = self._unseen(rows[free], np.where(noisy, _ANY, _TASTE)[free], "event", step)
        return item

    # ------------------------------------------------------------------------------------------ threads

    def _move_on(self, rows: Ints, step: int, starts: Flags) -> None:
        """The turn passes between the two threads; a drift replaces one, the start of a session both."""
        turn = self.chance[_Choice.TURN] < _TURN
        self.slot[rows] = np.where(turn, 1 - self.slot[rows], self.slot[rows])
        moved = (self.chance[_Choice.DRIFT] < self.section.intent_drift) | (self.thread[rows, self.slot[rows]] < 0)
        fresh = [self._leave(rows[starts | (moved & (self.slot[rows] == slot))], slot) for slot in range(2)]
        new, slot = np.concatenate(fresh), np.repeat(np.arange(2), [len(f) for f in fresh])
        off_taste = self.chance[_Choice.OFF_TASTE + slot, new] < self.section.off_taste
        first = self._unseen(new, np.where(off_taste, _ANY, _TASTE), "thread", step, slot)
        by_maker = self.chance[_Choice.BY_MAKER + slot, new] < BY_MAKER
        self.thread[new, slot] = self.catalogue.chains_of[first, by_maker.astype(np.int64)]

    def _leave(self, rows: Ints, slot: int) -> Ints:
        """Lay aside the slot's threads and take up ones laid aside earlier; the rows that need a new one instead."""
        count, thread = self.left_count[rows], self.thread[rows, slot]
        resume = (count > 0) & (self.chance[_Choice.RESUME + slot, rows] < self.section.resume)
        which = (self.chance[_Choice.WHICH + slot, rows] * np.minimum(count, _LEFT)).astype(np.int64)
        entry = np.where(resume, which, count % _LEFT)
        self.thread[rows, slot] = np.where(resume, self.left[rows, entry], -1)
        leave = resume | (thread >= 0)  # a resumed thread's entry takes the one that it replaces, even none
        self.left[rows[leave], entry[leave]] = thread[leave]
        self.left_count[rows] = count + (~resume & (thread >= 0))
        return np.asarray(rows[self.thread[rows, slot] < 0])

    def _follow(self, rows: Ints) -> Ints:
        """An unseen item of each row's thread, the j-th with probability about (1 - _JUMP) _JUMP^j; -1 where none is
        left, which ends the thread."""
        catalogue, slot = self.catalogue, self.slot[rows]
        thread = self.thread[rows, slot]
        begin, end = catalogue.chain_start[thread], catalogue.chain_start[thread + 1]
        at = begin[:, None] + np.arange(int((end - begin).max(initial=1)))
        item = catalogue.chain_items[np.minimum(at, end[:, None] - 1)]
        unseen = ~self.seen[rows[:, None], item] & (at < end[:, None])
        left = unseen.sum(axis=1)
        jump = np.floor(np.log(self.chance[_Choice.JUMP, rows]) / np.log(_JUMP)).astype(np.int64) % np.maximum(left, 1)
        place = (np.cumsum(unseen, axis=1) == jump[:, None] + 1).argmax(axis=1)
        self.thread[rows, slot] = np.where(left > 0, thread, -1)
        return np.where(left > 0, item[np.arange(len(rows)), place], -1)

    # ------------------------------------------------------------------------------------------ draws

    def _unseen(self, rows: Ints, source: Ints, purpose: str, step: int, slot: ArrayLike = 0) -> Ints:
        """An item each that its user has not had, by popularity within `source` (a cell, _TASTE or _ANY)."""
        catalogue, slots = self.catalogue, np.broadcast_to(slot, len(rows))
        item = np.zeros(len(rows), dtype=np.int64)
        todo, tried = np.arange(len(rows)), 0
        for tries in _TRIES:
            if not len(todo):
                return item
            attempts = np.arange(tried, tried + tries)
            uniform = self.draws.uniform(purpose, self.users[rows[todo], None], slots[todo, None], step, attempts)
            cell = np.repeat(source[todo, None], tries, axis=1)
            if tried:
                cell[cell >= 0] = _TASTE  # this cell has hardly anything new left
            by_taste = cell == _TASTE
            cell[by_taste], uniform[by_taste] = self._taste_cell(
                np.repeat(rows[todo], tries)[by_taste.ravel()], uniform[by_taste]
            )
            low, high = self.cell_low[cell], self.cell_high[cell]
            found = np.searchsorted(catalogue.cumulative, low + uniform * (high - low), side="right") - 1
            found = catalogue.by_cell[np.minimum(found, len(catalogue.by_cell) - 1)]
            unseen = ~self.seen[rows[todo, None], found]
            item[todo] = found[np.arange(len(todo)), unseen.argmax(axis=1)]
            todo, tried = todo[~unseen.any(axis=1)], tried + tries
        for i in todo.tolist():
            left = np.flatnonzero(~self.seen[rows[i]])
            if len(left):
                item[i] = left[np.searchsorted(left, item[i]) % len(left)]
        return item

    def by_taste(self, rows: Ints, uniform: Floats) -> Ints:
        """An item each [M], had or not, by what users at `rows` of the block like."""
        catalogue = self.catalogue
        cell, rest = self._taste_cell(rows, uniform)
        low, high = self.cell_low[cell], self.cell_high[cell]
        found = np.searchsorted(catalogue.cumulative, low + rest * (high - low), side="right") - 1
        return np.asarray(catalogue.by_cell[np.minimum(found, len(catalogue.by_cell) - 1)])

    def _taste_cell(self, rows: Ints, uniform: Floats) -> tuple[Ints, Floats]:
        """A cell each by taste, and what is left of the uniform, itself uniform: the cell takes its high digits."""
        cumulative = self.taste_cumulative[rows]
        point = uniform * cumulative[:, -1]
        column = (cumulative[:, 1:-1] <= point[:, None]).sum(axis=1)
        every = np.arange(len(rows))
        low, high = cumulative[every, column], cumulative[every, column + 1]
        return self.taste_cells[rows, column], (point - low) / (high - low)

    def _tastes(self) -> tuple[Ints, Floats]:
        """Cells [B, K] that each user likes, and the running sums [B, K+1] of their weights: share of the genre x
        share of the style x popularity of the cell. A user whose cells are all empty likes the whole catalogue."""
        catalogue, users = self.catalogue, self.users[:, None]
        genre_order = np.argsort(self.draws.uniform("taste genre", users, np.arange(catalogue.genres)), axis=1)
        style_order = np.argsort(self.draws.uniform("taste style", users, np.arange(catalogue.styles)), axis=1)
        genres = genre_order[:, : len(_TASTE_GENRES)]
        genre_share = np.array(_TASTE_GENRES[: genres.shape[1]])
        likes = np.full(catalogue.styles, (1 - sum(_TASTE_STYLES)) / catalogue.styles)
        likes[: len(_TASTE_STYLES)] += _TASTE_STYLES[: catalogue.styles]
        style_share = np.empty(style_order.shape)
        np.put_along_axis(style_share, style_order, np.broadcast_to(likes, style_order.shape), axis=1)
        popularity = np.diff(catalogue.cumulative[catalogue.cell_start]).reshape(catalogue.genres, catalogue.styles)
        weight = (genre_share[:, None] * style_share[:, None, :] * popularity[genres]).reshape(len(users), -1)
        cells = (genres[:, :, None] * catalogue.styles + np.arange(catalogue.styles)).reshape(len(users), -1)
        nowhere = weight.sum(axis=1) == 0
        cells[nowhere], weight[nowhere] = _ANY, 1.0
        return cells, np.cumsum(np.pad(weight, ((0, 0), (1, 0))), axis=1)
