"""Rows of different lengths, one after the other in flat arrays."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def ragged(counts: Ints) -> tuple[Ints, Ints]:
    """Of `counts` [M] entries for each of M owners, in order: the owner of each entry, and its number among the
    owner's from 0; both [sum of counts]."""
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
