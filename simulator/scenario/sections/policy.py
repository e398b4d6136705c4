"""The `policy` section: when devices ask, how two orders become a slate, and what the user waits for."""

from typing import Annotated, Literal

from pydantic import Field

from simulator.scenario.sections.base import Section, kind_of
from simulator.scenario.sections.update import NoUpdate, UpdateSchedule
from simulator.scenario.units import Seconds, Share


class NeverRequest(Section):
    """No requests: the preloaded list is all a device ever has."""

    kind: Literal["never"] = "never"


class AlwaysRequest(Section):
    """A request at every decision."""

    kind: Literal["always"] = "always"


class EveryRequest(Section):
    """A request at regular intervals."""

    kind: Literal["every"] = "every"
    n: int = Field(5, ge=1, description="a request at every n-th interaction of the device")


class RandomRequest(Section):
    """A coin at every decision."""

    kind: Literal["random"] = "random"
    ratio: Share = Field(0.2, description="chance of a request at each decision")


class StalenessRequest(Section):
    """A request when the list is old, by exactly one of `threshold` and `age`."""

    kind: Literal["staleness"] = "staleness"
    threshold: int | None = Field(None, ge=1, description="interactions the list has not seen")
    age: Seconds | None = Field(None, description="age of the list in time")


class InconsistencyRequest(Section):
    """A request when the SRM's and the LLM's orders disagree (LSC4Rec), by exactly one of `ratio` and `threshold`."""

    kind: Literal["inconsistency"] = "inconsistency"
    ratio: Share | None = Field(None, description="wanted share; the threshold is calibrated before the stream")
    threshold: float | None = Field(None, ge=0, description="score at or above which the device asks")


class SessionStartRequest(Section):
    """A request at the first interaction after a pause."""

    kind: Literal["session_start"] = "session_start"
    gap: Seconds = Field(1800.0, description="a pause at least this long starts a session")


class CloudPush(Section):
    """The cloud refreshes every list off-peak, unasked."""

    kind: Literal["cloud_push"] = "cloud_push"
    every: Seconds = Field(86400.0, gt=0, description="period of the refreshes")
    at: Seconds = Field(4 * 3600.0, description="start of the off-peak window, from each period's start")
    window: Seconds = Field(2 * 3600.0, description="pushes are spread over this long")


RequestPolicy = Annotated[
    NeverRequest
    | AlwaysRequest
    | EveryRequest
    | RandomRequest
    | StalenessRequest
    | InconsistencyRequest
    | SessionStartRequest
    | CloudPush,
    kind_of(),
]


class Budget(Section):
    """A token bucket: each decision earns `ratio` tokens, a request costs one, at most `burst` are kept."""

    ratio: float = Field(
        1.0,
        ge=0,
        le=1,
        description="tokens earned by a decision, so the largest share of decisions that may ask; 1: no limit",
    )
    scope: Literal["device", "fleet"] = Field("fleet", description="one bucket for the fleet, or one for each device")
    burst: float | None = Field(None, ge=0, description="none: 3 for a device, 5% of the devices for the fleet")


Score = Literal["sigmoid", "list_softmax", "zscore", "rank"]


class LlmOnly(Section):
    """The LLM's order."""

    kind: Literal["llm_only"] = "llm_only"


class SrmOnly(Section):
    """The SRM's order of the LLM's candidates."""

    kind: Literal["srm_only"] = "srm_only"


class LinearFusion(Section):
    """LLM rank plus weighted SRM score."""

    kind: Literal["linear"] = "linear"
    srm_weight: float = Field(1.0, ge=0, description="weight of the SRM's score beside the LLM's rank")
    score: Score = Field("rank", description="how the SRM's logits become scores; sigmoid needs `srm.loss: bce`")


class GatedFusion(Section):
    """LLM rank plus the SRM's score where that is sure."""

    kind: Literal["gated"] = "gated"
    gate: float = Field(0.4, ge=0, le=0.5, description="SRM scores closer to 0.5 than this are ignored")
    score: Score = Field("rank", description="how the SRM's logits become scores; sigmoid needs `srm.loss: bce`")


class ReciprocalRankFusion(Section):
    """Weighted sum of both reciprocal ranks."""

    kind: Literal["reciprocal_rank"] = "reciprocal_rank"
    srm_weight: float = Field(1.0, ge=0, description="weight of the SRM's reciprocal rank beside the LLM's")
    constant: float = Field(60, gt=0, description="added to each rank before its reciprocal is taken")


Fusion = Annotated[LlmOnly | SrmOnly | LinearFusion | GatedFusion | ReciprocalRankFusion, kind_of()]

SlateKind = Literal["llm", "srm", "both", "cloud_srm", "popular", "recent", "frequent", "markov"]


class Policy(Section):
    """When devices ask, how both orders become a slate, and what the user waits for."""

    request: RequestPolicy = Field(AlwaysRequest(), description="when a device wants a new list")
    budget: Budget = Budget()
    decide_at: Literal["both", "join", "interaction"] = Field("both", description="moments at which a device decides")
    when_offline: Literal["fail", "wait"] = Field(
        "fail", description="a request while offline fails at once, or waits for the link"
    )
    fusion: Fusion = Field(LinearFusion(), description="how the LLM's order and the SRM's scores make the slate")
    slate: SlateKind = Field(
        "llm",
        description="the LLM's list re-ranked, the SRM alone over the catalogue, both joined, or a baseline",
    )
    mode: Literal["background", "blocking"] = Field(
        "background", description="the user goes on while a request runs, or the screen waits for it"
    )
    update: UpdateSchedule = Field(NoUpdate(), description="when and where the small model learns from the stream")
    patience: Seconds = Field(2.0, description="how long a blocking screen waits for an answer")
