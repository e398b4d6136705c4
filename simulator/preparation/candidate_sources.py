"""The LLM's candidate lists as a scenario asks for them: one branch a kind of `llm.candidates`."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.candidates import CandidateSource
from fleetrec.models.llm.endpoint import Endpoint
from fleetrec.models.llm.item_lm import ItemLmCandidates, train_or_load_item_lm
from fleetrec.models.llm.p5 import P5Candidates, train_or_load_p5
from fleetrec.models.llm.table import TableCandidates
from fleetrec.models.llm.text_lm import TextLm
from fleetrec.models.llm.titles import Answerer, TitleCandidates, popular_items
from fleetrec.models.runtime.artifacts import ArtifactStore
from fleetrec.models.runtime.out_of_memory import enough_memory
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.sequences import TrainingSet
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.text_files import resolve_path
from fleetrec.simulator.workload.log import InteractionLog


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
    section, length, exclude_seen = scenario.llm.candidates, scenario.llm.list_length, scenario.workload.hides_seen
    threads = scenario.engine.threads
    match section:
        case sections.CandidateTable():
            found = section.model_copy(update={"path": str(resolve_path(section.path))})
            return TableCandidates(found, log, length), None
        case sections.P5():
            p5 = train_or_load_p5(section, data, store, threads, device, progress)
            how = (length, section.beams, exclude_seen, section.constrained)
            return P5Candidates(p5, log.offsets, log.items, *how), p5.architecture
        case sections.TextLm():
            text_lm = TextLm(section, threads, device, progress)
            return _titles(scenario, section, text_lm, log, data), text_lm.architecture
        case sections.Endpoint():
            return _titles(scenario, section, Endpoint(section, progress), log, data), None
        case sections.ItemLm():
            if section.checkpoint is not None:
                section = section.model_copy(update={"checkpoint": str(resolve_path(section.checkpoint))})
            with enough_memory("item_lm", "llm.candidates.training.batch_size, max_length or dim"):
                lm = train_or_load_item_lm(section, data, store, threads, device, progress)
            source = ItemLmCandidates(lm, log.offsets, log.items, first, length, exclude_seen)
            return source, lm.architecture


def _titles(
    scenario: sections.Scenario,
    section: sections.TitlePrompt,
    answerer: Answerer,
    log: InteractionLog,
    data: TrainingSet,
) -> TitleCandidates:
    length, exclude_seen = scenario.llm.list_length, scenario.workload.hides_seen
    return TitleCandidates(answerer, section, log, popular_items(data), length, exclude_seen)


def save_every(section: sections.Candidates) -> int | None:
    """Lists after which the cache is written: of answers that take seconds or money none are lost to a crash."""
    return {"endpoint": 64, "text_lm": 256, "p5": 16_384}.get(section.kind)


def answer_figures(source: CandidateSource, users: NDArray[np.int64], as_of: NDArray[np.int64]) -> dict[str, float]:
    """Of the lists of these users as of these positions, each once: how many there are, how many titles the model
    wrote for them, and how many of those no item of the catalogue is near (count and share)."""
    pairs = np.unique(np.stack([users, as_of]), axis=1)
    lists = source.lists(pairs[0], pairs[1])
    assert lists.written is not None
    assert lists.ungrounded is not None
    written, ungrounded = np.nansum(lists.written), np.nansum(lists.ungrounded)
    counts = {"lists": int(lists.found.sum()), "titles": int(written), "ungrounded": int(ungrounded)}
    return {**counts, "ungrounded_share": float(ungrounded / written) if written else 0.0}


def answer_note(figures: Mapping[str, float]) -> str:
    """The figures in a sentence."""
    return (
        f"llm: {figures['ungrounded_share']:.1%} of {figures['titles']:,} titles that it wrote for "
        f"{figures['lists']:,} lists are not in the catalogue"
    )
