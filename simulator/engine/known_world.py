"""A world whose requests are known ahead, lived by compiled code in place of SimPy's processes, to the same bytes.

Known are policies with a plan (`AskPlan`), devices whose weights stay as they are and whose users have what the log
says, and an LLM node of plain replicas. All else is lived by `device.py` and `request_process.py`, as is everything
where there is too little to do, or no compiler.
"""

import math
from array import array
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.cloud.compiled.running import RunningNode, known_live, longer
from fleetrec.simulator.core.machine_code import Demand
from fleetrec.simulator.core.randomness import seed_of
from fleetrec.simulator.engine.cloud_service import LlmService, Service
from fleetrec.simulator.engine.context import Rules
from fleetrec.simulator.fleet.message_sizes import ITEM_ID_BYTES, OVERHEAD_BYTES, Messages
from fleetrec.simulator.policies.request.budget import Budget
from fleetrec.simulator.preparation.prepare import Prepared
from fleetrec.simulator.records.recorder import Recorder
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.sections.request import AskPlan, Planned, RunningRequestPolicy

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

CODE = "fleetrec.simulator.engine.compiled.world"
DEMAND = Demand(CODE, "devices are lived without compiled code", pays=30_000, pays_to_compile=1_000_000)
"""in interactions"""
ROWS = 4096
"""requests under way for which there is room at first"""
TOLD_AT_ONCE = 65_536
"""interactions, about, after which what has happened is handed over"""
_NONE, _NO_TIMES = np.zeros(0, dtype=np.int64), np.zeros(0)


@dataclass(frozen=True)
class Lives:
    """What devices do in a run, besides what `Prepared` says of them."""

    rules: Rules
    policy: RunningRequestPolicy
    joining: Bools
    """[D] whether each decides as it joins"""
    flops: float
    """of a ranking"""
    next_tie: "array[int]"
    """[S] see Device"""
    budget: Budget
    messages: Messages
    timeout_s: float
    stores_lists: bool


def known_world(
    policy: sections.Policy,
    cloud: sections.Cloud,
    prepared: Prepared,
    service: Service,
    recorder: Recorder,
    lives: Lives,
    pushes: bool,
) -> "KnownWorld | None":
    """The world, where all of it is known and there is enough to do; else None. `pushes`: whether the cloud sends
    lists unasked."""
    rules, network = lives.rules, prepared.population.network
    sleeps = rules.skips and not rules.looks_ahead and not policy.update.learns
    planned = isinstance(lives.policy, Planned) and not policy.request.is_own()
    if not (sleeps and planned and type(service) is LlmService) or pushes or network.has_traces:
        return None
    population = prepared.population
    steps = int((population.first_step + population.end_row - population.first_row).max(initial=0))
    tokens = service.reader.tokens_by_step(steps)
    if tokens is None or cloud.prefix_caching:
        return None
    replicas = known_live(service.pools, cloud, tokens)
    code = None if replicas is None else DEMAND.code(int(population.n_interactions.sum()))
    if replicas is None or code is None:
        return None
    assert isinstance(lives.policy, Planned)
    plan = lives.policy.plan(population.first_step - 1)
    places = sum(pool.replicas for pool in service.pools)
    assigned = cloud.router.places(np.arange(population.n_devices), places, prepared.draws)
    node = RunningNode(code, replicas, service.pools, cloud, service.node)
    return KnownWorld(code, prepared, service, recorder, lives, plan, tokens, assigned, node)


