"""Always: the freshest lists that requests can bring."""

from typing import Literal

from fleetrec.simulator.scenario.sections.request import DeviceView, RequestPolicy


class AlwaysRequest(RequestPolicy):
    """A request at every decision."""

    kind: Literal["always"] = "always"

    def wants(self, device: DeviceView) -> bool:
        return True

    def known_share(self) -> float:
        return 1.0
