"""The world of one run, built from a scenario that is prepared."""

import math
from array import array
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.srm.base import SmallModel
from fleetrec.simulator.core.clock import Clock
from fleetrec.simulator.engine.adaptation_setup import own_adapters, own_weights
from fleetrec.simulator.engine.cloud_service import build_service
from fleetrec.simulator.engine.context import World
from fleetrec.simulator.engine.rollout import FleetLearning
from fleetrec.simulator.fleet.message_sizes import held_bytes, messages_of
from fleetrec.simulator.fleet.population import Population
from fleetrec.simulator.policies.device_scores import DeviceScores
from fleetrec.simulator.policies.request.budget import Budget
from fleetrec.simulator.policies.request.decision_points import DecisionPoints, next_true
from fleetrec.simulator.policies.request.share import Share
from fleetrec.simulator.preparation.policy_calibration import Tuned
from fleetrec.simulator.preparation.prepare import WITHOUT_CLOUD, Prepared, decides_joining, preloaded_lists
from fleetrec.simulator.preparation.training import Learnt, slates_of
from fleetrec.simulator.ranking.lookahead import Foresight, Scorer
from fleetrec.simulator.ranking.slates import ListSlates, Slates
from fleetrec.simulator.ranking.weight_versions import DeviceWeights
from fleetrec.simulator.records.recorder import Recorder, Streamed
from fleetrec.simulator.records.update_log import UpdateLog
from fleetrec.simulator.scenario import sections

Ints = NDArray[np.int64]


def build_world(
    scenario: sections.Scenario, prepared: Prepared, tuned: Tuned, folder: Path | None, device: str = "cpu"
) -> World:
    """The world of one run; its records are written to `folder` in parts where one is given. `device` retrains."""
    messages = messages_of(scenario.llm, scenario.srm, scenario.cloud)
    held_bytes(scenario, prepared.srm, messages.answer_bytes)
    learnt, population, draws, source = prepared.learnt, prepared.population, prepared.draws, prepared.source
    policy, fleet, stream = scenario.policy, population.fleet, population.stream
    env = Clock()
    weights = DeviceWeights(prepared.scores, own_weights(scenario, prepared, lambda version: model_of(version)))
    slates = slates_of(scenario, learnt, weights, source, tuned.fusion, tuned.doubt)
    foresight = foresight_of(scenario, prepared, slates, tuned)
    engine = scenario.engine
    scorer = Scorer(slates, learnt.histories, population.users, engine.lookahead, engine.batching, weights, foresight)
    owner = np.repeat(np.arange(population.n_devices), np.diff(stream.device_offsets))
    items = learnt.histories.item_at(population.users[owner], stream.step.astype(np.int64))
    online = population.presence.reachable_at(owner, stream.t_s)
    steps = stream.step.astype(np.int64)
    streamed = Streamed(owner.astype(np.int32), stream.step, items.astype(np.int32), stream.t_s, online)
    recorder = Recorder(scorer, weights, population.users, streamed, folder)
    flops = ranking_flops(scenario, learnt, tuned)
    compute_s = fleet.overhead_s + flops / fleet.speed_flops
    preloaded = preloaded_lists(scenario, population, source)
    if foresight is not None:
        scorer.expect_all(preloaded, population.first_step - 1)
    points = DecisionPoints(
        owner,
        steps,
        stream.t_s,
        population.first_row,
        np.where(population.presence.joined_s > 0, population.presence.joined_s, -np.inf),
        population.network.link_names,
        scorer,
        draws,
        chosen=tuned.schedule,
    )
    asks = policy.slate not in WITHOUT_CLOUD
    joining = decides_joining(policy, population) & asks
    at_interaction = policy.decides("interaction") and asks
    if tuned.threshold is not None:
        decided_s = decision_times(population, points.ties, joining, at_interaction)
        share = Share(tuned.threshold, policy.request.wanted_share() or 0.0, tuned.curve, decided_s)
        points = replace(points, threshold=share)
    retraining = sections.retraining_of(policy.update)
    learning = FleetLearning(scenario, retraining, prepared, preloaded, device) if retraining is not None else None

    def model_of(version: int) -> SmallModel:
        return learning.releases[version - 1].srm.model if version and learning is not None else prepared.srm.model

    world = World(
        env=env,
        t_s=array("d", stream.t_s.tobytes()),
        next_tie=next_true(points.ties),
        first_row=population.first_row.tolist(),
        end_row=population.end_row.tolist(),
        first_step=population.first_step.tolist(),
        joined_s=population.presence.joined_s.tolist(),
        left_s=population.presence.left_s.tolist(),
        compute_s=compute_s.tolist(),
        compute_j=(compute_s * fleet.power_w).tolist(),
        battery_j=fleet.battery_j.tolist(),
        preloaded_as_of=preloaded.tolist(),
        presence=population.presence,
        network=population.network,
        service=build_service(env, scenario, prepared, lambda ticket: world.settle(ticket)),
        messages=messages,
        weights=weights,
        scorer=scorer,
        scores=DeviceScores(
            scorer,
            population.users,
            learnt.histories.lengths[population.users],
            weights,
            engine.lookahead if engine.batching else 1,
            policy.request.score,
        ),
        draws=draws,
        recorder=recorder,
        policy=policy.request.start(points),
        budget=Budget(policy.budget, population.n_devices),
        request_timeout_s=scenario.cloud.request_timeout,
        patience_s=policy.patience,
        late_s=policy.request.late_s(),
        blocking=policy.mode == "blocking",
        fails_offline=policy.when_offline == "fail",
        decides_joining=joining.tolist(),
        decides_at_interaction=at_interaction,
        decides_online=policy.decides("online") and asks,
        decides_at_answer=policy.decides("answer") and asks,
        empty_is_miss=scenario.fleet.when_empty == "miss",
        looks_ahead=foresight is not None,
        sleeps=scenario.engine.sleep and (policy.budget.scope == "device" or policy.budget.ratio >= 1.0),
        vectors_with_list=isinstance(scenario.srm.item_table, sections.WithListTable),
        updates=policy.update.kind != "none",
        learning=learning,
        adapters=own_adapters(scenario, prepared, points),
        log=UpdateLog(population.n_devices),
        stored_lists=preloaded.tolist() if scenario.cloud.stores == "lists" else None,
    )
    return world


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


