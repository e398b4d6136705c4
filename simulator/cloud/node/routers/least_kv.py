"""By memory in use."""

from typing import Literal

from fleetrec.simulator.scenario.sections.router import ClusterView, RequestView, Router


class LeastKv(Router):
    """The replica whose KV cache is emptiest, then the least loaded, then the first. Looks at each of them."""

    kind: Literal["least_kv"] = "least_kv"

    def choose(self, cluster: ClusterView, request: RequestView) -> int:
        return min(cluster.accepting, key=lambda replica: (replica.kv_share, replica.load, replica.number)).number
