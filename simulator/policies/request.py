"""Request policies: small values that say when a device asks the cloud for a new candidate list.

A policy sees only what the device knows (`Knowledge`); its budget is the same token bucket for all of them. It says
too when it may want to ask next (`next_ask`), so that a device can sleep until then. To add one: a section in the
scenario, a class with `wants` and `next_ask`, a line in `request_policy`.
"""

import math
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simulator.randomness import Draws
from simulator.scenario import sections
from simulator.scoring import Scorer

_NO_ROW = (1 << 31) - 1


class Knowledge(Protocol):
    """What a device knows when it decides."""

    device: int
    step: int
    """place of its newest interaction in the user's log"""
    decisions: int
    """decisions taken before this one"""
    as_of: int
    """newest interaction that the cached list has seen; -1 without a list"""
    list_time_s: float
    """when the history behind the cached list was sent"""
    last_gap_s: float
    """time between the newest interaction and the one before; infinite when the device joins"""
    end: int
    """row of the stream after its last interaction"""
    used_weights: int
    """what its SRM has learnt (`DeviceWeights`)"""

    def list_age_s(self) -> float:
        """Time since the cached list's history was sent; infinite without a list."""

    def inconsistency(self) -> float:
        """Disagreement of SRM and LLM over the cached list; infinite without a list."""


class RequestPolicy(Protocol):
    """When to ask."""

    def wants(self, device: Knowledge) -> bool:
        """Whether the device asks for a new list now."""

    def next_ask(self, device: Knowledge, row: int) -> int:
        """A row of the stream, from `row` on, before which the device surely does not ask with this list and weights.

        The device has met the rows before `row`; it asks after the last of those that share a moment.
        """


def next_true(flags: NDArray[np.bool_]) -> "array[int]":
    """The first place at or after each [S] where `flags` is true; a place past all others where there is none."""
    places = np.where(flags, np.arange(len(flags)), _NO_ROW)
    return array("i", np.minimum.accumulate(places[::-1])[::-1].astype(np.int32).tobytes())


@dataclass(frozen=True)
class Moments:
    """When devices decide: the rows of the stream, those of a device one after the other in order of time."""

    device: NDArray[np.int64]  # [S]
    step: NDArray[np.int64]  # [S] place of the item in the user's log
    t_s: NDArray[np.float64]  # [S]
    first_row: NDArray[np.int64]  # [D] the first that the device meets
    joined_s: NDArray[np.float64]  # [D]
    scorer: Scorer

    @property
    def ties(self) -> NDArray[np.bool_]:
        """Rows [S] that share their moment with the next row."""
        return np.append((self.t_s[1:] == self.t_s[:-1]) & (self.device[1:] == self.device[:-1]), False)

    def next_of(self, asks: NDArray[np.bool_]) -> "array[int]":
        """The first row at or after each [S] that is in `asks` and is the last of its device at its moment."""
        return next_true(asks & ~self.ties)

    def gaps_s(self) -> NDArray[np.float64]:
        """Time [S] since the device's previous moment, or since it joined."""
        rows = np.arange(len(self.t_s))
        first = rows == self.first_row[self.device]
        gaps = self.t_s - np.where(first, self.joined_s[self.device], np.append(0.0, self.t_s[:-1]))
        heads = first | (gaps != 0)  # of the rows that share a moment, the first one knows
        return np.asarray(gaps[np.maximum.accumulate(np.where(heads, rows, 0))])


@dataclass(frozen=True)
class Never:
    def wants(self, device: Knowledge) -> bool:
        return False

    def next_ask(self, device: Knowledge, row: int) -> int:
        return _NO_ROW


@dataclass(frozen=True)
class Always:
    def wants(self, device: Knowledge) -> bool:
        return True

    def next_ask(self, device: Knowledge, row: int) -> int:
        return row


@dataclass(frozen=True)
class Every:
    """At every n-th decision of the device, the first included."""

    n: int

    def wants(self, device: Knowledge) -> bool:
        return device.decisions % self.n == 0

    def next_ask(self, device: Knowledge, row: int) -> int:
        return row + -device.decisions % self.n  # a decision has one row at least


class Random:
    """A coin keyed by (device, step): the same coin in every run at one seed."""

    def __init__(self, ratio: float, draws: Draws, moments: Moments):
        self._ratio, self._draws = ratio, draws
        self._next = moments.next_of(draws.uniform("request.random", moments.device, moments.step) < ratio)

    def wants(self, device: Knowledge) -> bool:
        return self._draws.uniform_one("request.random", device.device, device.step) < self._ratio

    def next_ask(self, device: Knowledge, row: int) -> int:
        return self._next[row]


