"""What the LLM node does with requests: waiting, deadlines, the horizon, faults, and who pays for what."""

import gc
import math

import pytest

from fleetrec.simulator.cloud.node.tickets import LlmTicket
from fleetrec.simulator.scenario.sections import Autoscale, Failures, Spot
from tests.simulator.cloud.nodes import node_of, stepwise_pool, timed_pool


def _outcomes(*tickets):
    return [ticket.done.value.outcome for ticket in tickets]


def test_each_replica_has_a_line_of_its_own_and_serves_it_in_order():
    env, node = node_of(timed_pool(replicas=2), max_sequences=1)
    tickets = [node.submit(1, 1, service_s=service_s) for service_s in (4.0, 1.0, 1.0, 1.0)]
    env.run()
    assert [(t.replica, t.t_started_s, t.t_finished_s) for t in tickets] == [(0, 0, 4), (1, 0, 1), (0, 4, 5), (1, 1, 2)]


def test_requests_batch_and_their_tokens_are_timed():
    env, node = node_of(stepwise_pool())
    first = node.submit(10, 5)
    env.run(until=2.5)
    second = node.submit(10, 3)
    env.run()
    assert (first.t_started_s, first.t_first_token_s, first.t_finished_s) == (0, 1, 5)
    assert (second.t_started_s, second.t_first_token_s, second.t_finished_s) == (3, 4, 6)
    assert (first.gpu_seconds, second.gpu_seconds) == (3 + 2 / 2, 2 / 2 + 1)
    assert node.busy_gpu_seconds == 6


def test_a_request_above_the_queue_limit_is_rejected_at_once_and_costs_nothing():
    env, node = node_of(timed_pool(), queue_limit=1, max_sequences=1)
    tickets = [node.submit(1, 1, service_s=1.0) for _ in range(3)]
    env.run()
    assert _outcomes(*tickets) == ["completed", "completed", "rejected"]
    assert (tickets[2].gpu_seconds, tickets[2].replica, tickets[2].t_finished_s) == (0.0, -1, 0.0)


def test_a_queue_limit_of_zero_still_serves_where_a_place_is_free():
    env, node = node_of(timed_pool(slots=2), queue_limit=0, max_sequences=2)
    tickets = [node.submit(1, 1, service_s=1.0) for _ in range(3)]
    env.run()
    assert _outcomes(*tickets) == ["completed", "completed", "rejected"]


def test_a_waiting_request_leaves_at_its_deadline_and_costs_nothing():
    env, node = node_of(timed_pool(), max_sequences=1)
    first = node.submit(1, 1, service_s=10.0)
    patient = node.submit(1, 1, service_s=1.0, deadline_s=8.0)
    hasty = node.submit(1, 1, service_s=1.0, deadline_s=4.0)
    third = node.submit(1, 1, service_s=1.0)
    env.run()
    assert _outcomes(patient, hasty) == ["timed_out", "timed_out"]
    assert (patient.t_finished_s, hasty.t_finished_s, third.t_started_s) == (8.0, 4.0, 10.0)
    assert (first.gpu_seconds, patient.gpu_seconds, node.busy_gpu_seconds) == (10.0, 0.0, 11.0)


def test_a_request_that_times_out_in_service_runs_on_and_still_costs_its_gpu_seconds():
    late = []
    env, node = node_of(stepwise_pool(gpus_per_replica=2, rent_usd=1.0), on_late_cost=late.append)
    ticket = node.submit(10, 10, deadline_s=4.0)
    env.run(until=5)
    assert ticket.done.value == ("timed_out", 0, 0.0, 4.0, 8.0, False)
    assert (ticket.in_service, late) == (True, [])
    env.run()
    assert late == [ticket]
    assert (ticket.in_service, ticket.gpu_seconds, ticket.usd) == (False, 20.0, 20.0)


