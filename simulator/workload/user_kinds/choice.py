"""Users who look at the screen and choose: among what they see, something that they find alone, and nothing."""

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Literal

from pydantic import Field

from fleetrec.simulator.scenario.sections.users import Users
from fleetrec.simulator.scenario.units import Seconds, Share
from fleetrec.simulator.workload.users.utility import Laws

_UNTAKEN = 30.0
"""a utility of taking nothing that no screen comes near: those of items are hardly ever above 15"""
_TIRELESS, _SURE = 10_000.0, 50.0
"""skips that nobody is asked to bear, and log-odds that leave nothing to chance"""


class ChoiceUsers(Users):
    """A choice by utility at every opportunity; keys that are not given are as the model of users has them."""

    kind: Literal["choice"] = "choice"
    looks: int = Field(10, ge=1, le=1000, description="places of the screen that a user looks at")
    pause: Seconds = Field(
        1800.0, gt=0, description="time without an opportunity after which the next one begins a new session"
    )
    examination: float | None = Field(
        None, ge=0, description="an item at place j (from 0) is weighed with (j + 1)^-examination; 0: all alike"
    )
    organic: Share | None = Field(
        None, description="share of opportunities at which a user finds an item alone, whatever is on the screen"
    )
    skip: float | None = Field(None, description="utility of taking nothing")
    patience: float | None = Field(
        None, gt=0, description="skips and waits in a session after which a user leaves it, in the mean"
    )
    satisfied: float | None = Field(
        None, description="utility of what was taken at which satisfaction neither rises nor falls"
    )
    unmet: float | None = Field(
        None,
        description="what a skip or a wait does to satisfaction, as a choice does of a utility so far from satisfied",
    )
    memory: Share | None = Field(None, description="share of its satisfaction that a user keeps at an opportunity")
    returns: float | None = Field(None, description="log-odds of coming to a session, at a satisfaction of 0")
    returns_by_satisfaction: float | None = Field(None, description="what a unit of satisfaction adds to them")
    churns: float | None = Field(None, description="log-odds of leaving for good at a session's end, likewise")
    churns_by_satisfaction: float | None = Field(None, description="what a unit of satisfaction adds to them")

    def pause_s(self) -> float:
        return self.pause

    def laws(self, known: Laws) -> Laws:
        """Those of a model of users, but for the keys that are given."""
        given = {field.name: getattr(self, field.name) for field in fields(Laws)}
        return replace(known, **{name: value for name, value in given.items() if value is not None})

    def problems(self) -> Iterator[tuple[str, str]]:
        if self.organic == 0 and self.skip is not None and self.skip > _UNTAKEN:
            yield (
                "skip",
                f"a utility of {self.skip:g} for taking nothing: users never choose; set one below {_UNTAKEN:g}",
            )
        tireless = self.patience is not None and self.patience > _TIRELESS
        if tireless and (self.churns or 0) < -_SURE and (self.returns or 0) > _SURE:
            said = "never stopping and always coming back: users can never leave; lower patience or returns"
            yield "patience", f"a mean of {self.patience:g}, {said}"
        for key in ("returns", "churns"):
            value = getattr(self, key)
            if value is not None and abs(value) > 1000:
                yield key, f"log-odds of {value:g} are no odds; set a number such as -5, 0 or 2"
