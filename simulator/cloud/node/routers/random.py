"""By chance."""

from typing import Any, ClassVar, Literal

import numpy as np

from fleetrec.simulator.scenario.sections.router import ClusterView, Ints, RequestView, Router

_PURPOSE = "cloud.router"


class RandomRouter(Router):
    """Any replica, with equal chances."""

    kind: Literal["random"] = "random"
    in_bulk: ClassVar[bool] = True
    counts_requests: ClassVar[bool] = True

    def choose(self, cluster: ClusterView, request: RequestView) -> int:
        uniform = cluster.uniform(_PURPOSE, request.number, request.attempt)
        return cluster.accepting[int(uniform * len(cluster.accepting))].number

    def places(self, device: Ints, replicas: int, draws: Any) -> Ints:
        places: Ints = draws.integers(replicas, _PURPOSE, np.arange(len(device)), 0)
        return places
