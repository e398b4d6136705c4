"""One thing that an answer hangs on, and the interactions of the run that it is measured on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Row:
    """One thing that the answer hangs on."""

    key: str
    text: str
    values: Mapping[str, Any]

    def as_data(self) -> dict[str, Any]:
        """As summary.json holds it."""
        return {"key": self.key, "text": self.text, "values": dict(self.values)}


@dataclass(frozen=True)
class Shown:
    """The interactions of a run, and what was on screen."""

    users: Ints  # [M] place in the log
    steps: Ints  # [M]
    as_of: Ints  # [M] newest interaction that the list on screen had seen; -1: none
    ranks: Ints  # [M] rank on screen; -1: absent
    alone: Ints  # [M] rank under the SRM alone; NOT_EVALUATED outside a sample
