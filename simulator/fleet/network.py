"""Links between devices and the cloud: a message takes one-way latency plus its bits over the bandwidth, or is lost.

Presets are fitted to measured data (docs/background/grounding.md; benchmarks/fit_device_and_link_presets.py prints the
fits); a device draws its own speed and round-trip time once, a message its own latency. Draws are keyed by (device,
step, attempt), never by what was sent before, so two policies at one seed meet the same links.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import cast

import numpy as np
from numpy.typing import NDArray

from fleetrec.simulator.core.randomness import Draws, StepDraws
from fleetrec.simulator.core.signals import Trace, read_bandwidth_trace
from fleetrec.simulator.fleet.devices import FleetTable
from fleetrec.simulator.fleet.presence import Intervals, alternating_offline
from fleetrec.simulator.scenario import sections

_normal_quantile = NormalDist().inv_cdf


@dataclass(frozen=True)
class LinkPreset:
    """Medians over devices and log-normal sigmas: of speed and round trip over devices, of latency over messages."""

    up_bps: float
    down_bps: float
    up_sigma: float
    down_sigma: float
    rtt_s: float
    rtt_sigma: float
    jitter: float
    loss: float
    outage_every_s: float  # mean time from the end of one outage to the next
    outage_length_s: float
    radio_power_w: float


PRESETS = {
    "wifi": LinkPreset(27e6, 35e6, 0.41, 0.40, 0.044, 0.57, 0.57, 0.001, 86400.0, 60.0, 0.7),
    "lte": LinkPreset(31e6, 117e6, 0.30, 0.45, 0.044, 0.15, 0.15, 0.0015, 86400.0, 60.0, 1.3),
    "5g": LinkPreset(72e6, 118e6, 0.35, 0.62, 0.036, 0.22, 0.22, 0.0005, 86400.0, 60.0, 1.5),
    "3g": LinkPreset(0.35e6, 1.3e6, 0.46, 0.46, 0.150, 0.20, 0.20, 0.01, 28800.0, 120.0, 0.8),
}


def _as_preset(link: sections.Link) -> LinkPreset:
    """The parameters of a link: constant and trace links have no spread, no jitter and no outages of their own."""
    if isinstance(link, sections.ConstantLink):
        return LinkPreset(link.up, link.down, 0, 0, link.rtt, 0, 0, link.loss, math.inf, 0, link.radio_power)
    if isinstance(link, sections.TraceLink):  # speeds come from the trace; 1 keeps the arrays finite
        return LinkPreset(1, 1, 0, 0, link.rtt, 0, 0, link.loss, math.inf, 0, link.radio_power)
    preset = PRESETS[link.kind]
    return LinkPreset(
        up_bps=preset.up_bps,
        down_bps=preset.down_bps,
        up_sigma=preset.up_sigma,
        down_sigma=preset.down_sigma,
        rtt_s=preset.rtt_s,
        rtt_sigma=preset.rtt_sigma,
        jitter=preset.jitter,
        loss=preset.loss if link.loss is None else link.loss,
        outage_every_s=preset.outage_every_s if link.outage_every is None else link.outage_every,
        outage_length_s=preset.outage_length_s if link.outage_length is None else link.outage_length,
        radio_power_w=preset.radio_power_w,
    )


@dataclass(frozen=True)
class _DeviceTrace:
    """A bandwidth trace that a device is in at a moment of its own."""

    trace: Trace
    shift_s: float
    up_share: float

    def seconds(self, bits: float, t_s: float) -> float:
        return self.trace.seconds_to_gather(bits, t_s + self.shift_s)


class Network:
    """The links of a fleet. Arrays are over devices [D]; `up` and `down` are scalar and on the engine's hot path."""

    def __init__(self, section: sections.Fleet, fleet: FleetTable, draws: Draws):
        """Raises InputError for an unreadable bandwidth trace."""
        links = [cls.link for cls in section.classes]
        presets = [_as_preset(link) for link in links]
        device = np.arange(fleet.n_devices)

        def per_device(name: str) -> NDArray[np.float64]:
            return np.array([getattr(preset, name) for preset in presets], dtype=np.float64)[fleet.class_index]

        def spread(median: str, sigma: str, purpose: str) -> NDArray[np.float64]:
            return per_device(median) * np.exp(per_device(sigma) * draws.normal(purpose, device))

        self.link_names: list[str] = [links[i].kind for i in fleet.class_index.tolist()]
        # One speed draw a device for both directions: a device in a poor place is slow both ways.
        self.up_bps = spread("up_bps", "up_sigma", "link.speed")
        self.down_bps = spread("down_bps", "down_sigma", "link.speed")
        self.rtt_s = spread("rtt_s", "rtt_sigma", "link.rtt")
        self.jitter = per_device("jitter")
        self.loss = per_device("loss")
        self.radio_power_w = per_device("radio_power_w")
        self._outage_every_s = per_device("outage_every_s")
        self._outage_length_s = per_device("outage_length_s")
        self._draws = draws
        self._ups, self._downs = StepDraws(draws, "link.up"), StepDraws(draws, "link.down")
        self._traces = self._device_traces(links, fleet)

    def _device_traces(self, links: list[sections.Link], fleet: FleetTable) -> dict[int, _DeviceTrace]:
        traces: dict[int, _DeviceTrace] = {}
        for index, link in enumerate(links):
            if not isinstance(link, sections.TraceLink):
                continue
            trace = read_bandwidth_trace(link.path)
            members = np.flatnonzero(fleet.class_index == index)
            shifts = self._draws.uniform("link.trace", members) * (trace.period_s or 0.0)
            for device, shift_s in zip(members.tolist(), shifts.tolist(), strict=True):
                traces[device] = _DeviceTrace(trace, shift_s, link.up_share)
        return traces

    @property
    def has_traces(self) -> bool:
        """Whether the bandwidth of some device comes from a trace."""
        return bool(self._traces)

    def foresee(self, first: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Devices [D] send first attempts at `counts` steps from `first` on, and at no others."""
        self._ups.foresee(first, counts)
        self._downs.foresee(first, counts)

    def up(self, device: int, step: int, attempt: int, nbytes: float, t_s: float) -> float | None:
        """Seconds that a message to the cloud sent at t_s takes; None: it is lost."""
        latency_s = self._latency(device, self._ups.one(device, step, attempt))
        if latency_s is None:
            return None
        if self._traces and device in self._traces:
            trace = self._traces[device]
            return latency_s + trace.seconds(nbytes * 8 / trace.up_share, t_s)
        return latency_s + nbytes * self._up_s_per_byte[device]

    def down(self, device: int, step: int, attempt: int, nbytes: float, t_s: float) -> float | None:
        """Seconds that a message from the cloud sent at t_s takes; None: it is lost."""
        latency_s = self._latency(device, self._downs.one(device, step, attempt))
        if latency_s is None:
            return None
        if self._traces and device in self._traces:
            return latency_s + self._traces[device].seconds(nbytes * 8, t_s)
        return latency_s + nbytes * self._down_s_per_byte[device]

    def loses(
        self, devices: NDArray[np.int64], steps: NDArray[np.int64], attempts: NDArray[np.int64] | int
    ) -> NDArray[np.bool_]:
        """Whether a message of a request of devices [M] at their steps is lost, to the cloud or from it, of these
        attempts [M] or of one."""
        draws = [self._draws.uniform(purpose, devices, steps, attempts) for purpose in ("link.up", "link.down")]
        return np.asarray(np.maximum(*draws) >= 1 - self.loss[devices])

    # What is asked of one device at a time, as lists, which are quicker than arrays: made for those who ask.

    @cached_property
    def _up_s_per_byte(self) -> list[float]:
        return _listed(8 / self.up_bps)

    @cached_property
    def _down_s_per_byte(self) -> list[float]:
        return _listed(8 / self.down_bps)

    @cached_property
    def _one_way_s(self) -> list[float]:
        return _listed(self.rtt_s / 2)

    @cached_property
    def _jitters(self) -> list[float]:
        return _listed(self.jitter)

    @cached_property
    def _kept(self) -> list[float]:
        return _listed(1 - self.loss)

    @cached_property
    def _radio_w(self) -> list[float]:
        return _listed(self.radio_power_w)

    def _latency(self, device: int, draw: float) -> float | None:
        """Half a round trip with the jitter of a message; None: lost. One uniform decides both: below `kept`, over
        `kept`, it is uniform again."""
        kept = self._kept[device]
        if draw >= kept:
            return None
        jitter = self._jitters[device]
        if not jitter:
            return self._one_way_s[device]
        return self._one_way_s[device] * math.exp(jitter * _normal_quantile(draw / kept))

    def radio_joules(self, device: int, seconds: float) -> float:
        """Energy of a radio active for `seconds`; the tail after a transfer is free (docs/background/grounding.md)."""
        return self._radio_w[device] * seconds

    def outages(self, horizon_s: float) -> Intervals:
        """Times in [0, horizon_s) at which each device's link is down."""
        return alternating_offline("link.outage", self._outage_every_s, self._outage_length_s, horizon_s, self._draws)


def _listed(values: NDArray[np.float64]) -> list[float]:
    return cast(list[float], values.tolist())
