"""The arrays of a node that compiled code runs in a world (live.py), and what comes of them in an LlmNode."""

import math
from collections.abc import Sequence
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.cloud.compiled.serving import (
    Load,
    drawn_joules,
    fits,
    known_replicas,
    pools_at,
    replica_rows,
)
from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.node.llm_node import LlmNode
from fleetrec.simulator.cloud.replica.replica import Replica
from fleetrec.simulator.scenario.sections import Cloud

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def known_live(pools: Sequence[Pool], cloud: Cloud, tokens: Ints) -> list[Replica] | None:
    """One replica of each pool, where compiled code knows all that they do in a world whose requests have these tokens
    [N x 3] (of the prompt, of each sequence, and how many of these); None where an LlmNode must serve."""
    replicas = known_replicas(pools, cloud)
    if replicas is None or cloud.router.counts_requests or any(pool.link or pool.decodes for pool in pools):
        return None
    prompt, output, sequences = tokens.T
    none, zeros = np.zeros(len(tokens), dtype=np.int64), np.zeros(len(tokens))
    load = Load(zeros, prompt, output, sequences, none, zeros, none, none, zeros)
    plain = all(
        replica.engine.order.by_arrival and not replica.engine.prefix_caching and fits(replica.engine, load)
        for replica in replicas
    )
    return replicas if plain else None


class RunningNode:
    """What an LlmNode is asked in a world that compiled code runs."""

    def __init__(
        self, code: ModuleType, replicas: Sequence[Replica], pools: Sequence[Pool], cloud: Cloud, node: LlmNode
    ):
        """`code` of the world; one of `replicas` for each of `pools`; `node` is told at the end."""
        self._code, self._pools, self._node = code, pools, node
        live, c = code.live, code.jobs
        self._counts = counts = [pool.replicas for pool in pools]
        state, times, kinds = replica_rows(code.jobs, code.kind_row, replicas, counts)
        self._timeline = node.timeline_handed_over()
        of_node = np.zeros(live.N_NODE, dtype=np.int64)
        of_node[live.LIMIT], of_node[live.ABORT] = min(cloud.queue_limit, 2**62), cloud.abort_on_timeout
        speed = np.repeat(np.array([pool.speed for pool in pools], dtype=np.float64), counts)
        requests = np.zeros((0, c.N_JOB), dtype=np.int64), np.zeros((0, c.N_JOB_TIMES))
        no_prefixes = np.zeros((1, 8), dtype=np.int64)
        none, no_times = np.zeros(0, dtype=np.int64), np.zeros(0)
        events = no_times, none, none, no_times
        self.arrays = live.Node(
            *(of_node, state, times, *requests, kinds, no_prefixes, *self._timeline),
            *(speed, np.zeros(sum(counts)), np.full(1, math.inf), *events, *events),
            *(np.zeros((0, 2), dtype=np.int64), np.zeros((0, live.N_SETTLED))),
        )

    def make_room(self, rows: int, waking: int) -> None:
        """Room for `rows` requests under way, and for the events of these and of `waking` devices."""
        n, live = self.arrays, self._code.live
        events = 2 * (int(n.N[self._code.node.EVENTS]) + waking) + 8 * rows + len(n.S) + 256
        late = 2 * int(n.N[live.LATE] + n.N[live.FRESH]) + 4 * rows
        self.arrays = n._replace(
            J=longer(n.J, rows),
            T=longer(n.T, rows),
            **{name: longer(getattr(n, name), events) for name in ("times", "numbers", "what", "value")},
            **{name: longer(getattr(n, name), late) for name in ("late_s", "late", "late_row", "none")},
            fresh=longer(n.fresh, 2 * rows),
            settled=longer(n.settled, 65_536 + 4 * rows),
        )

    def bills(self, places: Ints, share_s: Floats, passed: Floats) -> tuple[Floats, Floats, Floats]:
        """GPU seconds, dollars and joules of requests that used `share_s` of the time of replicas at these places (-1:
        at none) for so many tokens, as `LlmTicket.bill` has them."""
        pool_of, gpu_seconds, usd = pools_at(self._counts, places), np.zeros(len(places)), np.zeros(len(places))
        joules = drawn_joules(self._pools, pool_of, share_s, passed)
        for number, pool in enumerate(self._pools):
            rows = np.flatnonzero(pool_of == number)
            gpu_seconds[rows] = share_s[rows] * pool.gpus_per_replica
            usd[rows] = gpu_seconds[rows] * pool.rent_usd + joules[rows] * pool.usd_per_joule
        return gpu_seconds, usd, joules

    def take_settled(self) -> None:
        """Requests that have left the node are on its account; what was told of them may be forgotten."""
        n, live = self.arrays, self._code.live
        rows = n.settled[: n.N[live.SETTLED]]
        pool_of = pools_at(self._counts, rows[:, live.PLACE].astype(np.int64))
        joules = drawn_joules(self._pools, pool_of, rows[:, live.SHARE], rows[:, live.PASSED])
        self._node.busy_joules = float(np.cumsum(np.append(self._node.busy_joules, joules))[-1])  # one by one
        n.N[live.SETTLED] = 0

    def tell(self) -> None:
        """All has ended: the node has counted what compiled code has."""
        n, live, c = self.arrays, self._code.live, self._code.jobs
        counts = {name: int(n.N[live.OUTCOMES_TOLD + number]) for number, name in self._code.node.OUTCOMES.items()}
        self._node.take_over(
            {name: count for name, count in counts.items() if count},
            int(n.N[live.SUBMITTED]),
            (int(n.N[live.PROMPT_TOKENS]), int(n.N[live.OUTPUT_TOKENS])),
            self._timeline[:2],
            n.X[:, c.BUSY_S].tolist(),
            n.S[:, [c.PREEMPTIONS, c.PASSED]].tolist(),
        )


def longer(values: NDArray[np.generic], rows: int) -> NDArray[np.generic]:
    """The same with room for so many rows."""
    if len(values) >= rows:
        return values
    return np.concatenate([values, np.zeros((rows - len(values), *values.shape[1:]), dtype=values.dtype)])
