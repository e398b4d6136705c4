"""The `llm` section: where candidate lists come from, and what a request to the LLM costs."""

from typing import Literal

from pydantic import Field

from fleetrec.simulator.scenario.sections.base import Section
from fleetrec.simulator.scenario.sections.candidates import Candidates
from fleetrec.simulator.scenario.units import Share


class Prompt(Section):
    """What a request's prompt holds, in tokens."""

    instruction_tokens: int = Field(60, ge=0, description="tokens of the prompt that are the same in every request")
    tokens_per_item: float = Field(8, gt=0, description="tokens that one item of the history takes")
    history: int = Field(100, ge=1, description="most of the newest items that the prompt holds")
    window: Literal["sliding", "blocks"] = Field(
        "sliding", description="always the newest items; or it grows and then drops its older half (prefix caching)"
    )


class Quality(Section):
    """Lists that are worse or better than the LLM's own by a known amount, to see what an answer hangs on."""

    blend: Share = Field(
        1.0,
        description="chance that a place of a list keeps its item; another holds one drawn at random from the most "
        "popular (four for each place): 1 is the list itself, 0 a random list of popular items",
    )
    knows_next: Share = Field(
        0.0, description="chance that a list begins with the item that the user has next, which no LLM can know"
    )

    def label(self) -> str:
        """What it does to lists, in words that follow the LLM's name; empty where it does nothing."""
        made = [f" blended {self.blend:.0%}"] if self.blend < 1 else []
        return " and".join([*made, *([f" knowing {self.knows_next:.0%}"] if self.knows_next else [])])


class Llm(Section):
    """The LLM recommender: where its candidate lists come from and what they cost to make."""

    candidates: Candidates = Field(
        default_factory=Candidates.family.default, description="the model whose lists are shown"
    )
    quality: Quality = Quality()
    list_length: int = Field(50, ge=1, le=1000, description="candidates in a list")
    served_as: str | None = Field(
        None, description="catalogue model, or path of a config.json, whose speed is charged; none: the model itself"
    )
    prompt: Prompt = Prompt()
    generation: Literal["list", "beam", "score"] | None = Field(
        None,
        description="how the LLM that is charged answers: writes the list, searches with beams, or scores given "
        "candidates; none: as the candidates are made (item_lm and p5 search with beams, the others write a list)",
    )
    beams: int = Field(50, ge=1, description="beams of `generation: beam`")
    illegal_beams: Share | Literal["engine"] = Field(
        0.0,
        description="share of the beams that name no item, each of which is an invalid candidate; `engine`: that of "
        "the cloud's engine for so many beams, none where it searches under a trie",
    )
    output_tokens_per_item: float = Field(8, gt=0, description="tokens that one item of the answer takes")