class KnownWorld:
    """Devices, links, requests and the node as arrays, and how far they have come."""

    decisions: Ints
    """[D] of each device, once the world has ended"""
    joules: Floats
    """[D] what each device's rankings and radio have used, once the world has ended"""

    def __init__(
        self,
        code: ModuleType,
        prepared: Prepared,
        service: LlmService,
        recorder: Recorder,
        lives: Lives,
        plan: AskPlan,
        tokens: Ints,
        assigned: Ints,
        node: RunningNode,
    ):
        """See `known_world`; `tokens` [steps x 3] of requests by step, `assigned` [D] the replica of each device's."""
        self._code, self._service, self._recorder, self._node = code, service, recorder, node
        c, population = code.c, prepared.population
        stream, presence = population.stream, population.presence
        self._joins_s, self._horizon_s = presence.joined_s.astype(np.float64), stream.horizon_s
        self._longest = int((population.end_row - population.first_row).max(initial=0))
        buckets = int(stream.horizon_s / code.BUCKET_S) + 2
        self._fleet = c.Fleet(
            *_devices(c, prepared, lives),
            *_rules(c, lives, plan, prepared),
            _own(stream.t_s, np.float64),
            _own(lives.next_tie, np.int32),
            _own(plan.next_ask, np.int32),
            _own(plan.asks, np.bool_),
            _own(lives.joining, np.bool_),
            _own(plan.asks_joining, np.bool_),
            _own(population.first_row, np.int64),
            _own(presence.offsets, np.int64),
            _own(presence.edges_s, np.float64),
            _own(tokens, np.int64),
            _own(assigned, np.int64),
            np.full(buckets, c.NOBODY),
            np.zeros(buckets, dtype=np.int64),
        )
        spread = 2 * self._longest + 16
        told = TOLD_AT_ONCE + 2 * spread
        self._told = c.Told(
            np.zeros(c.N_COUNTS, dtype=np.int64),
            np.zeros(2),
            np.zeros((told, c.N_RUN)),
            np.zeros((told, c.N_SLATES)),
            np.zeros((0, c.N_RECORDED)),
            np.zeros((TOLD_AT_ONCE, c.N_CAME)),
        )
        nothing = np.zeros(0, dtype=np.int64)
        self._requests = c.Requests(
            np.zeros((0, c.N_REQUEST), dtype=np.int64), np.zeros((0, c.N_REQUEST_TIMES)), nothing, nothing
        )
        self._make_room(ROWS)
        recorder.slates.in_use = lambda: self._fleet.D[:, [c.SHOWN_SLATE, c.NEXT_SLATE]].ravel()

    # ------------------------------------------------------------------------------------------ as it goes on

    def begin(self) -> None:
        """Every device waits until it joins."""
        self._go(self._code.BEGIN, self._horizon_s, self._joins_s)

    def advance(self, until_s: float) -> None:
        """All that happens before `until_s`."""
        self._go(self._code.ADVANCE, until_s)

    def end(self, end_s: float) -> None:
        """What devices have not told yet is told, what is open is closed. What they used is all that is kept."""
        c, jobs = self._code.c, self._code.jobs
        self._go(self._code.FINISH, end_s)
        self._hand_over()
        self._make_more_room()
        requests, node = self._requests.R, self._node.arrays
        under_way = np.flatnonzero(requests[:, c.STATE] == c.UNDER_WAY)
        there = np.flatnonzero(np.isin(requests[:, c.STATE], (c.UNDER_WAY, c.CONCLUDED)))
        there = there[(requests[there, c.HAS_TICKET] == 1) & (node.J[there, jobs.SETTLED] == 0)]
        in_order = there[np.argsort(node.J[there, jobs.TICKET], kind="stable")]
        self._go(self._code.CLOSE, end_s, in_order=in_order, under_way=under_way)
        self._hand_over()
        self._node.tell()
        fleet, in_use = self._fleet, self._recorder.slates.in_use()
        self.decisions = fleet.D[:, c.DECISIONS].copy()
        self.joules = fleet.D[:, c.RANKINGS] * fleet.F[:, c.COMPUTE_J] + fleet.F[:, c.OTHER_J]
        self._recorder.slates.in_use = lambda: in_use
        del self._fleet, self._requests, self._told, self._node  # they are as large as what has been recorded

    # ------------------------------------------------------------------------------------------ what it tells

    @property
    def in_flight(self) -> int:
        """Requests that are under way."""
        c, counts = self._code.c, self._told.C
        return int(counts[c.ROWS_USED] - counts[c.SPARE] - counts[c.ZOMBIES])

    @property
    def queue_length(self) -> int:
        """Requests that wait at the node."""
        return int(self._node.arrays.N[self._code.node.WAITING])

    @property
    def now_s(self) -> float:
        """The time of the newest event."""
        return float(self._told.clock[self._code.c.NOW_S])

    # ------------------------------------------------------------------------------------------ room

    def _go(
        self, task: int, until_s: float, joins_s: Floats = _NO_TIMES, in_order: Ints = _NONE, under_way: Ints = _NONE
    ) -> None:
        """See `go` of world.py."""
        rows = joins_s, in_order, under_way
        while (
            self._code.go(
                *(task, self._fleet, self._requests, self._node.arrays, self._told, self._longest, until_s, *rows)
            )
            == self._code.FULL
        ):
            self._hand_over()
            self._make_more_room()

    def _make_more_room(self) -> None:
        """So much that what is under way could double."""
        c, counts = self._code.c, self._told.C
        rows, used = len(self._requests.R), int(counts[c.ROWS_USED] - counts[c.SPARE])
        self._make_room(2 * rows if used > rows - rows // 4 else rows)

    def _make_room(self, rows: int) -> None:
        c, q, told = self._code.c, self._requests, self._told
        bucket = min(int(told.C[c.BUCKET]), len(self._fleet.waiting) - 1)
        self._node.make_room(rows, int(self._fleet.waiting[bucket]))
        self._requests = c.Requests(*(longer(part, rows) for part in q))
        self._told = told._replace(requests=longer(told.requests, TOLD_AT_ONCE + rows + 4 * self._longest + 64))

    def _hand_over(self) -> None:
        """What is told goes to those who record it."""
        c, told, node = self._code.c, self._told, self._node
        counts, came = told.C, told.came[: told.C[c.CAME]]
        self._service.have_come(came)
        requests = self._recorded(told.requests[: counts[c.RECORDED]])
        outcomes = told.requests[: counts[c.RECORDED], c.RECORDED_OUTCOME].astype(np.int64)
        n = int(counts[c.INTERACTIONS])
        slates, runs = told.slates[: counts[c.RANKED]].copy(), told.runs[: counts[c.RUNS]]
        counts[[c.CAME, c.RECORDED, c.INTERACTIONS, c.RANKED, c.RUNS, c.SEEN]] = 0
        node.take_settled()
        self._recorder.told(slates, runs, n, requests, outcomes, c.OUTCOMES)

    def _recorded(self, rows: Floats) -> Floats:
        """Requests that have ended [x 18] as `Recorder.request` has them, with what serving them cost."""
        c = self._code.c
        places = rows[:, c.MACHINE].astype(np.int64)
        gpu_seconds, usd, joules = self._node.bills(places, rows[:, c.SHARE_S], rows[:, c.PASSED])
        grams = self._service.grams(joules, rows[:, c.TICKET_STARTED_S], rows[:, c.TICKET_FINISHED_S])
        known = rows[:, : c.SHARE_S]
        costs = np.stack([gpu_seconds, usd, joules, grams, rows[:, c.FIRST_TOKEN_S]], axis=1)
        return np.concatenate([known, costs], axis=1)


def _own(values: Any, kind: type[np.generic]) -> NDArray[Any]:
    """An array as compiled code takes it, which is not copied where it is one; none: without numbers."""
    return np.require(() if values is None else values, kind, ["C", "W"])


def _devices(c: ModuleType, prepared: Prepared, lives: Lives) -> tuple[Ints, Floats]:
    """The rows of all devices, before they have joined."""
    population = prepared.population
    fleet, network, n = population.fleet, population.network, population.n_devices
    D, F = np.zeros((n, c.N_DEVICE), dtype=np.int64), np.zeros((n, c.N_DEVICE_TIMES))
    D[:, c.ROW], D[:, c.END], D[:, c.STEP] = population.first_row, population.end_row, population.first_step - 1
    D[:, [c.AS_OF, c.SHOWN_SLATE, c.NEXT_SLATE, c.ASKED_STEP, c.AWAITED, c.ASKED, c.FOLLOWING]] = c.NOBODY
    D[:, c.STORED] = prepared.preloaded
    F[:, [c.NEXT_READY_S, c.LAST_GAP_S, c.ONLINE_S]] = math.inf
    F[:, [c.LIST_TIME_S, c.NEWEST_S]] = -math.inf
    F[:, c.REACHABLE_UNTIL_S], F[:, c.TOKENS] = -1.0, lives.budget.burst
    compute_s = fleet.compute_seconds(lives.flops)
    F[:, c.LEFT_S], F[:, c.COMPUTE_S], F[:, c.COMPUTE_J] = (
        population.presence.left_s,
        compute_s,
        compute_s * fleet.power_w,
    )
    F[:, c.BATTERY_J], F[:, c.UP_BYTE_S], F[:, c.DOWN_BYTE_S] = (
        fleet.battery_j,
        8 / network.up_bps,
        8 / network.down_bps,
    )
    F[:, c.ONE_WAY_S], F[:, c.JITTER], F[:, c.KEPT] = network.rtt_s / 2, network.jitter, 1 - network.loss
    F[:, c.RADIO_W] = network.radio_power_w
    return D, F


def _rules(c: ModuleType, lives: Lives, plan: AskPlan, prepared: Prepared) -> tuple[Ints, Floats]:
    """The rules of the run."""
    rules, messages, budget, draws = lives.rules, lives.messages, lives.budget, prepared.draws
    G, H = np.zeros(c.N_RULES, dtype=np.int64), np.zeros(c.N_AMOUNTS)
    G[c.AT_INTERACTION], G[c.ONLINE], G[c.AT_ANSWER] = rules.at_interaction, rules.online, rules.at_answer
    G[c.BLOCKING], G[c.FAILS_OFFLINE], G[c.EMPTY_IS_MISS] = rules.blocking, rules.fails_offline, rules.empty_is_miss
    G[c.BUDGETED], G[c.STORES_LISTS] = budget.ratio < 1.0, lives.stores_lists
    G[c.STORES_HISTORY], G[c.HISTORY_ITEMS] = messages.cloud_keeps_history, messages.history_items
    G[c.PLAN], G[c.PLAN_NUMBER] = plan.kind, plan.number
    G[c.UP_SEED], G[c.DOWN_SEED] = seed_of(draws.seed, "link.up"), seed_of(draws.seed, "link.down")
    G[c.FIRST_DEVICE] = draws.first_device
    H[c.PATIENCE_S], H[c.TIMEOUT_S], H[c.ANSWER_BYTES] = rules.patience_s, lives.timeout_s, messages.answer_bytes
    H[c.OVERHEAD_BYTES], H[c.ITEM_BYTES] = OVERHEAD_BYTES, ITEM_ID_BYTES
    H[c.RATIO], H[c.BURST], H[c.PLAN_S] = budget.ratio, budget.burst, plan.seconds
    return G, H
