"""What is rented for a peak, against simulations of the node's own autoscaler and spot preemptions, and by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from simpy import Environment

from fleetrec.simulator.cloud.capacity.objectives import ServiceObjective
from fleetrec.simulator.cloud.capacity.rental import Availability, Rental, highest_of_late, with_spares
from fleetrec.simulator.cloud.capacity.replay import Requests, replay
from fleetrec.simulator.cloud.capacity.servers import Replicas, without_faults
from fleetrec.simulator.cloud.capacity.servers_needed import Capacity
from fleetrec.simulator.cloud.hardware.step_time import LinearCost, StepTime
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.node.llm_node import LlmNode
from fleetrec.simulator.cloud.replica.jobs import Engine
from fleetrec.simulator.cloud.replica.replica import Replica
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Autoscale, Cloud, Failures, Slo, Spot
from fleetrec.simulator.scenario.sections import Pool as PoolSection

HOUR_S = 3600.0


def slow_pool(step_s: float, sequences: int) -> Pool:
    return Pool(lambda: Replica(StepTime(LinearCost(step_s), LinearCost(0.0)), Engine(10_000, max_sequences=sequences)))


def day_of(requests_per_s: float, bins: int, bin_s: float) -> np.ndarray:
    """A swing between 0.25 and 1 times the rate."""
    return requests_per_s * (0.625 - 0.375 * np.cos(2 * np.pi * (np.arange(bins) + 0.5) / bins))


@pytest.mark.parametrize(
    ("autoscale", "sequences", "output", "step_s"),
    [
        (Autoscale(metric="queue", target=4, max=500), 8, 20, 10.0),
        (Autoscale(metric="utilization", target=0.7, max=500), 1, 20, 10.0),
    ],
)
def test_replicas_that_follow_the_load_cost_what_the_nodes_own_autoscaler_makes_of_them(
    autoscale: Autoscale, sequences: int, output: int, step_s: float
) -> None:
    """Four hours with a swing by a factor of four, at most 2.5 requests a second."""
    cloud = Cloud(autoscale=autoscale, cold_start=60.0, slo=Slo(p95_latency=1000.0))
    day, bin_s = day_of(2.5, 48, 300.0), 300.0
    rng = np.random.default_rng(1)
    counts = rng.poisson(day * bin_s)
    at = np.sort(np.repeat(np.arange(48) * bin_s, counts) + rng.uniform(0, bin_s, counts.sum()))
    requests = Requests.of(at, np.full(len(at), 10), np.full(len(at), output))
    pool = replace(slow_pool(step_s, sequences), autoscale=autoscale, cold_start_s=60.0)
    servers = Replicas((pool,), without_faults(cloud), Draws(1), ServiceObjective.of(cloud.slo))
    capacity = Capacity(requests.take(slice(0, 100)), servers, Draws(1))
    needed = int(capacity.needs(np.array([2.5]))[0])
    pace = capacity.pace(needed, autoscale)
    rental = Rental(cloud, 1.0)
    (paid,) = rental.paid(np.array([needed]), 2.5, day, bin_s, [pace])

    begins_with = math.ceil(day[0] / pace)
    done = replay(requests, (replace(pool, replicas=begins_with),), without_faults(cloud), Draws(1))
    simulated = done.node.paid_gpu_seconds / done.end_s
    assert paid == pytest.approx(simulated, rel=0.06)
    assert needed < 2.5 / pace  # the targets leave room
    assert paid < 0.8 * 2.5 / pace  # and the night is cheaper than the peak


def test_between_a_peak_and_the_end_of_the_cooldown_nothing_is_let_go() -> None:
    rates = np.array([1.0, 1.0, 5.0, 1.0, 1.0, 1.0, 1.0])
    assert highest_of_late(rates, 60.0, 0.0).tolist() == rates.tolist()
    assert highest_of_late(rates, 60.0, 120.0).tolist() == [1, 1, 5, 5, 5, 1, 1]
    assert highest_of_late(rates, 60.0, 30.0).tolist() == [1, 1, 5, 3, 1, 1, 1]
    assert highest_of_late(rates, 60.0, 1e9).tolist() == [1, 1, 5, 5, 5, 5, 5]


def test_limits_are_those_of_the_scenario_for_each_of_its_fleets_and_the_peak_is_always_served() -> None:
    day = np.array([0.0, 10.0])

    def paid(needed: int, least: int, most: int) -> float:
        rental = Rental(Cloud(autoscale=Autoscale(min=least, max=most, cooldown=0)), 10.0)
        return float(rental.paid(np.array([needed]), 10.0, day, 3600.0, [0.1])[0])

    assert paid(50, 1, 20) == (10 + 100) / 2  # 0.1 a second each
    assert paid(50, 1, 8) == (10 + 80) / 2
    assert paid(90, 1, 8) == (10 + 90) / 2
    assert paid(200, 1, 99) == (10 + 200) / 2  # the objective asks for fewer requests each


def test_of_two_kinds_the_one_that_follows_the_load_takes_what_the_other_leaves() -> None:
    kinds = (PoolSection(name="fixed"), PoolSection(name="scaled", autoscale=Autoscale(max=99, cooldown=0)))
    rental = Rental(Cloud(pools=kinds), 1.0)
    paid = rental.paid(np.array([2, 4]), 6.0, np.array([1.0, 3.0, 6.0]), 3600.0, [1.0])
    assert paid.tolist() == [2.0, (1 + 1 + 4) / 3]


def accepting(machines: int, spot: Spot | None, failures: Failures | None, hours: int) -> tuple[np.ndarray, float]:
    """Which of the machines [T, R] take requests, looked at every ten minutes; and the share of time they are paid."""
    env = Environment()
    pool = replace(slow_pool(1.0, 1), replicas=machines, spot=spot, cold_start_s=300.0)
    node = LlmNode(env, (pool,), Cloud(failures=failures), Draws(3))
    seen = []
    for look in range(1, 6 * hours):
        env.run(until=600.0 * look)
        seen.append([machine.accepting for machine in node.machines])
    paid_s = node.paid_gpu_seconds
    return np.array(seen), paid_s / (machines * env.now)


@pytest.mark.parametrize("spot", [None, Spot(taken_per_hour=1, notice=60.0, replacement=600.0)])
@pytest.mark.parametrize("failures", [None, Failures(every=4 * HOUR_S, repair=900.0)])
def test_replicas_are_there_and_paid_for_as_in_a_simulation(spot: Spot | None, failures: Failures | None) -> None:
    expected = Availability.of(Cloud(cold_start=300.0, spot=spot), failures)
    seen, paid = accepting(40, spot, failures, 250)
    assert seen.mean() == pytest.approx(expected.accepting, abs=0.02)
    assert paid == pytest.approx(expected.paid, abs=0.01)


def test_spares_make_up_for_preemptions_and_one_less_does_not() -> None:
    spot = Spot(taken_per_hour=1, notice=60.0, replacement=600.0)
    share = Availability.of(Cloud(cold_start=300.0, spot=spot), None).accepting
    machines = with_spares(20, share, 0.04)
    seen, _ = accepting(machines, spot, None, 1000)
    assert (seen.sum(axis=1) < 20).mean() <= 0.04
    assert (seen[:, :-1].sum(axis=1) < 20).mean() > 0.04
    assert [with_spares(n, 1.0, 0.01) for n in (0, 1, 7)] == [0, 1, 7]
    assert with_spares(1, 0.5, 0.5) == 1
    assert with_spares(1, 0.5, 0.25) == 2
    assert with_spares(2, 0.5, 0.5) == 3  # fewer than two of three heads


def test_a_load_is_served_on_time_in_spite_of_preemptions_on_the_replicas_found_and_not_on_those_needed_alone() -> None:
    """Six hours at the rate that four replicas hold."""
    spot = Spot(taken_per_hour=2, notice=0.0, replacement=300.0)
    cloud = Cloud(spot=spot, cold_start=60.0, slo=Slo(p95_latency=200.0))
    pool = replace(slow_pool(10.0, 4), spot=spot, cold_start_s=60.0)
    rules, objective = without_faults(cloud), ServiceObjective.of(cloud.slo)
    like = Requests.of(np.zeros(10), np.full(10, 10), np.full(10, 8))
    capacity = Capacity(like, Replicas((pool,), rules, Draws(1), objective), Draws(1))
    rate = 0.97 * capacity.of(4)
    (found,) = Rental(cloud, 1.0).spared(np.array([4]))
    assert found > 4
    rng = np.random.default_rng(2)
    count = int(6 * HOUR_S * rate)
    at = like.take(np.zeros(count, dtype=int)).at(np.sort(rng.uniform(0, 6 * HOUR_S, count)))
    late = []
    for replicas in (4, int(found)):
        done = replay(at, (replace(pool, replicas=replicas),), rules, Draws(1))
        late.append(float(objective.parts[0].misses(done.latency_s).mean()))
    assert late[0] > 0.05 >= late[1]
