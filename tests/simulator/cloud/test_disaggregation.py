"""Prefill and decode on replicas of their own: transfers by hand, and one pool without interference."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.capacity.objectives import ServiceObjective
from fleetrec.simulator.cloud.capacity.replay import Requests
from fleetrec.simulator.cloud.capacity.servers import Replicas
from fleetrec.simulator.cloud.hardware.step_time import LinearCost, StepTime
from fleetrec.simulator.cloud.node.cluster import Link, Pool
from fleetrec.simulator.cloud.replica.replica import Engine, Replica
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Cloud
from tests.simulator.cloud.nodes import node_of, stepwise_pool

LINK = Link(token_s=0.1, latency_s=0.5)


def _split(link=LINK, prefill=1, decode=1, kv_blocks=1000, decode_blocks=1000, **cloud):
    """Steps of a second; GPUs of 3 dollars a second compute prompts, and of 1 dollar go on."""
    return node_of(
        stepwise_pool(kv_blocks, replicas=prefill, link=link, rent_usd=3.0, gpus_per_replica=2),
        stepwise_pool(decode_blocks, replicas=decode, decodes=True, rent_usd=1.0),
        **cloud,
    )


def test_a_transfer_by_hand():
    """A step for the prompt, 20 tokens at 0.1 s and the latency, and a step for each of the three tokens left."""
    env, node = _split()
    ticket = node.submit(20, 4)
    prefill, decode = (machine.replica for machine in node.machines)
    env.run(until=3.4)
    assert (ticket.t_first_token_s, prefill.kv_blocks_used, decode.kv_blocks_used) == (1.0, 2, 0)
    assert (node.queue_length, node.in_service) == (1, 0)
    env.run(until=3.6)
    assert (prefill.kv_blocks_used, decode.kv_blocks_used) == (0, 2)
    env.run()
    assert (ticket.t_started_s, ticket.t_first_token_s, ticket.t_finished_s) == (0.0, 1.0, 6.5)
    assert (ticket.gpu_seconds, ticket.usd, ticket.replica) == (2 * 1.0 + 3.0, 3.0 * 2 + 3.0, 1)
    assert (node.prompt_tokens, node.output_tokens, dict(node.outcomes)) == (20, 4, {"completed": 1})
    node.close(env.now)
    assert node.paid_usd == 6.5 * (2 * 3.0 + 1.0)


def test_a_link_carries_one_cache_after_the_other_and_each_prefill_replica_has_its_own():
    def ends(prefill):
        env, node = _split(prefill=prefill, decode=2)
        tickets = [node.submit(20, 2) for _ in range(2)]
        env.run()
        return [ticket.t_finished_s for ticket in tickets]

    assert ends(1) == [1.0 + 2.0 + 0.5 + 1.0, 1.0 + 2.0 + 2.0 + 0.5 + 1.0]
    assert ends(2) == [4.5, 4.5]


def test_beams_are_one_prompt_on_the_link_and_scoring_never_leaves_its_replica():
    env, node = _split()
    beams, score = node.submit(20, 4, sequences=3), node.submit(20, 1)
    env.run()
    assert (score.t_finished_s, score.replica) == (1.0, 0)
    assert beams.t_finished_s == 1.0 + 2.0 + 0.5 + 3.0
    assert (node.prompt_tokens, node.output_tokens) == (40, 13)


def test_what_has_arrived_waits_until_its_blocks_are_free():
    """Two blocks each of 3: the second comes in when the first has ended."""
    env, node = _split(Link(0.0, 0.0), decode_blocks=3)
    first, second = node.submit(20, 5), node.submit(20, 5)
    env.run()
    assert (first.t_finished_s, second.t_finished_s) == (5.0, 9.0)


def test_prompts_wait_while_the_caches_of_those_before_are_still_being_sent():
    env, node = _split(kv_blocks=3)
    first, second = node.submit(20, 2), node.submit(20, 2)
    env.run()
    assert (first.t_first_token_s, second.t_started_s, second.t_first_token_s) == (1.0, 3.5, 4.5)


def test_a_request_that_is_given_up_on_its_way_costs_its_prompt_alone():
    env, node = _split()
    ticket = node.submit(20, 4, deadline_s=2.0)
    env.run()
    assert (ticket.served.outcome, ticket.t_finished_s, ticket.gpu_seconds) == ("timed_out", 2.0, 2.0)
    assert [machine.replica.kv_blocks_used for machine in node.machines] == [0, 0]
    assert node.busy_gpu_seconds == 2.0


def test_a_lost_replica_takes_the_caches_along_that_it_was_sending():
    """At 2 s the prompt is on its way; it is computed again by the other one."""
    env, node = _split(prefill=2)
    ticket = node.submit(20, 2)
    env.run(until=2.0)
    node.machine_lost(node.machines[ticket.replica])
    env.run()
    assert (ticket.retries, ticket.gpu_seconds) == (1, 2.0 + 2.0 + 1.0)
    assert ticket.t_finished_s == 2.0 + 4.5
    assert node.busy_gpu_seconds == ticket.gpu_seconds


def test_a_decode_replica_too_small_for_a_request_refuses_it():
    env, node = _split(decode_blocks=2)
    node.submit(20, 20)
    with pytest.raises(InputError, match="needs 3 KV-cache blocks of 16 tokens and the replica has 2; shorten it"):
        env.run()


def test_an_account_looks_for_both_kinds_in_their_proportion_and_never_for_one_alone():
    """Two for prefill and three for decode; a request takes 1 s, 2.5 s on the way and 3 s."""
    pools = (stepwise_pool(replicas=2, link=LINK), stepwise_pool(replicas=3, decodes=True))
    replicas = Replicas(pools, Cloud(), Draws(1), ServiceObjective.parse("p95=7s"))
    assert [replicas.kinds(n).tolist() for n in (1, 2, 5, 10)] == [[1, 1], [1, 1], [2, 3], [4, 6]]
    assert replicas.group == 10
    few = np.full(3, 20), np.full(3, 4)
    requests = Requests.of(np.array([0.0, 10.0, 20.0]), *few)
    assert replicas.alone(requests).latency_s == pytest.approx(6.5)
    assert replicas.meet(requests, 2)
    assert not replicas.meet(requests.at(np.zeros(3)), 2)  # one link carries three caches
    first, second = replicas.rates(requests)
    assert first == second > 0


@settings(max_examples=80, deadline=None)
@given(
    asks=st.lists(
        st.tuples(st.sampled_from([0.0, 0.31, 1.7, 6.0]), st.integers(1, 60), st.integers(2, 30)),
        min_size=1,
        max_size=20,
    ),
    sequences=st.integers(1, 4),
)
def test_with_a_link_that_takes_no_time_it_is_one_pool_in_which_prompts_hold_up_nobody(asks, sequences):
    """Prompts cost nothing in either; in one pool the step that computes one gives its first token, so that a token
    less is asked of it."""
    at_once, steps = LinearCost(0.0), LinearCost(0.7, 0.0, 0.013)

    def ends(less, *pools):
        env, node = node_of(*pools, max_sequences=sequences)
        tickets = []

        def arrive():
            for number, (gap_s, prompt, output) in enumerate(asks):
                yield env.timeout(gap_s + 1e-4 * number**1.5)
                tickets.append(node.submit(prompt, output - less))

        env.process(arrive())
        env.run()
        assert all(machine.replica.kv_blocks_used == 0 and not machine.sending for machine in node.machines)
        assert node.outcomes["completed"] == len(asks)
        return [ticket.t_finished_s for ticket in tickets]

    def pool(cost, most, **changes):
        return Pool(partial(Replica, StepTime(cost, cost), Engine(10_000, 100_000, most)), **changes)

    apart = ends(0, pool(at_once, 1000, link=Link(0.0, 0.0)), pool(steps, sequences, decodes=True))
    assert apart == pytest.approx(ends(1, pool(steps, sequences)), rel=1e-12)
    assert not any(math.isnan(end) for end in apart)
