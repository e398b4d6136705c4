"""Which replica each router picks."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetrec.simulator.cloud.node.choice import Ask, Choice
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Router

ROUTERS = Router.family.built_in()


def _choice(*loads: float, down: tuple[int, ...] = (), kv: tuple[float, ...] = ()) -> Choice:
    replicas = [
        SimpleNamespace(number=n, accepting=n not in down, load=load, kv_share=kv[n] if kv else 0.0)
        for n, load in enumerate(loads)
    ]
    choice = Choice(replicas, Draws(1))
    choice.update()
    for replica in replicas:
        choice.loads.changed(replica)
    return choice


def _picks(router: str, choice: Choice, requests: int, devices: int = 10**9) -> list[int]:
    chosen = []
    for number in range(requests):
        chosen.append(ROUTERS[router]().choose(choice, Ask(number, 0, number % devices, 100, 10, 1)))
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
        if router.in_bulk and name != "least_outstanding":
            chosen = _picks(name, _choice(0, 0, 0, 0), 200, 7)
            assert router().places(device, 4, Draws(1)).tolist() == chosen


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
