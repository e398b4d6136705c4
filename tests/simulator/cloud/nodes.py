"""Nodes for tests: replicas whose requests bring their service time along, or whose every step takes one second."""

from functools import partial
from typing import Any

from simpy import Environment

from fleetrec.simulator.cloud.hardware.step_time import LinearCost, StepTime
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.node.llm_node import LlmNode
from fleetrec.simulator.cloud.replica.replica import Engine, Replica
from fleetrec.simulator.cloud.replica.timed_replica import TimedReplica
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Cloud


def timed_pool(slots: int = 1, **changes: Any) -> Pool:
    """Replicas of `slots` places."""
    return Pool(replica=partial(TimedReplica, slots), **changes)


def stepwise_pool(
    kv_blocks: int = 1000, max_sequences: int = 8, order: Any = None, prefix_caching: bool = False, **changes: Any
) -> Pool:
    """Replicas whose every step takes one second: a request alone takes as many as it generates tokens."""
    second = LinearCost(1.0)
    ordered = {"order": order} if order else {}
    engine = Engine(kv_blocks=kv_blocks, max_sequences=max_sequences, prefix_caching=prefix_caching, **ordered)
    return Pool(replica=partial(Replica, StepTime(second, second), engine), **changes)


def node_of(*pools: Pool, seed: int = 1, on_late_cost: Any = None, **cloud: Any) -> tuple[Environment, LlmNode]:
    """A node under the given rules, and its clock."""
    env = Environment()
    return env, LlmNode(env, pools, Cloud(**cloud), Draws(seed), on_late_cost)