def foresight_of(scenario: sections.Scenario, prepared: Prepared, slates: Slates, tuned: Tuned) -> Foresight | None:
    """How far ahead a policy that looks at rankings may be followed; None for one that does not.

    Lists that nobody has asked for yet are made ahead of time only where they are likely to be asked for, and where
    one that cannot be made ends no run: with no budget to refuse them, and not from a table.
    """
    if tuned.doubt is None:
        return None
    assert isinstance(slates, ListSlates)
    threshold = math.inf if tuned.threshold is None else tuned.threshold
    stream, population = prepared.population.stream, prepared.population
    ties = np.append(stream.t_s[1:] == stream.t_s[:-1], False)
    ties[stream.device_offsets[1:] - 1] = False
    first_row = stream.device_offsets[:-1] - prepared.learnt.split.history[population.users]
    table = isinstance(scenario.llm.candidates, sections.CandidateTable)
    lists = not table and scenario.policy.budget.ratio >= 1.0 and scenario.policy.decides("interaction")
    first_decision = population.first_step - decides_joining(scenario.policy, population)
    return Foresight(slates, threshold, first_row, first_decision, ties, lists)


def ranking_flops(scenario: sections.Scenario, learnt: Learnt, tuned: Tuned) -> float:
    """FLOPs of one ranking on the device, and of the doubt in it; 0 where neither slate nor policy needs the SRM."""
    policy, srm = scenario.policy, learnt.srm
    if policy.slate in ("popular", "recent", "frequent", "markov", "cloud_srm"):
        return 0.0
    looks = policy.request.looks_at_srm or policy.request.score is not None
    idle = isinstance(policy.fusion, sections.LlmOnly) and not scenario.workload.refills and not looks
    if policy.slate == "llm" and idle:
        return policy.request.extra_flops
    of_list = policy.slate == "llm" and not scenario.workload.refills  # a device that refills ranks the catalogue
    scored = scenario.llm.list_length if of_list else learnt.histories.n_items
    return srm.flops_encode + srm.flops_per_candidate * scored + tuned.flops + policy.request.extra_flops
