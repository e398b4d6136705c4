"""The parts of one run, built from a scenario that is prepared."""

import math
from array import array
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.srm.base import SmallModel
from fleetrec.simulator.core.clock import Clock
from fleetrec.simulator.engine.adaptation_setup import own_adapters, own_weights
from fleetrec.simulator.engine.cloud_service import Service, build_service
from fleetrec.simulator.engine.context import Profile, Rules
from fleetrec.simulator.engine.device import Device
from fleetrec.simulator.engine.interfaces import LearningCloud
from fleetrec.simulator.engine.request_ledger import RequestLedger
from fleetrec.simulator.engine.request_process import Requests
from fleetrec.simulator.engine.retraining import FleetLearning, KeepsWeights
from fleetrec.simulator.engine.rollout import Rollout
from fleetrec.simulator.fleet.link import Link
from fleetrec.simulator.fleet.message_sizes import held_bytes, install_bytes, messages_of
from fleetrec.simulator.fleet.population import Population
from fleetrec.simulator.policies.device_scores import DeviceScores
from fleetrec.simulator.policies.request.budget import Budget
from fleetrec.simulator.policies.request.decision_points import DecisionPoints, next_true
from fleetrec.simulator.policies.request.share import Share
from fleetrec.simulator.preparation.policy_calibration import Tuned
from fleetrec.simulator.preparation.prepare import Prepared, decides_joining
from fleetrec.simulator.preparation.training import TrainedModels, slates_of
from fleetrec.simulator.ranking.lookahead import LookAhead, Scorer
from fleetrec.simulator.ranking.slates import ListSlates, Slates
from fleetrec.simulator.ranking.weight_versions import DeviceWeights
from fleetrec.simulator.records.recorder import Recorder, Streamed
from fleetrec.simulator.records.update_log import UpdateLog
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.inputs import SlateInputs

Ints = NDArray[np.int64]


@dataclass
class World:
    """The parts of one run, for those who start it, watch it and read what it has come to. No part sees all others."""

    clock: Clock
    devices: list[Device]
    population: Population
    requests: Requests
    service: Service
    """answers requests"""
    learning: FleetLearning | None
    """what the cloud that retrains has seen; None: it keeps its weights"""
    rollout: Rollout | None
    """its retraining and what comes of it"""
    budget: Budget
    scorer: Scorer
    recorder: Recorder
    log: UpdateLog
    answer_bytes: float
    """of a candidate list"""


