"""Always: the freshest lists that requests can bring."""

from typing import Literal

import numpy as np

from fleetrec.simulator.scenario.sections.request import Bools, DeviceView, Ints, RequestPolicy


class AlwaysRequest(RequestPolicy):
    """A request at every decision."""

    kind: Literal["always"] = "always"

    def wants(self, device: DeviceView) -> bool:
        return True

    def likely(self, rows: Ints, steps: Ints, as_of: Ints) -> Bools:
        """See Foreseeable."""
        return np.ones(len(rows), dtype=bool)

    def known_share(self) -> float:
        return 1.0
