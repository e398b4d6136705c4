"""The section of a hosted API: examples that are named, and mistakes that are one line."""

from datetime import date
from pathlib import Path

import pytest

from fleetrec import Scenario
from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.preparation.input_checks import check_inputs
from fleetrec.simulator.scenario.sections.api import Api, api_presets
from fleetrec.simulator.scenario.sections.cloud import Cloud
from tests.commands.typed import one_line, typed

LEAST = "name: a\nllm: {served_as: llama-3.1-8b}\n"
API = "price: {input: 1, output: 4}, latency: {kind: log_normal, ttft: 1s, tpot: 10ms}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.yaml"
    path.write_text(LEAST)
    return path


def test_no_api_is_a_default() -> None:
    assert Cloud().api is None
    assert Cloud().kind == "gpus"


@pytest.mark.parametrize("name", api_presets())
def test_an_example_says_when_it_was_and_where_it_is_from(name: str) -> None:
    api = Api(preset=name)
    year, month = name[-7:].split("-")
    assert date(int(year), int(month), 1).year >= 2026
    assert ".com" in api.source
    assert "assumed" in api.source


def test_a_section_beside_an_example_takes_the_place_of_its_own(file: Path) -> None:
    name = next(iter(api_presets()))
    api = Scenario.load(file, [f"cloud.api.preset={name}", "cloud.api.price={input: 9, output: 9}"]).cloud.api
    assert api is not None
    assert api.price is not None
    assert (api.price.input, api.price.batch) == (9.0, None)
    assert api.latency == Api(preset=name).latency


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("cloud.kind=api", "cloud.kind: api calls a hosted API, and none is given; set cloud.api.preset to one of"),
        ("cloud.api.preset=cheap", "cloud.api: no preset 'cheap'; name one of gpt-4o-mini-2026-07"),
        ("cloud.api={price: {input: 1, output: 4}}", "cloud.api: 'latency' is missing; give latency: {kind: log_norm"),
        (
            f"cloud.api={{{API.replace('input: 1', 'input: -1')}}}",
            "cloud.api.price.input: expected a number of at least 0",
        ),
        (
            f"cloud.api={{{API.replace('input: 1', 'input: 1, cached_input: 2')}}}",
            "cloud.api.price.cached_input: 2 USD for tokens from the cache, and 1 (input) for others, is upside down",
        ),
        (
            f"cloud.api={{{API}, limits: {{requests_per_minute: 2, burst: 10s}}}}",
            "cloud.api.limits.burst: 2 requests a minute never add up to one in 10s, so none would be let in; "
            "set at least 30s",
        ),
        (
            f"cloud={{kind: api, api: {{{API}, limits: {{tokens_per_minute: 500}}}}}}",
            "cloud.api.limits.tokens_per_minute: a request of 1,260 tokens is never let in by 500 tokens in 60 s "
            "(burst); set at least 1,260",
        ),
        (
            "cloud={kind: api, api: {price: {input: 1, output: 4}, latency: {kind: log, path: no.csv}}}",
            "cloud.api.latency.path: no.csv does not exist",
        ),
    ],
)
def test_a_mistake_is_one_line(file: Path, setting: str, says: str) -> None:
    with pytest.raises(InputError) as error:
        Scenario.load(file, [setting], check=check_inputs)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_limits_that_the_load_never_keeps_to_are_said_before_the_run(file: Path) -> None:
    """2,000 devices at 43.2 decisions a day are 60 requests a minute; 40 allowed would be two thirds of them."""
    settings = (
        f"cloud={{kind: api, api: {{{API}, limits: {{requests_per_minute: 40}}}}}}",
        "workload.arrivals={kind: poisson, per_day: 43.2}",
        "policy.request=always",
    )
    said = one_line(typed("validate", file, *(word for setting in settings for word in ("--set", setting))))
    assert "cloud.api.limits.requests_per_minute: 40 a minute never suffice for the 60 that this fleet asks for" in said
    assert said.endswith("set more than that, or let the policy ask at 0.67 of its decisions")
    found = Scenario.load(file, [*settings[:2], "policy.request={kind: random, ratio: 0.5}"], check=check_inputs)
    assert found.cloud.kind == "api"
