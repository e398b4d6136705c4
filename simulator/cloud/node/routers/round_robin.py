"""In turn."""

from typing import Any, ClassVar, Literal

import numpy as np

from fleetrec.simulator.scenario.sections.router import ClusterView, Ints, RequestView, Router


class RoundRobin(Router):
    """One replica after the other, of those that take requests."""

    kind: Literal["round_robin"] = "round_robin"
    in_bulk: ClassVar[bool] = True
    counts_requests: ClassVar[bool] = True

    def choose(self, cluster: ClusterView, request: RequestView) -> int:
        return cluster.accepting[cluster.routed % len(cluster.accepting)].number

    def places(self, device: Ints, replicas: int, draws: Any) -> Ints:
        return np.arange(len(device)) % replicas
