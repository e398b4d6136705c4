"""The slates that a run has made, by number: which list, at which step, by which weights, and where the item stood.

Only a window of them is held: a slate that no device shows or has made last, and that is no longer new, is forgotten.
"""

from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_FEWEST_HELD = 262_144


class SlateTable:
    """Numbers 0, 1, 2, ... in the order of making. `keeps_all`: nothing is ever forgotten."""

    def __init__(self) -> None:
        self.keeps_all = False
        self.in_use: Callable[[], Ints] = lambda: np.arange(len(self))
        """the numbers that may be asked for later, of those made before the last call of `forget`"""
        self.device, self.as_of, self.step = array("i"), array("i"), array("i")
        self.weights, self.list_time_s = array("i"), array("d")
        self._rank, self._inconsistency = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
        self._gone = 0  # forgotten so far
        self._old = np.empty(0, dtype=np.int64)  # the numbers held of those that have gone through a forgetting
        self._made_before = 0  # by the last call of `forget`
        self._most = _FEWEST_HELD

    def __len__(self) -> int:
        return self._gone + len(self.device)

    def add(self, device: int, as_of: int, step: int, list_time_s: float, weights: int) -> int:
        """A new slate of `device`: its number."""
        self.device.append(device)
        self.as_of.append(as_of)
        self.step.append(step)
        self.list_time_s.append(list_time_s)
        self.weights.append(weights)
        return self._gone + len(self.device) - 1

    def add_steps(self, device: int, as_of: int, step: int, list_time_s: float, weights: int, n: int) -> int:
        """`n` new slates of one list at `step` and the steps after it: the number of the first."""
        first = self._gone + len(self.device)
        self.device.extend([device] * n)
        self.as_of.extend([as_of] * n)
        self.step.extend(range(step, step + n))
        self.list_time_s.extend([list_time_s] * n)
        self.weights.extend([weights] * n)
        return first

    def made(self) -> dict[str, NDArray[np.int32]]:
        """The columns device, as_of, step and weights of those held."""
        return self._made_from(0)

    def unplaced(self) -> dict[str, NDArray[np.int32]]:
        """The same of those whose items have no place yet."""
        return self._made_from(len(self._rank))

    def _made_from(self, start: int) -> dict[str, NDArray[np.int32]]:
        return {name: self._column(name)[start:].copy() for name in ("device", "as_of", "step", "weights")}

    def placed(self, ranks: Ints, inconsistencies: Floats) -> None:
        """Where the items stood in all that were unplaced."""
        self._rank = np.append(self._rank, ranks.astype(np.int32))
        self._inconsistency = np.append(self._inconsistency, inconsistencies.astype(np.float32))

    def columns(self, numbers: Ints, *names: str) -> tuple[NDArray[Any], ...]:
        """Columns of slates [M]; `rank` and `inconsistency` among them."""
        places = self._places(numbers)
        return tuple(self._column(name)[places] for name in names)

    def _column(self, name: str) -> NDArray[Any]:
        if name in ("rank", "inconsistency"):
            found: NDArray[Any] = getattr(self, f"_{name}")
            return found
        return np.asarray(getattr(self, name))  # a view: drop it before the next slate

    def _places(self, numbers: Ints) -> Ints:
        places = numbers - self._gone
        old = places < len(self._old)
        if old.any():
            places[old] = np.searchsorted(self._old, numbers[old])
        return places

    def forget(self) -> None:
        """Drop what was made before the last call and is not in use. All must have been placed.

        What a device has on its hands at this very moment is in use or newer.
        """
        made_before, self._made_before = self._made_before, len(self)
        if self.keeps_all or len(self.device) < self._most:
            return
        first_new = self._gone + len(self._old)
        held = np.append(self._old, np.arange(first_new, len(self)))
        used = np.unique(self.in_use())
        kept = held[np.isin(held, used) | (held >= made_before)]
        places = self._places(kept)
        for name in ("device", "as_of", "step", "weights", "list_time_s"):
            column: array[Any] = getattr(self, name)
            values = self._column(name)[places]
            del column[:]
            column.frombytes(values.tobytes())
        self._rank, self._inconsistency = self._rank[places], self._inconsistency[places]
        self._gone, self._old = self._made_before - len(kept), kept
        self._most = max(_FEWEST_HELD, 2 * len(kept))
