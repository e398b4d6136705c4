"""The `policy.update` section: when the small model learns from the stream, in the cloud, on the devices, or both."""

from typing import Annotated, Literal

from pydantic import Field

from fleetrec.simulator.scenario.sections.base import Section, kind_of
from fleetrec.simulator.scenario.units import Seconds, Share

LinkName = Literal["wifi", "lte", "5g", "3g", "constant", "trace"]


class Stage(Section):
    """A step of a rollout."""

    share: Share = Field(1.0, description="share of the devices that may fetch the version from then on")
    after: Seconds = Field(0.0, description="time since the version was ready")


class Retraining(Section):
    """The cloud trains the small model again on what devices have uploaded, and devices fetch the new weights."""

    every: Seconds = Field(4 * 3600.0, gt=0, description="time between two looks at what was uploaded")
    drift: Share | None = Field(
        None,
        description="train only where NDCG@10 of what was uploaded since the last look is this share below that of the "
        "best look so far; none: at every look",
    )
    min_new: int = Field(1, ge=1, description="uploaded interactions, not yet learnt from, below which it waits")
    learn_from: Literal["all", "new", "before"] = Field(
        "all",
        description="everything that the cloud has; what came since the last training, with its context; or only what "
        "it had before the stream, a control that tells longer training from newer data",
    )
    epochs: int = Field(1, ge=1, description="passes over it, from the last weights on")
    learning_rate: float | None = Field(None, gt=0, description="of Adam; none: that of `srm.training`")
    gpu: str | None = Field(None, description="catalogue GPU that trains; none: that of `cloud`")
    mfu: float = Field(0.05, gt=0, le=1, description="share of the GPU's 32-bit peak that a small model reaches")
    start: Seconds = Field(60.0, description="fixed time of a training job: start, reading data, checks")
    weights: Literal["full", "half", "delta"] = Field(
        "full",
        description="what is pushed: 4 bytes a weight, 2 bytes a weight, or the change since the version before in "
        "1 byte a weight and a scale a row",
    )
    stages: tuple[Stage, ...] = Field((Stage(),), min_length=1, description="rollout, by growing share of the devices")
    links: tuple[LinkName, ...] = Field(
        ("wifi", "lte", "5g", "3g", "constant", "trace"), min_length=1, description="links over which weights travel"
    )
    upload: Seconds | None = Field(
        None, gt=0, description="period at which a device sends what the cloud lacks; none: with its requests only"
    )


class EveryInteractions(Section):
    """At regular intervals."""

    kind: Literal["every"] = "every"
    n: int = Field(10, ge=1, description="interactions between two adaptations")


class WhenIdle(Section):
    """When the user pauses."""

    kind: Literal["idle"] = "idle"
    gap: Seconds = Field(1800.0, gt=0, description="time without an interaction after which the device adapts")
    min_new: int = Field(5, ge=1, description="interactions since the last adaptation, at least")


class WhenWorse(Section):
    """When the device's recent ranks get worse."""

    kind: Literal["rank_drop"] = "rank_drop"
    window: int = Field(10, ge=2, description="interactions of which mean reciprocal ranks are compared")
    drop: Share = Field(0.2, description="share by which the newest window's mean is below that of the one before")


AdaptWhen = Annotated[EveryInteractions | WhenIdle | WhenWorse, kind_of()]


class LowRank(Section):
    """State plus a low-rank map of it."""

    kind: Literal["low_rank"] = "low_rank"
    rank: int = Field(4, ge=1, description="rank of the map")


class Bias(Section):
    """State plus a vector."""

    kind: Literal["bias"] = "bias"


class LastLayer(Section):
    """A linear layer after the encoder, the identity at first."""

    kind: Literal["last_layer"] = "last_layer"


class SubModule(Section):
    """Parameters of the encoder itself: states are then computed for each device."""

    kind: Literal["module"] = "module"
    name: str = Field(min_length=1, description="a sub-module of the SRM by its PyTorch name, such as norm_out")


Adapter = Annotated[LowRank | Bias | LastLayer | SubModule, kind_of()]


class Adaptation(Section):
    """Each device fine-tunes parameters of its own on its own history."""

    when: AdaptWhen = Field(EveryInteractions(), description="when a device adapts")
    adapter: Adapter = Field(LowRank(), description="the parameters that each device has of its own")
    window: int = Field(20, ge=1, description="newest interactions that it learns from")
    steps: int = Field(5, ge=1, description="steps of gradient descent")
    learning_rate: float = Field(0.05, gt=0, description="of gradient descent")
    negatives: int = Field(50, ge=1, description="uniform negatives that an interaction's item is compared with")


class NoUpdate(Section):
    """The weights of before the stream, throughout."""

    kind: Literal["none"] = "none"


class FleetUpdate(Retraining):
    """The cloud retrains and pushes."""

    kind: Literal["fleet"] = "fleet"


class OnDeviceUpdate(Adaptation):
    """Devices adapt."""

    kind: Literal["on_device"] = "on_device"


class BothUpdates(Section):
    """The cloud retrains and pushes; devices adapt what they were pushed."""

    kind: Literal["both"] = "both"
    fleet: Retraining = Retraining()
    on_device: Adaptation = Adaptation()


UpdateSchedule = Annotated[NoUpdate | FleetUpdate | OnDeviceUpdate | BothUpdates, kind_of()]


def retraining_of(schedule: NoUpdate | FleetUpdate | OnDeviceUpdate | BothUpdates) -> Retraining | None:
    """How the cloud retrains under a schedule; None: it does not."""
    if isinstance(schedule, BothUpdates):
        return schedule.fleet
    return schedule if isinstance(schedule, FleetUpdate) else None


def adaptation_of(schedule: NoUpdate | FleetUpdate | OnDeviceUpdate | BothUpdates) -> Adaptation | None:
    """How devices adapt under a schedule; None: they do not."""
    if isinstance(schedule, BothUpdates):
        return schedule.on_device
    return schedule if isinstance(schedule, OnDeviceUpdate) else None
