"""What holds of the node whatever arrives, fails and scales."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetrec.simulator.cloud.node.cluster import Link
from fleetrec.simulator.scenario.sections import (
    Autoscale,
    Failures,
    Router,
    Spot,
)
from tests.simulator.cloud.nodes import node_of, stepwise_pool, timed_pool

KV_BLOCKS, SEQUENCES = 12, 4

_whole = st.integers(0, 6).map(float)  # whole seconds, so that arrivals, ends and deadlines coincide often
_request = st.fixed_dictionaries(
    {
        "gap_s": _whole,
        "prompt": st.integers(1, 40),
        "output": st.integers(0, 20),
        "sequences": st.integers(1, 3),
        "service_s": _whole,
        "deadline_s": st.one_of(st.just(math.inf), _whole),
        "patience_s": st.one_of(st.none(), _whole),
    }
)
_pool = st.fixed_dictionaries(
    {
        "replicas": st.integers(1, 3),
        "gpus_per_replica": st.integers(1, 2),
        "speed": st.sampled_from([1.0, 0.5]),
        "cold_start_s": st.sampled_from([0.0, 3.0]),
        "autoscale": st.one_of(
            st.none(),
            st.builds(
                Autoscale,
                metric=st.sampled_from(["utilization", "queue"]),
                target=st.sampled_from([0.5, 1.0]),
                period=st.sampled_from([1.0, 5.0]),
                max=st.integers(3, 5),
                cooldown=st.sampled_from([0.0, 4.0]),
            ),
        ),
        "spot": st.one_of(
            st.none(),
            st.builds(
                Spot,
                taken_per_hour=st.sampled_from([300.0, 3600.0]),
                notice=st.sampled_from([0.0, 2.0]),
                replacement=st.sampled_from([0.0, 4.0]),
            ),
        ),
    }
)
_rules = st.fixed_dictionaries(
    {
        "router": st.sampled_from(sorted(Router.family.built_in())),
        "queue_limit": st.integers(0, 6),
        "on_failure": st.sampled_from(["retry", "lost"]),
        "max_retries": st.integers(0, 2),
        "abort_on_timeout": st.booleans(),
        "failures": st.one_of(st.none(), st.just(Failures(every=8.0, repair=3.0))),
        "admission": st.sampled_from(["queue_limit", "deadline", "random_early"]),
    }
)


def _run(requests, pools, rules, timed, horizon_s):
    """(node, tickets, what each client was told and when, tickets whose cost came late) of one run."""
    make = timed_pool if timed else stepwise_pool
    size = {"slots": SEQUENCES} if timed else {"kv_blocks": KV_BLOCKS, "max_sequences": SEQUENCES}
    late, tickets, told = [], [], []
    env, node = node_of(
        *(make(**size, **pool, rent_usd=1.0) for pool in pools),
        on_late_cost=late.append,
        max_sequences=SEQUENCES,
        **rules,
    )

    def client(ticket, patience_s):
        if patience_s is not None:
            yield env.timeout(patience_s)
            node.withdraw(ticket)
        told.append((ticket, (yield ticket.done)))

    def arrive():
        for number, ask in enumerate(requests):
            yield env.timeout(ask["gap_s"])
            deadline_s = env.now + ask["deadline_s"]
            sequences = 1 if timed else ask["sequences"]
            ticket = node.submit(
                ask["prompt"], ask["output"], sequences, ask["service_s"], deadline_s, device=number % 3
            )
            tickets.append(ticket)
            env.process(client(ticket, ask["patience_s"]))

    def watch():
        while True:
            for machine in node._cluster.machines:
                replica = machine.replica
                assert replica.outstanding >= replica.waiting >= 0
                assert machine.state in ("up", "draining") or not replica.outstanding
                if not timed:
                    assert 0 <= replica.kv_blocks_used <= KV_BLOCKS
                    assert replica.running <= SEQUENCES
            yield env.timeout(0.5 if env.now < horizon_s else 1000.0)

    env.process(arrive())
    env.process(watch())
    env.run(until=horizon_s)
    node.close(env.now)
    env.run(until=horizon_s + 200)  # clients who would have withdrawn later
    return node, tickets, told, late


@settings(max_examples=120, deadline=None)
@given(
    requests=st.lists(_request, max_size=25),
    pools=st.lists(_pool, min_size=1, max_size=2),
    rules=_rules,
    timed=st.booleans(),
    split=st.booleans(),
    horizon_s=st.integers(1, 80),
)
def test_every_request_ends_once_and_what_is_charged_is_what_was_busy(requests, pools, rules, timed, split, horizon_s):
    """`split`: the first pool computes prompts alone, and the second goes on with them."""
    if split and not timed and len(pools) == 2:
        pools = [pools[0] | {"link": Link(0.05, 0.5)}, pools[1] | {"decodes": True}]
    node, tickets, told, late = _run(requests, pools, rules, timed, horizon_s)

    assert sorted(ticket.number for ticket, _ in told) == [ticket.number for ticket in tickets]
    assert sum(node.outcomes.values()) == node.submitted == len(tickets)
    assert sum(t.gpu_seconds for t in tickets) == pytest.approx(node.busy_gpu_seconds)
    assert sum(t.usd for t in tickets) == pytest.approx(node.busy_gpu_seconds)
    assert node.busy_gpu_seconds <= node.up_gpu_seconds + 1e-9 <= node.paid_gpu_seconds + 2e-9
    assert {id(ticket) for ticket in late} == {id(ticket) for ticket, served in told if not served.cost_final}
    assert len(late) == len({id(ticket) for ticket in late})
    assert (node.queue_length, node.in_service) == (0, 0)
    for ticket, served in told:
        assert not ticket.in_service
        assert (ticket.replica < 0) == math.isnan(ticket.t_started_s)
        if ticket.replica < 0:
            assert ticket.gpu_seconds == 0.0
        else:
            assert ticket.t_arrived_s <= ticket.t_started_s <= ticket.deadline_s
        if not math.isnan(ticket.t_first_token_s):
            assert ticket.t_started_s < ticket.t_first_token_s <= ticket.t_finished_s
        if served.outcome == "completed":
            assert served.t_finished_s <= ticket.deadline_s
        if served.outcome == "timed_out":
            assert served.t_finished_s == max(ticket.deadline_s, ticket.t_arrived_s)
        if served.outcome == "lost":
            assert ticket.retries == (rules["max_retries"] if rules["on_failure"] == "retry" else 0)


@settings(max_examples=25, deadline=None)
@given(requests=st.lists(_request, max_size=25), pools=st.lists(_pool, min_size=1, max_size=2), rules=_rules)
def test_the_same_requests_meet_the_same_fate_again(requests, pools, rules):
    def fates():
        node, _, told, _ = _run(requests, pools, rules, timed=False, horizon_s=60)
        return [(t.number, t.gpu_seconds, t.retries, tuple(map(str, s))) for t, s in told], node.paid_usd

    assert fates() == fates()
