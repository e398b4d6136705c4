"""The interactions of a run that the things are measured on that its answer hangs on."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Shown:
    """The interactions of a run, and what was on screen."""

    users: NDArray[Any]  # [M] place in the histories
    owners: NDArray[Any]  # [M] whose they are, clones being one user
    steps: NDArray[Any]  # [M]
    as_of: NDArray[Any]  # [M] newest interaction that the list on screen had seen; -1: none
    ranks: NDArray[Any]  # [M] rank on screen; -1: absent
    alone: NDArray[Any]  # [M] rank under the SRM alone; NOT_EVALUATED outside a sample

    def take(self, rows: NDArray[np.int64]) -> "Shown":
        """Some of them, in whole numbers of full width."""
        return Shown(*(getattr(self, field.name)[rows].astype(np.int64) for field in fields(self)))
