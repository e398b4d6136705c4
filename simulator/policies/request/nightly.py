"""At night, where a link costs nothing: once a night at most."""

from typing import Literal

import numpy as np
from pydantic import Field

from fleetrec.simulator.scenario.sections.request import (
    Bools,
    DevicesAhead,
    DeviceView,
    RequestPolicy,
    RunningRequestPolicy,
    RunStart,
)
from fleetrec.simulator.scenario.units import Seconds

_DAY_S = 86400.0


class NightlyRequest(RequestPolicy):
    """A request at night on an allowed link, where the list is from before that night."""

    kind: Literal["nightly_on_wifi"] = "nightly_on_wifi"
    at: Seconds = Field(2 * 3600.0, description="start of the night window, from each day's start")
    window: Seconds = Field(4 * 3600.0, gt=0, le=86400.0, description="length of the night window")
    links: tuple[str, ...] = Field(("wifi",), min_length=1, description="links on which a device may ask")

    def links_used(self) -> tuple[str, ...]:
        return self.links

    def start(self, run: RunStart) -> RunningRequestPolicy:
        return _Nights(self, run)


class _Nights:
    def __init__(self, policy: NightlyRequest, run: RunStart):
        self._at_s, self._window_s = policy.at, policy.window
        allowed = np.array([link in policy.links for link in run.links], dtype=bool)
        self._allowed, self._on_allowed = allowed.tolist(), allowed
        night = (run.t_s - self._at_s) % _DAY_S < self._window_s
        self._next = run.next_of(night & allowed[run.device])

    def wants(self, device: DeviceView) -> bool:
        into_s = (device.since_s - self._at_s) % _DAY_S
        before = device.as_of < 0 or device.list_time_s < device.since_s - into_s
        return self._allowed[device.device] and into_s < self._window_s and before

    def likely(self, ahead: DevicesAhead) -> Bools:
        """See Foreseeable."""
        into_s = (ahead.since_s - self._at_s) % _DAY_S
        before = (ahead.as_of < 0) | (ahead.list_time_s < ahead.since_s - into_s)
        return np.asarray(self._on_allowed[ahead.device] & (into_s < self._window_s) & before)

    def next_ask(self, device: DeviceView, row: int) -> int:
        return self._next[row]