def build_world(
    scenario: sections.Scenario, prepared: Prepared, tuned: Tuned, folder: Path | None, device: str = "cpu"
) -> World:
    """The world of one run; its records are written to `folder` in parts where one is given. `device` retrains."""
    messages = messages_of(scenario.llm, scenario.srm, scenario.cloud)
    installed = install_bytes(scenario.policy.slate, scenario.srm.item_table, prepared.srm)
    held_bytes(scenario.fleet.classes, scenario.policy.update, installed, messages.answer_bytes)
    trained, population, source = prepared.trained, prepared.population, prepared.source
    policy, stream, engine = scenario.policy, population.stream, scenario.engine
    clock, log = Clock(), UpdateLog(population.n_devices)
    weights = DeviceWeights(prepared.scores, own_weights(scenario, prepared, lambda version: model_of(version)))
    slates = slates_of(SlateInputs.of(scenario), trained, weights, source, tuned.fusion, tuned.uncertainty)
    look_ahead = look_ahead_of(scenario, prepared, slates, tuned)
    scorer = Scorer(slates, trained.histories, population.users, engine.lookahead, engine.batching, weights, look_ahead)
    recorder = Recorder(scorer, weights, population.users, streamed(prepared), folder)
    if look_ahead is not None:
        scorer.prefetch_all(prepared.preloaded, population.first_step - 1)
    points = decision_points(prepared, scorer, tuned)
    rules = rules_of(scenario, look_ahead is not None)
    joining = decides_joining(policy, population) & policy.slate.asks
    if tuned.threshold is not None:
        decided_s = decision_times(population, points.ties, joining, rules.at_interaction)
        share = Share(tuned.threshold, policy.request.wanted_share() or 0.0, tuned.curve, decided_s)
        points = replace(points, threshold=share)
    section = policy.update.retraining
    learning = FleetLearning(scenario, section, prepared, device) if section is not None else None
    rollout = None
    if learning is not None and section is not None:
        rollout = Rollout(learning, section, prepared, clock, messages, weights, log)

    def model_of(version: int) -> SmallModel:
        return learning.releases[version - 1].srm.model if version and learning is not None else prepared.srm.model

    ledger = RequestLedger(recorder, lambda ticket: service.cost_of(ticket))
    service = build_service(clock, scenario, prepared, ledger.settle)
    stored = prepared.preloaded.tolist() if scenario.cloud.stores == "lists" else None
    cloud: LearningCloud = learning or KeepsWeights()
    requests = Requests(clock, service, cloud, ledger, messages, scenario.cloud.request_timeout, stored)
    budget = Budget(policy.budget, population.n_devices)
    times = array("d", stream.t_s.tobytes())
    next_tie, wishes = next_true(points.ties), policy.request.start(points)
    ahead = engine.lookahead if engine.batching else 1
    ends = trained.histories.lengths[population.users]
    scores = DeviceScores(scorer, population.users, ends, weights, ahead, policy.request.score)
    compute_s = population.fleet.overhead_s + ranking_flops(scenario, trained, tuned) / population.fleet.speed_flops
    adapters = own_adapters(scenario, prepared, points, times, weights, log)
    devices = [
        Device(
            device=number,
            profile=profile,
            rules=rules,
            clock=clock,
            times=times,
            next_tie=next_tie,
            connection=Link(number, population.presence, population.network),
            policy=wishes,
            budget=budget,
            requests=requests,
            scorer=scorer,
            scores=scores,
            draws=prepared.draws,
            recorder=recorder,
            cloud=cloud,
            adapter=adapter,
        )
        for number, (profile, adapter) in enumerate(
            zip(profiles(population, compute_s, prepared.preloaded, joining), adapters, strict=True)
        )
    ]
    recorder.slates.in_use = lambda: np.fromiter(
        (slate for device in devices for slate in (device.shown_slate, device.next_slate)), np.int64, 2 * len(devices)
    )
    return World(
        clock,
        devices,
        population,
        requests,
        service,
        learning,
        rollout,
        budget,
        scorer,
        recorder,
        log,
        messages.answer_bytes,
    )


def streamed(prepared: Prepared) -> Streamed:
    """The interactions that devices are to have, row for row."""
    population, stream = prepared.population, prepared.population.stream
    owner = np.repeat(np.arange(population.n_devices), np.diff(stream.device_offsets))
    items = prepared.trained.histories.item_at(population.users[owner], stream.step.astype(np.int64))
    online = population.presence.reachable_at(owner, stream.t_s)
    return Streamed(owner.astype(np.int32), stream.step, items.astype(np.int32), stream.t_s, online)


def decision_points(prepared: Prepared, scorer: Scorer, tuned: Tuned) -> DecisionPoints:
    """When devices may decide."""
    population, stream, presence = prepared.population, prepared.population.stream, prepared.population.presence
    return DecisionPoints(
        np.repeat(np.arange(population.n_devices), np.diff(stream.device_offsets)),
        stream.step.astype(np.int64),
        stream.t_s,
        population.first_row,
        np.where(presence.joined_s > 0, presence.joined_s, -np.inf),
        population.network.link_names,
        scorer,
        prepared.draws,
        chosen=tuned.schedule,
    )


