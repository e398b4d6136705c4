"""What a queue order is: which waiting request a replica takes first.

Its kinds: simulator/cloud/replica/queue_orders/.
"""

import math
from collections.abc import Callable
from typing import ClassVar, Protocol

import numpy as np

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.sections.kinds import Family, Kind
from fleetrec.simulator.scenario.sections.own_kinds import OwnMethod, Seen


class WaitingView(Protocol):
    """What a queue order may know of a request at a replica."""

    prompt_tokens: int
    """length of its prompt"""
    output_tokens: int
    """tokens that each of its sequences generates"""
    sequences: int
    """that it generates: beams"""
    priority: float
    """that it came with"""
    t_added_s: float
    """when it came to the replica, seconds since the run began"""
    t_started_s: float
    """when it first left the line; NaN before"""
    device: int
    """who asks: its number in the fleet"""
    tenant: int
    """number of its class of devices"""

    @property
    def waits(self) -> bool:
        """Whether it has neither been served yet nor left."""


class QueueOrder(Kind):
    """Which waiting request a replica takes first.

    An order needs `key` alone. Where KV memory runs out, the running request that comes last in the order is preempted,
    as in vLLM's FCFS and priority scheduling.
    """

    family: ClassVar[Family] = Family(
        "cloud.order", "fleetrec.simulator.cloud.replica.queue_orders", "fcfs", ("key(self, request)",), words=True
    )

    by_arrival: ClassVar[bool] = False
    """whether it is the order of arrival, which compiled code knows too"""

    by_tenant: ClassVar[bool] = False
    """whether it looks at who asks, which the provisioned account does not know"""

    def key(self, request: WaitingView) -> float:
        """The smallest is admitted first, equal ones in order of arrival. It is asked once, as the request comes."""
        raise NotImplementedError

    def start(self) -> Callable[[WaitingView], float]:
        """What runs at a replica: `key`."""
        return OwnOrder(self) if self.is_own() else self.key


class OwnOrder:
    """A user's own order in a run: what it answers is checked."""

    def __init__(self, order: QueueOrder):
        self._key = OwnMethod(order, "key")

    def __call__(self, request: WaitingView) -> float:
        """See QueueOrder.key."""
        key = self._key(Seen(request))
        try:
            number = float(key) if isinstance(key, int | float | np.integer | np.floating) else math.nan
        except OverflowError:
            number = math.nan
        if not math.isnan(number):
            return number
        raise InputError(f"{self._key.place} returned {key!r:.60}; return a number, the smallest for the first to go")
