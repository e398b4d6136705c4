"""The `policy` section: when devices ask, how two orders become a slate, and what the user waits for."""

from typing import Literal

from pydantic import Field

from fleetrec.simulator.scenario.sections.base import Section
from fleetrec.simulator.scenario.sections.fusion import FusionRule
from fleetrec.simulator.scenario.sections.request import RequestPolicy
from fleetrec.simulator.scenario.sections.slate import Slate
from fleetrec.simulator.scenario.sections.update import UpdateSchedule
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
    fusion: FusionRule = Field(
        default_factory=FusionRule.family.default, description="how the LLM's order and the SRM's scores make the slate"
    )
    slate: Slate = Field(
        default_factory=Slate.family.default,
        description="the LLM's list re-ranked, the SRM alone over the catalogue, both joined, or a baseline",
    )
    mode: Literal["background", "blocking"] = Field(
        "background", description="the user goes on while a request runs, or the screen waits for it"
    )
    update: UpdateSchedule = Field(
        default_factory=UpdateSchedule.family.default,
        description="when and where the small model learns from the stream",
    )
    patience: Seconds = Field(2.0, description="how long a blocking screen waits for an answer")

    def decides(self, moment: DecisionMoment) -> bool:
        """Whether devices decide at moments of this kind."""
        named = ("join", "interaction") if self.decide_at == "both" else self.decide_at
        return moment in named if isinstance(named, tuple) else moment == named
