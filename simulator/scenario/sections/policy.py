"""The `policy` section: when devices ask, how two orders become a slate, and what the user waits for."""

from typing import Annotated, Literal

from pydantic import Field

from fleetrec.simulator.scenario.sections.base import Section, kind_of
from fleetrec.simulator.scenario.sections.request import RequestPolicy
from fleetrec.simulator.scenario.sections.update import NoUpdate, UpdateSchedule
from fleetrec.simulator.scenario.units import Seconds


class Budget(Section):
    """A token bucket: each decision earns `ratio` tokens, a request costs one, at most `burst` are kept."""

    ratio: float = Field(
        1.0,
        ge=0,
        le=1,
        description="tokens earned by a decision, so the largest share of decisions that may ask; 1: no limit",
    )
    scope: Literal["device", "fleet"] = Field("fleet", description="one bucket for the fleet, or one for each device")
    burst: float | None = Field(
        None, ge=0, description="none: 3 for a device, 5% of the devices (at least 1) for the fleet"
    )


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


class StalenessFusion(Section):
    """Linear fusion whose weight follows the age of the list."""

    kind: Literal["staleness"] = "staleness"
    srm_weight: float = Field(1.0, ge=0, description="weight of the SRM's score on a fresh list")
    growth: float = Field(
        0.5, ge=-1, description="added to the weight, as a share of it, by each interaction the list has not seen"
    )
    largest: float = Field(8.0, ge=0, description="largest weight of the SRM's score")
    score: Score = Field("rank", description="how the SRM's logits become scores; sigmoid needs `srm.loss: bce`")


class ReliabilityFusion(Section):
    """Linear fusion that trusts the LLM's order as far as the newest interactions bear it out (the idea of SCaLRec)."""

    kind: Literal["reliability"] = "reliability"
    srm_weight: float = Field(1.0, ge=0, description="weight of the SRM's score beside an LLM order of full trust")
    prior: float = Field(2.0, gt=0, description="interactions that the trust in a fresh list counts for")
    score: Score = Field("rank", description="how the SRM's logits become scores; sigmoid needs `srm.loss: bce`")


class LogisticFusion(Section):
    """Rank, score, age and confidence, weighed by a logistic model fitted on interactions before the stream."""

    kind: Literal["logistic"] = "logistic"
    penalty: float = Field(1e-3, ge=0, description="of squared weights")


class OnlineFusion(Section):
    """Linear fusion whose weight each device learns from its newest interactions since the list's history."""

    kind: Literal["online"] = "online"
    srm_weight: float = Field(1.0, ge=0, description="weight of the SRM's score before anything is learnt")
    rate: float = Field(2.0, ge=0, description="how fast weights that would have ranked better gain ground")
    score: Score = Field("rank", description="how the SRM's logits become scores; sigmoid needs `srm.loss: bce`")


FixedFusion = LlmOnly | SrmOnly | LinearFusion | GatedFusion | ReciprocalRankFusion
Fusion = Annotated[FixedFusion | StalenessFusion | ReliabilityFusion | LogisticFusion | OnlineFusion, kind_of()]

SlateKind = Literal["llm", "srm", "both", "cloud_srm", "popular", "recent", "frequent", "markov"]


DecisionMoment = Literal["join", "interaction", "online", "answer"]


class Policy(Section):
    """When devices ask, how both orders become a slate, and what the user waits for."""

    request: RequestPolicy = Field(
        default_factory=RequestPolicy.family.default, description="when a device wants a new list"
    )
    budget: Budget = Budget()
    decide_at: Literal["both", "join", "interaction"] | tuple[DecisionMoment, ...] = Field(
        "both",
        min_length=1,
        description="moments at which a device decides, `both`: [join, interaction]; also `online` and `answer`",
    )
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

    def decides(self, moment: DecisionMoment) -> bool:
        """Whether devices decide at moments of this kind."""
        named = ("join", "interaction") if self.decide_at == "both" else self.decide_at
        return moment in named if isinstance(named, tuple) else moment == named
