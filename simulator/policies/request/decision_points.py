"""When devices decide: what is known of it as a run begins (`RunStart`)."""

from array import array
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fleetrec.simulator.scenario.sections.request import ChosenRequests, ScoresAhead, Threshold

NO_ROW = (1 << 31) - 1
"""past every row of a stream"""


class KeyedDraws(Protocol):
    """Random numbers keyed by integers (core/randomness.py)."""

    def uniform(self, purpose: str, *keys: ArrayLike) -> NDArray[np.float64]:
        """Uniforms in (0, 1), one per broadcast element of the keys."""

    def uniform_one(self, purpose: str, *keys: int) -> float:
        """The same number for scalar keys."""


def next_true(flags: NDArray[np.bool_]) -> "array[int]":
    """The first place at or after each [S] where `flags` is true; a place past all others where there is none."""
    places = np.where(flags, np.arange(len(flags)), NO_ROW)
    return array("i", np.minimum.accumulate(places[::-1])[::-1].astype(np.int32).tobytes())


@dataclass(frozen=True)
class DecisionPoints:
    """The rows of the stream at which devices decide, those of a device one after the other in order of time."""

    device: NDArray[np.int64]  # [S]
    step: NDArray[np.int64]  # [S] place of the item in the user's log
    t_s: NDArray[np.float64]  # [S]
    first_row: NDArray[np.int64]  # [D] the first that the device meets
    newest_s: NDArray[np.float64]  # [D] when it joined; -inf: there from the start, its last interaction long ago
    links: list[str]  # [D] kind of each device's link
    scorer: ScoresAhead
    draws: KeyedDraws
    threshold: Threshold | None = None
    chosen: ChosenRequests | None = None

    @property
    def ties(self) -> NDArray[np.bool_]:
        """Rows [S] that share their moment with the next row."""
        return np.append((self.t_s[1:] == self.t_s[:-1]) & (self.device[1:] == self.device[:-1]), False)

    def next_of(self, asks: NDArray[np.bool_]) -> "array[int]":
        """The first row at or after each [S] that is in `asks` and is the last of its device at its moment."""
        return next_true(asks & ~self.ties)

    def gaps_s(self) -> NDArray[np.float64]:
        """Time [S] since the device's previous moment, or since it joined; infinite if it was there from the start."""
        rows = np.arange(len(self.t_s))
        first = rows == self.first_row[self.device]
        gaps = self.t_s - np.where(first, self.newest_s[self.device], np.append(0.0, self.t_s[:-1]))
        heads = first | (gaps != 0)  # of the rows that share a moment, the first one knows
        return np.asarray(gaps[np.maximum.accumulate(np.where(heads, rows, 0))])

    def uniform(self, purpose: str) -> NDArray[np.float64]:
        """Random numbers [S] between 0 and 1, keyed by purpose, device and step."""
        return self.draws.uniform(purpose, self.device, self.step)

    def uniform_one(self, purpose: str, device: int, step: int) -> float:
        """One of them."""
        return self.draws.uniform_one(purpose, device, step)

    def uniform_of(self, purpose: str, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Those of all devices, each at its step [D]."""
        return self.draws.uniform(purpose, np.arange(len(steps)), steps)
