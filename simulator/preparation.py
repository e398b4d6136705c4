"""What every policy of a scenario meets alike: who takes part and when, the models, their scores and lists."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from models.artifacts import ArtifactStore
from models.llm.base import CandidateSource
from models.progress import Progress
from simulator.churn import Presence, build_presence
from simulator.cloud.building import check_cloud
from simulator.fleet import FleetTable, build_fleet
from simulator.learning import Learnt, candidate_source, learn, srm_scores
from simulator.network import Network
from simulator.randomness import Draws
from simulator.scenario import check_files, sections
from simulator.slates import SrmScores
from simulator.workload.arrivals import Stream, arrival_times

Ints = NDArray[np.int64]

WITHOUT_CLOUD = ("srm", "popular", "recent", "frequent", "markov")
"""slates that never use a list, so a request could not change them"""


@dataclass(frozen=True)
class Population:
    """Who takes part and when: the same for every policy at one seed."""

    fleet: FleetTable
    users: Ints  # [D] place in the log
    network: Network
    stream: Stream
    presence: Presence
    first_row: Ints  # [D] rows of the stream that happen while the device takes part
    end_row: Ints
    first_step: Ints  # [D] place in its user's log of the first of them

    @property
    def n_devices(self) -> int:
        return len(self.users)


def populate(scenario: sections.Scenario, learnt: Learnt, draws: Draws) -> Population:
    """Draws devices, arrivals and presence."""
    streamed = np.flatnonzero(learnt.split.streamed)
    fleet = build_fleet(scenario.fleet, len(streamed), draws)
    users = streamed[fleet.user]
    network = Network(scenario.fleet, fleet, draws)
    stream = arrival_times(learnt.split, scenario.workload.arrivals, users, scenario.duration, draws)
    outages = network.outages(stream.horizon_s)
    presence = build_presence(scenario.fleet.churn, fleet, stream.horizon_s, stream.start_s, draws, outages)
    owner = np.repeat(np.arange(len(users)), np.diff(stream.device_offsets))
    before = np.bincount(owner[stream.t_s < presence.joined_s[owner]], minlength=len(users))
    until = np.bincount(owner[stream.t_s <= presence.left_s[owner]], minlength=len(users))
    first_row = stream.device_offsets[:-1] + before
    end_row = np.maximum(stream.device_offsets[:-1] + until, first_row)
    return Population(fleet, users, network, stream, presence, first_row, end_row, learnt.split.history[users] + before)


class CandidateStore(CandidateSource, Protocol):
    """Candidate lists that are kept on disk once they have been asked for."""

    def save(self) -> None:
        """Keep what was asked since the last save."""


@dataclass(frozen=True)
class Prepared:
    """All that a run needs and that neither its request policy nor its fusion changes."""

    learnt: Learnt
    draws: Draws
    population: Population
    scores: SrmScores
    source: CandidateStore | None
    architecture: Mapping[str, int] | None
    """of the model that makes the lists; None where nobody says"""


def prepare(
    scenario: sections.Scenario, device: str, progress: Progress, store: ArtifactStore | None = None
) -> Prepared:
    """Load or train what `scenario` needs and draw its population."""
    check_files(scenario)
    check_cloud(scenario.llm, scenario.cloud)
    torch.set_num_threads(scenario.engine.threads)
    learnt = learn(scenario, store or ArtifactStore(), device, progress)
    draws = Draws(scenario.seed)
    population = populate(scenario, learnt, draws)
    newest_known = learnt.split.history - 1
    lag = scenario.fleet.preloaded.lag if scenario.fleet.preloaded else 0
    first = np.maximum(newest_known - lag, 0)
    scores = srm_scores(learnt, first, np.unique(population.users))
    source, architecture = None, None
    if scenario.policy.slate not in WITHOUT_CLOUD:
        source, architecture = candidate_source(scenario, learnt, first, scores, device, progress)
    return Prepared(learnt, draws, population, scores, source, architecture)


def push_times(section: sections.CloudPush, population: Population, draws: Draws) -> list[list[float]]:
    """When the cloud refreshes each device's list: once a period, spread over the window, while it takes part."""
    periods = np.arange(math.ceil(population.stream.horizon_s / section.every) + 1)
    device = np.arange(population.n_devices)[:, None]
    spread = draws.uniform("push.moment", device, periods[None, :]) * section.window
    times = periods[None, :] * section.every + section.at + spread
    end = np.minimum(population.presence.left_s, population.stream.horizon_s)
    taking_part = (times >= population.presence.joined_s[:, None]) & (times <= end[:, None])
    return [row[kept].tolist() for row, kept in zip(times, taking_part, strict=True)]


def preloaded_lists(scenario: sections.Scenario, population: Population, source: CandidateSource | None) -> Ints:
    """What the list of each device [D] is as of when it joins; -1: none."""
    if not scenario.fleet.preloaded or source is None:
        return np.full(population.n_devices, -1)
    as_of = np.maximum(population.first_step - 1 - scenario.fleet.preloaded.lag, -1)
    if isinstance(scenario.llm.candidates, sections.CandidateTable):
        having = np.flatnonzero(as_of >= 0)
        lists = source.lists(population.users[having], as_of[having])
        as_of[having] = np.where(lists.found, lists.as_of, -1)
    return as_of
