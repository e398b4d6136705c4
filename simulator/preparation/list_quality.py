"""Lists that are worse or better than the LLM's, by a known amount: `llm.quality`.

The LLM's own lists are made and kept once, at whatever quality they are handed out. Draws are keyed by the user's place
in the log, the list's age and the place or item, the same for any quality: a higher one keeps what a lower one kept.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.candidates import CandidateLists
from fleetrec.models.llm.titles import popular_items
from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.models.sequences import TrainingSet
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.ranking.histories import Histories
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.inputs import ListInputs

Ints = NDArray[np.int64]

POOL = 4
"""items that replacements are drawn from, for each place of a list"""
_AT_ONCE = 4096
"""lists, of each of which every item of the pool is drawn for"""


def notes(lists: ListInputs) -> list[Note]:
    """Which quality the lists were handed out at, where it is not the LLM's own."""
    if lists.maker != "llm" or lists.quality == sections.Quality():
        return []
    said = (
        "lists: not the LLM's own but of another quality (llm.quality): each place keeps its item with chance "
        "{blend:g} and else holds a popular one, and a list begins with the user's next item with chance "
        "{knows_next:g}, which no LLM can know"
    )
    return [note("list_quality", said, blend=lists.quality.blend, knows_next=lists.quality.knows_next)]


@dataclass(frozen=True)
class QualityMaker:
    """Lists of another quality from lists of the LLM; a pure function of each list alone."""

    quality: sections.Quality
    histories: Histories
    popular: Ints
    """[P] items that replacements are drawn from"""
    exclude_seen: bool
    """whether replacements that the user has had come last"""

    @property
    def content_hash(self) -> str:
        """Of the quality."""
        return content_hash("quality", self.quality.model_dump())

    def lists(self, users: Ints, found: CandidateLists) -> CandidateLists:
        """The same lists of users [M] with other items. Places that named no item name none still."""
        items = found.items.copy()
        for at in range(0, len(users), _AT_ONCE):
            some = slice(at, at + _AT_ONCE)
            if self.quality.blend < 1:
                items[some] = self._blended(users[some], found.as_of[some], items[some])
            if self.quality.knows_next > 0:
                items[some] = self._knowing(users[some], found.as_of[some], items[some])
        return replace(found, items=np.where(found.found[:, None], items, found.items))

    def _blended(self, users: Ints, as_of: Ints, items: NDArray[np.int32]) -> NDArray[np.int32]:
        """Each place [M, N] keeps its item with chance `blend`; others take items of the pool in a random order."""
        rows = np.arange(len(users))[:, None]
        places = np.arange(items.shape[1])[None, :]
        numbers = self.histories.numbers[users][:, None]
        kept = Draws(0).uniform("list quality place", numbers, as_of[:, None], places) < self.quality.blend
        pool = np.broadcast_to(self.popular, (len(users), len(self.popular)))
        order = Draws(0).uniform("list quality item", numbers, as_of[:, None], pool)
        if self.exclude_seen:
            order = order + (self.histories.first_position(users, pool) <= as_of[:, None])
        place_in_pool = np.full(self.histories.n_items, -1)
        place_in_pool[self.popular] = np.arange(len(self.popular))
        stays = kept & (items >= 0)
        at = np.where(stays, place_in_pool[items], -1)
        row, column = np.nonzero(at >= 0)
        order[row, at[row, column]] = np.inf  # on the list already
        drawn = np.argsort(order, axis=1, kind="stable")
        free = np.isfinite(np.take_along_axis(order, drawn, axis=1))
        taken = np.append(np.where(free, self.popular[drawn], -1), np.full((len(users), 1), -1), axis=1)
        nth = np.cumsum(~kept, axis=1) - 1
        new = taken[rows, np.clip(nth, 0, len(self.popular))]
        return np.where(kept | (items < 0), items, new).astype(np.int32)

    def _knowing(self, users: Ints, as_of: Ints, items: NDArray[np.int32]) -> NDArray[np.int32]:
        """Each list [M, N] begins, with chance `knows_next`, with the item after its newest; the others move down."""
        following = self.histories.item_at(users, as_of + 1)
        knows = Draws(0).uniform("list quality next", users, as_of) < self.quality.knows_next
        rows = np.flatnonzero(knows & (following >= 0))
        moved, first = items[rows], following[rows, None].astype(np.int32)
        there = moved == first
        gone = np.where(there.any(axis=1), there.argmax(axis=1), moved.shape[1] - 1)  # its old place, or the last
        left = np.arange(moved.shape[1])[None, :] != gone[:, None]
        items[rows] = np.concatenate([first, moved[left].reshape(len(rows), moved.shape[1] - 1)], axis=1)
        return items


def quality_maker(lists: ListInputs, histories: Histories, data: TrainingSet) -> QualityMaker | None:
    """What hands out the LLM's lists at the quality that the scenario names; None where that is their own."""
    if lists.maker != "llm" or lists.quality == sections.Quality():
        return None
    return QualityMaker(lists.quality, histories, popular_items(data)[: POOL * lists.length], lists.hides_seen)
