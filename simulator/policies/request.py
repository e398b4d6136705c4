"""Request policies: small values that say when a device asks the cloud for a new candidate list.

A policy sees only what the device knows (`Knowledge`); its budget is the same token bucket for all of them. To add
one: a section in the scenario, a class with `wants`, a line in `request_policy`.
"""

import math
from dataclasses import dataclass
from typing import Protocol

from simulator.randomness import Draws
from simulator.scenario import sections


class Knowledge(Protocol):
    """What a device knows when it decides."""

    device: int
    step: int
    """place of its newest interaction in the user's log"""
    decisions: int
    """decisions taken before this one"""
    as_of: int
    """newest interaction that the cached list has seen; -1 without a list"""
    last_gap_s: float
    """time between the newest interaction and the one before; infinite when the device joins"""

    def list_age_s(self) -> float:
        """Time since the cached list's history was sent; infinite without a list."""

    def inconsistency(self) -> float:
        """Disagreement of SRM and LLM over the cached list; infinite without a list."""


class RequestPolicy(Protocol):
    """When to ask."""

    def wants(self, device: Knowledge) -> bool:
        """Whether the device asks for a new list now."""


@dataclass(frozen=True)
class Never:
    def wants(self, device: Knowledge) -> bool:
        return False


@dataclass(frozen=True)
class Always:
    def wants(self, device: Knowledge) -> bool:
        return True


@dataclass(frozen=True)
class Every:
    """At every n-th decision of the device, the first included."""

    n: int

    def wants(self, device: Knowledge) -> bool:
        return device.decisions % self.n == 0


@dataclass(frozen=True)
class Random:
    """A coin keyed by (device, step): the same coin in every run at one seed."""

    ratio: float
    draws: Draws

    def wants(self, device: Knowledge) -> bool:
        return self.draws.uniform_one("request.random", device.device, device.step) < self.ratio


@dataclass(frozen=True)
class Staleness:
    """When the list has not seen `threshold` interactions, or is older than `age_s`."""

    threshold: float
    age_s: float

    def wants(self, device: Knowledge) -> bool:
        return device.step - device.as_of >= self.threshold or device.list_age_s() >= self.age_s


@dataclass(frozen=True)
class Inconsistency:
    """When the SRM's order and the LLM's order of the cached list disagree (intelligent request of LSC4Rec)."""

    threshold: float

    def wants(self, device: Knowledge) -> bool:
        return device.inconsistency() >= self.threshold


@dataclass(frozen=True)
class SessionStart:
    """At the first interaction after a pause, and when the device joins."""

    gap_s: float

    def wants(self, device: Knowledge) -> bool:
        return device.last_gap_s >= self.gap_s


def request_policy(section: sections.RequestPolicy, draws: Draws, threshold: float | None) -> RequestPolicy:
    """The policy that a scenario names; `threshold` is the calibrated one, for a policy that was given a ratio."""
    match section:
        case sections.NeverRequest() | sections.CloudPush():
            return Never()
        case sections.AlwaysRequest():
            return Always()
        case sections.EveryRequest():
            return Every(section.n)
        case sections.RandomRequest():
            return Random(section.ratio, draws)
        case sections.StalenessRequest():
            return Staleness(section.threshold or math.inf, math.inf if section.age is None else section.age)
        case sections.InconsistencyRequest():
            return Inconsistency(_first_given(threshold, section.threshold))
        case sections.SessionStartRequest():
            return SessionStart(section.gap)


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

    def earn(self, device: int) -> None:
        """One decision of `device` was taken."""
        if self._unlimited:
            return
        place = 0 if self._fleet else device
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