def rules_of(scenario: sections.Scenario, looks_ahead: bool) -> Rules:
    """How the devices of a scenario behave; `looks_ahead`: its policy looks at rankings while the run goes."""
    policy = scenario.policy
    asks = policy.slate.asks
    return Rules(
        at_interaction=policy.decides("interaction") and asks,
        online=policy.decides("online") and asks,
        at_answer=policy.decides("answer") and asks,
        blocking=policy.mode == "blocking",
        patience_s=policy.patience,
        late_s=policy.request.late_s(),
        fails_offline=policy.when_offline == "fail",
        empty_is_miss=scenario.fleet.when_empty == "miss",
        vectors_with_list=isinstance(scenario.srm.item_table, sections.WithListTable),
        looks_ahead=looks_ahead,
        weights_change=policy.update.learns,
        skips=scenario.engine.sleep and (policy.budget.scope == "device" or policy.budget.ratio >= 1.0),
    )


def profiles(
    population: Population, compute_s: NDArray[np.float64], preloaded: Ints, joining: NDArray[np.bool_]
) -> list[Profile]:
    """Every device [D] as it is before the run: a ranking takes it `compute_s`, and it has a list as of `preloaded`
    when it joins (-1: none) and decides then where `joining`."""
    fleet, presence = population.fleet, population.presence
    columns = (
        population.first_row,
        population.end_row,
        population.first_step,
        presence.joined_s,
        presence.left_s,
        joining,
        preloaded,
        compute_s,
        compute_s * fleet.power_w,
        fleet.battery_j,
    )
    return [Profile(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]


def decision_times(
    population: Population, ties: NDArray[np.bool_], joining: NDArray[np.bool_], at_interaction: bool
) -> NDArray[np.float64]:
    """When the fleet's decisions fall [N], rising, if no battery runs empty: as devices `joining` [D] join, and at
    interactions; on rows `ties` [S] of the stream nothing is decided."""
    t_s, joined_s = population.stream.t_s, population.presence.joined_s
    change = np.zeros(len(t_s) + 1, dtype=np.int64)
    np.add.at(change, population.first_row, 1)
    np.add.at(change, population.end_row, -1)
    taking_part = np.cumsum(change)[:-1] > 0  # rows of devices lie one after the other
    rows = t_s[taking_part & ~ties] if at_interaction else t_s[:0]
    joins = joined_s[joining & (joined_s <= population.stream.horizon_s)]
    return np.sort(np.concatenate([rows, joins]))


def look_ahead_of(scenario: sections.Scenario, prepared: Prepared, slates: Slates, tuned: Tuned) -> LookAhead | None:
    """How far ahead a policy that looks at rankings may be followed; None for one that does not.

    Lists that nobody has asked for yet are made ahead of time only where they are likely to be asked for, and where
    one that cannot be made ends no run: with no budget to refuse them, and not from a table.
    """
    if tuned.uncertainty is None:
        return None
    assert isinstance(slates, ListSlates)
    threshold = math.inf if tuned.threshold is None else tuned.threshold
    stream, population = prepared.population.stream, prepared.population
    ties = np.append(stream.t_s[1:] == stream.t_s[:-1], False)
    ties[stream.device_offsets[1:] - 1] = False
    first_row = stream.device_offsets[:-1] - prepared.trained.split.history[population.users]
    lists = (
        not scenario.llm.candidates.recorded
        and scenario.policy.budget.ratio >= 1.0
        and scenario.policy.decides("interaction")
    )
    first_decision = population.first_step - decides_joining(scenario.policy, population)
    return LookAhead(slates, threshold, first_row, first_decision, ties, lists)


def ranking_flops(scenario: sections.Scenario, trained: TrainedModels, tuned: Tuned) -> float:
    """FLOPs of a ranking on the device, and of its uncertainty score; 0 where nothing needs the SRM."""
    policy, srm = scenario.policy, trained.srm
    if not policy.slate.ranks:
        return 0.0
    looks = policy.request.looks_at_srm or policy.request.score is not None
    idle = not policy.fusion.uses_srm and not scenario.workload.refills and not looks
    if policy.slate.is_list and idle:
        return policy.request.extra_flops
    refills = policy.slate.is_list and scenario.workload.refills  # which ranks the catalogue
    of_catalogue = policy.slate.ranks_catalogue or refills
    scored = trained.histories.n_items if of_catalogue else scenario.llm.list_length
    return srm.flops_encode + srm.flops_per_candidate * scored + tuned.flops + policy.request.extra_flops
