"""What items are worth to the users of the built-in world: its own truth, of which no model is told.

A user has the taste that its log was made by. In each session it goes through two threads (chains of items: a series or
a maker's works), drawn anew whatever it has chosen before; what comes next in one is worth more, and what the user has
had is worth less. See docs/how-to/users.md for the formulas.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.threads import for_each
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import SyntheticWorld
from fleetrec.simulator.workload.synthetic import catalogue_of
from fleetrec.simulator.workload.synthetic_walk import BY_MAKER, Walk
from fleetrec.simulator.workload.users.opportunities import Opportunities
from fleetrec.simulator.workload.users.utility import (
    CHOICES,
    Floats,
    Ints,
    Laws,
    Moments,
    Past,
    State,
    largest,
    on_grid,
)

_BASE = 2.0
"""utility of an item of middling popularity in the cell that its user likes best"""
_TASTE = 0.75
"""weight of log taste, in which an item's popularity has its part"""
_INTENT = 5.0
"""what the next item of a thread is worth beside, where freshness is 1; each one after it is worth a log 2 less"""
_HAD = 5.0
"""what an item loses by having been had"""
_DISLIKED = 0.01
"""share of the genres that a user does not like"""
_EARLIER = 6
"""sessions that a user may go back to"""
_FAVOURITES = 128
"""items that a user likes best by taste alone, among which the best ones are looked for first"""
_FEW = 256
"""users who are looked at at once: more leave the processor's cache"""


