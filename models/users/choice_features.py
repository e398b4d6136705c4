"""What a model of users looks at (choice_model.py): classes of counts, ages and pauses, and the sizes of its parts."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

RECENT = 32
"""events among which it counts how long ago an item was had last; all before are alike"""
CONTEXT = 256
"""events of a history that the GRU reads before a run's first choice"""
AWAY_S = (60.0, 1800.0)
"""pauses up to which a user is in the middle of something, and in the same session"""
N_AWAY = len(AWAY_S) + 1
COUNTS = np.array([1, 2, 3, 5, 9, 17, 33])  # lowest count of each class
AGES = np.array([1, 2, 3, 5, 9, 17, RECENT + 1])  # likewise, in events
DIM = 48


def away_class(away_s: Floats) -> Ints:
    """The class of each pause."""
    return np.searchsorted(AWAY_S, away_s, side="left").astype(np.int64)
