"""The key `cloud.speculation`: who drafts tokens that the LLM then verifies, several in one step."""

from typing import Annotated, Literal

from pydantic import Field

from fleetrec.simulator.scenario.sections.base import Section, kind_of
from fleetrec.simulator.scenario.units import Seconds, Share


class Drafts(Section):
    """What every way to draft has."""

    kind: str = ""
    tokens: int = Field(4, ge=1, le=32, description="drafted tokens that one step verifies")
    acceptance: Share | tuple[Share, ...] = Field(
        description="chance that a drafted token is accepted where those before it are: one, or one for each position"
    )

    @property
    def by_position(self) -> tuple[float, ...]:
        """The chance at each position."""
        given = self.acceptance
        return given if isinstance(given, tuple) else (given,) * self.tokens


class DraftModel(Drafts):
    """A smaller model drafts, on the same GPUs."""

    kind: Literal["draft_model"] = "draft_model"
    model: str = Field(min_length=1, description="catalogue model, or path of a config.json")


class Ngram(Drafts):
    """What followed the newest tokens where they stood before in the context is the draft (prompt lookup)."""

    kind: Literal["ngram"] = "ngram"
    lookup: Seconds = Field(10 * 1e-6, description="host time of a step for each sequence")


class Mtp(Drafts):
    """Layers that predict further tokens draft (multi-token prediction), in models that come with them."""

    kind: Literal["mtp"] = "mtp"
    tokens: int = Field(1, ge=1, le=32, description="drafted tokens that one step verifies")


Speculation = Annotated[DraftModel | Ngram | Mtp, kind_of()]
