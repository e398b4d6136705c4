"""Routers, queue orders and admission of the user's own, at a node."""

import sys
from pathlib import Path
from typing import Any

import pytest

from fleetrec import InputError
from fleetrec.simulator.scenario import sections
from tests.simulator.cloud.nodes import node_of, stepwise_pool
from tests.simulator.own_file import own_file

LEAST = """\
from fleetrec import Router


class Mine(Router):
    allowance: int = 0

    def choose(self, cluster, request):
        return min(cluster.accepting, key=lambda one: (one.load - self.allowance, one.number)).number
"""
SHORTEST = """\
class Mine:
    sign: float = 1.0

    def key(self, request):
        return self.sign * request.prompt_tokens
"""


def named(folder: Path, source: str) -> str:
    return f"{own_file(folder, source)}:Mine"


def served(**cloud: Any) -> list[tuple[int, float]]:
    """Replica and end of forty requests of many lengths at three replicas of two places each."""
    env, node = node_of(stepwise_pool(replicas=3, max_sequences=2), **cloud)
    tickets = [node.submit(1 + (7 * n) % 11, 1 + (5 * n) % 13, device=n % 9) for n in range(40)]
    env.run()
    return [(ticket.replica, ticket.t_finished_s) for ticket in tickets]


def test_an_own_router_sends_where_the_built_in_one_of_its_rule_does(tmp_path: Path) -> None:
    own, built_in, other = (served(router=router) for router in (named(tmp_path, LEAST), "least_outstanding", "random"))
    assert own == built_in != other


def test_an_own_order_admits_as_the_built_in_one_of_its_rule_does(tmp_path: Path) -> None:
    """And the other way round with its key."""
    name = named(tmp_path, SHORTEST)
    own, built_in, longest = (_ends(order) for order in (name, "shortest_prompt", {"kind": name, "sign": -1}))
    assert own == built_in
    assert own[0] < own[2] < own[1]
    assert longest[1] < longest[2] < longest[0]


def _ends(order: Any) -> list[float]:
    """Of requests of 2, 9 and 5 prompt tokens that wait behind one at a replica of one place."""
    cloud = sections.Cloud(order=order)
    env, node = node_of(stepwise_pool(max_sequences=1, order=cloud.order))
    node.submit(3, 3)
    tickets = [node.submit(tokens, 2) for tokens in (2, 9, 5)]
    env.run()
    return [ticket.t_finished_s for ticket in tickets]


def test_a_router_knows_prices_pools_lines_and_memory_as_they_are_now(tmp_path: Path) -> None:
    source = """\
SEEN = []


class Mine:
    def choose(self, cluster, request):
        SEEN.append([tuple(getattr(one, name) for name in NAMES) for one in cluster.replicas])
        assert cluster.routed == request.number
        assert 0 < cluster.uniform("coin", request.number) < 1
        return 0


NAMES = ("number", "pool_name", "usd_per_hour", "waiting", "outstanding")
"""
    router = sections.Cloud(router=named(tmp_path, source)).router
    pools = [stepwise_pool(max_sequences=1, rent_usd=usd / 3600, name=name) for name, usd in (("a", 1.0), ("b", 4.0))]
    env, node = node_of(*pools, router=router)
    for _ in range(3):
        node.submit(5, 3)
        env.run(until=env.now + 0.5)
    seen = sys.modules[type(router).__module__].SEEN
    assert [[one[:3] for one in moment] for moment in seen] == [[(0, "a", 1.0), (1, "b", 4.0)]] * 3
    assert [moment[0][3:] for moment in seen] == [(0, 0), (0, 1), (1, 2)]
    assert [moment[1][3:] for moment in seen] == [(0, 0)] * 3


WRONG: dict[str, tuple[str, str]] = {
    "raises": ("return 1 // 0", r"mine\.py:4: ZeroDivisionError"),
    "nothing": ("pass", r"mine\.py:2: Mine\.METHOD returned None; return"),
    "a word": ("return 'first'", r"mine\.py:2: Mine\.METHOD returned 'first'; return"),
    "prints": ("print(1)\n        return 0", r"mine\.py:4: prints, and standard output is for results"),
    "random": (
        "import random\n        return int(random.random() > 2)",
        r"mine\.py:2: Mine\.METHOD: changes the global",
    ),
}
METHODS = {
    "router": "choose(self, cluster, request)",
    "order": "key(self, request)",
    "admission": "admits(self, arrival)",
}


@pytest.mark.parametrize("key", METHODS)
@pytest.mark.parametrize("mistake", WRONG)
def test_what_may_not_be_done_there_ends_with_one_line(mistake: str, key: str, tmp_path: Path) -> None:
    body, expected = WRONG[mistake]
    method, source = METHODS[key], f"# of mine\nclass Mine:\n    def METHOD:\n        {body}\n"
    cloud = sections.Cloud(**{key: named(tmp_path, source.replace("METHOD", method))})
    _, node = node_of(stepwise_pool(order=cloud.order), router=cloud.router, admission=cloud.admission)
    expected = expected.replace("METHOD", method.split("(")[0])
    with pytest.raises(InputError, match=expected) as told, sections.silent(cloud):
        node.submit(3, 3)
    assert "\n" not in str(told.value)