class Staleness:
    """When the list has not seen `threshold` interactions, or is older than `age_s`."""

    def __init__(self, threshold: float, age_s: float, moments: Moments):
        self._threshold, self._age_s = threshold, age_s
        self._t_s = moments.t_s.tolist() if age_s < math.inf else []

    def wants(self, device: Knowledge) -> bool:
        return device.step - device.as_of >= self._threshold or device.list_age_s() >= self._age_s

    def next_ask(self, device: Knowledge, row: int) -> int:
        if self._threshold < math.inf:
            return row + max(device.as_of + int(self._threshold) - device.step - 1, 0)
        if device.as_of < 0:
            return row
        sent_s = device.list_time_s
        return bisect_left(self._t_s, self._age_s, row, device.end, key=lambda t_s: t_s - sent_s)


class Inconsistency:
    """When the SRM's order and the LLM's order of the cached list disagree (intelligent request of LSC4Rec)."""

    def __init__(self, threshold: float, moments: Moments):
        self._threshold = threshold
        self._scorer = moments.scorer
        self._step: list[int] = moments.step.tolist()

    def wants(self, device: Knowledge) -> bool:
        return device.inconsistency() >= self._threshold

    def next_ask(self, device: Knowledge, row: int) -> int:
        if device.as_of < 0:
            return row
        for later in range(row, device.end):
            known = self._scorer.known(device.device, device.as_of, self._step[later], device.used_weights)
            if known is None:
                self._scorer.expect(device.device, device.as_of, self._step[later], device.used_weights)
                return later
            if known[1] >= self._threshold:
                return later
        return _NO_ROW


class SessionStart:
    """At the first interaction after a pause, and when the device joins."""

    def __init__(self, gap_s: float, moments: Moments):
        self._gap_s = gap_s
        self._next = moments.next_of(moments.gaps_s() >= gap_s)

    def wants(self, device: Knowledge) -> bool:
        return device.last_gap_s >= self._gap_s

    def next_ask(self, device: Knowledge, row: int) -> int:
        return self._next[row]


def request_policy(
    section: sections.RequestPolicy, draws: Draws, threshold: float | None, moments: Moments
) -> RequestPolicy:
    """The policy that a scenario names; `threshold` is the calibrated one, for a policy that was given a ratio."""
    match section:
        case sections.NeverRequest() | sections.CloudPush():
            return Never()
        case sections.AlwaysRequest():
            return Always()
        case sections.EveryRequest():
            return Every(section.n)
        case sections.RandomRequest():
            return Random(section.ratio, draws, moments)
        case sections.StalenessRequest():
            return Staleness(section.threshold or math.inf, math.inf if section.age is None else section.age, moments)
        case sections.InconsistencyRequest():
            return Inconsistency(_first_given(threshold, section.threshold), moments)
        case sections.SessionStartRequest():
            return SessionStart(section.gap, moments)


def _first_given(*values: float | None) -> float:
    return next(value for value in values if value is not None)


class Budget:
    """A token bucket: a decision earns `ratio` tokens, a request takes one, at most `burst` tokens are kept.

    One bucket for the fleet, or one for each device. A bucket starts full, so `burst` is also the opening credit.
    """

    def __init__(self, section: sections.Budget, devices: int):
        fleet = section.scope == "fleet"
        self.ratio = section.ratio
        self.burst = section.burst if section.burst is not None else (max(1.0, 0.05 * devices) if fleet else 3.0)
        self._unlimited = section.ratio >= 1.0
        self._tokens = [self.burst] * (1 if fleet else devices)
        self._fleet = fleet

    def earn(self, device: int, decisions: int = 1) -> None:
        """So many decisions of `device` were taken."""
        if self._unlimited:
            return
        place = 0 if self._fleet else device
        for _ in range(decisions):
            self._tokens[place] = min(self._tokens[place] + self.ratio, max(self.burst, self.ratio))

    def spend(self, device: int) -> bool:
        """Take a token for a request; False when there is none."""
        if self._unlimited:
            return True
        place = 0 if self._fleet else device
        if self._tokens[place] < 1.0 - 1e-9:
            return False
        self._tokens[place] -= 1.0
        return True