def test_under_abort_on_timeout_it_leaves_at_the_end_of_the_step():
    late = []
    env, node = node_of(stepwise_pool(), abort_on_timeout=True, on_late_cost=late.append)
    ticket = node.submit(10, 10, deadline_s=4.5)
    env.run()
    assert (ticket.done.value.outcome, ticket.done.value.t_finished_s, ticket.gpu_seconds) == ("timed_out", 4.5, 5.0)
    assert (late, node.busy_gpu_seconds) == ([ticket], 5.0)


def test_an_answer_exactly_at_the_deadline_is_in_time():
    env, node = node_of(stepwise_pool())
    ticket = node.submit(10, 4, deadline_s=4.0)
    env.run()
    assert _outcomes(ticket) == ["completed"]


def test_a_request_that_arrives_after_its_deadline_is_not_served():
    env, node = node_of(stepwise_pool())
    env.run(until=3)
    ticket = node.submit(10, 4, deadline_s=2.0)
    env.run()
    assert (_outcomes(ticket), node.busy_gpu_seconds) == (["timed_out"], 0.0)


def test_withdrawing_frees_a_waiting_request_and_lets_one_in_service_run_on():
    env, node = node_of(timed_pool(), max_sequences=1)
    running, waiting = node.submit(1, 1, service_s=10.0), node.submit(1, 1, service_s=1.0)
    env.run(until=2)
    assert [node.withdraw(ticket) for ticket in (running, waiting, waiting)] == [True, True, False]
    env.run()
    assert _outcomes(running, waiting) == ["withdrawn", "withdrawn"]
    assert (running.done.value.gpu_seconds, running.gpu_seconds, waiting.gpu_seconds) == (2.0, 10.0, 0.0)


def test_the_horizon_ends_what_is_left_as_unfinished_with_the_gpu_seconds_used_so_far():
    late = []
    env, node = node_of(stepwise_pool(max_sequences=2), on_late_cost=late.append)
    told, other, waiting = node.submit(10, 9, deadline_s=1.5), node.submit(10, 9), node.submit(10, 9)
    env.run(until=4)
    assert node.close(4.5) == [other, waiting]
    env.run()
    assert _outcomes(told, other, waiting) == ["timed_out", "unfinished", "unfinished"]
    assert [t.gpu_seconds for t in (told, other, waiting)] == [2.25, 2.25, 0.0]
    assert (late, node.busy_gpu_seconds, node.utilization()) == ([told], 4.5, 1.0)
    assert _outcomes(node.submit(10, 9)) == ["unfinished"]


def test_tokens_are_counted_for_requests_that_reach_a_gpu():
    env, node = node_of(stepwise_pool(max_sequences=8))
    node.submit(100, 8, sequences=5)
    node.submit(100, 8, sequences=5, deadline_s=3.0)  # waits, since 10 sequences do not fit
    env.run()
    assert (node.prompt_tokens, node.output_tokens) == (100, 40)


def test_a_slower_pool_gets_a_share_of_the_requests_that_fits_its_speed():
    env, node = node_of(timed_pool(slots=9), timed_pool(slots=9, speed=0.5))
    tickets = [node.submit(1, 1, service_s=1.0) for _ in range(9)]
    env.run()
    assert sorted(t.replica for t in tickets) == [0] * 6 + [1] * 3


# ---------------------------------------------------------------------------------------------- faults

ALWAYS = Spot(taken_per_hour=3600.0, notice=0.0, replacement=1e-9)  # gone within a second or so, back at once


def _lost_at(env, node, pool_replica=0):
    """Runs until the replica is gone; the moment."""
    while node._cluster.machines[pool_replica].state == "up":
        env.step()
    return env.now


