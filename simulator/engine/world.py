"""The parts of one run, built from a scenario that is prepared."""

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.llm.cache import GrownCandidates
from fleetrec.simulator.core.clock import Clock
from fleetrec.simulator.engine.adaptation_setup import own_adapters, own_weights
from fleetrec.simulator.engine.asking import decision_points, look_ahead_of, pushes_of, running_policy
from fleetrec.simulator.engine.cloud_service import Service
from fleetrec.simulator.engine.context import Profile, Rules
from fleetrec.simulator.engine.device import Device
from fleetrec.simulator.engine.interfaces import LearningCloud
from fleetrec.simulator.engine.known_world import KnownWorld, Lives, known_world
from fleetrec.simulator.engine.own_users import AskedUsers, Tastes
from fleetrec.simulator.engine.reactions import Reactions
from fleetrec.simulator.engine.request_ledger import RequestLedger
from fleetrec.simulator.engine.request_process import Requests
from fleetrec.simulator.engine.retraining import FleetLearning, KeepsWeights
from fleetrec.simulator.engine.rollout import Rollout
from fleetrec.simulator.engine.services import build_service
from fleetrec.simulator.engine.users import Replay
from fleetrec.simulator.engine.walk import Foresight
from fleetrec.simulator.fleet.link import Link
from fleetrec.simulator.fleet.message_sizes import held_bytes, install_bytes, messages_of
from fleetrec.simulator.fleet.population import Population
from fleetrec.simulator.policies.device_scores import DeviceScores
from fleetrec.simulator.policies.request.budget import Budget
from fleetrec.simulator.policies.request.decision_points import next_true
from fleetrec.simulator.preparation.closed_loop import opportunities_of, past_of, user_model
from fleetrec.simulator.preparation.policy_calibration import Tuned
from fleetrec.simulator.preparation.prepare import Prepared, decides_joining
from fleetrec.simulator.preparation.training import TrainedModels, slates_of
from fleetrec.simulator.ranking.growing import GrowingHistories
from fleetrec.simulator.ranking.list_view import looks_back
from fleetrec.simulator.ranking.lookahead import LookAhead, Scorer
from fleetrec.simulator.ranking.slates import Slates
from fleetrec.simulator.ranking.weight_versions import DeviceWeights
from fleetrec.simulator.records.opportunities import OpportunityLog
from fleetrec.simulator.records.recorder import Recorder, Streamed
from fleetrec.simulator.records.slate_table import NamedSlates
from fleetrec.simulator.records.update_log import UpdateLog
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.inputs import SlateInputs
from fleetrec.simulator.scenario.sections.request import RunningRequestPolicy
from fleetrec.simulator.scenario.sections.users import OwnUsers
from fleetrec.simulator.workload.user_kinds.choice import ChoiceUsers
from fleetrec.simulator.workload.users.choosing import Choosing

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass
class World:
    """The parts of one run, for those who start it, watch it and read what it has come to. No part sees all others."""

    clock: Clock
    devices: list[Device]
    """none where compiled code lives the world"""
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
    held_bytes: float
    """what a device must have room for"""
    pushes: list[list[float]]
    """[D] when the cloud refreshes each device's list unasked; none: it never does"""
    reactions: Reactions | AskedUsers | None = None
    """what users choose; None: they have what the log says"""
    known: KnownWorld | None = None
    """the same world as compiled code lives it; None: SimPy's processes do"""

    @property
    def decisions(self) -> Ints:
        """Decisions [D] of each device so far; of a world in compiled code once it has ended."""
        if self.known is not None:
            return self.known.decisions
        return np.array([device.decisions for device in self.devices], dtype=np.int64)

    @property
    def joules(self) -> Floats:
        """What each device [D] has used so far for its rankings, its radio and its training; likewise."""
        return self.known.joules if self.known is not None else np.array([device.energy_j for device in self.devices])


