"""A replica whose speed spreads: the same moments as step by step, by draws of its own, and never in compiled code."""

import numpy as np
import pytest
from simpy import Environment

from fleetrec.simulator.cloud.capacity.compiled_replay import plain
from fleetrec.simulator.cloud.capacity.objectives import ServiceObjective
from fleetrec.simulator.cloud.capacity.replay import Requests, replay
from fleetrec.simulator.cloud.capacity.servers import Replicas
from fleetrec.simulator.cloud.compiled.serving import Load, known
from fleetrec.simulator.cloud.hardware.step_time import LinearCost, StepTime
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.node.llm_node import LlmNode
from fleetrec.simulator.cloud.replica.pace import Pace, PaceLaw
from fleetrec.simulator.cloud.replica.replica import Engine, Job, Replica
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Cloud
from tests.simulator.cloud.stepwise import Ask, Stepwise

LINE = LinearCost(0.01, 1e-5, 1e-3)
STEPS, ENGINE = StepTime(LINE, LINE), Engine(2000, 256, 8)
LAW = PaceLaw(0.05, 7, (1.0, 1.3, 0.0, 0.2, 0.9, 1.1, 2.0, 0.6, 0.01, 1.0, 1.2))


def replica(law: PaceLaw, place: int = 0) -> Replica:
    made = Replica(STEPS, ENGINE)
    made.pace = Pace(law, Draws(1), place)
    return made


def served(made: Replica, asks: list[Ask]) -> list[tuple[float, float]]:
    """First and last token of each."""
    jobs = []
    for ask in asks:
        while made.next_s() < ask.at:
            made.advance(made.next_s())
        jobs.append(Job(ask.prompt, ask.output))
        made.add(jobs[-1], ask.at)
    while made.outstanding:
        made.advance(made.next_s())
    return [(job.t_first_token_s, job.t_finished_s) for job in jobs]


def some_asks(n: int, seed: int) -> list[Ask]:
    rng = np.random.default_rng(seed)
    at = np.cumsum(rng.exponential(0.2, n))
    return [Ask(float(a), int(rng.integers(5, 400)), int(rng.integers(1, 40))) for a in at]


