"""When the devices of a run may ask, and the policy as it runs."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.fleet.population import Population
from fleetrec.simulator.policies.request.decision_points import DecisionPoints
from fleetrec.simulator.policies.request.share import Share
from fleetrec.simulator.preparation.policy_calibration import Tuned
from fleetrec.simulator.preparation.prepare import Prepared, decides_joining
from fleetrec.simulator.ranking.growing import GrowingHistories
from fleetrec.simulator.ranking.lookahead import LookAhead, Scorer
from fleetrec.simulator.ranking.slates import ListSlates, Slates
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.sections.request import RunningRequestPolicy


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


def pushes_of(request: sections.RequestPolicy, prepared: Prepared) -> list[list[float]]:
    """When the cloud refreshes the list of each device [D] unasked; none where it never does."""
    if request.push_period_s() is None:
        return []
    presence, horizon_s = prepared.population.presence, prepared.population.stream.horizon_s
    until_s = np.minimum(presence.left_s, horizon_s)
    return request.push_times(presence.joined_s, until_s, horizon_s, prepared.draws)


def running_policy(
    request: sections.RequestPolicy,
    tuned: Tuned,
    points: DecisionPoints,
    population: Population,
    joining: NDArray[np.bool_],
    at_interaction: bool,
    reacts: bool,
) -> RunningRequestPolicy:
    """The policy as it runs; where it was told a share of decisions, the threshold keeps to that as the run goes,
    unless users react, so that nobody knows beforehand when decisions fall."""
    if tuned.threshold is not None and reacts:
        points = replace(points, threshold=Share(tuned.threshold))
    elif tuned.threshold is not None:
        decided_s = decision_times(population, points.ties, joining, at_interaction)
        share = Share(tuned.threshold, request.wanted_share() or 0.0, tuned.curve, decided_s)
        points = replace(points, threshold=share)
    return request.start(points)


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


def look_ahead_of(
    policy: sections.Policy, candidates: sections.Candidates, prepared: Prepared, slates: Slates, tuned: Tuned
) -> LookAhead | None:
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
    grows = isinstance(prepared.trained.histories, GrowingHistories)  # nobody knows what comes
    lists = not grows and not candidates.recorded and policy.budget.ratio >= 1.0 and policy.decides("interaction")
    first_decision = population.first_step - decides_joining(policy, population)
    return LookAhead(slates, threshold, first_row, first_decision, ties, lists)
