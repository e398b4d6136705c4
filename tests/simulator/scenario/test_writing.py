"""A resolved scenario loads back to itself, and the schema accepts what the loader accepts."""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_origin

import annotated_types
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from fleetrec.simulator.scenario import Scenario, json_schema, load_scenario, resolved_yaml, sections
from fleetrec.simulator.scenario.building import Builder
from fleetrec.simulator.scenario.reading import parse
from fleetrec.simulator.scenario.sections.workload import TableForm, TimeForm
from fleetrec.simulator.scenario.shapes import Plain, Shape, fields_of, kinds_of
from fleetrec.simulator.scenario.writing import plain_text


def plain_values(part: Plain) -> st.SearchStrategy[Any]:
    if part.words:
        return st.sampled_from(part.words)
    if part.type is bool:
        return st.booleans()
    if get_origin(part.type) is list:
        return st.lists(st.sampled_from(["a column", "1"]), min_size=1, max_size=3)
    if part.type is str:
        if any(getattr(limit, "pattern", None) for limit in part.limits):
            return st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True)
        awkward = st.sampled_from(
            ["none", "Null", "~", "1e-3", "true", "off", "12:30", "2019-06-01", " a", "a: b", "#x", "é\n'"]
        )
        return (st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1) | awkward).filter(
            lambda t: t != ""
        )
    low, high = 0.0, 1e9
    strict = False
    for limit in part.limits:
        if isinstance(limit, (annotated_types.Ge, annotated_types.Gt)):
            bound = limit.ge if isinstance(limit, annotated_types.Ge) else limit.gt
            low, strict = max(low, float(bound)), strict or isinstance(limit, annotated_types.Gt)  # type: ignore[arg-type]
        elif isinstance(limit, (annotated_types.Le, annotated_types.Lt)):
            high = (
                float(limit.le if isinstance(limit, annotated_types.Le) else limit.lt)
                - isinstance(  # type: ignore[arg-type]
                    limit, annotated_types.Lt
                )
                * 1e-3
            )
    if part.type is int:
        return st.integers(int(low), int(high))
    return st.floats(low, high, exclude_min=strict, allow_subnormal=False)


def values(shape: Shape) -> st.SearchStrategy[Any]:
    options = [plain_values(part) for part in shape.plain] + [instances(model) for model in shape.sections]
    if shape.item is not None:
        options.append(st.lists(values(shape.item), min_size=1, max_size=3).map(tuple))
    return st.one_of(options + ([st.none()] if shape.optional else []))


def instances(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Sections of any allowed content, not all of it sensible."""
    fields = {name: values(shape) for name, shape in fields_of(model).items() if name != "kind" or not kinds_of(model)}
    if kinds_of(model):
        fields["kind"] = st.sampled_from(kinds_of(model))
    if model is sections.Slo:
        objectives = st.sampled_from(["p99=2s", "ttft_p95=200ms", "tpot_p50=30ms"])
        fields["objectives"] = st.lists(objectives, min_size=1, max_size=3).map(tuple)
    if model is sections.Api:
        fields["preset"] = st.none()
        fields |= {name: values(replace(fields_of(model)[name], optional=False)) for name in ("price", "latency")}
    if model is TimeForm:
        fields["zone"] = st.sampled_from([None, "Europe/Paris", "UTC"])
    if issubclass(model, TableForm):
        fields["format"] = st.sampled_from(["auto", "csv", "mind"])
        fields["line"] = st.sampled_from([None, r"(?P<item>\d+),(?P<title>.*)"])
        fields["group_line"] = st.sampled_from([None, r"(\d+):"])
    return st.builds(model, **fields)


def test_a_list_of_texts_on_one_line_is_read_back() -> None:
    for text in ("0?", "?(", "a, b", "[x]", "{y}", "what?", "a?b", "plain", "é: ü", "#no", "'"):
        assert yaml.safe_load(plain_text((text, "1"))) == [text, "1"], text


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink a whole scenario takes minutes
)
@given(instances(Scenario))
def test_any_scenario_written_out_is_read_back_equal(scenario: Scenario) -> None:
    text = resolved_yaml(scenario)
    builder = Builder()
    again = builder.section(parse(text, "resolved.yaml"), Scenario, (), None)
    assert builder.problems == []
    assert again == scenario
    assert resolved_yaml(again) == text


@pytest.mark.parametrize("name", ["0,", "0{", "a]", "[", "a, b", "'", "é,"])
def test_a_text_in_a_list_is_read_back_whatever_marks_it_holds(name: str) -> None:
    names = ("wifi", name)
    text = f"links: {plain_text(names)}"
    assert yaml.safe_load(text) == {"links": list(names)}


def test_the_resolved_text_loads_and_tells_every_key_in_the_order_of_the_sections(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text("name: a\nduration: 6h\nfleet: {churn: on_off, preloaded: off}\n")
    scenario = load_scenario(path)
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(resolved_yaml(scenario))
    assert load_scenario(resolved) == scenario
    plain = yaml.safe_load(resolved.read_text())
    assert list(plain) == [name for name in sections.Scenario.model_fields if name != "regions"]  # it has none
    assert plain["duration"] == 21600
    assert plain["fleet"]["preloaded"] is False
    assert plain["fleet"]["churn"]["online"] == 14400
    assert "duration: 21600  # 6h\n" in resolved.read_text()


def test_the_schema_describes_every_key_and_allows_units_and_bare_kinds() -> None:
    schema = json_schema()
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert schema["required"] == ["name"]
    assert schema["additionalProperties"] is False
    number, text = schema["$defs"]["Cloud"]["properties"]["request_timeout"]["anyOf"]
    assert (number["type"], number["minimum"], text) == ("number", 0, {"type": "string"})
    definitions = schema["$defs"]
    request = definitions["Policy"]["properties"]["request"]["anyOf"]
    assert "random" in request[0]["enum"]
    assert {"$ref": "#/$defs/RandomRequest"} in request
    assert definitions["RandomRequest"]["required"] == ["kind"]
    assert definitions["RandomRequest"]["properties"]["ratio"]["description"]
    assert "gru4rec" in schema["properties"]["srm"]["anyOf"][0]["enum"]


@pytest.mark.parametrize(
    "model",
    [
        *(m for m in vars(sections).values() if isinstance(m, type) and issubclass(m, sections.Section)),
        *sections.RequestPolicy.family.built_in().values(),
        *sections.FusionRule.family.built_in().values(),
    ],
)
def test_every_key_says_what_it_means(model: type[BaseModel]) -> None:
    for name, shape in fields_of(model).items():
        told = model.model_fields[name].description or shape.sections or (name == "kind" and kinds_of(model))
        assert told, f"{model.__name__}.{name} has no description"