PATIENT = """\
from fleetrec import Admission


class Mine(Admission):
    margin: float = 1.0

    def admits(self, arrival):
        ahead = arrival.waiting_there + 1 if arrival.must_wait else 0
        expected_s = arrival.service_s * (1 + ahead / max(arrival.running_there, 1))
        assert expected_s == arrival.expected_s
        return expected_s * self.margin <= arrival.time_left_s
"""


def test_an_own_admission_turns_away_whom_the_built_in_one_of_its_rule_does(tmp_path: Path) -> None:
    name = named(tmp_path, PATIENT)
    own, built_in, lax = (_outcomes(rule) for rule in (name, "deadline", {"kind": name, "margin": 0.5}))
    assert own == built_in
    assert 0 < lax.count("rejected") < own.count("rejected") < len(own)


def _outcomes(admission: Any) -> list[str]:
    """Of forty requests within 20 s, one after the other, at two replicas of two places each."""
    env, node = node_of(stepwise_pool(replicas=2, max_sequences=2), admission=admission)
    tickets = []
    for n in range(40):
        tickets.append(node.submit(1 + (7 * n) % 11, 1 + (5 * n) % 13, deadline_s=env.now + 20.0, device=n % 9))
        env.run(until=env.now + 0.5)
    env.run()
    return [ticket.served.outcome for ticket in tickets]


def test_admission_knows_the_request_and_draws_for_it_alone_and_is_not_asked_above_the_queue_limit(
    tmp_path: Path,
) -> None:
    source = """\
SEEN = []


class Mine:
    def admits(self, arrival):
        SEEN.append((arrival.number, arrival.device, arrival.prompt_tokens, arrival.output_tokens, arrival.waiting))
        assert arrival.queue_limit == 2
        assert arrival.uniform("coin") == arrival.uniform("coin") != arrival.uniform("another")
        return arrival.number != 1
"""
    admission = sections.Cloud(admission=named(tmp_path, source)).admission
    _, node = node_of(stepwise_pool(max_sequences=1), admission=admission, queue_limit=2)
    tickets = [node.submit(5 + n, 3, device=9 - n) for n in range(5)]
    assert sys.modules[type(admission).__module__].SEEN == [(0, 9, 5, 3, 0), (1, 8, 6, 3, 1), (2, 7, 7, 3, 1)]
    assert [ticket.served and ticket.served.outcome for ticket in tickets] == [
        None,
        "rejected",
        None,
        "rejected",
        "rejected",
    ]


@pytest.mark.parametrize("key", ["10**400", "1j", "float('nan')"])
def test_what_cannot_be_compared_is_no_key(key: str, tmp_path: Path) -> None:
    source = f"class Mine:\n    def key(self, request):\n        return {key}\n"
    _, node = node_of(stepwise_pool(order=sections.Cloud(order=named(tmp_path, source)).order))
    with pytest.raises(InputError, match=r"return a number, the smallest for the first to go"):
        node.submit(3, 3)


def test_a_router_cannot_change_which_replicas_take_requests(tmp_path: Path) -> None:
    source = "class Mine:\n    def choose(self, cluster, request):\n        return cluster.accepting.pop().number\n"
    _, node = node_of(stepwise_pool(replicas=2), router=named(tmp_path, source))
    with pytest.raises(InputError, match=r"mine\.py:3: AttributeError: 'tuple' object has no attribute 'pop'"):
        node.submit(3, 3)


@pytest.mark.parametrize("what", ["accepting[0].usd_per_hour", "replicas[0].pool", "accepting[0].state", "routed"])
def test_a_router_can_read_what_it_chooses_from_and_not_set_it(what: str, tmp_path: Path) -> None:
    source = f"class Mine:\n    def choose(self, cluster, request):\n        cluster.{what} = 3\n        return 0\n"
    _, node = node_of(stepwise_pool(replicas=2), router=named(tmp_path, source))
    with pytest.raises(InputError, match=r"mine\.py:3: AttributeError: .* of what it is handed can only be read"):
        node.submit(3, 3)


def test_replicas_that_cache_a_prefix_are_those_of_the_cluster_and_can_only_be_read(tmp_path: Path) -> None:
    source = """\
class Mine:
    def choose(self, cluster, request):
        for replica in cluster.caching(request):
            assert replica is cluster.accepting[1]
            replica.number = 0
        return 1
"""
    _, node = node_of(stepwise_pool(replicas=2), router=named(tmp_path, source))
    node.submit(30, 3, prefix=("a", 30))
    with pytest.raises(InputError, match=r"mine\.py:5: AttributeError: 'number' of what it is handed can only be read"):
        node.submit(30, 3, prefix=("a", 30))


@pytest.mark.parametrize("number", ["-1", "2", "True", "float('nan')"])
def test_a_replica_that_takes_no_requests_is_no_answer(number: str, tmp_path: Path) -> None:
    source = f"class Mine:\n    def choose(self, cluster, request):\n        return {number}\n"
    _, node = node_of(stepwise_pool(replicas=2), router=named(tmp_path, source))
    with pytest.raises(InputError, match=r"return the number of a replica in cluster\.accepting"):
        node.submit(3, 3)
