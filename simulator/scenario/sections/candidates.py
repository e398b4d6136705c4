"""What a candidate source is: where the LLM's lists come from. Its kinds: simulator/preparation/candidates/."""

import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field

from fleetrec.models.runtime.program import program
from fleetrec.simulator.scenario import own_guard
from fleetrec.simulator.scenario.sections.kinds import Family, Kind, keys_of
from fleetrec.simulator.scenario.units import Share

if TYPE_CHECKING:
    from fleetrec.models.candidates import CandidateSource
    from fleetrec.models.llm.source_inputs import SourceInputs


class Candidates(Kind):
    """Where the LLM's candidate lists come from.

    A source of the user's own needs `candidates` alone, which gives a ranked list of items for each of many histories;
    `fit`, where it has that, is first handed what was known before the stream. The attributes say what it needs.
    """

    family: ClassVar[Family] = Family(
        "llm.candidates",
        "fleetrec.simulator.preparation.candidates",
        "item_lm",
        ("candidates(self, histories)",),
        besides=("fit(self, data)",),
    )

    trains: ClassVar[bool] = False
    """whether a model is trained here, and kept"""
    cheap: ClassVar[bool] = False
    """whether thousands more lists may be asked for, to say what lists are worth"""
    dear: ClassVar[bool] = False
    """whether each list takes seconds or money, so that few are asked for before the stream"""
    recorded: ClassVar[bool] = False
    """whether answers were made before: some may be missing, and they may bring tokens and times of their own"""
    lists_ahead: ClassVar[float] = math.inf
    """of users who react: new lists through whose landing a device is followed before they have landed"""
    save_every: ClassVar[int | None] = None
    """lists after which they are kept on disk, so that none that was dear is lost to a crash; none: as a run ends"""
    generation: ClassVar[Literal["list", "beam"]] = "list"
    """how the LLM that is charged answers, where `llm.generation` does not say"""
    own_tokens: ClassVar[bool] = False
    """whether it knows the tokens of a request itself"""

    def candidates(self, histories: Any) -> Any:
        """Items [M, N], best first, for each of M histories (models/llm/own.py). Of the user's own kinds."""
        raise NotImplementedError

    def source(self, inputs: "SourceInputs") -> "tuple[CandidateSource, Mapping[str, int] | None]":
        """What makes the lists, and the architecture of the model behind it where that is known."""
        from fleetrec.models.llm.own import OwnCandidates

        where = self.own_source()
        used = {"class": where.name, "keys": keys_of(self, "kind"), "source": where.digest}
        guard = partial(own_guard.told, untouched=own_guard.LIBRARIES)
        place = f"{where.place}: {where.name}"
        return OwnCandidates(self.own_behaviour(), self.kind, used, inputs, place, guard), None

    def exact(self) -> Self:
        """The same, of which a list that is missing is missing, whatever else may stand in for it."""
        return self

    def files(self) -> Iterator[tuple[str, str]]:
        """(key of its own, path) of files or folders that it reads."""
        yield from ()

    def title_prompt(self) -> "TitlePrompt | None":
        """How it asks for titles; None where it does not work by titles."""
        return None

    def brings_latency(self) -> bool:
        """Whether each answer brings the time that it took."""
        return False

    def label(self) -> str:
        """What makes the lists, in a word or two."""
        return self.kind

    def described(self, served_as: str | None) -> str:
        """Which LLM it is, in words that follow "The LLM is"."""
        return f"one of your own ({self.kind}){charged_as(served_as)}"

    def when_missing(self, reacts: bool) -> str | None:
        """What becomes of requests that it has no list for, in words; None where it has all lists. `reacts`: of users
        whose histories nobody knew."""
        return None

    def problems(self, served_as: str | None, generation: str | None, asked: bool) -> Iterator[tuple[str, str]]:
        """(dotted key, what is wrong and how to mend it), with `llm.served_as` and `llm.generation`; `asked`:
        slates are made of its lists."""
        if self.is_own() and asked:
            yield from needs_served_as(served_as, "code of your own")


def needs_served_as(served_as: str | None, who: str) -> Iterator[tuple[str, str]]:
    """The problem of an LLM that is not known, where nobody says whose speed is charged."""
    if served_as is None:
        yield (
            "llm.served_as",
            f"{who} does not say whose speed is charged; name a catalogue model (`{program()} catalog`)",
        )


def charged_as(served_as: str | None) -> str:
    """Whose speed and price is charged for lists of another model, in words that follow what makes them."""
    return f", charged as {served_as}" if served_as else ""


class TitlePrompt(Candidates):
    """How titles are asked for, and what becomes of the answers."""

    instruction: str | None = Field(
        None,
        description="the prompt; `{history}` stands for the user's titles, `{titles}` for how many are asked for; "
        "none: a plain request (docs/how-to/llm_candidates.md)",
    )
    history: int = Field(20, ge=1, description="newest titles that a prompt shows")
    titles: int = Field(20, ge=1, le=1000, description="titles asked for; what an answer holds beyond them is ignored")
    min_similarity: Share = Field(
        0.85,
        description="similarity to a title, letter by letter, below which a misspelling is ungrounded: it is no item "
        "and is counted; a word or a number more or less is never a misspelling",
    )
    fill: Literal["popular", "none"] = Field(
        "popular", description="the rest of a list: items most popular in the training part, or nothing"
    )
    max_new_tokens: int = Field(400, ge=1, description="most tokens that an answer may have")

    dear: ClassVar[bool] = True
    lists_ahead: ClassVar[float] = 1  # the history of the next one is known but for what happens to the request

    def title_prompt(self) -> "TitlePrompt":
        return self

    def problems(self, served_as: str | None, generation: str | None, asked: bool) -> Iterator[tuple[str, str]]:
        if self.instruction and "{history}" not in self.instruction:
            text = "does not say where the user's titles go; write {history} at that place"
            yield "llm.candidates.instruction", text
        if generation not in (None, "list"):
            text = f"{generation} is not how {self.kind} answers, which writes titles one after the other"
            yield "llm.generation", f"{text}, and what it writes is charged; remove it"
