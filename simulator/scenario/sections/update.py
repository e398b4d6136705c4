"""The `policy.update` section: when the small model learns from the stream, in the cloud, on the devices, or both."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol, Self

from pydantic import Field

from fleetrec.simulator.scenario.sections.adapt_when import AdaptWhen
from fleetrec.simulator.scenario.sections.base import Section, kind_of
from fleetrec.simulator.scenario.sections.kinds import Family, Kind
from fleetrec.simulator.scenario.sections.own_kinds import OwnMethod, Seen, yes_or_no
from fleetrec.simulator.scenario.units import Seconds, Share

if TYPE_CHECKING:
    from fleetrec.models.srm.adapters import AdapterForm
    from fleetrec.models.srm.base import StateModel

LinkName = Literal["wifi", "lte", "5g", "3g", "constant", "trace"]


class Stage(Section):
    """A step of a rollout."""

    share: Share = Field(1.0, description="share of the devices that may fetch the version from then on")
    after: Seconds = Field(0.0, description="time since the version was ready")


class UploadsView(Protocol):
    """What the cloud knows when it checks whether to train."""

    @property
    def now_s(self) -> float:
        """Seconds since the run began."""

    @property
    def new(self) -> int:
        """Uploaded interactions that no training has learnt from."""

    @property
    def since_check(self) -> int:
        """Those that came since the check before."""

    @property
    def known(self) -> int:
        """All interactions that the cloud has, those of before the stream too."""

    @property
    def trainings(self) -> int:
        """Trainings so far."""

    @property
    def last_trained_s(self) -> float:
        """When the newest one began; minus infinity before the first."""

    @property
    def ndcg(self) -> float:
        """NDCG@10, by the newest weights, of what came since the check before; infinite where nothing did. It is
        computed when it is first asked for."""

    @property
    def best_ndcg(self) -> float:
        """The best of earlier checks that looked at it; minus infinity before the first."""


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

    def is_due(self, cloud: UploadsView) -> bool:
        """Whether `min_new` and `drift` ask for a training at a check."""
        if cloud.new < self.min_new:
            return False
        return self.drift is None or cloud.ndcg < (1.0 - self.drift) * cloud.best_ndcg


class LowRank(Section):
    """State plus a low-rank map of it."""

    kind: Literal["low_rank"] = "low_rank"
    rank: int = Field(4, ge=1, description="rank of the map")

    def on_top_of(self, model: "StateModel") -> "AdapterForm":
        """Its form for a shared model."""
        from fleetrec.models.srm.adapters import LowRankMap, after_encoder

        return after_encoder(LowRankMap(model.dim, min(self.rank, model.dim)))


class Bias(Section):
    """State plus a vector."""

    kind: Literal["bias"] = "bias"

    def on_top_of(self, model: "StateModel") -> "AdapterForm":
        """See LowRank."""
        from fleetrec.models.srm.adapters import Shift, after_encoder

        return after_encoder(Shift(model.dim))


class LastLayer(Section):
    """A linear layer after the encoder, the identity at first."""

    kind: Literal["last_layer"] = "last_layer"

    def on_top_of(self, model: "StateModel") -> "AdapterForm":
        """See LowRank."""
        from fleetrec.models.srm.adapters import OutputLayer, after_encoder

        return after_encoder(OutputLayer(model.dim))


class SubModule(Section):
    """Parameters of the encoder itself: states are then computed for each device."""

    kind: Literal["module"] = "module"
    name: str = Field(min_length=1, description="a sub-module of the SRM by its PyTorch name, such as norm_out")

    def on_top_of(self, model: "StateModel") -> "AdapterForm":
        """See LowRank. InputError for a sub-module that the model does not have."""
        from fleetrec.models.srm.adapters import inside_encoder

        return inside_encoder(model, self.name)


Adapter = Annotated[LowRank | Bias | LastLayer | SubModule, kind_of()]


class Adaptation(Section):
    """Each device fine-tunes parameters of its own on its own history."""

    when: AdaptWhen = Field(default_factory=AdaptWhen.family.default, description="when a device adapts")
    adapter: Adapter = Field(LowRank(), description="the parameters that each device has of its own")
    window: int = Field(20, ge=1, description="newest interactions that it learns from")
    steps: int = Field(5, ge=1, description="steps of gradient descent")
    learning_rate: float = Field(0.05, gt=0, description="of gradient descent")
    negatives: int = Field(50, ge=1, description="uniform negatives that an interaction's item is compared with")


class UpdateSchedule(Kind):
    """When and where the small model learns from the stream.

    A schedule of the user's own says when the cloud retrains, by `should_train`; it extends `FleetUpdate`, whose keys
    say how often the cloud checks, what it learns from and how the new weights reach devices.
    """

    family: ClassVar[Family] = Family(
        "policy.update",
        "fleetrec.simulator.policies.update",
        "none",
        ("should_train(self, cloud)",),
        extends="fleet",
    )

    fleet_key: ClassVar[str] = ""
    """where the keys of retraining stand, after those of the schedule"""

    @property
    def retraining(self) -> Retraining | None:
        """How the cloud retrains; None: it does not."""
        return None

    @property
    def adaptation(self) -> Adaptation | None:
        """How devices adapt; None: they do not."""
        return None

    @property
    def learns(self) -> bool:
        """Whether anything is learnt from the stream."""
        return self.retraining is not None or self.adaptation is not None

    def should_train(self, cloud: UploadsView) -> bool:
        """Whether the cloud trains now, at one of its checks; where it retrains at all."""
        assert self.retraining is not None
        return self.retraining.is_due(cloud)

    def trained_on(self, gpu: str) -> Self:
        """The same, on this GPU where it names none."""
        return self

    def running(self) -> "UpdateSchedule | OwnSchedule":
        """What decides in a run."""
        return OwnSchedule(self) if self.is_own() else self


class OwnSchedule:
    """A user's own schedule in a run: what it answers is checked."""

    def __init__(self, schedule: UpdateSchedule):
        self._should_train = OwnMethod(schedule, "should_train")

    def should_train(self, cloud: UploadsView) -> bool:
        """See UpdateSchedule."""
        return yes_or_no(self._should_train(Seen(cloud)), self._should_train.place)
