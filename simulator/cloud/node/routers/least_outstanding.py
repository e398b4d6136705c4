"""By load."""

from typing import Any, ClassVar, Literal

import numpy as np

from fleetrec.simulator.scenario.sections.router import ClusterView, Ints, RequestView, Router


class LeastOutstanding(Router):
    """The replica with the fewest requests that wait or are served, over its speed; the first of several."""

    kind: Literal["least_outstanding"] = "least_outstanding"
    in_bulk: ClassVar[bool] = True

    def choose(self, cluster: ClusterView, request: RequestView) -> int:
        return cluster.least_loaded()

    def places(self, device: Ints, replicas: int, draws: Any) -> Ints:
        return np.full(len(device), -1)
