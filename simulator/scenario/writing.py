"""A scenario as text again: the resolved YAML of a run, and the JSON Schema for editors."""

from collections.abc import Iterator, Mapping
from functools import lru_cache, reduce
from operator import or_
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, Field, TypeAdapter

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.building import NONE_WORDS, number_of
from fleetrec.simulator.scenario.shapes import Shape, families_below, fields_of, kinds_of, sections_in


def resolved_yaml(scenario: sections.Scenario) -> str:
    """YAML with every default spelt out, which loads back to an equal scenario.

    Numbers are in base units; a comment beside them says the same with a unit.
    """
    return "\n".join(_section_lines(scenario)) + "\n"


def _section_lines(section: BaseModel) -> list[str]:
    lines = []
    for name, shape in fields_of(type(section)).items():
        value = getattr(section, name)
        if _goes_without_saying(section, name):
            continue
        if isinstance(value, sections.Kind) and value.is_word:
            lines.append(f"{name}: {value.kind}")
        elif isinstance(value, BaseModel):
            inner = _section_lines(value)
            lines += [f"{name}: {{}}"] if not inner else [f"{name}:", *(f"  {line}" for line in inner)]
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            lines.append(f"{name}:")
            for item in value:
                first, *rest = _section_lines(item)
                lines += [f"  - {first}", *(f"    {line}" for line in rest)]
        else:
            quantity = next((part.quantity for part in shape.plain if part.quantity), None)
            note = f"  # {quantity.show(value)}" if quantity and value is not None else ""
            lines.append(f"{name}: {plain_text(value)}{note}")
    return lines


def _goes_without_saying(section: BaseModel, name: str) -> bool:
    """What is as elsewhere where it is not given: the cloud of a region; and that a scenario has no regions."""
    if isinstance(section, sections.CloudChanges):
        return name not in section.model_fields_set
    return isinstance(section, sections.Scenario) and name == "regions" and not section.regions


def plain_text(value: Any) -> str:
    """A plain value, or a tuple of them, as YAML on one line."""
    if isinstance(value, tuple):
        return f"[{', '.join(_in_list(item) for item in value)}]"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return _word(value) if value is None or isinstance(value, str | int) else _dumped(value)


@lru_cache(4096, typed=True)
def _word(value: str | int | None) -> str:
    """The same words stand in each scenario of a sweep, and YAML takes longest over them."""
    if isinstance(value, str) and (number_of(value) is not None or value.lower() in NONE_WORDS):
        return f"'{value}'"
    return _dumped(value)


def _dumped(value: Any) -> str:
    text = yaml.safe_dump(value, width=float("inf"), allow_unicode=True, default_flow_style=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _in_list(value: Any) -> str:
    """A plain value as one of a list on one line, where commas, brackets and question marks must be quoted."""
    if isinstance(value, str) and any(mark in value for mark in ",?[]{}"):
        return yaml.safe_dump([value], width=float("inf"), allow_unicode=True, default_flow_style=True)[1:-2]
    return plain_text(value)


def json_schema(own: Mapping[str, str] | None = None) -> dict[str, Any]:
    """JSON Schema of a scenario file, for editors: every key with its meaning, default, unit and limits.

    `own`: by dotted key, a kind of the user's own that stands there too (`policy.request`: `my_policies.py:Evenings`).
    """
    schema = sections.Scenario.model_json_schema()
    definitions = schema["$defs"]
    _with_kinds(schema, sections.Scenario, "", dict(own or {}))
    for holder in (schema, *list(definitions.values())):
        for entry in holder.get("properties", {}).values():
            if "discriminator" in entry:
                _open_to_bare_kinds(entry, definitions)
    _limit_quantities(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _with_kinds(part: dict[str, Any], model: type[BaseModel], path: str, own: dict[str, str]) -> None:
    """Put the kinds of a family where Pydantic knows its base alone, and defaults that are made when needed."""
    schema: dict[str, Any] = part
    for holder, holds, where in _holders(schema, model, path):
        for name, info in holds.model_fields.items():
            entry, shape = holder["properties"][name], fields_of(holds)[name]
            if shape.base is not None:
                choices: TypeAdapter[Any] = TypeAdapter(_one_of(list(shape.sections)))
                made = choices.json_schema(ref_template="#/$defs/{model}")
                schema["$defs"] |= made.pop("$defs")
                del entry["family"]
                entry |= made
                if shape.base.family.kind_optional:
                    schema["$defs"][_standard(shape).__name__]["kind_optional"] = True
                key = f"{where}{name}"
                if key in own:
                    _add_own(schema, entry, _own_kind(key, own.pop(key), shape))
            made_when_needed = info.get_default(call_default_factory=True) if info.default_factory else None
            if isinstance(made_when_needed, BaseModel):
                entry["default"] = made_when_needed.model_dump(mode="json")
    for key in own:
        known = ", ".join(sorted(families_below(model)))
        raise InputError(f"{key} is no key with kinds of one's own; name one of {known}")


def _standard(shape: Shape) -> type[BaseModel]:
    """The kind that stands where nobody names one."""
    return type(shape.base.family.default())


def _one_of(kinds: list[type[BaseModel]]) -> Any:
    return Annotated[reduce(or_, kinds), Field(discriminator="kind")]


def _add_own(schema: dict[str, Any], entry: dict[str, Any], kind: type[BaseModel]) -> None:
    """Let a kind of the user's own stand beside the others under `entry`."""
    described = kind.model_json_schema(ref_template="#/$defs/{model}")
    (called,) = kinds_of(kind)
    described["properties"]["kind"] = {"const": called, "type": "string"}
    schema["$defs"] |= described.pop("$defs", {}) | {kind.__name__: described}
    reference = f"#/$defs/{kind.__name__}"
    entry["oneOf"].append({"$ref": reference})
    entry["discriminator"]["mapping"][called] = reference


def _own_kind(key: str, reference: str, shape: Shape) -> type[BaseModel]:
    try:
        kind = shape.kind(reference, None)
    except InputError as error:
        raise InputError(f"{key}: {error}") from None
    if kind is None:
        raise InputError(f"{key}: unknown kind {reference!r}; name FILE.py:NAME or package.module:NAME")
    return kind


def _holders(
    schema: dict[str, Any], model: type[BaseModel], path: str
) -> Iterator[tuple[dict[str, Any], type[BaseModel], str]]:
    """Each section of the scenario that is of one class, with its part of the schema and its dotted key."""
    part = schema if not path else schema["$defs"][model.__name__]
    yield part, model, path
    for name, shape in fields_of(model).items():
        for inner, where in sections_in(shape, f"{path}{name}."):
            yield from _holders(schema, inner, where)


_LIMITS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def _limit_quantities(part: Any) -> None:
    """Pydantic leaves the limits of a number that may also be text beside both; they belong to the number."""
    if isinstance(part, dict):
        found = {word: part.pop(key) for key, word in _LIMITS.items() if key in part and "anyOf" in part}
        for choice in part.get("anyOf", ()) if found else ():
            if choice == {"type": "number"}:
                choice.update(found)
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _limit_quantities(inner)


def _open_to_bare_kinds(entry: dict[str, Any], definitions: dict[str, Any]) -> None:
    """Let `churn: always_on` stand for `churn: {kind: always_on}`, and require the kind inside a section."""
    mapping = entry.pop("discriminator")["mapping"]
    for reference in mapping.values():
        section = definitions[reference.rsplit("/", 1)[1]]
        if not section.pop("kind_optional", False):
            section["required"] = sorted({"kind", *section.get("required", ())})
    entry["anyOf"] = [{"enum": list(mapping)}, *entry.pop("oneOf")]
