"""The interactions of a run that the things are measured on that its answer hangs on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Shown:
    """The interactions of a run, and what was on screen."""

    users: Ints  # [M] place in the histories
    owners: Ints  # [M] whose they are, clones being one user
    steps: Ints  # [M]
    as_of: Ints  # [M] newest interaction that the list on screen had seen; -1: none
    ranks: Ints  # [M] rank on screen; -1: absent
    alone: Ints  # [M] rank under the SRM alone; NOT_EVALUATED outside a sample
