"""Requests known before, served in compiled code instead of by an LlmNode, with what it would have counted."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import ModuleType, SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.cloud.node.cluster import Pool
from fleetrec.simulator.cloud.node.llm_node import LlmNode
from fleetrec.simulator.cloud.node.routers.prefix_aware import PrefixAware
from fleetrec.simulator.cloud.replica.jobs import Engine
from fleetrec.simulator.cloud.replica.replica import Replica
from fleetrec.simulator.scenario.sections import Cloud, QueueOrder

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Load:
    """Requests in order of arrival; all arrays [N]."""

    arrival_s: Floats
    prompt_tokens: Ints
    output_tokens: Ints
    sequences: Ints
    device: Ints
    priority: Floats
    prefix_start: Ints
    prefix_tokens: Ints
    deadline_s: Floats


@dataclass(frozen=True)
class Fates:
    """What became of them; arrays [N], NaN where it did not happen."""

    started_s: Floats
    first_token_s: Floats
    ended_s: Floats
    """when those that got all their tokens had them"""
    preemptions: Ints
    joules: Floats
    kv_shares: Floats
    """share of all KV cache in use at every so-manieth arrival"""
    end_s: float
    """when the last was told"""


def known(pools: Sequence[Pool], cloud: Cloud, load: Load) -> list[Replica] | None:
    """One replica of each pool, where compiled code knows all that they do; None where the node itself must serve."""
    replicas, splits = known_replicas(pools, cloud), any(pool.decodes for pool in pools)
    if replicas is None or any((pool.link is not None) == (pool.decodes or not splits) for pool in pools):
        return None
    for pool, replica in zip(pools, replicas, strict=True):
        if not fits(replica.engine, load if not splits or pool.decodes else _prompts(load)):
            return None
    in_time = bool((load.deadline_s > load.arrival_s * (1 + 1e-9)).all())  # a request that comes late is not routed
    return replicas if in_time else None


def known_replicas(pools: Sequence[Pool], cloud: Cloud) -> list[Replica] | None:
    """One replica of each pool, where compiled code knows what these do, and how requests come to them."""
    kinds = [pool.replica() for pool in pools]
    replicas = [kind for kind in kinds if isinstance(kind, Replica) and _known(kind.engine)]
    router, admission = cloud.router, cloud.admission
    by_rules = router.in_bulk and admission.limit_alone and not (router.is_own() or admission.is_own())
    changing = any(pool.autoscale or pool.spot or pool.pace is not None for pool in pools)
    if len(replicas) < len(kinds) or not by_rules or changing or cloud.failures is not None:
        return None
    return replicas if len({id(type(one.engine.order)) for one in replicas}) == 1 else None


def _prompts(load: Load) -> Load:
    """What replicas see of requests whose prompts they compute for others."""
    apart = load.output_tokens > 1
    outputs, sequences = np.where(apart, 1, load.output_tokens), np.where(apart, 1, load.sequences)
    return replace(load, output_tokens=outputs, sequences=sequences)


def _known(engine: Engine) -> bool:
    order = engine.order
    keyed = not order.is_own() and type(order).start is QueueOrder.start
    return keyed and not (engine.host_blocks or engine.drafter)


def fits(engine: Engine, load: Load) -> bool:
    """Whether each request fits the memory and the batch alone; where one does not, the node says so."""
    block = engine.block_tokens
    last = load.prompt_tokens + np.maximum(load.output_tokens, 1) - 1
    shared = np.minimum(last, load.prompt_tokens) // block
    blocks = shared + load.sequences * -((shared * block - last) // block)
    if engine.window_share:
        window = -(-engine.window_tokens // block) + 1
        first = np.minimum(window, -(-(load.prompt_tokens + load.output_tokens) // block))
        further = np.minimum(window, -(-load.output_tokens // block) + 1)
        blocks = blocks + np.ceil(engine.window_share * (first + (load.sequences - 1) * further))
    return bool((blocks <= engine.kv_blocks).all() and (load.sequences <= engine.max_sequences).all())


def _keys(order: QueueOrder, load: Load) -> Floats:
    """Where each stands in the replicas' order."""
    n = len(load.arrival_s)
    if order.by_arrival:
        return np.zeros(n)
    columns = zip(load.prompt_tokens, load.output_tokens, load.sequences, load.priority, load.device, strict=True)
    names = ("prompt_tokens", "output_tokens", "sequences", "priority", "device")
    seen = (SimpleNamespace(**dict(zip(names, row, strict=True)), tenant=0) for row in columns)
    return np.fromiter((order.key(one) for one in seen), dtype=np.float64, count=n)