def build_world(
    scenario: sections.Scenario,
    prepared: Prepared,
    tuned: Tuned,
    folder: Path | None,
    device: str = "cpu",
    before: Prepared | None = None,
    in_steps: bool = False,
) -> World:
    """The world of one run; its records are written to `folder` in parts where one is given. `device` retrains.
    `before`: of users who react, what was prepared before their histories could grow. `in_steps`: somebody looks at
    each device as it lives, so compiled code does not."""
    policy, cloud, engine, population = scenario.policy, scenario.cloud, scenario.engine, prepared.population
    messages, update = messages_of(scenario.llm, scenario.srm, cloud), policy.update
    installed = install_bytes(policy.slate, scenario.srm.item_table, prepared.srm)
    held = held_bytes(scenario.fleet.classes, update, installed, messages.answer_bytes)
    clock, log, budget = Clock(), UpdateLog(population.n_devices), Budget(policy.budget, population.n_devices)

    # What trains.
    retrains = update.retraining is not None
    learning = FleetLearning(update, cloud.gpu, prepared, looks_back(policy), device) if retrains else None
    learns: LearningCloud = learning or KeepsWeights()
    own = own_weights(update.adaptation, scenario.srm.loss, prepared, learning)
    weights = DeviceWeights(prepared.scores, own)
    rollout = Rollout(learning, prepared, clock, messages, weights, log) if learning is not None else None

    # What ranks, and what is recorded.
    slates = slates_of(
        SlateInputs.of(scenario), prepared.trained, weights, prepared.source, tuned.fusion, tuned.uncertainty
    )
    ahead = look_ahead_of(policy, scenario.llm.candidates, prepared, slates, tuned)
    scorer = scorer_of(engine, prepared, slates, weights, ahead)
    stream, slate_table = streamed(prepared, scenario.workload.users.reacts), None
    if scenario.workload.users.reacts:
        slate_table = NamedSlates()
    recorder = Recorder(scorer, weights, population.users, stream, folder, slate_table)

    # What answers.
    ledger = RequestLedger(recorder, lambda ticket: service.cost_of(ticket))
    service = build_service(clock, policy.slate, scenario.llm, cloud, scenario.tariffs, prepared, ledger.settle)
    stored = prepared.preloaded.tolist() if cloud.stores == "lists" else None
    requests = Requests(clock, service, learns, ledger, messages, cloud.request_timeout, stored)

    # What asks.
    reacts = slate_table is not None
    rules = rules_of(policy, scenario.fleet, scenario.srm, engine, ahead is not None, reacts)
    joining = decides_joining(policy, population) & policy.slate.asks
    flops = ranking_flops(policy, scenario.llm.list_length, scenario.workload.refills, prepared.trained, tuned)
    points = decision_points(prepared, scorer, tuned)
    pushes = pushes_of(policy.request, prepared)
    asking = running_policy(policy.request, tuned, points, population, joining, rules.at_interaction, reacts)
    reactions: Reactions | AskedUsers | None = None
    if slate_table is not None:
        told = before or prepared, prepared, scorer, slate_table, stream
        if scenario.workload.users.is_own():
            reactions = asked_users(scenario.workload, scenario.llm.list_length, engine.batching, *told)
        else:
            ahead_of_need = engine.batching and not (own is not None and own.inside_encoder)
            timeout_s = cloud.request_timeout
            reactions = reactions_of(scenario.workload, ahead_of_need, rules, asking, timeout_s, pushes, *told)
    next_tie, lasts = next_true(points.ties), (cloud.request_timeout, stored is not None)
    lives = Lives(rules, asking, joining, flops, next_tie, budget, messages, *lasts)
    known = None if in_steps else known_world(policy, cloud, prepared, service, recorder, lives, bool(pushes))
    if known is not None:
        return World(clock, [], requests, service, None, None, budget, scorer, recorder, log, held, pushes, known=known)
    user, times = reactions or Replay(), array("d", population.stream.t_s.tobytes())
    make = partial(
        Device,
        rules=rules,
        clock=clock,
        times=times,
        next_tie=next_tie,
        user=user,
        policy=asking,
        budget=budget,
        requests=requests,
        scorer=scorer,
        scores=DeviceScores(scorer, policy.request.score),
        draws=prepared.draws,
        recorder=recorder,
        cloud=learns,
    )
    links = (Link(number, population.presence, population.network) for number in range(population.n_devices))
    adapters = own_adapters(update.adaptation, prepared, points, times, weights, log)
    each = zip(profiles(population, flops, prepared.preloaded, joining), links, adapters, strict=True)
    devices = [make(number, profile, connection=link, adapter=own) for number, (profile, link, own) in enumerate(each)]
    recorder.slates.in_use = lambda: slates_in_use(devices)
    if reactions is not None:
        reactions.devices = devices
    asks = devices, requests, service, learning, rollout
    return World(clock, *asks, budget, scorer, recorder, log, held, pushes, reactions)


def reactions_of(
    workload: sections.Workload,
    batching: bool,
    rules: Rules,
    policy: RunningRequestPolicy,
    timeout_s: float,
    pushes: list[list[float]],
    before: Prepared,
    prepared: Prepared,
    scorer: Scorer,
    slates: NamedSlates,
    stream: Streamed,
) -> Reactions:
    """The users of a workload in which they react, who have had what they had `before`."""
    users, histories, source = workload.users, prepared.trained.histories, prepared.source
    assert isinstance(histories, GrowingHistories)
    assert source is None or isinstance(source, GrownCandidates)
    times, past = opportunities_of(before.population, users), past_of(before)
    model = user_model(workload, before, times, past)
    assert isinstance(users, ChoiceUsers)
    choosing = Choosing(model, users.laws(model.laws), users.looks, before.draws, times)
    network, presence, lists = prepared.population.network, prepared.population.presence, prepared.inputs.lists
    lists_ahead = lists.candidates.lists_ahead if lists.maker == "llm" else math.inf
    about = network, presence, timeout_s, lists_ahead, pushes
    foresight = Foresight(times, stream.online, rules, policy, scorer, *about)
    own = prepared.population.users, past, histories, scorer, source, slates, stream
    return Reactions(choosing, *own, OpportunityLog(), foresight, workload.hides_seen, batching)


