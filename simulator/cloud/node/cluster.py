"""The replicas of a node as machines: they start cold, take requests, drain, fail, are taken away, and are paid for.

What is served where is the node's business; a cluster says which replicas take requests and tells the node of changes.
"""

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from simpy import Environment, Event, Timeout

from fleetrec.simulator.cloud.hardware.power import ReplicaPower
from fleetrec.simulator.cloud.node.choice import Choice
from fleetrec.simulator.cloud.node.faults import Outage, failures, spot_preemptions
from fleetrec.simulator.cloud.replica.drafter import Drafter
from fleetrec.simulator.cloud.replica.pace import Pace, PaceLaw
from fleetrec.simulator.cloud.replica.replica import Replica
from fleetrec.simulator.cloud.replica.timed_replica import Serving
from fleetrec.simulator.core.costs import HOUR_S
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.scenario.sections import Autoscale, Failures, RequestView, Spot

State = Literal["off", "starting", "up", "draining", "down"]


@dataclass(frozen=True)
class Link:
    """What the KV cache of a prompt leaves its replica by."""

    token_s: float
    """of one token, whose cache the link carries before that of the next"""
    latency_s: float
    """from the end of that until it has arrived"""


@dataclass(frozen=True)
class Pool:
    """Replicas of one kind."""

    replica: Callable[[], Serving]
    """makes a replica, empty"""
    replicas: int = 1
    """at the start; all the time where `autoscale` is None"""
    gpus_per_replica: int = 1
    speed: float = 1.0
    """requests a second of one of its replicas, as a share of the fastest pool's"""
    rent_usd: float = 0.0
    """of one GPU for one second"""
    power: ReplicaPower | None = None
    """what a replica draws; None: nothing that is counted"""
    usd_per_joule: float = 0.0
    drafter: Drafter | None = None
    """who drafts the tokens that its replicas verify"""
    pace: PaceLaw | None = None
    """how the speed of its replicas spreads, each by draws of its own; None: their steps always take as long"""
    name: str = ""
    """of several"""
    cold_start_s: float = 0.0
    autoscale: Autoscale | None = None
    spot: Spot | None = None
    link: Link | None = None
    """its replicas compute prompts alone, and send them over this to those of the pool that `decodes`"""
    decodes: bool = False
    """its replicas go on with prompts that others have computed; it comes after the pool of those"""

    @property
    def places(self) -> int:
        """The most replicas that it may have."""
        return self.autoscale.max if self.autoscale else self.replicas


