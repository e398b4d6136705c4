"""Which replica each router picks."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetrec.simulator.cloud.node.choice import Ask, Choice
from fleetrec.simulator.cloud.node.routers.prefix_aware import PrefixAware
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Router
from tests.simulator.cloud.nodes import node_of, stepwise_pool

ROUTERS = Router.family.built_in()
ASK = Ask(0, 0, 0, 100, 10, 1, ("history", 100))


def _choice(
    *loads: float, down: tuple[int, ...] = (), kv: tuple[float, ...] = (), cached: dict[int, int] | None = None
) -> Choice:
    """Replicas with so many requests; `cached`: tokens of every prompt by the number of the replica that has them."""
    cached = cached or {}
    replicas = [
        SimpleNamespace(
            number=n,
            accepting=n not in down,
            load=load,
            kv_share=kv[n] if kv else 0.0,
            cached_tokens=lambda request, n=n: cached.get(n, 0),
        )
        for n, load in enumerate(loads)
    ]
    choice = Choice(replicas, Draws(1))
    choice.update()
    for replica in replicas:
        choice.loads.changed(replica)
    for n in cached:
        choice.sent(ASK.prefix[0], n)
    return choice


def _picks(router: str, choice: Choice, requests: int, devices: int = 10**9) -> list[int]:
    chosen = []
    for number in range(requests):
        chosen.append(ROUTERS[router]().choose(choice, Ask(number, 0, number % devices, 100, 10, 1, None)))
        choice.routed += 1
    return chosen


def test_round_robin_takes_turns_among_those_that_take_requests():
    assert _picks("round_robin", _choice(9, 0, 0, down=(1,)), 4) == [0, 2, 0, 2]


def test_random_gives_each_replica_its_share():
    counts = Counter(_picks("random", _choice(0, 0, 0, 0, down=(3,)), 3000))
    assert set(counts) == {0, 1, 2}
    assert min(counts.values()) > 900


def test_least_outstanding_takes_the_least_loaded_the_first_of_several():
    assert _picks("least_outstanding", _choice(3, 1, 0, 1, 0, down=(2,)), 1) == [4]
    assert _picks("least_outstanding", _choice(3, 1, 1), 1) == [1]


def test_least_kv_takes_the_emptiest_memory_then_the_least_loaded():
    assert _picks("least_kv", _choice(5, 1, 0, kv=(0.1, 0.2, 0.3)), 1) == [0]
    assert _picks("least_kv", _choice(5, 1, 4, kv=(0.3, 0.2, 0.2)), 1) == [1]


def test_a_device_keeps_its_replica_and_only_the_devices_of_a_lost_one_move():
    whole, without = _choice(*[0] * 8), _choice(*[0] * 8, down=(3,))
    homes, moved = _picks("device_affine", whole, 4000), _picks("device_affine", without, 4000)
    assert [a for a, b in zip(homes, moved, strict=True) if a != b] == [3] * homes.count(3)
    assert 3 not in moved
    assert min(Counter(homes).values()) > 400  # of 500 on average


def test_a_device_whose_places_are_all_down_goes_to_the_least_loaded():
    replicas = 2000
    choice = _choice(*[0] * replicas, down=tuple(range(replicas - 1)))
    assert _picks("device_affine", choice, 5) == [replicas - 1] * 5


def test_places_are_those_that_the_router_chooses_one_by_one():
    device = np.arange(200) % 7
    for name, router in ROUTERS.items():
        if router.in_bulk and name not in ("least_outstanding", "prefix_aware"):  # these say -1: the least loaded
            chosen = _picks(name, _choice(0, 0, 0, 0), 200, 7)
            assert router().places(device, 4, Draws(1)).tolist() == chosen


def test_a_cached_prefix_is_worth_a_longer_line_up_to_its_share_of_the_prompt():
    """Four requests against none: four fifths of the line weigh as much as four fifths of the prompt."""
    choose = PrefixAware().choose
    assert choose(_choice(4, 0, 0, cached={0: 90}), ASK) == 0
    assert choose(_choice(4, 0, 0, cached={0: 70}), ASK) == 1
    assert choose(_choice(4, 0, 0, cached={0: 80}), ASK) == 1  # equal: the less loaded
    assert choose(_choice(2, 1, 0, cached={0: 90, 1: 75}), ASK) == 1  # 0.9 - 2/3 against 0.75 - 1/2
    assert choose(_choice(4, 0, 0, down=(0,), cached={0: 90}), ASK) == 1
    assert PrefixAware(load_weight=0.5).choose(_choice(4, 0, 0, cached={0: 70}), ASK) == 0


def test_a_replica_far_above_the_least_loaded_gets_nothing_for_its_cache():
    choose = PrefixAware(load_weight=0.0, imbalance=3.0).choose
    assert choose(_choice(6, 1, 2, cached={0: 99}), ASK) == 0
    assert choose(_choice(7, 1, 2, cached={0: 99}), ASK) == 1


@settings(max_examples=60, deadline=None)
@given(
    loads=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    cached=st.dictionaries(st.integers(0, 5), st.integers(0, 99), max_size=6),
    weight=st.sampled_from([0.0, 0.5, 1.0]),
    imbalance=st.sampled_from([1.0, 2.0, 9.0]),
)
def test_those_that_were_sent_a_prefix_are_all_that_prefix_routing_has_to_look_at(loads, cached, weight, imbalance):
    cached = {n: tokens for n, tokens in cached.items() if n < len(loads)}

    def score(n):
        tokens = cached.get(n, 0) if loads[n] <= imbalance * (min(loads) + 1) else 0
        return tokens / 100 - weight * (loads[n] - min(loads)) / (loads[n] + 1), -loads[n], -n

    best = max(range(len(loads)), key=score)
    router = PrefixAware(load_weight=weight, imbalance=imbalance)
    assert router.choose(_choice(*loads, cached=cached), ASK) == best


def test_a_device_comes_back_to_its_prefix_and_leaves_it_when_the_replica_is_full_or_has_lost_its_memory():
    env, node = node_of(
        stepwise_pool(replicas=3, prefix_caching=True), router="prefix_aware", failures=None, on_failure="retry"
    )
    first = node.submit(64, 2, device=1)
    env.run()
    tickets = [node.submit(64, 2, prefix=("other", 48)), node.submit(64, 2, prefix=("mine", 48))]
    env.run()
    assert [first.replica, *(ticket.replica for ticket in tickets)] == [0, 0, 1]
    again = node.submit(80, 2, prefix=("mine", 64))
    env.run()
    assert (again.replica, again.job.cached_tokens) == (1, 48)
    lost = node.machines[1]
    node.machine_lost(lost)
    moved = node.submit(80, 2, prefix=("mine", 64))
    env.run()
    assert (moved.replica, moved.job.cached_tokens) == (0, 0)


@settings(max_examples=60, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.booleans()), max_size=300))
def test_the_index_of_loads_finds_what_a_scan_finds(changes):
    choice = _choice(0, 0, 0, 0, 0)
    for number, load, accepting in changes:
        replica = choice.replicas[number]
        replica.load, replica.accepting = load, accepting
        choice.loads.changed(replica)
        taking = [r for r in choice.replicas if r.accepting]
        if taking:
            assert choice.loads.least() == min(taking, key=lambda r: (r.load, r.number)).number


@pytest.mark.parametrize("router", sorted(ROUTERS))
def test_a_router_never_picks_a_replica_that_takes_no_requests(router):
    choice = _choice(0, 5, 0, 2, down=(0, 2))
    assert set(_picks(router, choice, 200)) <= {1, 3}
