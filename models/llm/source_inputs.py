"""What any source of candidate lists is made from."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.llm.table_reading import LabelledLog
from fleetrec.models.llm.titles import Answerer, TitleCandidates, TitledLog, TitlePromptConfig, popular_items
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.sequences import TrainingSet


class SourceLog(LabelledLog, TitledLog, Protocol):
    """The log whose users' lists are asked for (simulator.workload.log.InteractionLog is one)."""


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
    grows: NDArray[np.int64] | None = None
    """[U], of a log whose histories grow while lists are asked for: what each user's number is where batches are laid
    out by it"""

    @property
    def training(self) -> tuple[TrainingSet, ArtifactStore, int, str, Progress]:
        """What a model is trained with."""
        return self.data, self.store, self.threads, self.device, self.progress

    def titles_of(self, answerer: Answerer, config: TitlePromptConfig) -> TitleCandidates:
        """Lists of a model that writes titles."""
        return TitleCandidates(
            answerer, config, self.log, popular_items(self.data), self.list_length, self.exclude_seen
        )
