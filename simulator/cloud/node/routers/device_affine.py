"""By device."""

from typing import Any, ClassVar, Literal

from fleetrec.simulator.scenario.sections.router import ClusterView, Ints, RequestView, Router

_PURPOSE = "cloud.affinity"
_PROBES = 64  # places that a device tries before it takes the least loaded replica


class DeviceAffine(Router):
    """The device's own replica, for the sake of its cached prefix.

    Each device has a sequence of places, drawn over all replicas, and goes to the first that takes requests: where a
    replica comes or goes, only the devices that it serves move.
    """

    kind: Literal["device_affine"] = "device_affine"
    in_bulk: ClassVar[bool] = True

    def choose(self, cluster: ClusterView, request: RequestView) -> int:
        for probe in range(_PROBES):
            place = int(cluster.uniform(_PURPOSE, request.device, probe) * len(cluster.replicas))
            if cluster.replicas[place].accepting:
                return place
        return cluster.least_loaded()

    def places(self, device: Ints, replicas: int, draws: Any) -> Ints:
        places: Ints = draws.integers(replicas, _PURPOSE, device, 0)
        return places