def asked_users(
    workload: sections.Workload,
    longest: int,
    batching: bool,
    before: Prepared,
    prepared: Prepared,
    scorer: Scorer,
    slates: NamedSlates,
    stream: Streamed,
) -> AskedUsers:
    """The user's own users of a workload, before screens of at most `longest` items."""
    histories, users = prepared.trained.histories, prepared.population.users
    assert isinstance(histories, GrowingHistories)
    times, past = opportunities_of(before.population, workload.users), past_of(before)
    own = OwnUsers(workload.users, before.draws.first_device, len(users), histories.n_items)
    tastes = Tastes(lambda: user_model(workload, before, times, past), past, users, histories)
    source, words = prepared.source if batching else None, before.trained.split.log.attributes
    assert source is None or isinstance(source, GrownCandidates)
    own_life = own, times, users, histories, scorer, slates, stream
    return AskedUsers(*own_life, source, tastes, before.draws, words, longest)


def streamed(prepared: Prepared, reacts: bool = False) -> Streamed:
    """The interactions that devices are to have, row for row; those of users who react are told as they happen."""
    population, stream = prepared.population, prepared.population.stream
    owner = np.repeat(np.arange(population.n_devices), np.diff(stream.device_offsets))
    items = prepared.trained.histories.item_at(population.users[owner], stream.step.astype(np.int64))
    online = population.presence.reachable_at(owner, stream.t_s)
    steps = stream.step.copy() if reacts else stream.step
    return Streamed(owner.astype(np.int32), steps, items.astype(np.int32), stream.t_s, online, not reacts)


def scorer_of(
    engine: sections.Engine,
    prepared: Prepared,
    slates: Slates,
    weights: DeviceWeights,
    look_ahead: LookAhead | None,
) -> Scorer:
    """What ranks; a policy that is followed ahead needs scores of the lists that devices join with first."""
    users, histories = prepared.population.users, prepared.trained.histories
    scorer = Scorer(slates, histories, users, engine.lookahead, engine.batching, weights, look_ahead)
    if look_ahead is not None:
        scorer.prefetch_all(prepared.preloaded, prepared.population.first_step - 1)
    return scorer


def rules_of(
    policy: sections.Policy,
    fleet: sections.Fleet,
    srm: sections.Srm,
    engine: sections.Engine,
    looks_ahead: bool,
    reacts: bool,
) -> Rules:
    """How devices behave; `looks_ahead`: their policy looks at rankings while the run goes; `reacts`: users react."""
    asks = policy.slate.asks
    return Rules(
        at_interaction=policy.decides("interaction") and asks,
        online=policy.decides("online") and asks,
        at_answer=policy.decides("answer") and asks,
        blocking=policy.mode == "blocking",
        patience_s=policy.patience,
        late_s=policy.request.late_s(),
        fails_offline=policy.when_offline == "fail",
        empty_is_miss=fleet.when_empty == "miss",
        vectors_with_list=isinstance(srm.item_table, sections.WithListTable),
        looks_ahead=looks_ahead,
        weights_change=policy.update.learns,
        skips=engine.sleep and not reacts and (policy.budget.scope == "device" or policy.budget.ratio >= 1.0),
    )


def profiles(population: Population, flops: float, preloaded: Ints, joining: NDArray[np.bool_]) -> list[Profile]:
    """Every device [D] as it is before the run: a ranking takes it so many FLOPs, and it has a list as of `preloaded`
    when it joins (-1: none) and decides then where `joining`."""
    fleet, presence = population.fleet, population.presence
    compute_s = fleet.compute_seconds(flops)
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


def ranking_flops(
    policy: sections.Policy, list_length: int, refills: bool, trained: TrainedModels, tuned: Tuned
) -> float:
    """FLOPs of a ranking on the device, and of its uncertainty score; 0 where nothing needs the SRM."""
    if not policy.slate.ranks:
        return 0.0
    looks = policy.request.looks_at_srm or policy.request.score is not None
    if policy.slate.is_list and not (policy.fusion.uses_srm or refills or looks):
        return policy.request.extra_flops
    of_catalogue = policy.slate.ranks_catalogue or (policy.slate.is_list and refills)  # which ranks the catalogue
    scored = trained.histories.n_items if of_catalogue else list_length
    return trained.srm.flops(scored) + tuned.flops + policy.request.extra_flops


def slates_in_use(devices: Sequence[Device]) -> Ints:
    """The slates that are on screen or will be next."""
    slates = (slate for device in devices for slate in (device.shown_slate, device.next_slate))
    return np.fromiter(slates, np.int64, 2 * len(devices))