class Machine:
    """One place for a replica of a pool: in use or not, in order or not."""

    __slots__ = (
        "accepting",
        "armed",
        "broken",
        "choice",
        "counted",
        "env",
        "link_free_s",
        "number",
        "paid_s",
        "paid_since_s",
        "place",
        "pool",
        "replica",
        "sending",
        "service_s",
        "starts",
        "state",
        "up_s",
        "up_since_s",
        "wanted",
        "warned",
    )

    choice: Choice
    """one of which it is"""

    def __init__(self, number: int, place: int, pool: Pool, env: Environment, draws: Draws):
        self.number = number  # among those of its `choice`
        self.place = place  # among all machines of the node
        self.env = env
        self.pool = pool
        self.replica = pool.replica()
        if pool.pace is not None and isinstance(self.replica, Replica):
            self.replica.pace = Pace(pool.pace, draws, place)
        self.state: State = "off"
        self.wanted = False  # by whoever sets how many replicas there are
        self.broken = 0  # reasons for which it is gone
        self.warned = 0  # spot preemptions that have been announced and are not over
        self.accepting = False
        self.starts = 0  # cold starts; the end of one that was broken off is told by this
        self.paid_s = self.up_s = 0.0
        self.paid_since_s = self.up_since_s = math.nan  # NaN: not now
        self.counted = (0, 0)  # requests that wait, and those that wait or are served, as the node last counted them
        self.service_s = 0.0  # recent mean time from start to end of a request; 0: none has ended
        self.sending = 0  # KV caches that it holds until they have arrived elsewhere
        self.link_free_s = -math.inf  # when its link has sent what it is to send
        self.armed: list[float] = []  # when the node will look at it, the next time last

    @property
    def load(self) -> float:
        """Requests that wait or are served, over its speed."""
        return self.replica.outstanding / self.pool.speed

    @property
    def outstanding(self) -> int:
        """Requests that wait or are served."""
        return self.replica.outstanding

    @property
    def waiting(self) -> int:
        """Requests that wait now."""
        self.replica.catch_up(self.env.now)
        return self.replica.waiting

    @property
    def kv_share(self) -> float:
        """Share of its KV cache in use now."""
        self.replica.catch_up(self.env.now)
        return self.replica.kv_share

    def cached_tokens(self, request: RequestView) -> int:
        """Tokens of the request's prompt that it need not compute now."""
        if request.prefix is None:
            return 0
        self.replica.catch_up(self.env.now)
        return self.replica.cached_tokens(request.prefix, request.prompt_tokens)

    @property
    def pool_name(self) -> str:
        """Of its kind."""
        return self.pool.name

    @property
    def usd_per_hour(self) -> float:
        """What its GPUs cost."""
        return self.pool.rent_usd * self.pool.gpus_per_replica * HOUR_S

    @property
    def usable(self) -> bool:
        """Wanted and not gone: it serves, or will."""
        return self.wanted and not self.broken

    def paid_until(self, now: float) -> float:
        """Seconds for which it is paid up to `now`."""
        return self.paid_s + (0.0 if math.isnan(self.paid_since_s) else now - self.paid_since_s)

    def up_until(self, now: float) -> float:
        """Seconds in which it could serve up to `now`."""
        return self.up_s + (0.0 if math.isnan(self.up_since_s) else now - self.up_since_s)


class Listener(Protocol):
    """What a cluster tells its node."""

    def machine_ready(self, machine: Machine) -> None:
        """It takes requests from now on."""

    def machine_lost(self, machine: Machine) -> None:
        """It is gone at once, with all that it serves."""

    def machines_changed(self) -> None:
        """How many are up has changed."""


