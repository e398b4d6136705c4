"""What a node does with its requests: order, limits, deadlines, withdrawal, the horizon, and who pays for what."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simpy import Environment

from fleetrec.simulator.cloud.node.cpu_node import CpuNode
from fleetrec.simulator.cloud.node.queueing import QueueingNode, Ticket


class _Node(QueueingNode):
    """Requests bring their service time along."""

    def submit(self, service_s: float, deadline_s: float = math.inf) -> Ticket:
        return self._enter((service_s,), deadline_s)

    def _service_s(self, ticket: Ticket, concurrency: int) -> float:
        return ticket._work[0]


def _node(replicas: int = 1, slots: int = 1, queue_limit: int = 100, gpus: int = 1, on_late_cost=None):
    env = Environment()
    return env, _Node(env, replicas, slots, queue_limit, gpus, on_late_cost)


def _outcomes(*tickets):
    return [ticket.done.value.outcome for ticket in tickets]


def test_requests_are_served_in_order_of_arrival():
    env, node = _node()
    tickets = [node.submit(service) for service in (3.0, 1.0, 2.0)]
    env.run()
    assert [(t.t_started_s, t.t_finished_s) for t in tickets] == [(0, 3), (3, 4), (4, 6)]


def test_a_request_goes_to_the_least_loaded_replica_the_first_of_them():
    env, node = _node(replicas=3, slots=2)
    tickets = [node.submit(service) for service in (1.0, 5.0, 5.0, 5.0)]
    env.run(until=2)
    late = node.submit(1.0)
    env.run()
    assert [t.replica for t in (*tickets, late)] == [0, 1, 2, 0, 0]


def test_a_request_above_the_queue_limit_is_rejected_at_once_and_costs_nothing():
    env, node = _node(queue_limit=1)
    first, second, third = (node.submit(1.0) for _ in range(3))
    env.run()
    assert _outcomes(first, second, third) == ["completed", "completed", "rejected"]
    assert third.done.value[1:] == (-1, pytest.approx(math.nan, nan_ok=True), 0.0, 0.0, True)


def test_a_queue_limit_of_zero_still_serves_where_a_slot_is_free():
    env, node = _node(slots=2, queue_limit=0)
    tickets = [node.submit(1.0) for _ in range(3)]
    env.run()
    assert _outcomes(*tickets) == ["completed", "completed", "rejected"]


def test_a_waiting_request_leaves_the_queue_at_its_deadline_and_costs_nothing():
    env, node = _node()
    first = node.submit(10.0)
    second = node.submit(1.0, deadline_s=4.0)
    third = node.submit(1.0)
    env.run(until=5)
    assert (_outcomes(second), second.t_finished_s, node.queue_length) == (["timed_out"], 4.0, 1)
    env.run()
    assert second.gpu_seconds == 0.0
    assert (first.gpu_seconds, third.t_started_s) == (10.0, 10.0)


def test_a_request_that_times_out_in_service_runs_on_and_still_costs_its_gpu_seconds():
    late = []
    env, node = _node(gpus=2, on_late_cost=late.append)
    ticket = node.submit(10.0, deadline_s=4.0)
    following = node.submit(1.0)
    env.run(until=5)
    assert ticket.done.value == ("timed_out", 0, 0.0, 4.0, 8.0, False)
    assert not late
    env.run()
    assert late == [ticket]
    assert (ticket.t_finished_s, ticket.gpu_seconds, following.t_started_s) == (10.0, 20.0, 10.0)


def test_an_answer_exactly_at_the_deadline_is_in_time():
    env, node = _node()
    ticket = node.submit(4.0, deadline_s=4.0)
    env.run()
    assert _outcomes(ticket) == ["completed"]


def test_a_request_that_arrives_after_its_deadline_is_not_served():
    env, node = _node()
    env.run(until=3)
    ticket = node.submit(1.0, deadline_s=2.0)
    env.run()
    assert (_outcomes(ticket), node.busy_gpu_seconds) == (["timed_out"], 0.0)


def test_an_earlier_deadline_behind_a_later_one_is_met():
    env, node = _node()
    node.submit(10.0)
    patient, hasty = node.submit(1.0, deadline_s=8.0), node.submit(1.0, deadline_s=2.0)
    env.run()
    assert (hasty.t_finished_s, patient.t_finished_s) == (2.0, 8.0)


def test_withdrawing_a_waiting_request_frees_its_place_and_one_in_service_runs_on():
    late = []
    env, node = _node(queue_limit=1, on_late_cost=late.append)
    running, waiting = node.submit(10.0), node.submit(1.0)
    env.run(until=2)
    assert node.withdraw(running)
    assert node.withdraw(waiting)
    assert not node.withdraw(waiting)
    replacement = node.submit(1.0)
    env.run()
    assert _outcomes(running, waiting, replacement) == ["withdrawn", "withdrawn", "completed"]
    assert (running.done.value.t_finished_s, running.done.value.gpu_seconds) == (2.0, 2.0)
    assert (running.gpu_seconds, waiting.gpu_seconds, late) == (10.0, 0.0, [running])
    assert replacement.t_started_s == 10.0


def test_the_horizon_ends_what_is_left_as_unfinished_with_the_gpu_seconds_used_so_far():
    late = []
    env, node = _node(on_late_cost=late.append)
    told = node.submit(5.0, deadline_s=1.0)
    waiting = node.submit(5.0)
    env.run(until=4)
    assert node.close(4.0) == [waiting]
    env.run()
    assert _outcomes(told, waiting) == ["timed_out", "unfinished"]
    assert (told.gpu_seconds, waiting.gpu_seconds, node.busy_gpu_seconds, late) == (4.0, 0.0, 4.0, [told])
    assert node.utilization(8.0) == 0.5
    after = node.submit(1.0)
    env.run()
    assert _outcomes(after) == ["unfinished"]


def test_requests_that_share_a_replica_share_its_busy_time():
    env, node = _node(slots=2, gpus=4)
    first = node.submit(3.0)
    env.run(until=1)
    second = node.submit(4.0)
    env.run()
    assert first.gpu_seconds == pytest.approx(4 * (1 + 2 / 2))
    assert second.gpu_seconds == pytest.approx(4 * (2 / 2 + 2))
    assert node.busy_gpu_seconds == pytest.approx(4 * 5)


def test_utilisation_is_busy_time_over_replicas_times_horizon():
    env, node = _node(replicas=2, slots=3)
    for _ in range(3):
        node.submit(2.0)  # two on replica 0, one on replica 1
    env.run(until=8)
    assert node.utilization(8.0) == pytest.approx((2 + 2) / (2 * 8))


def test_a_cpu_core_serves_one_request_at_a_time_and_reports_core_seconds():
    env = Environment()
    node = CpuNode(env, cores=2, queue_limit=10, core_flops_per_s=1e9, overhead_s=0.5)
    tickets = [node.submit(flops) for flops in (1e9, 2e9, 1e9)]
    env.run()
    assert [(t.t_started_s, t.t_finished_s, t.gpu_seconds) for t in tickets] == [
        (0, 1.5, 1.5),
        (0, 2.5, 2.5),
        (1.5, 3.0, 1.5),
    ]


_whole = st.integers(0, 6).map(float)  # whole seconds, so that arrivals, ends and deadlines coincide often
_request = st.tuples(_whole, _whole, st.one_of(st.just(math.inf), _whole), st.one_of(st.none(), _whole))


@settings(max_examples=150, deadline=None)
@given(
    requests=st.lists(_request, max_size=30),
    replicas=st.integers(1, 3),
    slots=st.integers(1, 3),
    queue_limit=st.integers(0, 4),
    horizon_s=st.integers(1, 60),
)
def test_every_request_ends_once_and_what_is_charged_is_what_was_busy(
    requests, replicas, slots, queue_limit, horizon_s
):
    late = []
    env, node = _node(replicas, slots, queue_limit, on_late_cost=late.append)
    tickets, ends = [], []

    def client(ticket, patience_s):
        if patience_s is not None:
            yield env.timeout(patience_s)
            node.withdraw(ticket)
        ends.append((ticket, (yield ticket.done)))

    def arrive():
        for gap, service_s, deadline_s, patience_s in requests:
            yield env.timeout(gap)
            tickets.append(node.submit(service_s, deadline_s=env.now + deadline_s))
            env.process(client(tickets[-1], patience_s))
            assert node.queue_length <= queue_limit
            assert node.in_service <= replicas * slots

    env.process(arrive())
    env.run(until=horizon_s)
    node.close(env.now)
    env.run()

    assert sorted(ticket.number for ticket, _ in ends) == list(range(len(requests)))
    assert sum(node.outcomes.values()) == node.submitted == len(requests)
    assert sum(t.gpu_seconds for t in tickets) == pytest.approx(node.busy_gpu_seconds)
    assert node.busy_gpu_seconds <= replicas * horizon_s + 1e-9
    starts = [t.t_started_s for t in tickets if t.replica >= 0]
    assert starts == sorted(starts)
    assert {id(t) for t in late} == {id(t) for t, served in ends if not served.cost_final}
    for ticket, served in ends:
        assert (ticket.replica < 0) == (ticket.gpu_seconds == 0.0 and math.isnan(ticket.t_started_s))
        if ticket.replica >= 0:
            assert ticket.t_arrived_s <= ticket.t_started_s < ticket.deadline_s
        if served.outcome == "completed":
            assert served.t_finished_s <= ticket.deadline_s
        if served.outcome == "timed_out":
            assert served.t_finished_s == max(ticket.deadline_s, ticket.t_arrived_s)
