"""What any source of candidate lists is made from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.llm.kept_answers import KeptAnswers
from fleetrec.models.llm.table_reading import LabelledLog
from fleetrec.models.llm.titles import Answerer, TitleCandidates, TitledLog, TitlePromptConfig, popular_items
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.sequences import TrainingSet


class SourceLog(LabelledLog, TitledLog, Protocol):
    """The log whose users' lists are asked for (simulator.workload.log.InteractionLog is one)."""


@dataclass(frozen=True)
class Grown:
    """Of a log whose histories grow while lists are asked for, what it grew from."""

    log: LabelledLog
    """as it was"""
    numbers: NDArray[np.int64]
    """[U] the place in that log of each user: several may be one there"""
    reached: NDArray[np.int32] | None
    """[E] beside the items: which interaction of that log was at the moment of each; None: moments are not the log's"""
    answerer: Answerer | None
    """what has been made already to answer prompts, where lists are titles"""


@dataclass(frozen=True)
class SourceInputs:
    """The log, what may be learnt from it, and what lists are to be like."""

    log: SourceLog
    data: TrainingSet
    first: NDArray[np.int64]
    """[U]: lists are asked for as of these positions or later"""
    list_length: int
    exclude_seen: bool
    """whether items that a user has had leave the slate"""
    store: ArtifactStore
    threads: int
    device: str
    progress: Progress
    grown: Grown | None = None
    """None: all histories are known"""

    @property
    def training(self) -> tuple[TrainingSet, ArtifactStore, int, str, Progress]:
        """What a model is trained with."""
        return self.data, self.store, self.threads, self.device, self.progress

    def titles_of(
        self, make: Callable[[], Answerer], config: TitlePromptConfig, at_once: int | None
    ) -> TitleCandidates:
        """Lists of a model that writes titles, which `make` reads or reaches where nobody has yet. Histories that are
        not known beforehand are known by their prompts: what these were answered, `at_once` at a time, is kept."""
        answerer = (self.grown.answerer if self.grown is not None else None) or make()
        kept = answerer if self.grown is None else KeptAnswers(answerer, self.store, at_once)
        return TitleCandidates(kept, config, self.log, popular_items(self.data), self.list_length, self.exclude_seen)
