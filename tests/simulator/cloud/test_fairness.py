"""The queue order `fair`: tenants that wait are served alike, whoever sends more."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simpy import Environment

from fleetrec.simulator.cloud.hardware.step_time import LinearCost, StepTime
from fleetrec.simulator.cloud.node.llm_node import LlmNode
from fleetrec.simulator.cloud.replica.queue_orders.fair import Fair
from fleetrec.simulator.cloud.replica.queue_orders.fcfs import Fcfs
from fleetrec.simulator.cloud.replica.replica import Engine, Job, Replica
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Cloud
from tests.simulator.cloud.nodes import stepwise_pool

TOKENS = StepTime(LinearCost(0.5, per_token_s=0.01), LinearCost(0.1))


def job_of(tenant, prompt, output):
    job = Job(prompt, output)
    job.tenant = tenant
    return job


def run(replica):
    while replica.next_s() < math.inf:
        replica.advance(replica.next_s())


def started(jobs):
    """In the order in which they left the line; those that left together by their places."""
    return sorted(jobs, key=lambda job: (job.t_started_s, job._key, job._number))


sizes = st.tuples(st.integers(1, 60), st.integers(0, 30))


@settings(max_examples=150, deadline=None)
@given(st.lists(sizes, min_size=1, max_size=25), st.lists(sizes, min_size=1, max_size=25), st.integers(1, 4))
def test_while_two_tenants_wait_they_are_served_alike_to_the_largest_request_of_each(ones, others, slots):
    """Start-time fair queueing's bound (Goyal, Vin and Cheng 1996), whatever the batch makes of it."""
    order = Fair()
    replica = Replica(TOKENS, Engine(60, 64, slots, 4, order=order))
    jobs = [job_of(0, *size) for size in ones] + [job_of(1, *size) for size in others]
    for job in jobs:
        replica.add(job, 0.0)
    run(replica)
    had, waits = [0.0, 0.0], [len(ones), len(others)]
    most = [max(order.cost(job) for job in jobs if job.tenant == tenant) for tenant in (0, 1)]
    for job in started(jobs):
        had[job.tenant] += order.cost(job)
        waits[job.tenant] -= 1
        if min(waits) > 0:
            assert abs(had[0] - had[1]) <= sum(most)
    assert all(job.completed for job in jobs)


def waits_of_a_single_request(order):
    """Seconds for which one tenant's request waits behind fifty of another, one at a time."""
    replica = Replica(TOKENS, Engine(99, 64, 1, order=order))
    greedy = [job_of(0, 10, 5) for _ in range(50)]
    modest = job_of(1, 10, 5)
    for job in [*greedy, modest]:
        replica.add(job, 0.0)
    run(replica)
    return modest.t_started_s, greedy[0].t_finished_s


def test_one_who_asks_once_does_not_wait_for_all_that_another_has_asked_before():
    wait_s, one_s = waits_of_a_single_request(Fcfs())
    assert wait_s == pytest.approx(50 * one_s)
    assert waits_of_a_single_request(Fair())[0] <= waits_of_a_single_request(Fair())[1]


def test_who_comes_back_after_a_pause_has_saved_nothing_up():
    """While tenant 1 was away, tenant 0 was served: from then on they take turns."""
    replica = Replica(TOKENS, Engine(99, 64, 1, order=Fair()))
    alone = [job_of(0, 10, 5) for _ in range(20)]
    for job in alone:
        replica.add(job, 0.0)
    now = 0.0
    while not alone[9].completed:
        now = replica.next_s()
        replica.advance(now)
    back = [job_of(1, 10, 5) for _ in range(8)]
    for job in back:
        replica.add(job, now)
    run(replica)
    order = [job.tenant for job in started(alone + back)][11:]
    assert sum(order[:16]) in (7, 8)
    assert max(len(turn) for turn in "".join(map(str, order[:16])).split("0")) <= 2


def test_a_request_that_is_withdrawn_while_it_waits_is_not_charged():
    replica = Replica(TOKENS, Engine(999, 64, 1, order=Fair()))
    running, large, small = job_of(2, 10, 5), job_of(0, 60, 500), job_of(0, 10, 5)
    for job in (running, large):
        replica.add(job, 0.0)
        replica.advance(0.0)
    replica.remove(large, 0.1)
    others = [job_of(1, 10, 5) for _ in range(3)]
    for job in [*others, small]:
        replica.add(job, 0.2)
    run(replica)
    assert small.t_started_s < others[1].t_started_s


def test_a_node_tells_the_order_the_class_of_a_device_and_devices_can_be_tenants_themselves():
    for tenants, first in (("classes", [0, 2, 1]), ("devices", [0, 1, 2])):
        env, pool = Environment(), stepwise_pool(max_sequences=1, order=Fair(tenants=tenants))
        node = LlmNode(env, (pool,), Cloud(), Draws(1), tenants=np.array([0, 0, 1]))
        tickets = [node.submit(4, 3, device=device) for device in (0, 1, 2)]
        env.run()
        assert sorted(range(3), key=lambda n, told=tickets: told[n].t_started_s) == first
