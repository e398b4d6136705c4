"""How long a hosted API takes: time to the first token, and for each further one, from a law or a measured log."""

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.request_files.reading import read_requests
from fleetrec.simulator.core.randomness import Draws
from fleetrec.simulator.core.signals import Diurnal
from fleetrec.simulator.scenario.sections import Api, LogNormalLatency, MeasuredLatency
from fleetrec.simulator.scenario.text_files import resolve_path

Floats = NDArray[np.float64]
Key = tuple[int, int, int]
"""device, step and attempt: who asks, and which time"""


class Times(NamedTuple):
    """Of one request, at the pace of the day's mean."""

    ttft_s: float
    tpot_s: float


class Law(Protocol):
    """Draws times by keys."""

    def draw(self, key: Key) -> Times:
        """Those of one request."""


class LogNormal:
    """See LogNormalLatency."""

    def __init__(self, section: LogNormalLatency, draws: Draws):
        self._section, self._draws = section, draws

    def draw(self, key: Key) -> Times:
        section, factor = self._section, 1.0
        if section.tail is not None and self._draws.uniform_one("api.slow", *key) < section.tail.share:
            factor = self._draws.uniform_one("api.tail", *key) ** (-1.0 / section.tail.index)
        return Times(
            section.ttft * math.exp(section.ttft_spread * self._normal("api.ttft", section.ttft_spread, key)) * factor,
            section.tpot * math.exp(section.tpot_spread * self._normal("api.tpot", section.tpot_spread, key)) * factor,
        )

    def _normal(self, purpose: str, spread: float, key: Key) -> float:
        return self._draws.normal_one(purpose, *key) if spread else 0.0


class Measured:
    """The pairs of times of measured requests."""

    def __init__(self, times: Sequence[Times], draws: Draws):
        self._times, self._draws = times, draws

    def draw(self, key: Key) -> Times:
        return self._times[int(self._draws.uniform_one("api.like", *key) * len(self._times))]


def measured_times(section: MeasuredLatency) -> list[Times]:
    """Those of a log. InputError where it does not tell them."""
    requests = read_requests(resolve_path(section.path))
    told = np.isfinite(requests.first_s) & np.isfinite(requests.last_s)
    if not told.any():
        raise InputError(
            f"cloud.api.latency.path: {section.path} does not say when first and last tokens came; give a log with "
            "both, or a law (kind: log_normal)"
        )
    arrival_s, first_s, last_s = (times[told] for times in (requests.arrival_s, requests.first_s, requests.last_s))
    return times_of(arrival_s, first_s, last_s, requests.output_tokens[told])


def times_of(arrival_s: Floats, first_s: Floats, last_s: Floats, output_tokens: NDArray[np.int64]) -> list[Times]:
    """Those of requests [N] by when they came and had their first and last tokens."""
    tpot_s = (last_s - first_s) / np.maximum(output_tokens - 1, 1)
    return [Times(*pair) for pair in zip((first_s - arrival_s).tolist(), tpot_s.tolist(), strict=True)]


class ApiLatency:
    """The law of a scenario, with its daily cycle."""

    def __init__(self, api: Api, draws: Draws):
        assert api.latency is not None
        self._law: Law
        if isinstance(api.latency, MeasuredLatency):
            self._law = Measured(measured_times(api.latency), draws)
        else:
            self._law = LogNormal(api.latency, draws)
        self._day = None if api.daily is None else Diurnal(1.0, api.daily.peak_hour, api.daily.peak_to_mean)

    def draw(self, key: Key, now: float) -> Times:
        """Of a request that is let in at `now`."""
        times = self._law.draw(key)
        if self._day is None:
            return times
        pace = self._day.at(now)
        return Times(times.ttft_s * pace, times.tpot_s * pace)