class Cluster:
    """All machines of a node, the pools one after the other."""

    def __init__(self, env: Environment, pools: tuple[Pool, ...], listener: Listener, draws: Draws):
        self.env, self.pools, self.draws = env, pools, draws
        self._listener = listener
        owners = [pool for pool in pools for _ in range(pool.places)]
        first = sum(not pool.decodes for pool in owners)  # of those that decode alone
        self.machines = [
            Machine(n - first if pool.decodes else n, n, pool, env, draws) for n, pool in enumerate(owners)
        ]
        self.decoding = self.machines[first:]
        self.choice, self.decode_choice = Choice(self.machines[:first], draws), Choice(self.decoding, draws)
        for machine in self.machines:
            machine.choice = self.decode_choice if machine.pool.decodes else self.choice
        self.up = 0
        self.closed = False

    def begin(self, faults: Failures | None) -> None:
        """The machines that serve at the start are up, and faults begin."""
        for pool in self.pools:
            for machine in self.of(pool)[: pool.replicas]:
                machine.wanted = True
                self._to(machine, "up")
        for machine in self.machines:
            spot = machine.pool.spot
            if faults is not None:
                self.env.process(self._meet(machine, failures(faults, self.draws, machine.place), taken=False))
            if spot is not None:
                self.env.process(self._meet(machine, spot_preemptions(spot, self.draws, machine.place), taken=True))

    def of(self, pool: Pool) -> list[Machine]:
        """The machines of a pool."""
        return [machine for machine in self.machines if machine.pool is pool]

    # ------------------------------------------------------------------------------------------ how many

    def scale(self, pool: Pool, replicas: int) -> None:
        """Start or drain machines until `replicas` are usable, as far as there are machines to be had.

        Out: those that drain come back first, then the first in number. In: those that still start go first, then
        those with the fewest requests; of several the last in number.
        """
        machines = self.of(pool)
        usable = [machine for machine in machines if machine.usable]
        if len(usable) < replicas:
            idle = [m for m in machines if not m.wanted and not m.broken and not m.warned]
            idle.sort(key=lambda machine: (machine.state != "draining", machine.number))
            for machine in idle[: replicas - len(usable)]:
                self._take_on(machine)
        elif len(usable) > replicas:
            usable.sort(key=lambda m: (m.state != "starting", m.replica.outstanding, -m.number))
            for machine in usable[: len(usable) - replicas]:
                self._let_go(machine)

    def _take_on(self, machine: Machine) -> None:
        machine.wanted = True
        if machine.state == "draining":
            self._to(machine, "up")
        else:
            self._start(machine)

    def _let_go(self, machine: Machine) -> None:
        machine.wanted = False
        self._to(machine, "draining" if machine.state == "up" else "off")
        self.emptied(machine)

    def emptied(self, machine: Machine) -> None:
        """A machine that drains and has nothing left to serve or to send is switched off."""
        if machine.state == "draining" and not machine.replica.outstanding and not machine.sending:
            self._to(machine, "off")

    def _start(self, machine: Machine) -> None:
        machine.starts += 1
        self._to(machine, "starting")
        Timeout(self.env, machine.pool.cold_start_s, (machine, machine.starts)).callbacks.append(self._on_started)

    def _on_started(self, event: Event) -> None:
        machine, start = event.value  # type: ignore[misc]
        if machine.state == "starting" and machine.starts == start and not self.closed:
            self._to(machine, "up")

    # ------------------------------------------------------------------------------------------ faults

    def _meet(self, machine: Machine, outages: Iterator[Outage], taken: bool) -> Generator[Any, Any, None]:
        """A machine lives through its outages, whether it is in use then or not."""
        env = self.env
        for outage in outages:
            yield env.timeout(max(outage.warned_s - env.now, 0.0))
            if self.closed:
                return
            machine.warned += 1
            self._refresh(machine)
            if outage.lost_s > outage.warned_s:
                yield env.timeout(max(outage.lost_s - env.now, 0.0))
                if self.closed:
                    return
            self._lose(machine, taken)
            yield env.timeout(max(outage.back_s - env.now, 0.0))
            if self.closed:
                return
            machine.broken -= 1
            machine.warned -= 1
            if machine.usable and machine.state == "down":
                self._start(machine)

    def _lose(self, machine: Machine, taken: bool) -> None:
        machine.broken += 1
        if machine.state in ("up", "draining"):
            self._to(machine, "down")
            self._listener.machine_lost(machine)
        if machine.state != "off":
            self._to(machine, "down" if machine.wanted else "off")
        if taken:  # nobody pays for a machine that was taken away; a failed one is still rented
            self._pay(machine, False)

    # ------------------------------------------------------------------------------------------ states and money

    def _to(self, machine: Machine, state: State) -> None:
        """Puts a machine into a state; the only place where one changes."""
        now = self.env.now
        was_up, is_up = machine.state in ("up", "draining"), state in ("up", "draining")
        machine.state = state
        if is_up and not was_up:
            machine.up_since_s = now
            self.up += 1
        elif was_up and not is_up:
            machine.up_s, machine.up_since_s = machine.up_until(now), math.nan
            self.up -= 1
        if state != "down":
            self._pay(machine, state != "off")
        self._refresh(machine)
        if is_up != was_up:
            self._listener.machines_changed()

    def _pay(self, machine: Machine, pays: bool) -> None:
        if pays and math.isnan(machine.paid_since_s):
            machine.paid_since_s = self.env.now
        elif not pays:
            machine.paid_s, machine.paid_since_s = machine.paid_until(self.env.now), math.nan

    def _refresh(self, machine: Machine) -> None:
        accepting = machine.state == "up" and not machine.warned
        if accepting != machine.accepting:
            machine.accepting = accepting
            machine.choice.update()
            machine.choice.loads.changed(machine)
            if accepting:
                self._listener.machine_ready(machine)

    def close(self, now: float) -> None:
        """The horizon: from now on nothing is paid and nothing happens."""
        self.closed = True
        for machine in self.machines:
            machine.paid_s, machine.paid_since_s = machine.paid_until(now), math.nan
            machine.up_s, machine.up_since_s = machine.up_until(now), math.nan
