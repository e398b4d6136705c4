"""What every policy of a scenario meets alike: who takes part and when, the models, their scores and lists."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from fleetrec.models.candidates import CandidateSource
from fleetrec.models.runtime.artifacts import ArtifactStore, content_hash
from fleetrec.models.runtime.progress import Progress
from fleetrec.models.srm.deployment import Deployed
from fleetrec.simulator.core.randomness import Draws, RegionDraws
from fleetrec.simulator.fleet.population import DeviceRange, Population, populate
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

Ints = NDArray[np.int64]
Found = TypeVar("Found")

"""slates that never use a list, so a request could not change them"""


class CandidateStore(CandidateSource, Protocol):
    """Candidate lists that are kept on disk once they have been asked for."""

    def save(self) -> None:
        """Keep what was asked since the last save."""


class Memo:
    """What runs on the same preparation have worked out, by all that it depends on: the newest few hundred."""

    def __init__(self, most: int = 256):
        self._most = most
        self._known: dict[str, Any] = {}

    def get(self, key: Any, work_out: Callable[[], Found]) -> Found:
        """What is known under `key` (JSON-like values and arrays), worked out where nothing is. Never change it."""
        name = content_hash(key)
        if name not in self._known:
            self._known[name] = work_out()
            if len(self._known) > self._most:
                del self._known[next(iter(self._known))]
        found: Found = self._known[name]
        return found


@dataclass(frozen=True)
class Prepared:
    """All that a run needs and that neither its request policy nor its fusion changes."""

    trained: TrainedModels
    draws: Draws
    population: Population
    srm: Deployed
    """as it is on devices when the stream begins"""
    scores: SrmScores
    """its logits"""
    source: CandidateStore | None
    architecture: Mapping[str, int] | None
    """of the model that makes the lists; None where nobody says"""
    memo: Memo = field(default_factory=Memo)
    """of what depends on more than this, but not on all of a scenario"""


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

    `trained`: what has been trained for a scenario of the same `training_key`. `threads`: how many PyTorch uses for all
    but training, which has those of the scenario since its sums depend on them; nothing else does. `own`: the
    devices of a region, alone. `shared`: another region's, with which it shares what depends on no device.
    """
    check_inputs(scenario)
    torch.set_num_threads(threads or scenario.engine.threads)
    trained = trained or train_models(scenario, store or ArtifactStore(), device, progress)
    draws = RegionDraws(scenario.seed, own.region, own.first) if own is not None else Draws(scenario.seed)
    population = populate(scenario, trained.split, draws, own)
    first = first_needed(scenario, trained)
    srm = first_deployed(scenario, trained)
    scored = np.unique(population.users) if not scenario.regions else population.users[:0]  # regions score their own
    scores = srm_scores(trained, first, scored, srm)
    source, architecture = None, None
    if shared is not None and not scenario.policy.slate.by_cloud_srm:
        source, architecture = shared.source, shared.architecture
    elif scenario.policy.slate.asks:
        source, architecture = candidate_source(scenario, trained, first, scores, device, progress)
    memo = shared.memo if shared is not None else Memo()
    return Prepared(trained, draws, population, srm, scores, source, architecture, memo)


def first_needed(scenario: sections.Scenario, trained: TrainedModels) -> Ints:
    """The first place [U] in each user's log after which a run may need a state or a list."""
    lag = scenario.fleet.preloaded.lag if scenario.fleet.preloaded else 0
    adaptation = scenario.policy.update.adaptation
    return np.maximum(trained.split.history - 1 - max(lag, adaptation.window if adaptation is not None else 0), 0)


def decides_joining(policy: sections.Policy, population: Population) -> NDArray[np.bool_]:
    """Whether each device [D] decides as it joins.

    Those that are there when the run begins did not join then: they decide at their first interaction, unless nothing
    is decided at interactions.
    """
    there = population.presence.joined_s <= 0.0
    return policy.decides("join") & ~(there & policy.decides("interaction"))


def preloaded_lists(scenario: sections.Scenario, population: Population, source: CandidateSource | None) -> Ints:
    """What the list of each device [D] is as of when it joins; -1: none."""
    if not scenario.fleet.preloaded or source is None:
        return np.full(population.n_devices, -1)
    as_of = np.maximum(population.first_step - 1 - scenario.fleet.preloaded.lag, -1)
    if scenario.llm.candidates.recorded:
        having = np.flatnonzero(as_of >= 0)
        lists = source.lists(population.users[having], as_of[having])
        as_of[having] = np.where(lists.found, lists.as_of, -1)
    return as_of
