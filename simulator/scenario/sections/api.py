"""The `cloud.api` section: a hosted API that answers requests for a price by the token."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, model_validator

from fleetrec.simulator.scenario.sections.base import Section, kind_of
from fleetrec.simulator.scenario.units import Seconds, Share

_PRESETS = Path(__file__).resolve().parents[1] / "api_presets.yaml"


class ApiBatch(Section):
    """A cheaper way to the same API, whose answers come later."""

    price_factor: Share = Field(0.5, description="price of its tokens as a share of the others'")
    delay: Seconds = Field(3600.0, description="mean time until an answer; exponential")
    window: Seconds = Field(86400.0, gt=0, description="an answer that would take longer never comes and costs nothing")
    requests: Literal["pushed", "all"] = Field(
        "pushed", description="which go this way: lists that the cloud pushes unasked, or all"
    )


class ApiPrice(Section):
    """What is paid for, USD."""

    input: float = Field(ge=0, description="per million tokens of prompts")
    output: float = Field(ge=0, description="per million generated tokens")
    cached_input: float | None = Field(
        None, ge=0, description="per million tokens of prompts that its cache holds; none: as `input`"
    )
    per_request: float = Field(0.0, ge=0, description="per request, beside its tokens")
    batch: ApiBatch | None = Field(None, description="none: everything is answered at once")

    def batch_of(self, pushed: bool) -> ApiBatch | None:
        """The batch that a request goes by; none: it is answered at once."""
        return self.batch if self.batch is not None and (pushed or self.batch.requests == "all") else None


class ApiEnergy(Section):
    """What the provider's machines draw, as somebody measured or estimated it."""

    input: float = Field(ge=0, description="joules per token of prompts that its cache does not hold")
    output: float = Field(ge=0, description="joules per generated token")
    within: float = Field(ge=1, description="how sure that is: so many times as much, or as little, may be true")
    source: str = Field(min_length=1, description="where it is from, and of when; reports show it")

    def joules(self, prompt_tokens: int, cached_tokens: int, output_tokens: int) -> float:
        """Of a request with so many tokens, `cached_tokens` of its prompt from the cache."""
        return (prompt_tokens - cached_tokens) * self.input + output_tokens * self.output


class ApiLimits(Section):
    """What one account may ask for; what exceeds it is refused with 429."""

    requests_per_minute: float | None = Field(None, gt=0, description="none: no limit")
    tokens_per_minute: float | None = Field(
        None, gt=0, description="of prompts and answers together, counted as a request comes; none: no limit"
    )
    concurrent: int | None = Field(None, ge=1, description="requests that are answered at once; none: no limit")
    burst: Seconds = Field(
        60.0, gt=0, description="what is allowed in so long may come at once: the size of the token buckets"
    )


class ApiRetries(Section):
    """What your server does about 429 and 503."""

    most: int = Field(5, ge=0, le=100, description="further tries of one request; then it is rejected")
    backoff: Seconds = Field(
        1.0, description="pause before the first; it doubles each time, up to a minute, and is at least Retry-After"
    )


class ApiTail(Section):
    """A few answers that take far longer than the rest."""

    share: Share = Field(0.01, description="of the requests")
    index: float = Field(1.5, gt=0, description="their time is multiplied by a Pareto number of this index")


class LogNormalLatency(Section):
    """Log-normal times, some of them with a heavy tail."""

    kind: Literal["log_normal"] = "log_normal"
    ttft: Seconds = Field(description="median time to the first token")
    ttft_spread: float = Field(0.0, ge=0, le=3, description="log-normal sigma of it over requests")
    tpot: Seconds = Field(description="median time of each further token")
    tpot_spread: float = Field(0.0, ge=0, le=3, description="log-normal sigma of it over requests")
    tail: ApiTail | None = Field(None, description="none: none takes longer than its law says")


class MeasuredLatency(Section):
    """Times of a log: each request has those of one of its requests, drawn at random."""

    kind: Literal["log"] = "log"
    path: str = Field(description="requests with the times of their first and last tokens, in any form of `replay`")


Latency = Annotated[LogNormalLatency | MeasuredLatency, kind_of()]


class ApiDay(Section):
    """A daily cycle that all times follow."""

    peak_hour: float = Field(15.0, ge=0, lt=24, description="hour of the day (UTC) at which it is slowest")
    peak_to_mean: float = Field(1.5, ge=1, le=4, description="times at the peak over the day's mean")


class ApiOutages(Section):
    """Times at which nothing is answered: 503, for requests under way too, which cost nothing."""

    every: Seconds = Field(30 * 86400.0, gt=0, description="mean time between them; exponential")
    length: Seconds = Field(1800.0, description="mean length; exponential")


class ApiPromptCache(Section):
    """Beginnings of prompts that the provider keeps for a while and charges as `cached_input`."""

    lifetime: Seconds = Field(300.0, gt=0, description="a prefix is forgotten so long after its last use")
    least_tokens: int = Field(1024, ge=1, description="shorter prefixes are not kept")
    block_tokens: int = Field(128, ge=1, description="cached tokens are counted in whole blocks of so many")


class Api(Section):
    """A hosted API, which your server in the cloud calls: prices, limits, speed, outages."""

    preset: str | None = Field(
        None,
        description="an example of `scenario/api_presets.yaml`, with its date and source; a section given beside it "
        "takes the place of its own; none: all is said here",
    )
    price: ApiPrice | None = Field(None, description="must be given, here or by the preset")
    latency: Latency | None = Field(None, description="must be given, here or by the preset")
    limits: ApiLimits = ApiLimits()
    retries: ApiRetries = ApiRetries()
    daily: ApiDay | None = Field(None, description="none: it is as fast at all hours")
    outages: ApiOutages | None = Field(None, description="none: it is always there")
    prompt_cache: ApiPromptCache | None = Field(None, description="none: every prompt is paid for in full")
    energy: ApiEnergy | None = Field(
        None, description="none: unknown, and with it the joules and the carbon of the cloud, as reports say"
    )
    source: str = Field("", description="where prices and times are from, and of when; reports show it")

    @model_validator(mode="before")
    @classmethod
    def _as_preset(cls, given: Any) -> Any:
        name = given.get("preset") if isinstance(given, dict) else None
        if name is None:
            return given
        if name not in api_presets():
            raise ValueError(f"no preset {name!r}; name one of {', '.join(api_presets())}, or give price and latency")
        return api_presets()[name] | given

    @model_validator(mode="after")
    def _is_whole(self) -> "Api":
        for key, example in (
            ("price", "{input: 0.2, output: 0.6}"),
            ("latency", "{kind: log_normal, ttft: 500ms, tpot: 10ms}"),
        ):
            if getattr(self, key) is None:
                raise ValueError(f"'{key}' is missing; give {key}: {example}, or a preset ({', '.join(api_presets())})")
        return self

    @property
    def charges(self) -> str:
        """What it charges, in a sentence."""
        assert self.price is not None
        text = f"the hosted API charges {self.price.input:g} USD per million tokens of prompts"
        text += f" and {self.price.output:g} of answers"
        return f"{text} ({self.source})" if self.source else text


@cache
def api_presets() -> dict[str, dict[str, Any]]:
    """The keys of each example by its name."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(_PRESETS.read_text(encoding="utf-8"))
    return found
