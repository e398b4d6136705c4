"""Tokens shared evenly between tenants: the virtual token counter (Sheng et al., OSDI 2024), told at arrival.

Each tenant has a counter of what its requests cost. A request's place is its tenant's counter when it comes, so of
tenants that wait the one that has had least goes first; who comes back after a pause begins at what is served now and
saves nothing up. An engine charges output tokens as they are written; here they are known, and charged at once.
"""

import math
from collections import defaultdict
from collections.abc import Callable
from heapq import heappop, heappush
from typing import ClassVar, Literal

from pydantic import Field

from fleetrec.simulator.scenario.sections.queue_order import QueueOrder, WaitingView


class Fair(QueueOrder):
    """Tenants that wait are served the same number of tokens, whoever sends more requests."""

    kind: Literal["fair"] = "fair"
    by_tenant: ClassVar[bool] = True
    tenants: Literal["classes", "devices"] = Field(
        "classes", description="who is a tenant: a device class, or a device"
    )
    output_weight: float = Field(
        2.0, ge=0, le=1000, description="what an output token costs, where one of a prompt is 1"
    )

    def cost(self, request: WaitingView) -> float:
        """What a request is charged."""
        return request.prompt_tokens + self.output_weight * request.output_tokens * request.sequences

    def start(self) -> Callable[[WaitingView], float]:
        return TokenCounters(self)


class TokenCounters:
    """The counters of one replica."""

    def __init__(self, order: Fair):
        self._order = order
        self._counters: dict[int, float] = defaultdict(float)
        self._line: list[tuple[float, int, WaitingView]] = []  # heap; those that have left stay until they surface
        self._served = 0.0  # the highest place that has been served
        self._came = 0

    def __call__(self, request: WaitingView) -> float:
        """The place of a request that comes."""
        line, counters, order = self._line, self._counters, self._order
        while line and not line[0][2].waits:
            place, _, left = heappop(line)
            if math.isnan(left.t_started_s):  # it was withdrawn, and has had nothing
                counters[self._tenant(left)] -= order.cost(left)
            else:
                self._served = max(self._served, place)
        tenant = self._tenant(request)
        place = max(counters[tenant], self._served)
        counters[tenant] = place + order.cost(request)
        heappush(line, (place, self._came, request))
        self._came += 1
        return place

    def _tenant(self, request: WaitingView) -> int:
        return request.tenant if self._order.tenants == "classes" else request.device
