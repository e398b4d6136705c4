"""Energy of the node: requests carry what they drew; what is busy and what is idle add up."""

import pytest
from simpy import Environment

from fleetrec.simulator.cloud.hardware.catalogue import default_catalogue
from fleetrec.simulator.cloud.hardware.layout import Layout
from fleetrec.simulator.cloud.hardware.power import ReplicaPower
from fleetrec.simulator.cloud.hardware.step_time import LinearCost, StepTime
from fleetrec.simulator.cloud.hardware.timing import RooflineTiming
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.node.llm_node import LlmNode
from fleetrec.simulator.cloud.replica.drafter import Drafter
from fleetrec.simulator.cloud.replica.jobs import Engine
from fleetrec.simulator.cloud.replica.replica import Replica
from fleetrec.simulator.cloud.replica.timed_replica import TimedReplica
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Cloud

CATALOGUE = default_catalogue()
MODEL, GPU = CATALOGUE.model("llama-3.1-8b"), CATALOGUE.gpu("h100")
POWER = ReplicaPower(MODEL, GPU, 2)


def _node(env, replica, replicas=1, usd_per_joule=0.0):
    pool = Pool(replica, replicas, gpus_per_replica=2, power=POWER, rent_usd=1.0, usd_per_joule=usd_per_joule)
    return LlmNode(env, (pool,), Cloud(), Draws(1))


def _stepping():
    return Replica(RooflineTiming(MODEL, GPU, Layout(2)).steps, Engine(kv_blocks=40_000))


def test_a_request_alone_draws_what_its_tokens_and_busy_time_draw():
    env = Environment()
    node = _node(env, _stepping)
    ticket = node.submit(1000, 51)
    env.run(100)
    busy_s = ticket.gpu_seconds / 2
    assert ticket.joules == pytest.approx(POWER.busy_joules(busy_s, 1000 + 50))
    assert node.busy_joules == ticket.joules


def test_joules_of_all_requests_and_of_idle_time_are_those_of_the_replicas():
    env = Environment()
    node = _node(env, _stepping, replicas=2)
    tickets = [node.submit(500 + 100 * k, 40 + k) for k in range(12)]
    env.run(60.0)
    node.close(60.0)
    assert node.busy_joules == pytest.approx(sum(ticket.joules for ticket in tickets))
    assert node.idle_joules == pytest.approx((2 * 2 * 60.0 - node.busy_gpu_seconds) * GPU.idle_power_w)
    assert GPU.busy_power_w < node.busy_joules / node.busy_gpu_seconds < GPU.power_w


def test_beams_and_a_request_that_is_only_scored_count_the_tokens_that_pass_the_weights():
    env = Environment()
    node = _node(env, _stepping)
    beams = node.submit(800, 9, sequences=20)
    env.run(10)
    scored = node.submit(800, 0)
    env.run(20)
    assert beams.joules == pytest.approx(POWER.busy_joules(beams.gpu_seconds / 2, 800 + 20 * 8))
    assert scored.joules == pytest.approx(POWER.busy_joules(scored.gpu_seconds / 2, 800))


def _seconds(env, drafter=None, token_s=0.0, **limits):
    """A replica each of whose steps takes a second, and its new tokens as they say, with cached prefixes."""
    steps = StepTime(LinearCost(1.0, token_s), LinearCost(0.0))
    engine = Engine(kv_blocks=300, prefix_caching=True, drafter=drafter, **limits)
    pool = Pool(lambda: Replica(steps, engine), 1, gpus_per_replica=2, power=POWER, drafter=drafter)
    return LlmNode(env, (pool,), Cloud(on_failure="lost"), Draws(1))


def test_a_prompt_that_is_cached_draws_the_time_that_it_is_served_and_no_tokens():
    env = Environment()
    node = _seconds(env)
    first = node.submit(1600, 51, prefix=("device", 1600))
    env.run(100)
    again = node.submit(1600, 51, prefix=("device", 1600))
    env.run(200)
    assert first.joules == pytest.approx(POWER.busy_joules(51.0, 1600 + 50))
    assert again.joules == pytest.approx(POWER.busy_joules(51.0, 16 + 50))  # one block of 16 is left to compute


def test_drafts_draw_power_and_a_cached_prompt_does_not_under_them_either():
    env = Environment()
    node = _seconds(env, Drafter((0.0, 0.0), flops_share=0.25))  # every token takes a step, with two drafts beside it
    for _ in range(2):
        ticket = node.submit(1600, 51, prefix=("device", 1600))
        env.run(env.now + 100)
    assert ticket.joules == pytest.approx(POWER.busy_joules(51.0, 16 * 1.25 + 50 * (3 + 2 * 0.25)))


def test_a_prompt_that_comes_back_from_host_memory_draws_while_it_is_brought():
    env = Environment()
    node = _seconds(env, token_s=0.01, host_blocks=600, host_block_s=0.004)
    node.submit(1600, 2, prefix=("device", 1600))
    env.run(100)
    node.submit(4790, 2, prefix=("another", 4790))  # takes all blocks of the GPUs
    env.run(200)
    back = node.submit(1600, 51, prefix=("device", 1600))
    env.run(300)
    seconds = 1.0 + 16 * 0.01 + 99 * 0.004 + 50 * 1.01  # all blocks but the last are brought, a token a step follows
    assert back.gpu_seconds / 2 == pytest.approx(seconds)
    assert back.joules == pytest.approx(POWER.busy_joules(seconds, 16 + 50))


def test_an_answer_that_is_broken_off_draws_what_it_has_got_to():
    env = Environment()
    node = _seconds(env)
    ticket = node.submit(1600, 51)
    env.run(20.5)
    node.close(20.5)
    assert ticket.joules == pytest.approx(POWER.busy_joules(20.5, 1600 + 19))  # a first token, and one in each second


def test_energy_is_paid_on_top_of_the_rent():
    env = Environment()
    node = _node(env, lambda: TimedReplica(4), usd_per_joule=0.01)
    ticket = node.submit(100, 10, service_s=5.0)
    env.run(10)
    assert ticket.joules == pytest.approx(POWER.busy_joules(5.0, 109))
    assert ticket.usd == pytest.approx(2 * 5.0 * 1.0 + ticket.joules * 0.01)


def test_a_replica_that_serves_nothing_draws_its_idle_power():
    env = Environment()
    node = _node(env, _stepping)
    env.run(10)
    assert (node.busy_joules, node.idle_joules) == (0.0, 10 * 2 * GPU.idle_power_w)
