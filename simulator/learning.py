"""What a run needs before its clock starts and what no policy changes: the log, its split, the trained models."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.artifacts import ArtifactStore, content_hash
from models.baselines import Baseline, all_baselines
from models.llm.base import CandidateLists, CandidateSource
from models.llm.cache import CachedCandidates
from models.llm.item_lm import ItemLmCandidates, train_or_load_item_lm
from models.llm.table import TableCandidates
from models.prefixes import din_logits, prefix_states, rounded_item_vectors
from models.progress import Progress
from models.sequences import TrainingSet, windows_at
from models.srm.base import TrainedSrm
from models.srm.training import train_or_load_srm
from simulator.histories import Histories
from simulator.policies.adaptive import fusion_of
from simulator.policies.doubt import Doubt
from simulator.scenario import sections
from simulator.slates import (
    BaselineSlates,
    CatalogueSlates,
    Fusion,
    JoinedSlates,
    ListSlates,
    Slates,
    SrmScores,
    StateScores,
    WindowScores,
)
from simulator.workload.loading import load_log
from simulator.workload.log import InteractionLog
from simulator.workload.splitting import SplitLog, split_log, training_set
from simulator.workload.synthetic import synthetic_log

Ints = NDArray[np.int64]

CALIBRATION_USERS = 512
CALIBRATION_TAIL = 20
BASELINES = ("popular", "recent", "frequent", "markov")


@dataclass(frozen=True)
class Learnt:
    """The workload and the models that were trained on its past."""

    split: SplitLog
    training: TrainingSet
    histories: Histories
    srm: TrainedSrm
    baselines: dict[str, Baseline]
    store: ArtifactStore


def load_workload(workload: sections.Workload) -> InteractionLog:
    """The interaction log of a scenario."""
    if isinstance(workload.interactions, sections.LogFile):
        return load_log(workload.interactions)
    return synthetic_log(workload.synthetic)


def learn(scenario: sections.Scenario, store: ArtifactStore, device: str, progress: Progress) -> Learnt:
    """Load, split, and train (or fetch) the SRM; deterministic in the scenario without its `seed`."""
    split = split_log(load_workload(scenario.workload), scenario.workload.split)
    data = training_set(split, scenario.srm.training.seed, CALIBRATION_USERS, CALIBRATION_TAIL)
    srm = train_or_load_srm(scenario.srm, data, store, scenario.engine.threads, device, progress)
    log = split.log
    histories = Histories(log.offsets, log.items, log.n_items)
    baselines = all_baselines(log.offsets, log.items, log.n_items, data.valid_end)
    return Learnt(split, data, histories, srm, baselines, store)


def candidate_source(
    scenario: sections.Scenario, learnt: Learnt, first: Ints, scores: SrmScores, device: str, progress: Progress
) -> tuple[CachedCandidates, Mapping[str, int] | None]:
    """The cloud's candidate lists, for as_of from `first` [U] on: the LLM's, or those of the SRM in the cloud.

    With them the architecture of the model that makes them, where it is known.
    """
    log, section = learnt.split.log, scenario.llm.candidates
    source: CandidateSource
    architecture = None
    if scenario.policy.slate == "cloud_srm":
        source = SrmCandidates(learnt, scores, scenario.llm.list_length, scenario.workload.exclude_seen)
    elif isinstance(section, sections.CandidateTable):
        source = TableCandidates(section, log, scenario.llm.list_length)
    else:
        trained = train_or_load_item_lm(
            section, learnt.training, learnt.store, scenario.engine.threads, device, progress
        )
        architecture = trained.architecture
        source = ItemLmCandidates(
            trained, log.offsets, log.items, first, scenario.llm.list_length, scenario.workload.exclude_seen
        )
    return CachedCandidates(source, log.offsets, learnt.store), architecture


def srm_scores(learnt: Learnt, first: Ints, users: Ints) -> SrmScores:
    """The SRM's exact logits for these users, at positions from `first` [U] on."""
    model, log = learnt.srm.model, learnt.split.log
    vectors = rounded_item_vectors(model)
    if model.has_user_state:
        states, row_offsets = prefix_states(model, log.offsets, log.items, first, users)
        return StateScores(states, row_offsets, first, vectors)
    return WindowScores(
        lambda windows, items: din_logits(model, windows, items),
        lambda who, steps: windows_at(log.offsets, log.items, who, steps, model.max_length),
        log.n_items,
    )


class SrmCandidates:
    """The SRM over the catalogue as a source of lists: what a cheap cloud without an LLM would answer."""

    name = "srm"

    def __init__(self, learnt: Learnt, scores: SrmScores, list_length: int, exclude_seen: bool):
        self.list_length = list_length
        self.content_hash = content_hash(
            learnt.srm.content_hash, learnt.split.log.content_hash, list_length, exclude_seen
        )
        self._slates = CatalogueSlates(learnt.histories, scores, list_length, exclude_seen)

    def lists(self, users: Ints, as_of: Ints) -> CandidateLists:
        items = self._slates.top(users, as_of)[0].astype(np.int32)
        return CandidateLists(items, np.ones(len(users), dtype=bool), as_of)


def slates_of(
    scenario: sections.Scenario,
    learnt: Learnt,
    scores: SrmScores,
    source: CandidateSource | None,
    fusion: Fusion | None = None,
    doubt: Doubt | None = None,
) -> Slates:
    """The slates of a scenario's policy; `fusion` stands in for one that had to be fitted."""
    exclude_seen, length = scenario.workload.exclude_seen, scenario.llm.list_length
    kind = scenario.policy.slate
    if kind in BASELINES:
        return BaselineSlates(learnt.baselines[kind], learnt.histories.n_items, length, exclude_seen)
    if kind == "srm":
        return CatalogueSlates(learnt.histories, scores, length, exclude_seen)
    return list_slates(scenario, learnt, scores, source, fusion, doubt)


def list_slates(
    scenario: sections.Scenario,
    learnt: Learnt,
    scores: SrmScores,
    source: CandidateSource | None,
    fusion: Fusion | None = None,
    doubt: Doubt | None = None,
) -> ListSlates:
    """The slates of a policy that shows candidate lists."""
    exclude_seen, length = scenario.workload.exclude_seen, scenario.llm.list_length
    fallback: Slates = CatalogueSlates(learnt.histories, scores, length, exclude_seen)
    if scenario.fleet.fallback == "popular":
        fallback = BaselineSlates(learnt.baselines["popular"], learnt.histories.n_items, length, exclude_seen)
    assert source is not None
    make = JoinedSlates if scenario.policy.slate == "both" else ListSlates
    if fusion is None:
        fusion = fusion_of(sections.LlmOnly() if scenario.policy.slate == "cloud_srm" else scenario.policy.fusion)
    return make(learnt.histories, scores, source, fusion, fallback, exclude_seen, doubt)
