"""The `fleet` section: how many devices, of which kinds, over which links, and when they are there."""

from typing import Annotated, Literal

from pydantic import Field

from fleetrec.simulator.scenario.sections.base import Section, kind_of
from fleetrec.simulator.scenario.units import BitsPerSecond, Bytes, Count, FlopsPerSecond, Joules, Seconds, Share, Watts


class ConstantLink(Section):
    """The same latency and bandwidth for every message."""

    kind: Literal["constant"] = "constant"
    rtt: Seconds = Field(0.05, description="round-trip time of an empty message")
    up: BitsPerSecond = Field(10e6, description="bandwidth from the device to the cloud")
    down: BitsPerSecond = Field(50e6, description="bandwidth from the cloud to the device")
    loss: Share = Field(0.0, description="chance that a message is lost")
    radio_power: Watts = Field(1.0, description="extra power while the radio sends or receives")


class TraceLink(Section):
    """Bandwidth from a file of `seconds Mbit/s` lines, repeated."""

    kind: Literal["trace"] = "trace"
    path: str = Field(description="the trace; `${VARIABLE}` and `~` are expanded")
    rtt: Seconds = Field(0.05, description="round-trip time of an empty message")
    up_share: float = Field(0.25, gt=0, description="uplink bandwidth as a share of the trace's")
    loss: Share = Field(0.0, description="chance that a message is lost")
    radio_power: Watts = Field(1.2, description="extra power while the radio sends or receives")


class PresetLink(Section):
    """Fitted to measured data (docs/background/grounding.md); every device draws its own speed and latency."""

    kind: Literal["wifi", "lte", "5g", "3g"]
    loss: Share | None = Field(None, description="chance that a message is lost; the preset's own where not given")
    outage_every: Seconds | None = Field(None, description="mean time between outages; the preset's where not given")
    outage_length: Seconds | None = Field(None, description="mean length of an outage; the preset's where not given")


Link = Annotated[ConstantLink | TraceLink | PresetLink, kind_of()]


class DeviceClass(Section):
    """One kind of device."""

    name: str = Field(min_length=1, description="names the class in every table; unique")
    share: Share = Field(description="share of the devices; the classes' shares add up to 1")
    speed: FlopsPerSecond = Field(17e9, description="effective FLOP/s of small-model inference")
    speed_spread: float = Field(0.2, ge=0, le=2, description="log-normal sigma of speed over the class's devices")
    overhead: Seconds = Field(0.002, description="fixed time of one inference call")
    power: Watts = Field(1.6, description="extra power while computing")
    battery: Joules | None = Field(None, description="energy this app may use in a run; none: no limit")
    memory: Bytes = Field(200e6, description="what this app may hold")
    link: Link = Field(PresetLink(kind="lte"), description="connection to the cloud")


class AlwaysOn(Section):
    """Every device is there for the whole run."""

    kind: Literal["always_on"] = "always_on"
    join_over: Seconds = Field(
        0.0, description="devices join uniformly over this long and decide then; 0s: they are there from the start"
    )


class OnOff(Section):
    """Each device alternates exponential times online and offline, may join late and leave for good."""

    kind: Literal["on_off"] = "on_off"
    online: Seconds = Field(4 * 3600.0, gt=0, description="mean time online at a stretch")
    offline: Seconds = Field(3600.0, gt=0, description="mean time offline at a stretch")
    late_joiners: Share = Field(0.0, description="share of devices that join uniformly over the run")
    leavers: Share = Field(0.0, description="share of devices that leave for good, uniformly over the run")
    join_over: Seconds = Field(
        0.0, description="devices join uniformly over this long and decide then; 0s: they are there from the start"
    )


class PresenceTrace(Section):
    """CSV of device,start_s,end_s: when each device is online. Before the first and after the last it is absent."""

    kind: Literal["trace"] = "trace"
    path: str = Field(description="the CSV; `${VARIABLE}` and `~` are expanded")
    clock: Literal["run", "calendar"] = Field(
        "run",
        description="what its times are: seconds from the run's start, or dates (ISO, or since 1970) of a log that is "
        "replayed by its own",
    )


Churn = Annotated[AlwaysOn | OnOff | PresenceTrace, kind_of()]


class Preloaded(Section):
    """The list each device starts with; `preloaded: false` for none."""

    lag: int = Field(0, ge=0, description="interactions that the preloaded list has not seen")


def default_classes() -> tuple[DeviceClass, ...]:
    """Three classes of phones (docs/background/grounding.md)."""
    return (
        DeviceClass(
            name="high_end",
            share=0.3,
            speed=33e9,
            speed_spread=0.16,
            overhead=0.001,
            power=2.0,
            link=PresetLink(kind="5g"),
        ),
        DeviceClass(
            name="mid_range",
            share=0.5,
            speed=17e9,
            speed_spread=0.17,
            overhead=0.002,
            power=1.6,
            link=PresetLink(kind="lte"),
        ),
        DeviceClass(
            name="low_end",
            share=0.2,
            speed=7.8e9,
            speed_spread=0.37,
            overhead=0.004,
            power=1.2,
            link=PresetLink(kind="3g"),
        ),
    )


class Fleet(Section):
    """The devices: how many, of which kinds, when they are there."""

    devices: Count = Field(2000, description="more devices than users: users are cloned")
    represents: Count | None = Field(
        None,
        description="size of the fleet that this one stands for: users active after the cut, as all devices here are",
    )
    surge: float = Field(
        1.0,
        ge=1,
        le=1000,
        description="how many times its usual peak the fleet must be served at: pushes, jobs on the hour, launches",
    )
    preloaded: Preloaded | Literal[False] = Preloaded()
    fallback: Literal["srm", "popular"] = Field("srm", description="the slate of a device without a list")
    classes: tuple[DeviceClass, ...] = Field(
        default_factory=default_classes, min_length=1, description="kinds of devices; each device belongs to one"
    )
    churn: Churn = Field(AlwaysOn(), description="when devices are there")
    install_life: Seconds = Field(
        90 * 86400.0, gt=0, description="how long an installed SRM lasts: a run bears its share of that traffic"
    )
    when_empty: Literal["frozen", "miss"] = Field("frozen", description="out of battery: old slate stays, or a miss")