@pytest.mark.parametrize(("on_failure", "outcome", "retries"), [("retry", "completed", 1), ("lost", "lost", 0)])
def test_requests_of_a_machine_that_is_taken_away_start_anew_elsewhere_or_are_lost(on_failure, outcome, retries):
    pools = stepwise_pool(spot=ALWAYS, rent_usd=1.0, cold_start_s=1e9), stepwise_pool()
    env, node = node_of(*pools, on_failure=on_failure, router="round_robin")
    ticket = node.submit(10, 40)
    gone = _lost_at(env, node)
    env.run(until=1000)
    assert (_outcomes(ticket), node.retries) == ([outcome], retries)
    assert ticket.usd == pytest.approx(gone)  # what it used there it costs; the other pool is free
    assert ticket.gpu_seconds == pytest.approx(gone + 40 * retries)
    assert node.busy_gpu_seconds == pytest.approx(ticket.gpu_seconds)


def test_a_request_is_retried_so_often_and_then_lost():
    env, node = node_of(stepwise_pool(spot=ALWAYS), max_retries=3)
    ticket = node.submit(10, 10_000)
    env.run(until=1000)
    assert (_outcomes(ticket), ticket.retries, node.retries) == (["lost"], 3, 3)


def test_requests_wait_at_the_door_where_no_replica_takes_any_and_go_in_when_one_is_back():
    env, node = node_of(stepwise_pool(spot=ALWAYS.model_copy(update={"replacement": 1.0}), cold_start_s=5.0))
    _lost_at(env, node)
    ticket, hasty = node.submit(10, 1), node.submit(10, 1, deadline_s=env.now + 1)
    assert node.queue_length == 2
    while node.replicas == 0:
        env.step()
    back = env.now
    env.run(until=1000)
    assert (ticket.t_started_s, _outcomes(hasty), hasty.gpu_seconds) == (back, ["timed_out"], 0.0)


def test_a_client_that_was_told_is_not_served_again():
    late = []
    env, node = node_of(stepwise_pool(spot=ALWAYS), stepwise_pool(), on_late_cost=late.append)
    ticket = node.submit(10, 10_000, deadline_s=1e-3)
    gone = _lost_at(env, node)
    env.run(until=100)
    assert (_outcomes(ticket), late, node.retries) == (["timed_out"], [ticket], 0)
    assert ticket.gpu_seconds == pytest.approx(gone)


def test_a_warned_machine_takes_no_new_requests_and_serves_those_it_has():
    spot = Spot(taken_per_hour=3600.0, notice=100.0, replacement=1e-9)
    env, node = node_of(stepwise_pool(spot=spot), stepwise_pool())
    first = node.submit(10, 20)
    while node._cluster.machines[0].accepting:
        env.step()
    second, third = node.submit(10, 20), node.submit(10, 20)
    env.run(until=90)
    assert [t.replica for t in (first, second, third)] == [0, 1, 1]
    assert _outcomes(first, second, third) == ["completed"] * 3


def test_a_taken_machine_is_not_paid_and_a_failed_one_is():
    taken = Spot(taken_per_hour=3600.0, notice=0.0, replacement=1e9)
    env, node = node_of(stepwise_pool(spot=taken, rent_usd=1.0))
    gone = _lost_at(env, node)
    env.run(until=1000)
    assert node.paid_usd == pytest.approx(gone)

    env, node = node_of(stepwise_pool(rent_usd=1.0), failures=Failures(every=1.0, repair=1e9))
    failed = _lost_at(env, node)
    env.run(until=1000)
    assert (node.paid_usd, node.up_gpu_seconds) == (1000.0, pytest.approx(failed))


# ---------------------------------------------------------------------------------------------- how many replicas


