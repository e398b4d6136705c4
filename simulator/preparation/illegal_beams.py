"""Candidates that name no item, since a server searched its beams without a trie of the items' ids."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.candidates import CandidateLists, CandidateSource
from fleetrec.models.early_stopping import UNTRAINED, TrainingCurve
from fleetrec.models.llm.titles import Answerer
from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.simulator.cloud.hardware.engine_profile import engine_profile, illegal_share
from fleetrec.simulator.core.notes import Note, note
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.inputs import ListInputs


def share_of(lists: ListInputs) -> float:
    """Share of the beams that name no item: as the scenario says, or as its engine searches."""
    if lists.searched_by is None:
        return lists.illegal_beams
    return illegal_share(engine_profile(lists.searched_by).search, lists.beams)


def notes(lists: ListInputs) -> list[Note]:
    """How many candidates name no item, and who says so."""
    if lists.maker != "llm" or not (lists.illegal_beams or lists.searched_by):
        return []
    said = "lists: {share:.1%} of the candidates name no item ({why})"
    engine = lists.searched_by
    why = f"as {engine_profile(engine).title} searches {lists.beams} beams" if engine else "llm.illegal_beams"
    return [note("illegal_beams", said, share=share_of(lists), why=why)]


class IllegalBeams:
    """A CandidateSource of which each candidate is invalid with the same chance and keeps its place, as -1.

    Draws are keyed by list and place, the same for any share: where it is smaller, fewer of the same are invalid.
    """

    def __init__(self, source: CandidateSource, share: float, numbers: NDArray[np.int64] | None = None):
        """`numbers` [U]: what each user's draws are keyed by; None: its own number."""
        self._numbers = numbers
        self.name, self.list_length, self._source, self._share = source.name, source.list_length, source, share
        self.content_hash = content_hash({"of": source.content_hash, "illegal_beams": share})
        self.validation: dict[str, float] = getattr(source, "validation", {})
        self.curve: TrainingCurve = getattr(source, "curve", UNTRAINED)
        self.answerer: Answerer | None = getattr(source, "answerer", None)

    def lists(self, users: NDArray[np.int64], as_of: NDArray[np.int64]) -> CandidateLists:
        """See CandidateSource.lists."""
        found = self._source.lists(users, as_of)
        keys = (users if self._numbers is None else self._numbers[users])[:, None], as_of[:, None]
        drawn = Draws(0).uniform("illegal beams", *keys, np.arange(self.list_length)[None, :])
        return replace(found, items=np.where(drawn < self._share, np.int32(-1), found.items))