class CompiledNode(LlmNode):
    """A node whose requests are all known when it begins: what an LlmNode does with them one by one, at once."""

    def serve(self, code: ModuleType, kinds: Sequence[Replica], load: Load, every: int) -> Fates:
        """All requests, until the last has been told; see `known` for `kinds`. Then nothing is open."""
        c, pools, cloud = code.c, self._cluster.pools, self._cloud
        counts = [pool.replicas for pool in pools]
        n = len(load.arrival_s)
        replicas, times, rows = replica_rows(c, code.kind_row, kinds, counts)
        first = sum(pool.replicas for pool in pools if not pool.decodes)
        splits = first < sum(counts)
        times[:, c.LINK_FREE_S] = -math.inf
        for column, name in ((c.LINK_TOKEN_S, "token_s"), (c.LINK_LATENCY_S, "latency_s")):
            times[:, column] = np.repeat([getattr(pool.link, name, 0.0) for pool in pools], counts)
        jobs, job_times = _jobs(c, load, kinds[0].engine.order, splits)
        memory = _memory(code, load, jobs, replicas)
        router, scores = cloud.router, (0.0, 0.0)
        assigned = np.asarray(router.places(load.device, first, self._draws), dtype=np.int64)
        if isinstance(router, PrefixAware):
            assigned, scores = np.full(n, code.BY_PREFIX), (router.load_weight, router.imbalance)
        speed = np.repeat(np.array([pool.speed for pool in pools], dtype=np.float64), counts)
        free = np.zeros((-(-n // every), sum(counts)), dtype=np.int64)
        timeline = self.timeline_handed_over()
        rules = (assigned, speed, *scores, min(cloud.queue_limit, 2**62), cloud.abort_on_timeout)
        end_s, order = code.serve(*rules, replicas, times, jobs, job_times, rows, memory, *timeline, every, free, first)

        joules = _joules(c, pools, counts, jobs, job_times)
        started = ~np.isnan(job_times[:, c.STARTED_S])
        decodes = jobs[:, c.ROLE] == c.DECODES
        ends = np.bincount(jobs[:n, c.OUTCOME], minlength=1 + len(code.OUTCOMES)).tolist()
        prompt_tokens = int(jobs[started & ~decodes, c.PROMPT].sum())
        output_tokens = int((jobs[:, c.OUTPUT] * jobs[:, c.WIDTH] - decodes)[started].sum())
        self.busy_joules = float(np.cumsum(np.append(0.0, joules[order]))[-1])  # one by one, as requests leave
        self.take_over(
            {name: ends[number] for number, name in code.OUTCOMES.items() if ends[number]},
            n,
            (prompt_tokens, output_tokens),
            timeline[:2],
            times[:, c.BUSY_S].tolist(),
            replicas[:, [c.PREEMPTIONS, c.PASSED]].tolist(),
        )
        if end_s > self.env.now:
            self.env.run(until=end_s)

        shares = (replicas[:, c.KV_BLOCKS] - free) / replicas[:, c.KV_BLOCKS]
        return Fates(
            job_times[:n, c.STARTED_S],
            np.where(started, job_times[:, c.FIRST_S], math.nan)[:n],
            np.where(jobs[:n, c.OUTCOME] == code.COMPLETED, job_times[:n, c.TOLD_S], math.nan),
            jobs[jobs[:n, c.NEWEST], c.TIMES],
            joules[:n] + joules[n:] if splits else joules,
            shares.mean(axis=1),
            end_s,
        )


def _jobs(c: ModuleType, load: Load, order: QueueOrder, splits: bool) -> tuple[Ints, Floats]:
    """The rows of requests that have not come. Where prompts are computed by others than what follows (`splits`), the
    rows of what goes on from them stand behind those of the prompts."""
    n = len(load.arrival_s)
    rows = 2 * n if splits else n
    jobs, times = np.zeros((rows, c.N_JOB), dtype=np.int64), np.zeros((rows, c.N_JOB_TIMES))
    jobs[:n, c.PROMPT] = jobs[:n, c.PREFILL] = load.prompt_tokens
    jobs[:n, c.OUTPUT], jobs[:n, c.WIDTH], jobs[:n, c.MACHINE] = load.output_tokens, load.sequences, c.NOBODY
    times[:, [c.STARTED_S, c.FIRST_S, c.ENDED_S, c.TOLD_S]] = math.nan
    times[:n, c.KEY], times[:n, c.ARRIVED_S] = _keys(order, load), load.arrival_s
    times[:n, c.DEADLINE_S] = load.deadline_s
    jobs[:n, c.NEWEST] = np.arange(n)
    if splits:
        prompts = _prompts(load)
        jobs[n:], times[n:] = jobs[:n], times[:n]
        jobs[n:, c.ROLE], jobs[n:, c.GENERATED], jobs[n:, c.CACHED] = c.DECODES, 1, load.prompt_tokens
        jobs[:n, c.OUTPUT], jobs[:n, c.WIDTH] = prompts.output_tokens, prompts.sequences
        jobs[:n, c.ROLE] = np.where(load.output_tokens > 1, c.PREFILLS_ALONE, c.BOTH)
        times[:n, c.KEY] = _keys(order, prompts)
    return jobs, times


def _memory(code: ModuleType, load: Load, jobs: Ints, replicas: Ints) -> Ints:
    """The table of prefixes, as large as it may become; only rows that are used take memory. `jobs` get their keys."""
    c = code.c
    if not replicas[:, c.CACHING].any():
        return np.zeros((1, code.ROW), dtype=np.int64)
    rows = np.flatnonzero(load.prefix_start >= 0)
    device, start = load.device[rows], load.prefix_start[rows]
    if device.min(initial=0) < 0 or max(device.max(initial=0), start.max(initial=0)) >= 2**31:
        device, start = (np.unique(column, return_inverse=True)[1] for column in (device, start))
    keys, key = np.unique(device * 2**31 + start, return_inverse=True)
    for half in range(0, len(jobs), len(load.device)):
        jobs[half + rows, c.PREFIX], jobs[half + rows, c.PREFIX_TOKENS] = 1 + key, load.prefix_tokens[rows]
    most = 2 * int(replicas[:, c.KV_BLOCKS].sum()) + int(replicas[:, c.MOST].sum()) + len(replicas)
    memory = np.zeros((1 + len(keys) + most + 1, code.ROW), dtype=np.int64)
    memory[0, 0] = len(keys)  # the rows behind are free
    return memory


def replica_rows(
    c: ModuleType, kind_row: Callable[..., Floats], kinds: Sequence[Replica], counts: Sequence[int], ring: int = 0
) -> tuple[Ints, Floats, Floats]:
    """The rows of replicas that are empty, so many of each kind, and of the kinds. `c` and `ring`: see columns;
    `kind_row`: see timing."""
    engines = [kind.engine for kind in kinds]
    most = max(engine.max_sequences for engine in engines)
    lists, width = c.replica_columns(max(engine.block_tokens for engine in engines), most, ring)
    replicas, times = np.zeros((sum(counts), width), dtype=np.int64), np.zeros((sum(counts), c.N_TIMES))
    scored = max(engine.max_sequences * (1 + (engine.drafter.tokens if engine.drafter else 0)) for engine in engines)
    limits, rows = [], []
    drafting: list[Floats] = []
    for kind, (replica, engine) in enumerate(zip(kinds, engines, strict=True)):
        drafter = engine.drafter
        drafts = drafter is not None and drafter.steps is not None
        limits.append(
            [
                *(engine.max_batched_tokens, engine.max_sequences, engine.block_tokens, engine.kv_blocks),
                *(engine.window_tokens, engine.separate_prefill, engine.reserve_output, engine.async_scheduling),
                *(engine.prefix_caching, kind, 1 if drafter is None else 1 + drafter.tokens),
                len(kinds) + len(drafting) if drafts else c.NOBODY,
            ]
        )
        lookup_s = 0.0 if drafter is None else drafter.lookup_s
        rows.append(kind_row(replica.timing, engine.window_share, scored, lookup_s))
        if drafter is not None and drafter.steps is not None:
            drafting.append(kind_row(drafter.steps, 0.0, scored))
    replicas[:, : c.N_ENGINE] = np.repeat(np.array(limits, dtype=np.int64), counts, axis=0)
    replicas[:, c.FREE], replicas[:, c.RING] = replicas[:, c.KV_BLOCKS], ring
    replicas[:, [c.LINE, c.FRESH, c.FRESH_LAST, c.PARTIAL, c.LEFT, c.LEFT_LAST]] = c.NOBODY
    replicas[:, c.AT_ENDS : c.AT_OPENED + 1] = lists
    times[:, [c.END_S, c.ARMED_S]] = math.inf
    return replicas, times, np.stack([*rows, *drafting])


def _joules(c: ModuleType, pools: Sequence[Pool], counts: Sequence[int], jobs: Ints, job_times: Floats) -> Floats:
    """Joules of each request, as `LlmTicket.bill` has them."""
    passed = np.maximum(np.minimum(jobs[:, c.COMPUTED], jobs[:, c.PROMPT]) - jobs[:, c.CACHED], 0)
    tokens = passed + jobs[:, c.WIDTH] * np.maximum(jobs[:, c.GENERATED] - 1, 0)
    return drawn_joules(pools, pools_at(counts, jobs[:, c.MACHINE]), job_times[:, c.SHARE_S], tokens.astype(np.float64))


def pools_at(counts: Sequence[int], places: Ints) -> Ints:
    """Numbers of the pools that replicas at these places are of, where each has so many; -1 where the place is -1."""
    return np.where(places >= 0, np.repeat(np.arange(len(counts)), counts)[places], -1)


def drawn_joules(pools: Sequence[Pool], pool_of: Ints, share_s: Floats, tokens: Floats) -> Floats:
    """What requests [N] drew that used `share_s` of a replica's time of their pool (-1: of none) for so many tokens."""
    joules = np.zeros(len(pool_of))
    for number, pool in enumerate(pools):
        rows = np.flatnonzero((pool_of == number) & (share_s > 0))
        if pool.power is not None:
            joules[rows] = pool.power.drawn_joules(share_s[rows], tokens[rows])
    return joules