def test_a_pool_grows_with_its_queue_after_a_cold_start_and_shrinks_by_draining_after_the_cooldown():
    scale = Autoscale(metric="queue", target=2.0, period=10.0, min=1, max=3, cooldown=30.0)
    env, node = node_of(timed_pool(slots=2, autoscale=scale, cold_start_s=7.0, rent_usd=1.0), max_sequences=2)
    early = [node.submit(1, 1, service_s=100.0) for _ in range(6)]
    env.run(until=16.9)
    assert node.replicas == 1
    env.run(until=18)
    late = [node.submit(1, 1, service_s=4.0) for _ in range(4)]
    assert (node.replicas, [t.machine.number for t in late]) == (3, [1, 2, 1, 2])
    env.run(until=1000)
    assert node.replicas == 1
    assert {t.done.value.outcome for t in (*early, *late)} == {"completed"}
    up = node.timeline()["up"]
    assert (up.max(), up[-1]) == (3, 1)
    assert 1000 < node.paid_usd < 1000 + 2 * 500  # two more for part of the time


def test_a_draining_replica_takes_no_requests_and_ends_when_it_is_empty():
    env, node = node_of(timed_pool(slots=4, replicas=2), max_sequences=4)
    tickets = [node.submit(1, 1, service_s=service_s) for service_s in (5.0, 9.0, 5.0)]
    node._cluster.scale(node._cluster.pools[0], 1)  # replica 1 has fewer requests
    after = node.submit(1, 1, service_s=1.0)
    env.run(until=8)
    assert (node.replicas, after.replica) == (2, 0)
    env.run(until=10)
    assert (node.replicas, _outcomes(*tickets)) == (1, ["completed"] * 3)
    assert node.paid_gpu_seconds == 10 + 9


def test_a_replica_that_drains_is_the_first_to_come_back_and_needs_no_cold_start():
    _, node = node_of(timed_pool(slots=4, replicas=3, cold_start_s=50.0))
    cluster = node._cluster
    for _ in range(3):
        node.submit(1, 1, service_s=5.0)
    cluster.scale(cluster.pools[0], 1)
    assert [machine.state for machine in cluster.machines] == ["up", "draining", "draining"]
    cluster.scale(cluster.pools[0], 2)
    assert [machine.state for machine in cluster.machines] == ["up", "up", "draining"]


# ---------------------------------------------------------------------------------------------- admission


def test_deadline_admission_turns_away_what_would_come_too_late_and_serves_all_it_admits():
    env, node = node_of(timed_pool(), admission="deadline", max_sequences=1)
    node.submit(1, 1, service_s=2.0)
    env.run(until=10)  # it knows the pace now: two seconds each
    tickets = [node.submit(1, 1, service_s=2.0, deadline_s=env.now + 7.0) for _ in range(6)]
    env.run()
    assert _outcomes(*tickets) == ["completed"] * 3 + ["rejected"] * 3


def test_random_early_admission_turns_away_more_the_longer_the_queue_is():
    env, node = node_of(
        timed_pool(), admission={"kind": "random_early", "start": 0.5}, queue_limit=1000, max_sequences=1
    )
    tickets = [node.submit(1, 1, service_s=1.0) for _ in range(3000)]
    kept = [not ticket.done.triggered for ticket in tickets]
    assert all(kept[:501])
    assert 0 < sum(kept[501:1000]) < 499
    assert node.queue_length <= 1000
    env.run()


def test_a_request_that_has_ended_is_freed_without_the_cycle_collector():
    env, node = node_of(stepwise_pool())
    gc.disable()
    try:
        before = sum(type(thing) is LlmTicket for thing in gc.get_objects())
        for _ in range(5):
            node.submit(10, 5, deadline_s=2.0)
        node.submit(10, 3)
        env.run()
        assert sum(type(thing) is LlmTicket for thing in gc.get_objects()) == before
    finally:
        gc.enable()
    assert node.outcomes == {"timed_out": 5, "completed": 1}


def test_a_first_token_is_known_from_its_moment_on_though_nobody_is_told_of_it():
    env, node = node_of(stepwise_pool())
    ticket = node.submit(10, 5)
    env.run(until=0.5)
    assert math.isnan(ticket.first_token_s(env.now))
    env.run(until=1.5)
    assert ticket.first_token_s(env.now) == 1.0
