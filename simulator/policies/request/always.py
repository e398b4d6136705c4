"""Always: the freshest lists that requests can bring."""

from typing import Literal

import numpy as np

from fleetrec.simulator.scenario.sections.request import Bools, DevicesAhead, DeviceView, RequestPolicy


class AlwaysRequest(RequestPolicy):
    """A request at every decision."""

    kind: Literal["always"] = "always"

    def wants(self, device: DeviceView) -> bool:
        return True

    def likely(self, ahead: DevicesAhead) -> Bools:
        """See Foreseeable."""
        return np.ones(len(ahead.rows), dtype=bool)

    def known_share(self) -> float:
        return 1.0
