"""A router of one's own: the cheapest replicas first, dearer ones while those are busy.

fleetrec simulate examples/cheapest.yaml
fleetrec sweep examples/cheapest_sweep.yaml
"""

from fleetrec import ClusterView, RequestView, Router


class Cheapest(Router):
    """The cheapest replica that has fewer than so many requests; where all have more, the least loaded."""

    most: int = 4

    def choose(self, cluster: ClusterView, request: RequestView) -> int:
        free = [replica for replica in cluster.accepting if replica.outstanding < self.most]
        if not free:
            return cluster.least_loaded()
        return min(free, key=lambda replica: (replica.usd_per_hour, replica.load, replica.number)).number
