"""What every policy of a scenario meets alike: who takes part and when, the models, their scores and lists."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.candidates import CandidateSource
from fleetrec.models.runtime.artifacts import ArtifactStore, content_hash
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.runtime.pytorch import set_threads
from fleetrec.models.srm.deployment import Deployed
from fleetrec.simulator.core.randomness import Draws, RegionDraws
from fleetrec.simulator.fleet.population import DeviceRange, Population, populate
from fleetrec.simulator.preparation.api_load import check_load
from fleetrec.simulator.preparation.input_checks import check_inputs
from fleetrec.simulator.preparation.training import (
    TrainedModels,
    candidate_source,
    first_deployed,
    srm_scores,
    train_models,
)
from fleetrec.simulator.ranking.srm_logits import SrmScores
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.event_checks import check_events, policy_clocks
from fleetrec.simulator.scenario.inputs import PreparationInputs

Ints = NDArray[np.int64]
Found = TypeVar("Found")


class CandidateStore(CandidateSource, Protocol):
    """Candidate lists that are kept on disk once they have been asked for."""

    def save(self) -> None:
        """Keep what was asked since the last save."""


class Memo:
    """What runs on the same preparation have worked out, by all that it depends on: the newest few hundred."""

    def __init__(self, most: int = 256):
        self._most = most
        self._known: dict[str, Any] = {}
        self._newest: dict[str, tuple[str, Any]] = {}  # by kind: its key, and what is kept

    def get(self, key: Any, work_out: Callable[[], Found]) -> Found:
        """What is known under `key` (JSON-like values and arrays), worked out where nothing is. Never change it."""
        name = content_hash(key)
        if name not in self._known:
            self._known[name] = work_out()
            if len(self._known) > self._most:
                del self._known[next(iter(self._known))]
        found: Found = self._known[name]
        return found

    def newest(self, kind: str, key: str) -> Any | None:
        """Of things too large to keep more than one of a kind: the one of this key. Any other is forgotten."""
        if kind in self._newest and self._newest[kind][0] != key:
            del self._newest[kind]
        return self._newest[kind][1] if kind in self._newest else None

    def keep_newest(self, kind: str, key: str, value: Any) -> None:
        """Keep such a thing. Never change it."""
        self._newest[kind] = key, value

    def forget_newest(self) -> None:
        """Let go of them: they may hold what holds this."""
        self._newest.clear()


@dataclass(frozen=True)
class Prepared:
    """All that a run needs and that neither its request policy nor its fusion changes."""

    inputs: PreparationInputs
    """of which it was made"""
    trained: TrainedModels
    draws: Draws
    population: Population
    srm: Deployed
    """as it is on devices when the stream begins"""
    first: Ints
    """[U] the first place in each user's log after which a run may need a state or a list"""
    scores: SrmScores
    """the logits of `srm`"""
    source: CandidateStore | None
    preloaded: Ints
    """[D] what the list of each device is as of when it joins; -1: none"""
    architecture: Mapping[str, int] | None = None
    """of the model that makes the lists; None where nobody says"""
    memo: Memo = field(default_factory=Memo)
    """of what depends on more than this, but not on all of a scenario"""


def check_asked(scenario: sections.Scenario, trained: TrainedModels, population: Population) -> None:
    """InputError where a hosted API never lets in what these devices ask for in the mean."""
    decisions, history = int(population.n_interactions.sum()), trained.split.history[population.users]
    asking = scenario.policy, scenario.llm, scenario.cloud
    check_load(*asking, decisions, population.stream.horizon_s, int(history.mean()))


def prepare(
    scenario: sections.Scenario,
    device: str,
    progress: Progress,
    store: ArtifactStore | None = None,
    trained: TrainedModels | None = None,
    threads: int | None = None,
    own: DeviceRange | None = None,
    shared: Prepared | None = None,
) -> Prepared:
    """Load or train what `scenario` needs and draw its population.

    `trained`: what has been trained of the same `TrainingInputs`. `threads`: how many PyTorch uses for all but
    training, which has those of the scenario since its sums depend on them; nothing else does. `own`: the devices of a
    region, alone. `shared`: another region's, with which it shares what depends on no device.
    """
    check_inputs(scenario)
    inputs = PreparationInputs.of(scenario)
    set_threads(threads or inputs.training.threads)
    trained = trained or train_models(inputs.training, store or ArtifactStore(), device, progress)
    draws = RegionDraws(inputs.seed, own.region, own.first) if own is not None else Draws(inputs.seed)
    population = populate(inputs, trained.split, draws, own)
    check_events(policy_clocks(scenario.policy, scenario.cloud, population.n_devices), population.stream.horizon_s)
    check_asked(scenario, trained, population)
    first = np.maximum(trained.split.history - 1 - max(inputs.lag or 0, inputs.window), 0)
    srm = first_deployed(inputs.item_table, trained)
    scored = np.unique(population.users) if not inputs.regions else population.users[:0]  # regions score their own
    scores = srm_scores(trained, first, scored, srm)
    source, architecture = None, None
    if shared is not None and inputs.lists.maker != "srm":
        source, architecture = shared.source, shared.architecture
    elif inputs.lists.maker != "none":
        source, architecture = candidate_source(inputs.lists, trained, srm, first, scores, device, progress)
    preloaded = preloaded_lists(inputs, population, source if not inputs.reacts else None)
    memo = shared.memo if shared is not None else Memo()
    return Prepared(inputs, trained, draws, population, srm, first, scores, source, preloaded, architecture, memo)


def decides_joining(policy: sections.Policy, population: Population) -> NDArray[np.bool_]:
    """Whether each device [D] decides as it joins.

    Those that are there when the run begins did not join then: they decide at their first interaction, unless nothing
    is decided at interactions.
    """
    there = population.presence.joined_s <= 0.0
    return policy.decides("join") & ~(there & policy.decides("interaction"))


def preloaded_lists(inputs: PreparationInputs, population: Population, source: CandidateSource | None) -> Ints:
    """What the list of each device [D] is as of when it joins; -1: none."""
    if inputs.lag is None or source is None:
        return np.full(population.n_devices, -1)
    as_of = np.maximum(population.first_step - 1 - inputs.lag, -1)
    if inputs.lists.candidates.recorded:
        having = np.flatnonzero(as_of >= 0)
        lists = source.lists(population.users[having], as_of[having])
        as_of[having] = np.where(lists.found, lists.as_of, -1)
    return as_of
