"""What can be wrong with a hosted API beside its own keys."""

from collections.abc import Iterator

from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.sections.api import api_presets
from fleetrec.simulator.scenario.units import DURATION


def api_contradictions(cloud: sections.Cloud) -> Iterator[tuple[str, str]]:
    """(dotted key, what is wrong and how to mend it)."""
    api = cloud.api
    if api is None:
        if cloud.kind != "gpus":
            text = f"{cloud.kind} calls a hosted API, and none is given; set cloud.api.preset to one of"
            yield "cloud.kind", f"{text} {', '.join(api_presets())}, or give cloud.api.price and cloud.api.latency"
        return
    assert api.price is not None
    price, limits = api.price, api.limits
    if price.cached_input is not None and price.cached_input > price.input:
        text = f"{price.cached_input:g} USD for tokens from the cache, and {price.input:g} (input) for others"
        yield "cloud.api.price.cached_input", f"{text}, is upside down; set at most {price.input:g}"
    if limits.requests_per_minute is not None and limits.requests_per_minute * limits.burst < 60:
        least = DURATION.show(60.0 / limits.requests_per_minute)
        text = f"{limits.requests_per_minute:g} requests a minute never add up to one in {DURATION.show(limits.burst)}"
        yield "cloud.api.limits.burst", f"{text}, so none would be let in; set at least {least}"


def api_advice(cloud: sections.Cloud) -> Iterator[str]:
    """Keys that have no effect."""
    if cloud.api is not None and cloud.kind == "gpus":
        yield "cloud.api has no effect while cloud.kind is gpus; `breakeven` compares the two"
    if cloud.api is not None and cloud.api.prompt_cache is not None:
        assert cloud.api.price is not None
        if cloud.api.price.cached_input is None:
            yield "cloud.api.prompt_cache saves nothing while cloud.api.price.cached_input is none"
    if cloud.kind == "api":
        given = [key for key, field in sections.Machines.model_fields.items() if getattr(cloud, key) != field.default]
        given += [key for key in ("pools", "disaggregation") if getattr(cloud, key)]
        for key in given:
            yield f"cloud.{key} has no effect while cloud.kind is api; `breakeven` compares the two"
