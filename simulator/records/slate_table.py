"""The slates that a run has made, by number: which list, at which step, by which weights, and where the item stood.

Only a window of them is held: a slate that no device shows or has made last, and that is no longer new, is forgotten.
"""

from array import array
from collections.abc import Callable
from copy import copy
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.ragged import ragged

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_FEWEST_HELD = 262_144
_COLUMNS = {"device": "i", "as_of": "i", "step": "i", "list_time_s": "d", "weights": "i"}


class SlateTable:
    """Numbers 0, 1, 2, ... in the order of making. `keeps_all`: nothing is ever forgotten."""

    def __init__(self) -> None:
        self.keeps_all = False
        self.in_use: Callable[[], Ints] = lambda: np.arange(len(self))
        """the numbers that may be asked for later, of those made before the last call of `forget`"""
        self._made = 0
        # What `_held` still lacks: the columns of a first slate, and how many follow each other.
        self._runs = array("d")
        self._held = {name: array(code) for name, code in _COLUMNS.items()}
        self._rank, self._inconsistency = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
        self._gone = 0  # forgotten so far
        self._old = np.empty(0, dtype=np.int64)  # the numbers held of those that have gone through a forgetting
        self._made_before = 0  # by the last call of `forget`
        self._most = _FEWEST_HELD

    def __len__(self) -> int:
        return self._made

    def add(self, device: int, as_of: int, step: int, list_time_s: float, weights: int, n: int = 1) -> int:
        """`n` new slates that `device` makes of one list, at `step` and the steps after it: the number of the first."""
        first = self._made
        self._made = first + n
        self._runs.extend((device, as_of, step, list_time_s, weights, n))
        return first

    def add_runs(self, runs: Floats) -> None:
        """Many such runs [x 6], in the order of making: the arguments of `add` in each."""
        self._runs.frombytes(runs.tobytes())
        self._made += int(runs[:, -1].sum())

    def copy(self) -> "SlateTable":
        """Another table of the same slates, which forgets by itself."""
        other = copy(self)
        other._runs, other._held = self._runs[:], {name: held[:] for name, held in self._held.items()}
        return other

    def made(self) -> dict[str, NDArray[Any]]:
        """The columns device, as_of, step, list_time_s and weights of those held."""
        return self._made_from(0)

    def unplaced(self) -> dict[str, NDArray[Any]]:
        """The same of those whose items have no place yet."""
        return self._made_from(len(self._rank))

    def _made_from(self, start: int) -> dict[str, NDArray[Any]]:
        return {name: values[start:].copy() for name, values in self._columns().items()}

    def _columns(self) -> dict[str, NDArray[Any]]:
        """Views of all columns of those held: drop them before the next slate."""
        if self._runs:
            *firsts, n = np.array(self._runs).reshape(-1, len(_COLUMNS) + 1).T
            del self._runs[:]
            run, nth = ragged(n.astype(np.int64))
            for (name, column), first in zip(self._held.items(), firsts, strict=True):
                values = first[run] + nth if name == "step" else first[run]
                column.frombytes(values.astype(column.typecode).tobytes())
        return {name: np.asarray(column) for name, column in self._held.items()}

    def placed(self, ranks: Ints, inconsistencies: Floats) -> None:
        """Where the items stood in all that were unplaced."""
        self._rank = np.append(self._rank, ranks.astype(np.int32))
        self._inconsistency = np.append(self._inconsistency, inconsistencies.astype(np.float32))

    def columns(self, numbers: Ints, *names: str) -> tuple[NDArray[Any], ...]:
        """Columns of slates [M]; `rank` and `inconsistency` among them."""
        places = self._places(numbers)
        held = self._columns() | {"rank": self._rank, "inconsistency": self._inconsistency}
        return tuple(held[name][places] for name in names)

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
        made_before, self._made_before = self._made_before, self._made
        if self.keeps_all or self._made - self._gone < self._most:
            return
        held = np.append(self._old, np.arange(self._gone + len(self._old), self._made))
        used = np.unique(self.in_use())
        kept = held[np.isin(held, used) | (held >= made_before)]
        places = self._places(kept)
        for name, values in self._columns().items():
            self._held[name] = array(_COLUMNS[name], values[places].tobytes())
        self._rank, self._inconsistency = self._rank[places], self._inconsistency[places]
        self._gone, self._old = self._made - len(kept), kept
        self._most = max(_FEWEST_HELD, 2 * len(kept))


class SlateName(NamedTuple):
    """What a slate was made of: with a device and what has left it, this says what is on the screen."""

    as_of: int
    step: int
    weights: int


class NamedSlates(SlateTable):
    """Slates of which those that may still be shown are known one by one."""

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[int, SlateName] = {}

    def add(self, device: int, as_of: int, step: int, list_time_s: float, weights: int, n: int = 1) -> int:
        """See SlateTable; one at a time."""
        made = super().add(device, as_of, step, list_time_s, weights, n)
        self._names[made] = SlateName(as_of, step, weights)
        return made

    def name(self, number: int) -> SlateName:
        """What a slate that is on screen, or will be next, was made of."""
        return self._names[number]

    def forget(self) -> None:
        """See SlateTable."""
        super().forget()
        used = set(self.in_use().tolist())
        self._names = {number: name for number, name in self._names.items() if number in used}
