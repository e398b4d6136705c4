"""A language model behind an OpenAI-compatible endpoint (models/llm/endpoint.py)."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from fleetrec.models.runtime.web_address import address_problem
from fleetrec.simulator.scenario.sections.candidates import TitlePrompt, needs_served_as
from fleetrec.simulator.scenario.units import Seconds, Share

if TYPE_CHECKING:
    from fleetrec.models.candidates import CandidateSource
    from fleetrec.models.llm.source_inputs import SourceInputs


class Endpoint(TitlePrompt):
    """Titles from a language model behind an OpenAI-compatible endpoint. Each answer is asked for once and kept."""

    kind: Literal["endpoint"] = "endpoint"
    url: str = Field(description="the address before `/chat/completions`, such as `http://localhost:8000/v1`")
    model: str = Field(description="name of the model as the endpoint knows it")
    key_variable: str | None = Field(
        None, description="environment variable that holds the key; the key itself is never written anywhere"
    )
    timeout: Seconds = Field(60.0, gt=0, description="for one answer")
    retries: int = Field(5, ge=0, le=20, description="further tries after 429, 5xx, a broken connection or a time-out")
    backoff: Seconds = Field(1.0, description="pause before the first of them; it doubles each time, up to a minute")
    max_failed: Share = Field(
        0.25,
        description="share of answers without a title (refused, cut off, none at all) above which a run ends, counted "
        "of ten at least; 1: it never does",
    )
    parallel: int = Field(8, ge=1, le=256, description="requests under way at once")

    save_every: ClassVar[int | None] = 64

    def source(self, inputs: "SourceInputs") -> "tuple[CandidateSource, Mapping[str, int] | None]":
        from fleetrec.models.llm.endpoint import Endpoint as Model

        return inputs.titles_of(lambda: Model(self, inputs.progress), self, self.save_every), None

    def described(self, served_as: str | None) -> str:
        return "the one behind the endpoint"

    def problems(self, served_as: str | None, generation: str | None, asked: bool) -> Iterator[tuple[str, str]]:
        problem = address_problem(self.url)
        if problem is not None:
            yield "llm.candidates.url", problem
        if asked:
            yield from needs_served_as(served_as, "an endpoint")
        yield from super().problems(served_as, generation, asked)