def test_at_half_the_speed_all_takes_twice_as_long() -> None:
    asks = some_asks(30, 0)
    slow = LinearCost(*(2 * value for value in vars(LINE).values()))
    twice = Replica(StepTime(slow, slow), ENGINE)
    found, expected = served(replica(PaceLaw(0.05, 3, (0.5,))), asks), served(twice, asks)
    assert np.array(found) == pytest.approx(np.array(expected), abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_runs_of_steps_end_when_their_steps_do_one_by_one(seed: int) -> None:
    """Each step is timed by going through the stretches, at the speeds that a replica has in them."""
    asks, pace = some_asks(40, seed), Pace(LAW, Draws(1), 0)
    speeds = [pace.work_s(k * 0.05, (k + 1) * 0.05) / 0.05 for k in range(4000)]

    def clock(now: float, seconds: float) -> float:
        stretch = int(now / 0.05 + 1e-9)
        while True:
            end = (stretch + 1) * 0.05
            done = speeds[stretch] * (end - now)
            if done >= seconds:
                return now + seconds / speeds[stretch]
            now, seconds, stretch = end, seconds - done, stretch + 1

    stepwise = Stepwise(asks, STEPS, ENGINE.kv_blocks, 256, 8, 16, clock=clock)
    expected = [(entry.first, entry.left) for entry in stepwise.entries]
    assert np.array(served(replica(LAW), asks)) == pytest.approx(np.array(expected), abs=1e-6)


def test_what_is_done_by_a_moment_is_the_same_in_whatever_order_it_is_asked() -> None:
    one, other = Pace(LAW, Draws(1), 3), Pace(LAW, Draws(1), 3)
    moments = [0.01, 7.3, 400.0, 12.5, 0.02, 2e6, 51.2]
    forward = [one.end_s(at, 1.7) for at in moments]
    assert forward == [other.end_s(at, 1.7) for at in reversed(moments)][::-1]
    assert one.work_s(7.3, forward[1]) == pytest.approx(1.7)
    assert one.work_s(0.0, 90.0) == pytest.approx(one.work_s(0.0, 33.3) + one.work_s(33.3, 90.0))
    assert Pace(LAW, Draws(1), 4).end_s(7.3, 1.7) != forward[1]
    assert Pace(LAW, Draws(2), 3).end_s(7.3, 1.7) != forward[1]


def test_in_the_long_run_it_is_as_fast_as_its_speeds_in_the_mean() -> None:
    assert Pace(LAW, Draws(5), 0).work_s(0.0, 4000.0) / 4000 == pytest.approx(np.mean(LAW.speeds), rel=0.02)


def test_speeds_follow_one_another_as_they_were_measured() -> None:
    """A run of stretches goes through the list, from a place of its own."""
    pace = Pace(PaceLaw(1.0, 4, tuple(float(k) for k in range(1, 9))), Draws(1), 0)
    speeds = [round(pace.work_s(k, k + 1)) for k in range(4000)]
    begins = speeds[::4]
    assert all(speeds[4 * n + k] == (begins[n] - 1 + k) % 8 + 1 for n in range(1000) for k in range(4))
    assert np.bincount(begins)[1:] == pytest.approx(np.full(8, 125), abs=40)


def test_each_replica_of_a_node_has_draws_of_its_own_and_the_seed_decides() -> None:
    pool = Pool(replica=lambda: Replica(STEPS, ENGINE), replicas=2, pace=LAW)
    env = Environment()
    paces = [machine.replica.pace for machine in LlmNode(env, (pool,), Cloud(), Draws(1)).machines]  # type: ignore[attr-defined]
    assert paces[0].end_s(0.0, 9.0) != paces[1].end_s(0.0, 9.0)
    n = 60
    requests = Requests.of(np.arange(n) * 0.1, np.full(n, 50), np.full(n, 20))
    found = [replay(requests, (pool,), Cloud(), Draws(seed)).latency_s for seed in (1, 1, 2)]
    assert found[0].tolist() == found[1].tolist() != found[2].tolist()


def test_compiled_code_leaves_a_speed_that_spreads_to_the_node() -> None:
    n = 10
    whole, none = np.full(n, 20), np.zeros(n, dtype=np.int64)
    load = Load(np.arange(n) * 1.0, whole, whole, none + 1, none, np.zeros(n), none - 1, none, np.full(n, np.inf))
    for law, at_once in ((None, True), (LAW, False)):
        pool = Pool(replica=lambda: Replica(STEPS, ENGINE), pace=law)
        assert (known((pool,), Cloud(), load) is not None) == at_once
        assert (plain(pool, Cloud()) is not None) == at_once


def test_a_replica_that_is_lost_has_done_what_its_speed_let_it_do() -> None:
    made = replica(PaceLaw(0.05, 1, (0.5,)))
    job = Job(10, 50)
    made.add(job, 0.0)
    made.advance(0.4)
    made.halt(0.4)
    steady = Replica(STEPS, ENGINE)
    same = Job(10, 50)
    steady.add(same, 0.0)
    steady.advance(0.2)
    steady.halt(0.2)
    assert job._generated == same._generated > 3


def test_what_a_request_takes_alone_is_of_many_moments_where_the_speed_spreads() -> None:
    """Equal requests, half of them at half the speed."""
    n = 200
    requests = Requests.of(np.arange(n) * 1.0, np.full(n, 50), np.full(n, 20))
    objective = ServiceObjective.of(Cloud().slo)
    law = PaceLaw(1e4, 1, (0.5, 1.0))
    steady, uneven = (
        Replicas((Pool(replica=lambda: Replica(STEPS, ENGINE), pace=pace),), Cloud(), Draws(1), objective)
        .alone(requests)
        .latency_s
        for pace in (None, law)
    )
    assert len(set(steady.round(9).tolist())) == 1
    assert sorted(set(uneven.round(6).tolist())) == pytest.approx([steady[0], 2 * steady[0]], rel=1e-4)
    assert np.mean(uneven > 1.5 * steady[0]) == pytest.approx(0.5, abs=0.15)
