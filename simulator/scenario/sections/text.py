"""Kinds of `llm.candidates` whose model reads and writes titles."""

from typing import Literal

from pydantic import Field

from fleetrec.simulator.scenario.sections.base import Section
from fleetrec.simulator.scenario.units import Seconds, Share


class TitlePrompt(Section):
    """How titles are asked for, and what becomes of the answers."""

    instruction: str | None = Field(
        None,
        description="the prompt; `{history}` stands for the user's titles, `{titles}` for how many are asked for; "
        "none: a plain request (docs/how-to/llm_candidates.md)",
    )
    history: int = Field(20, ge=1, description="newest titles that a prompt shows")
    titles: int = Field(20, ge=1, le=1000, description="titles asked for; what an answer holds beyond them is ignored")
    min_similarity: Share = Field(
        0.6, description="TF-IDF cosine below which an answer is ungrounded: it is no item and is counted"
    )
    fill: Literal["popular", "none"] = Field(
        "popular", description="the rest of a list: items most popular in the training part, or nothing"
    )
    max_new_tokens: int = Field(400, ge=1, description="most tokens that an answer may have")


class TextLm(TitlePrompt):
    """A Hugging Face causal LM that reads the user's recent titles and writes titles of the catalogue."""

    kind: Literal["text_lm"] = "text_lm"
    checkpoint: str = Field(description="a folder, or OWNER/MODEL of the Hugging Face hub, which is then downloaded")


class Endpoint(TitlePrompt):
    """The same through an OpenAI-compatible endpoint. Each answer is asked for once and kept."""

    kind: Literal["endpoint"] = "endpoint"
    url: str = Field(description="the address before `/chat/completions`, such as `http://localhost:8000/v1`")
    model: str = Field(description="name of the model as the endpoint knows it")
    key_variable: str | None = Field(
        None, description="environment variable that holds the key; the key itself is never written anywhere"
    )
    timeout: Seconds = Field(60.0, gt=0, description="for one answer")
    retries: int = Field(5, ge=0, le=20, description="further tries after 429, 5xx, a broken connection or a time-out")
    backoff: Seconds = Field(1.0, description="pause before the first of them; it doubles each time, up to a minute")
    parallel: int = Field(8, ge=1, le=256, description="requests under way at once")