class SyntheticTruth:
    """The utilities of one world (a UserModel)."""

    laws = Laws()

    def __init__(self, section: SyntheticWorld, times: Opportunities, draws: Draws, past: Past):
        """`draws`: of the run, for the sessions' intents; tastes are the world's own."""
        self._catalogue = catalogue = catalogue_of(section)
        self.n_items = section.items
        self._first = times.first
        log = np.log(catalogue.weight)
        self._popular = _TASTE * (log - log.mean())

        lengths = np.diff(catalogue.chain_start)
        column = np.arange(int(lengths.max()))
        inside = column < lengths[:, None]
        at = np.where(inside, catalogue.chain_start[:-1, None] + column, 0)
        self._chains = np.where(inside, catalogue.chain_items[at], -1)  # [H, C]
        self._bonus = np.maximum(_INTENT * section.freshness - np.log(2.0) * np.arange(len(column) + 1), 0.0)

        users, self._person = np.unique(past.users, return_inverse=True)
        walk = Walk(section, catalogue, users, Draws(section.seed))
        self._liking = self._likings(walk)
        self._threads = self._intents(section, walk, times, draws)  # [S, 2]
        self._favourites = np.full((len(users), min(_FAVOURITES, self.n_items)), -1, dtype=np.int32)  # of whom we met
        self._liked = np.empty(self._favourites.shape)

    def _likings(self, walk: Walk) -> Floats:
        """Weighted log tastes [person, cell], 0 for the cell that each likes best."""
        catalogue = self._catalogue
        popularity = np.maximum(np.diff(catalogue.cumulative[catalogue.cell_start]), 1e-300)
        share = np.full((len(walk.users), len(popularity)), _DISLIKED / catalogue.styles)
        person, column = np.nonzero(walk.taste_cells >= 0)
        cell = walk.taste_cells[person, column]
        weight = np.diff(walk.taste_cumulative, axis=1)[person, column] / popularity[cell]
        share[person, cell] = np.maximum(weight, _DISLIKED / catalogue.styles)
        return np.asarray(_TASTE * np.log(share / share.max(axis=1, keepdims=True)))

    def _intents(self, section: SyntheticWorld, walk: Walk, times: Opportunities, draws: Draws) -> Ints:
        """The threads [S, 2] that are on a user's mind at each row of the stream."""
        rows = np.arange(len(times.t_s))
        user = np.maximum(np.searchsorted(times.first, rows, side="right") - 1, 0)
        drifts = draws.uniform("users.drift", user, rows - times.first[user]) < section.intent_drift
        begins = np.diff(times.session, prepend=-2) != 0
        begins |= rows == times.first[user]
        total = np.cumsum(drifts & ~begins)
        era = total - total[np.maximum.accumulate(np.where(begins, rows, 0))]
        slot = np.arange(2)
        number = (era[:, None] + 1 - slot) // 2  # the two threads are replaced in turns
        who, session = user[:, None], times.session[:, None]
        goes_back = draws.uniform("users.resume", who, session, slot, number) < section.resume
        back = 1 + (draws.uniform("users.earlier", who, session, slot, number) * _EARLIER).astype(np.int64)
        earlier = goes_back & (back <= session)
        key = who, np.where(earlier, session - back, session), slot, np.where(earlier, 0, number)
        off_taste = draws.uniform("users.off_taste", *key) < section.off_taste
        point = draws.uniform("users.thread", *key)
        person = np.broadcast_to(self._person[user][:, None], point.shape)
        item = walk.by_taste(person.ravel(), point.ravel()).reshape(point.shape)
        catalogue = self._catalogue
        any_place = np.searchsorted(catalogue.cumulative, point * catalogue.cumulative[-1], side="right") - 1
        item = np.where(off_taste, catalogue.by_cell[np.clip(any_place, 0, self.n_items - 1)], item)
        by_maker = draws.uniform("users.by_maker", *key) < BY_MAKER
        return np.asarray(catalogue.chains_of[item, by_maker.astype(np.int64)])

    # ------------------------------------------------------------------------------------------ UserModel

    def initial(self, past: Past) -> State:
        """Which items [M, n_items] each user has had."""
        had = np.zeros((len(past.users), self.n_items), dtype=bool)
        had[np.repeat(np.arange(len(past.users)), np.diff(past.offsets)), past.items] = True
        return had

    def advance(self, state: State, some: Ints, at: Moments, items: Ints) -> None:
        """See UserModel."""
        state[some, items] = True

    def of(self, state: State, at: Moments, items: Ints) -> Floats:
        """See UserModel."""
        code = CHOICES.code(0)
        if code is not None:
            return np.asarray(code.of(*self._told(state, at), items))
        named = np.maximum(items, 0)
        person, cell = self._person[at.user][:, None], self._catalogue.cell[named]
        had = state[np.arange(len(items))[:, None], named]
        chain, bonus = self._intent(state, at)
        follows = named[:, :, None] == chain[:, None, :]
        intent = np.where(follows, bonus[:, None, :], 0.0).max(axis=2, initial=0.0)
        worth = _BASE + self._liking[person, cell] + self._popular[named] - _HAD * had + intent
        return np.where(items >= 0, on_grid(worth), -np.inf)

    def catalogue(self, state: State, at: Moments) -> Floats:
        """See UserModel."""
        code = CHOICES.code(0)
        if code is not None:
            return np.asarray(code.catalogue(*self._told(state, at)))
        intent = np.zeros((len(state), self.n_items))
        chain, bonus = self._intent(state, at)
        every = np.arange(len(state))
        for place in range(chain.shape[1]):
            item = np.maximum(chain[:, place], 0)
            intent[every, item] = np.maximum(intent[every, item], bonus[:, place])
        liking = self._liking[self._person[at.user]][:, self._catalogue.cell]
        return on_grid(_BASE + liking + self._popular - _HAD * state + intent)

    def best(self, state: State, at: Moments, hidden: NDArray[np.bool_], count: int) -> Floats:
        """See UserModel. Looked for among favourites and what is on the user's mind: no other item is worth more than
        the last favourite is by taste alone."""
        code, best = CHOICES.code(len(state)), np.empty((len(state), count))
        self._meet(self._person[at.user])

        def compute(some: slice) -> None:
            own = state[some], at.take(some)
            if code is None:
                best[some] = self._best(*own, hidden[some], count)
            else:
                best[some] = code.best(*self._told(*own), hidden[some], self._favourites, self._liked, count)

        for_each(compute, [slice(start, start + _FEW) for start in range(0, len(state), _FEW)])
        return best

    def _best(self, state: State, at: Moments, hidden: NDArray[np.bool_], count: int) -> Floats:
        every = np.arange(len(state))[:, None]
        person = self._person[at.user]
        chain, bonus = self._intent(state, at)
        # An item of both threads counts once, by the larger bonus.
        order = np.lexsort((-bonus, chain))
        chain, bonus = chain[every, order], bonus[every, order]
        item = np.maximum(chain, 0)
        minded = self._liking[person[:, None], self._catalogue.cell[item]]
        minded = on_grid(_BASE + minded + self._popular[item] - _HAD * state[every, item] + bonus)
        again = np.diff(chain, axis=1, prepend=-1) == 0
        minded[again | (chain < 0) | hidden[every, item]] = -np.inf
        left = hidden.copy()
        row, column = np.nonzero(chain >= 0)
        left[row, chain[row, column]] = True
        favourite, liked = self._favourites[person], self._liked[person]
        liked_now = on_grid(liked - _HAD * state[every, favourite])
        liked_now[left[every, favourite]] = -np.inf
        best = largest(np.concatenate([liked_now, minded], axis=1), count)
        more = np.flatnonzero(best[:, -1] < on_grid(liked[:, -1]))
        if len(more) and self._liked.shape[1] < self.n_items:
            worth = np.where(hidden[more], -np.inf, self.catalogue(state[more], at.take(more)))
            best[more] = largest(worth, count)
        return best

    def _told(self, state: State, at: Moments) -> tuple[Any, ...]:
        """What compiled code reads of users and the world."""
        threads = self._threads[self._first[at.user] + at.opportunity]
        world = self._liking, self._catalogue.cell, self._popular, self._chains
        return state, self._person[at.user], *world, threads, self._bonus, _BASE, _HAD

    def _meet(self, people: Ints) -> None:
        """Find the favourites of these, where they are not known."""
        people, count = np.unique(people[self._favourites[people, 0] < 0]), self._liked.shape[1]
        code = CHOICES.code(0)
        if code is not None:
            world = self._liking, self._catalogue.cell, self._popular, _BASE
            code.meet(people, *world, self._favourites, self._liked)
            return
        for start in range(0, len(people), _FEW):
            some = people[start : start + _FEW]
            worth = _BASE + self._liking[some][:, self._catalogue.cell] + self._popular
            top = np.argpartition(worth, self.n_items - count, axis=1)[:, -count:]
            liked = np.take_along_axis(worth, top, axis=1)
            order = np.argsort(-liked, axis=1)
            self._favourites[some] = np.take_along_axis(top, order, axis=1)
            self._liked[some] = np.take_along_axis(liked, order, axis=1)

    def _intent(self, state: State, at: Moments) -> tuple[Ints, Floats]:
        """Items [M, 2C] of the threads on each user's mind, -1 for none, and what each is worth for that."""
        chain = self._chains[self._threads[self._first[at.user] + at.opportunity]]  # [M, 2, C]
        new = (chain >= 0) & ~state[np.arange(len(state))[:, None, None], np.maximum(chain, 0)]
        place = np.cumsum(new, axis=2) - 1
        bonus = np.where(new, self._bonus[np.maximum(place, 0)], 0.0)
        return chain.reshape(len(state), -1), bonus.reshape(len(state), -1)
