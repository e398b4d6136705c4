"""What a run needs before its clock starts and what no policy changes: the log, its split, the trained models."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.baselines import Baseline, all_baselines
from fleetrec.models.candidates import CandidateLists, CandidateSource
from fleetrec.models.kept_states import states_and_vectors
from fleetrec.models.llm.cache import CachedCandidates, GrownCandidates
from fleetrec.models.llm.source_inputs import Grown, SourceInputs
from fleetrec.models.runtime.artifacts import ArtifactStore, content_hash
from fleetrec.models.runtime.out_of_memory import enough_memory
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.sequences import TrainingSet, windows_at
from fleetrec.models.srm.deployment import Deployed, MasterWeights, deploy, most_popular
from fleetrec.models.srm.trained import TrainedSrm, train_or_load_srm
from fleetrec.simulator.policies.fusion.llm_only import LlmOnly
from fleetrec.simulator.policies.fusion.scores import RunningFusion
from fleetrec.simulator.preparation.illegal_beams import IllegalBeams, share_of
from fleetrec.simulator.preparation.list_quality import quality_maker
from fleetrec.simulator.ranking.baseline_scores import BaselineScores
from fleetrec.simulator.ranking.growing import GrowingHistories
from fleetrec.simulator.ranking.histories import Histories
from fleetrec.simulator.ranking.list_view import Fusion, Show, UncertaintyScore
from fleetrec.simulator.ranking.other_slates import JoinedSlates, ShownSlates
from fleetrec.simulator.ranking.slates import (
    BaselineSlates,
    CatalogueSlates,
    ListSlates,
    Slates,
)
from fleetrec.simulator.ranking.srm_logits import SrmScores, StateScores, WindowScores
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.inputs import ListInputs, SlateInputs, TrainingInputs
from fleetrec.simulator.workload.loading import load_log
from fleetrec.simulator.workload.log import InteractionLog
from fleetrec.simulator.workload.splitting import SplitLog, split_log, training_set
from fleetrec.simulator.workload.synthetic import synthetic_log

if TYPE_CHECKING:
    from fleetrec.models.prefixes import QuickStates
    from fleetrec.models.srm.base import StateModel

Ints = NDArray[np.int64]

CALIBRATION_TAIL = 20
VALIDATION_SEED = 1
"""draws the users who lend events to validation: models of all training seeds learn from the same events"""
BASELINES = ("popular", "recent", "frequent", "markov")
_LISTS_AT_ONCE = 256
"""of the SRM in the cloud: each holds a score of every item while it is made"""


@dataclass(frozen=True)
class Past:
    """The workload, its past that models learn from, and where they are kept."""

    split: SplitLog
    training: TrainingSet
    store: ArtifactStore

    @classmethod
    def of(cls, log: sections.Log, store: ArtifactStore) -> "Past":
        """Load and split it."""
        split = split_log(load_workload(log, store), log.split)
        return cls(split, training_set(split, VALIDATION_SEED, log.split.validation_users, CALIBRATION_TAIL), store)


@dataclass(frozen=True)
class TrainedModels(Past):
    """With the models that were trained on it."""

    histories: Histories
    srm: TrainedSrm
    baselines: dict[str, Baseline]


def load_workload(log: sections.Log, store: ArtifactStore | None = None) -> InteractionLog:
    """The interaction log of a scenario; a synthetic one is kept in `store`, where one is given."""
    if isinstance(log.interactions, sections.LogFile):
        return load_log(log.interactions)
    return synthetic_log(log.synthetic, store)


def train_models(inputs: TrainingInputs, store: ArtifactStore, device: str, progress: Progress) -> TrainedModels:
    """Load, split, and train (or fetch) the SRM."""
    past = Past.of(inputs.log, store)
    return train_on(inputs, past.split, past.training, store, device, progress)


def train_on(
    inputs: TrainingInputs, split: SplitLog, data: TrainingSet, store: ArtifactStore, device: str, progress: Progress
) -> TrainedModels:
    """What is learnt from `data`, the learning part of `split`."""
    memory = enough_memory("srm", "srm.training.batch_size, srm.max_length or srm.dim")
    with sections.silent(inputs.srm), memory:
        srm = train_or_load_srm(inputs.srm, data, store, inputs.threads, device, progress)
        if inputs.srm.is_own():
            _ = srm.model  # built here, where own code may not print
    log = split.log
    histories = Histories(log.offsets, log.items, log.n_items)
    baselines = all_baselines(log.offsets, log.items, log.n_items, data.valid_end)
    trained = TrainedModels(split, data, store, histories, srm, baselines)
    if inputs.lists is None:
        return trained
    with sections.silent(inputs.srm, inputs.lists.candidates):
        taught = _cooperative_srm(inputs.srm, inputs.threads, inputs.lists.exact(), trained, device, progress)
    return replace(trained, srm=taught)


def _cooperative_srm(
    srm: sections.Srm, threads: int, lists: ListInputs, trained: TrainedModels, device: str, progress: Progress
) -> TrainedSrm:
    """The SRM after the cooperative step, on lists of an LLM that is shown nothing but the training part."""
    log, data = trained.split.log, trained.training
    kept = data.events_before(data.valid_end)
    offsets = np.concatenate(([0], np.cumsum(data.valid_end)))
    past = replace(log, offsets=offsets, items=log.items[kept], times=log.times[kept])
    then = replace(trained, split=replace(trained.split, log=past))
    source, _ = _of_llm(lists, then, np.zeros(data.n_users, dtype=np.int64), device, progress)
    from fleetrec.models.srm.cooperative import cooperate_or_load

    taught = cooperate_or_load(trained.srm, srm, srm.training, data, source, trained.store, threads, device, progress)
    source.save()
    return taught


def candidate_source(
    lists: ListInputs,
    trained: TrainedModels,
    srm: Deployed,
    first: Ints,
    scores: SrmScores,
    device: str,
    progress: Progress,
) -> tuple[CachedCandidates, Mapping[str, int] | None]:
    """The cloud's candidate lists, for as_of from `first` [U] on: the LLM's, or those of `srm` in the cloud.

    With them the architecture of the model that makes them, where it is known.
    """
    if lists.maker != "srm":
        return _of_llm(lists, trained, first, device, progress)
    made = SrmCandidates(trained, scores, srm, lists.length, lists.hides_seen)
    return CachedCandidates(made, trained.split.log.offsets, trained.store), None


def _of_llm(
    lists: ListInputs, trained: TrainedModels, first: Ints, device: str, progress: Progress
) -> tuple[CachedCandidates, Mapping[str, int] | None]:
    source, architecture = _llm_source(lists, trained, first, device, progress)
    quality, save_every = quality_maker(lists, trained.histories, trained.training), lists.candidates.save_every
    return CachedCandidates(source, trained.split.log.offsets, trained.store, save_every, quality), architecture


def _llm_source(
    lists: ListInputs,
    past: Past,
    first: Ints,
    device: str,
    progress: Progress,
    grown: Grown | None = None,
) -> tuple[CandidateSource, Mapping[str, int] | None]:
    """What the LLM says, illegal beams and all, with its architecture where that is known."""
    how = (lists.length, lists.hides_seen, past.store, lists.threads, device, progress, grown)
    source, architecture = lists.candidates.source(SourceInputs(past.split.log, past.training, first, *how))
    share = share_of(lists)
    numbers = grown.numbers if grown is not None else None
    return (IllegalBeams(source, share, numbers) if share else source), architecture


def grown_source(
    lists: ListInputs,
    trained: TrainedModels,
    srm: Deployed,
    first: Ints,
    scores: SrmScores,
    device: str,
    progress: Progress,
    grown: Grown,
) -> GrownCandidates:
    """`candidate_source` for histories that have `grown` and grow while lists are asked for."""
    source: CandidateSource
    if lists.maker == "srm":
        source = SrmCandidates(trained, scores, srm, lists.length, lists.hides_seen)
    else:
        source, _ = _llm_source(lists, trained, first, device, progress, grown)
    quality = quality_maker(lists, trained.histories, trained.training)
    return GrownCandidates(source, trained.split.log.offsets, trained.store, handed_out=quality)


def train_llm(lists: ListInputs, past: Past, device: str, progress: Progress) -> None:
    """Train the model that makes the lists, where it is one of ours and the store does not hold it."""
    if lists.candidates.trains:
        _llm_source(lists, past, np.zeros(past.training.n_users, dtype=np.int64), device, progress)


def first_deployed(table: sections.ItemTable, trained: TrainedModels) -> Deployed:
    """The SRM of before the stream, where it ranks: it knows the items that somebody had in the training part."""
    data = trained.training
    counts = np.bincount(data.items[data.events_before(data.valid_end)], minlength=data.n_items)
    known = most_popular(counts, table.top if isinstance(table, sections.OnDeviceTable) else None)
    return deploy(MasterWeights(trained.srm.kept, trained.srm.content_hash), known, table.precision)


def srm_scores(trained: TrainedModels, first: Ints, users: Ints, srm: Deployed) -> SrmScores:
    """The exact logits of `srm` for these users, at positions from `first` [U] on."""
    log = trained.split.log
    if isinstance(trained.histories, GrowingHistories):
        return _growing_scores(trained.histories, first, users, srm)
    if srm.kept.shape.has_user_state:
        asked = log.offsets, log.items, first, users
        states, row_offsets, vectors = states_and_vectors(srm, *asked, trained.store, _quick_states)
        return StateScores(states, row_offsets, first, vectors, srm.known)
    return _window_scores(srm, log.offsets, log.items, np.arange(len(first)))


def _quick_states(model: "StateModel", states: int) -> "QuickStates | None":
    """See quick_states.py, which loads PyTorch."""
    from fleetrec.simulator.ranking.quick_states import quick_states

    return quick_states(model, states)


def _window_scores(srm: Deployed, offsets: Ints, items: NDArray[np.int32], numbers: Ints) -> WindowScores:
    """Those of an SRM without a user state, which knows users by these `numbers` [U]."""
    from fleetrec.models.prefixes import pair_logits

    model = srm.model
    return WindowScores(
        lambda windows, items, who: pair_logits(model, windows, items, numbers[who]),
        lambda who, steps: windows_at(offsets, items, who, steps, model.max_length),
        srm.known,
    )


def _growing_scores(histories: GrowingHistories, first: Ints, users: Ints, srm: Deployed) -> SrmScores:
    """The same for histories that grow."""
    from fleetrec.models.srm.base import StateModel
    from fleetrec.simulator.ranking.growing_scores import GrowingScores

    if isinstance(srm.model, StateModel):
        return GrowingScores(srm.model, histories, first, users, srm.known)
    return _window_scores(srm, histories.offsets, histories.items, histories.numbers)


class SrmCandidates:
    """The SRM over the catalogue as a source of lists: what a cheap cloud without an LLM would answer."""

    name = "srm"

    def __init__(self, trained: TrainedModels, scores: SrmScores, srm: Deployed, list_length: int, exclude_seen: bool):
        self.list_length = list_length
        self.content_hash = content_hash(srm.content_hash, trained.split.log.content_hash, list_length, exclude_seen)
        self._scores, self._slates = scores, CatalogueSlates(trained.histories, scores, list_length, exclude_seen)

    def lists(self, users: Ints, as_of: Ints) -> CandidateLists:
        items = np.empty((len(users), self.list_length), dtype=np.int32)
        self._scores.ready(users, as_of)
        for at in range(0, len(users), _LISTS_AT_ONCE):
            some = slice(at, at + _LISTS_AT_ONCE)
            items[some] = self._slates.top(users[some], as_of[some], np.zeros_like(users[some]))[0]
        return CandidateLists(items, np.ones(len(users), dtype=bool), as_of)


@dataclass(frozen=True)
class _Maker:
    """What slates are made of (sections/slate.py: SlateMaker)."""

    inputs: SlateInputs
    trained: TrainedModels
    scores: SrmScores
    source: CandidateSource | None
    fusion: Fusion | None
    uncertainty: UncertaintyScore | None

    def of_baseline(self, name: str) -> Slates:
        """A baseline's best."""
        histories, baseline, shown = self.trained.histories, self.trained.baselines[name], self._exclude_seen
        if isinstance(histories, GrowingHistories):
            return CatalogueSlates(histories, BaselineScores(baseline, histories), self.inputs.length, shown)
        return BaselineSlates(baseline, histories.n_items, self.inputs.length, shown)

    def of_catalogue(self) -> Slates:
        """The SRM's best of the catalogue."""
        return CatalogueSlates(self.trained.histories, self.scores, self.inputs.length, self._exclude_seen)

    def of_list(self) -> ListSlates:
        """The list in the order of the fusion."""
        return ListSlates(*self._of_lists, self.inputs.slate.is_list and self.inputs.exclude_seen == "refill")

    def joined(self) -> ListSlates:
        """The list joined with the SRM's own best."""
        return JoinedSlates(*self._of_lists)

    def shown(self, show: Show) -> ListSlates:
        """What a function of lists gives."""
        return ShownSlates(*self._of_lists, show=show)

    @property
    def _of_lists(self) -> tuple[Histories, SrmScores, CandidateSource, Fusion, Slates, bool, UncertaintyScore | None]:
        """What all slates of lists take."""
        inputs = self.inputs
        fallback = self.of_baseline("popular") if inputs.fallback == "popular" else self.of_catalogue()
        assert self.source is not None
        rule = LlmOnly() if inputs.slate.by_cloud_srm else inputs.fusion
        fusion = RunningFusion(rule) if self.fusion is None else self.fusion
        return self.trained.histories, self.scores, self.source, fusion, fallback, self._exclude_seen, self.uncertainty

    @property
    def _exclude_seen(self) -> bool:
        return self.inputs.exclude_seen is not False


def slates_of(
    inputs: SlateInputs,
    trained: TrainedModels,
    scores: SrmScores,
    source: CandidateSource | None,
    fusion: Fusion | None = None,
    uncertainty: UncertaintyScore | None = None,
) -> Slates:
    """The slates of a policy; `fusion` stands in for one that had to be fitted."""
    slates: Slates = inputs.slate.made(_Maker(inputs, trained, scores, source, fusion, uncertainty))
    return slates


def list_slates(
    inputs: SlateInputs,
    trained: TrainedModels,
    scores: SrmScores,
    source: CandidateSource | None,
    fusion: Fusion | None = None,
) -> ListSlates:
    """The slates of a policy that shows candidate lists."""
    slates = slates_of(inputs, trained, scores, source, fusion)
    assert isinstance(slates, ListSlates)
    return slates
