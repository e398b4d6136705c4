"""Request policies: small values that say when a device asks the cloud for a new candidate list.

A policy sees only what the device knows (`Knowledge`); its budget is the same token bucket for all of them. It says
too when it may want to ask next (`next_ask`), so that a device can sleep until then. To add one: a section in the
scenario, a class with `wants` and `next_ask`, a line in `request_policy`.
"""

import math
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.policies.request.share import Share
from fleetrec.simulator.ranking.lookahead import Scorer
from fleetrec.simulator.scenario import sections

_NO_ROW = (1 << 31) - 1
_DAY_S = 86400.0


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
    since_s: float
    """when its newest interaction was, or when it joined"""
    late_answers: int
    """answers that came late or never, less those that came in time; at least 0"""
    last_gap_s: float
    """time between the newest interaction and the one before; infinite when the device joins, and at the first
    interaction of one that was there when the run began"""
    row: int
    """row of the stream that it meets next"""
    end: int
    """row of the stream after its last interaction"""
    used_weights: int
    """what its SRM has learnt (`DeviceWeights`)"""

    def list_age_s(self) -> float:
        """Time since the cached list's history was sent; infinite without a list."""

    def doubt(self) -> float:
        """What the policy's measure says of the cached list (policies/doubt.py); infinite without a list."""


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
    newest_s: NDArray[np.float64]  # [D] when it joined; -inf: there from the start, its last interaction long ago
    links: list[str]  # [D] kind of each device's link
    scorer: Scorer

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
        asks = draws.uniform("request.random", moments.device, moments.step) < ratio
        self._next = moments.next_of(asks)
        self._asks, self._first_row = asks.tobytes(), moments.first_row.tolist()

    def wants(self, device: Knowledge) -> bool:
        newest = device.row - 1
        if newest >= self._first_row[device.device]:
            return bool(self._asks[newest])
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


class Doubtful:
    """When the device's doubt in its list reaches a threshold: the inconsistency of LSC4Rec (intelligent request), the
    SRM's uncertainty, an expected gain, or the knowledge that a fresh list is better."""

    def __init__(self, share: Share, moments: Moments):
        self._share, self._scorer = share, moments.scorer
        self._step: list[int] = moments.step.tolist()
        self._t_s = array("d", moments.t_s.tobytes())

    def wants(self, device: Knowledge) -> bool:
        threshold = self._scorer.threshold = self._share.at(device.since_s)
        asks = device.doubt() >= threshold
        self._share.asked += asks
        return asks

    def next_ask(self, device: Knowledge, row: int) -> int:
        if device.as_of < 0 or row >= device.end:
            return row
        step = self._step[row]
        ask = row + self._scorer.next_doubt(device.device, device.as_of, step, device.used_weights) - step
        if self._share.until_s == math.inf:
            return ask
        return min(ask, bisect_right(self._t_s, self._share.until_s, row, device.end))


class Congestion:
    """By staleness, with a threshold that each late answer multiplies and each one in time divides again."""

    def __init__(self, section: sections.CongestionRequest):
        self._section = section

    def _threshold(self, device: Knowledge) -> int:
        section = self._section
        if section.backoff == 1.0:
            return min(section.threshold, section.longest)
        enough = math.log(section.longest / section.threshold) / math.log(section.backoff)
        if device.late_answers >= enough:
            return section.longest
        return math.ceil(section.threshold * section.backoff**device.late_answers)

    def wants(self, device: Knowledge) -> bool:
        return device.as_of < 0 or device.step - device.as_of >= self._threshold(device)

    def next_ask(self, device: Knowledge, row: int) -> int:
        if device.as_of < 0:
            return row
        return row + max(device.as_of + self._threshold(device) - device.step - 1, 0)


class NightlyOnLink:
    """In a window of the night, on an allowed link, with a list from before that night."""

    def __init__(self, section: sections.NightlyRequest, moments: Moments):
        self._at_s, self._window_s = section.at, section.window
        allowed = np.array([link in section.links for link in moments.links], dtype=bool)
        self._allowed: list[bool] = allowed.tolist()
        night = (moments.t_s - self._at_s) % _DAY_S < self._window_s
        self._next = moments.next_of(night & allowed[moments.device])

    def wants(self, device: Knowledge) -> bool:
        into_s = (device.since_s - self._at_s) % _DAY_S
        before = device.as_of < 0 or device.list_time_s < device.since_s - into_s
        return self._allowed[device.device] and into_s < self._window_s and before

    def next_ask(self, device: Knowledge, row: int) -> int:
        return self._next[row]


class Scheduled:
    """At decisions that were chosen before the run."""

    def __init__(self, schedule: "Schedule", moments: Moments):
        self._next = moments.next_of(schedule.rows)
        chosen = np.flatnonzero(schedule.rows)
        joins = np.flatnonzero(schedule.joins)
        self._asks = {
            *zip(moments.device[chosen].tolist(), moments.step[chosen].tolist(), strict=True),
            *zip(joins.tolist(), schedule.first_step[joins].tolist(), strict=True),
        }

    def wants(self, device: Knowledge) -> bool:
        return (device.device, device.step) in self._asks

    def next_ask(self, device: Knowledge, row: int) -> int:
        return self._next[row]


@dataclass(frozen=True)
class Schedule:
    """Requests that were chosen before the run: after which rows [S] of the stream, and by which devices [D] as they
    join, when their newest interaction is `first_step` [D]."""

    rows: NDArray[np.bool_]
    joins: NDArray[np.bool_]
    first_step: NDArray[np.int64]


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
    section: sections.RequestPolicy,
    draws: Draws,
    share: Share | None,
    moments: Moments,
    schedule: Schedule | None = None,
) -> RequestPolicy:
    """The policy that a scenario names; `share` has the threshold on its doubt, `schedule` is that of `oracle_dp`."""
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
        case sections.SessionStartRequest():
            return SessionStart(section.gap, moments)
        case sections.CongestionRequest():
            return Congestion(section)
        case sections.NightlyRequest():
            return NightlyOnLink(section, moments)
        case sections.OracleDpRequest():
            assert schedule is not None
            return Scheduled(schedule, moments)
        case _:
            assert share is not None
            return Doubtful(share, moments)


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

    @property
    def kept(self) -> float:
        """Tokens in all buckets."""
        return sum(self._tokens)

    def deal(self, tokens: float) -> None:
        """The fleet's bucket, or a region's part of it, holds so many tokens from now on."""
        self._tokens = [tokens]

    def earn(self, device: int, decisions: int = 1) -> None:
        """So many decisions of `device` were taken."""
        if self._unlimited:
            return
        place = 0 if self._fleet else device
        for _ in range(decisions):
            self._tokens[place] = min(self._tokens[place] + self.ratio, max(self.burst, self.ratio))

    def holds(self, device: int) -> bool:
        """Whether there is a token for a request."""
        return self._unlimited or self._tokens[0 if self._fleet else device] >= 1.0 - 1e-9

    def spend(self, device: int) -> None:
        """Take a token for a request that is made."""
        if not self._unlimited:
            self._tokens[0 if self._fleet else device] -= 1.0
