"""The LLM's candidate lists as a scenario asks for them: one branch a kind of `llm.candidates`."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from models.artifacts import ArtifactStore
from models.llm.base import CandidateSource
from models.llm.item_lm import ItemLmCandidates, train_or_load_item_lm
from models.llm.p5 import P5Candidates, train_or_load_p5
from models.llm.table import TableCandidates
from models.memory import enough_memory
from models.progress import Progress
from models.sequences import TrainingSet
from simulator.scenario import sections
from simulator.workload.log import InteractionLog


def llm_candidates(
    scenario: sections.Scenario,
    log: InteractionLog,
    data: TrainingSet,
    store: ArtifactStore,
    first: NDArray[np.int64],
    device: str,
    progress: Progress,
) -> tuple[CandidateSource, Mapping[str, int] | None]:
    """The source of lists for as_of from `first` [U] on, and the architecture of the model behind it where known."""
    section, length, exclude_seen = scenario.llm.candidates, scenario.llm.list_length, scenario.workload.exclude_seen
    threads = scenario.engine.threads
    match section:
        case sections.CandidateTable():
            return TableCandidates(section, log, length), None
        case sections.P5():
            p5 = train_or_load_p5(section, data, store, threads, device, progress)
            return P5Candidates(p5, log.offsets, log.items, length, section.beams, exclude_seen), p5.architecture
        case sections.ItemLm():
            with enough_memory("item_lm", "llm.candidates.training.batch_size, max_length or dim"):
                lm = train_or_load_item_lm(section, data, store, threads, device, progress)
            source = ItemLmCandidates(lm, log.offsets, log.items, first, length, exclude_seen)
            return source, lm.architecture
