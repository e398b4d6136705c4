"""The search parameters of an optimisation: dotted keys of a scenario, some of which exist under certain kinds only.

A space file is a mapping of dotted keys, in which a search parameter comes after those that it depends on:

    policy.request.kind: [random, inconsistency]
    policy.request.ratio: {low: 0.1, high: 1.0, step: 0.05, when: {policy.request.kind: [random, inconsistency]}}
    policy.fusion.srm_weight: {low: 0.25, high: 8, log: true}
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario import Scenario, sections
from fleetrec.simulator.scenario.building import number_of
from fleetrec.simulator.scenario.overrides import to_node
from fleetrec.simulator.scenario.own_code import from_folder
from fleetrec.simulator.scenario.reading import Node, Place, Scalar, read_file
from fleetrec.simulator.scenario.shapes import Shape, fields_of

Value = str | float | int | bool
Settings = dict[str, Value]

_DIGITS = 3
_ASKS = ("llm", "both")
_REQUESTS = ("random", "inconsistency", "staleness", "session_start", "never")
_FUSIONS = ("linear", "reciprocal_rank")


@dataclass(frozen=True)
class SearchParameter:
    """One key and the values that it may take: `choices`, or else a range whose ends belong to it."""

    key: str
    choices: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    integer: bool = False
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    """earlier keys and the values of them under which this parameter exists"""

    @property
    def name(self) -> str:
        """Tells it from other parameters on its key."""
        return " ".join([self.key, *(f"{key}={'|'.join(map(str, values))}" for key, values in self.when.items())])

    def applies(self, settings: Mapping[str, Value]) -> bool:
        """Whether it exists beside these settings."""
        return all(settings.get(key) in values for key, values in self.when.items())

    @property
    def points(self) -> int | None:
        """How many values it has where they are counted: choices in order, or steps; None: a continuous range."""
        if self.choices:
            return len(self.choices)
        if self.step is not None:
            return math.floor((self.high - self.low) / self.step + 1e-9) + 1
        return int(self.high - self.low) + 1 if self.integer and not self.log else None

    def as_file(self) -> list[Value] | dict[str, Any]:
        """What stands under its key in a space file."""
        given: dict[str, Any] = (
            {"choices": list(self.choices)} if self.choices else {"low": self.low, "high": self.high}
        )
        given |= {name: value for name in ("step", "log", "integer") if (value := getattr(self, name))}
        if not self.when:
            return list(self.choices) or given
        return given | {"when": {key: list(values) for key, values in self.when.items()}}

    def value(self, place: float) -> Value:
        """The value at a place in [0, 1): equal shares for choices and steps; a range's numbers have three digits."""
        if self.points is not None:
            index = min(int(place * self.points), self.points - 1)
            if self.choices:
                return self.choices[index]
            number = self.low + index * (1 if self.step is None else self.step)
        elif self.log:
            number = self.low * (self.high / self.low) ** place
        else:
            number = self.low + (self.high - self.low) * place
        if self.integer:
            return round(number)
        return float(f"{number:.12g}" if self.points is not None else f"{number:.{_DIGITS}g}")


@dataclass(frozen=True)
class Space:
    """Knobs on different keys, each after those that it depends on."""

    parameters: tuple[SearchParameter, ...]

    @property
    def keys(self) -> list[str]:
        """The dotted keys."""
        return [parameter.key for parameter in self.parameters]

    def as_file(self) -> dict[str, Any]:
        """What a space file with these parameters holds."""
        return {parameter.key: parameter.as_file() for parameter in self.parameters}

    def settings(self, place_of: Callable[[SearchParameter], float]) -> Settings:
        """The settings at the places, in [0, 1), that `place_of` gives for the parameters that exist."""
        found: Settings = {}
        for parameter in self.parameters:
            if parameter.applies(found):
                found[parameter.key] = parameter.value(place_of(parameter))
        return found

    def check(self, load: Callable[[Settings], Scenario], source: str) -> None:
        """Raises InputError unless every choice and both ends of every range make a scenario that holds together."""
        for parameter in self.parameters:
            for place in _places(parameter):
                settings = self._with(parameter, place)
                if settings is None:
                    raise InputError(
                        f"{source}: {parameter.key}: no choice of the parameters before it meets its 'when'"
                    )
                try:
                    load(settings)
                except InputError as error:
                    raise InputError(f"{source}: {parameter.key}={settings[parameter.key]}: {error}") from None

    def _with(self, parameter: SearchParameter, place: float) -> Settings | None:
        """Settings in which `parameter` stands at `place` and those that it depends on make it exist; others at their
        first value."""
        wanted = dict(parameter.when)
        for other in reversed(self.parameters[: self.parameters.index(parameter)]):
            if other.key in wanted:
                wanted = {**other.when, **wanted}
        found: Settings = {}
        for other in self.parameters:
            if other.applies(found):
                meets = [choice for choice in other.choices if choice in wanted.get(other.key, other.choices)]
                found[other.key] = other.value(place) if other is parameter else next(iter(meets), other.value(0.0))
        return found if parameter.applies(found) else None


def _places(parameter: SearchParameter) -> list[float]:
    n = parameter.points
    return [(i + 0.5) / n for i in range(n)] if n is not None and parameter.choices else [0.0, 1 - 1e-9]


def overrides_of(settings: Mapping[str, Value]) -> list[str]:
    """The settings as "key=value". A section whose kind is set is set anew, so nothing of another kind stays in it."""
    sections_set = {key.removesuffix(".kind"): {"kind": value} for key, value in settings.items() if _is_kind(key)}
    others: dict[str, Any] = {}
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        if section in sections_set:
            sections_set[section][name] = value
        else:
            others[key] = value
    return [f"{key}={json.dumps(value)}" for key, value in (sections_set | others).items()]


def _is_kind(key: str) -> bool:
    return key.endswith(".kind")


def label_of(settings: Mapping[str, Value]) -> str:
    """The settings in a few words: `random ratio=0.3, linear srm_weight=1`."""
    words: dict[str, list[str]] = {}
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        words.setdefault(section, []).append(shown if name == "kind" else f"{name}={shown}")
    return ", ".join(" ".join(parts) for parts in words.values())


# ------------------------------------------------------------------------------------------ the space of a scenario


def default_space(policy: sections.Policy) -> Space:
    """When to ask, how to fuse and how to make the slate, wherever the policy's slate uses the LLM's lists.

    What is tried of each kind it says itself (`Kind.searched`). A kind of the user's own in the policy is tried
    beside the built-in ones. Kinds of request that cannot help are left out: a list that is always asked for is the
    ratio 1 of `random`.
    """
    if not policy.slate.uses_llm:
        raise InputError(
            f"policy.slate: {policy.slate.kind} uses no list of the LLM, so there is nothing to optimise by "
            "default; set policy.slate=llm, or name a space file with --space"
        )
    requests, fusions = _tried_kinds(policy.request, _REQUESTS), _tried_kinds(policy.fusion, _FUSIONS)
    unlimited = tuple(
        name
        for name, kind in requests.items()
        if isinstance(kind, sections.RequestPolicy) and kind.asks and "ratio" not in _tried(kind)
    )
    score = "rank" if policy.fusion.is_own() else getattr(policy.fusion, "score", "rank")
    kind_of_fusion, *of_fusions = _parameters_of("policy.fusion", fusions)
    return Space(
        (
            SearchParameter("policy.slate", tuple(dict.fromkeys((*_ASKS, policy.slate.kind)))),
            *_parameters_of("policy.request", requests),
            SearchParameter("policy.budget.ratio", (1.0, 0.5, 0.25), when={"policy.request.kind": unlimited}),
            kind_of_fusion,
            SearchParameter("policy.fusion.score", (score,), when={kind_of_fusion.key: ("linear",)}),
            *of_fusions,
        )
    )


def _tried_kinds(own: sections.Kind, names: tuple[str, ...]) -> dict[str, sections.Kind]:
    """The built-in kinds of these names, and the scenario's if it is the user's own, by name."""
    found = {name: type(own).family.built_in()[name].model_construct() for name in names}
    return found | ({own.kind: own} if own.is_own() else {})


def _parameters_of(section: str, kinds: Mapping[str, sections.Kind]) -> list[SearchParameter]:
    """The parameter of the kind of a section, and those of what is tried of each; a key that several have is one."""
    specs: dict[str, tuple[Node, list[str]]] = {}
    for name, kind in kinds.items():
        place = Place(f"{kind.own_source().place}: searched" if kind.is_own() else name)
        for key, spec in _tried(kind).items():
            specs.setdefault(key, (to_node(spec, place), []))[1].append(name)
    parameters = [SearchParameter(f"{section}.kind", tuple(kinds))]
    for key, (node, names) in specs.items():
        when = {} if len(names) == len(kinds) else {f"{section}.kind": tuple(names)}
        parameters.append(replace(_parameter(f"{section}.{key}", node, ()), when=when))
    return parameters


def _tried(kind: sections.Kind) -> dict[str, Any]:
    """By key, what is tried of a kind: what it says itself, else, of a user's, what its keys allow."""
    found = dict(kind.searched)
    for name, shape in fields_of(type(kind)).items() if kind.is_own() else ():
        value = getattr(kind, name)
        if name not in found and name != "kind" and isinstance(value, int | float | str):
            found[name] = _allowed(shape, value)
    return found


def _allowed(shape: Shape, value: Value) -> Any:
    """What may be tried of a key that has this value: its words, its whole range, or else a quarter of the value to
    four times as much; the value itself where nothing else is known."""
    if isinstance(value, bool):
        return (False, True)
    if shape.words or isinstance(value, str):
        return shape.words or (value,)
    part = next(part for part in shape.plain if part.type in (int, float))
    whole = part.type is int
    low, high = (
        next((getattr(limit, end) for limit in part.limits if hasattr(limit, end)), None) for end in ("ge", "le")
    )
    if low is not None and high is not None:
        return {"low": low, "high": high, "integer": whole}
    scaled = [round(value * factor) if whole else value * factor for factor in (0.25, 0.5, 1.0, 2.0, 4.0)]
    kept = [one for one in scaled if (low is None or one >= low) and (high is None or one <= high)]
    return tuple(dict.fromkeys(kept))


# ------------------------------------------------------------------------------------------ a space from a file

_RANGE = ("low", "high", "step", "log", "integer", "choices", "when")


def read_space(path: Path) -> Space:
    """The space in a file. InputError, naming file, line and key, for what is not one."""
    root = read_file(path)
    if not isinstance(root.content, dict) or not root.content:
        raise InputError(
            f"{path}: expected dotted keys with what they may be, such as policy.request.ratio: [0.1, 0.5]"
        )
    parameters: list[SearchParameter] = []
    for key, node in root.content.items():
        parameter = _parameter(key, node, parameters)
        if _is_kind(key):
            parameter = replace(
                parameter, choices=tuple(from_folder(str(one), node.place.folder) for one in parameter.choices)
            )
        parameters.append(parameter)
    return Space(tuple(parameters))


def _parameter(key: str, node: Node, before: Sequence[SearchParameter]) -> SearchParameter:
    where, content = f"{node.place}: {key}", node.content
    if isinstance(content, list):
        return SearchParameter(key, _values(content, where))
    if not isinstance(content, dict):
        raise InputError(f"{where}: expected a list of values, or a range such as {{low: 0.1, high: 1, step: 0.1}}")
    for name in content:
        if name not in _RANGE:
            raise InputError(f"{where}: unknown key {name!r}; a search parameter has {', '.join(_RANGE)}")
    when = _when(content["when"], before, where) if "when" in content else {}
    if "choices" in content:
        if set(content) - {"choices", "when"}:
            raise InputError(f"{where}: gives choices and a range; drop one of the two")
        given = content["choices"].content
        return SearchParameter(
            key, _values(given if isinstance(given, list) else [content["choices"]], where), when=when
        )
    if not {"low", "high"} <= set(content):
        raise InputError(f"{where}: a range needs low and high")
    low, high = _number(content["low"], where), _number(content["high"], where)
    step = _number(content["step"], where) if "step" in content else None
    log, integer = (_flag(content[name], where) if name in content else False for name in ("log", "integer"))
    if not low < high:
        raise InputError(f"{where}: low {low:g} is not less than high {high:g}")
    if (step is not None and step <= 0) or (log and (low <= 0 or step is not None)):
        raise InputError(f"{where}: a step must be positive, and a log range needs low above 0 and no step")
    if integer and not all(number is None or float(number).is_integer() for number in (low, high, step)):
        raise InputError(f"{where}: integer, but low, high or step is not")
    return SearchParameter(key, (), low, high, step, log, integer, when)


def _when(node: Node, before: Sequence[SearchParameter], where: str) -> dict[str, tuple[Value, ...]]:
    if not isinstance(node.content, dict) or not node.content:
        raise InputError(f"{where}: when: expected keys and their values, such as {{policy.request.kind: [random]}}")
    known = {parameter.key for parameter in before}
    found = {}
    for key, values in node.content.items():
        if key not in known:
            raise InputError(f"{where}: when: {key!r} is no parameter above this one; move it up, or mend its name")
        found[key] = _values(values.content if isinstance(values.content, list) else [values], where)
    return found


def _values(nodes: list[Node], where: str) -> tuple[Value, ...]:
    values = tuple(_value(node, where) for node in nodes)
    if not values:
        raise InputError(f"{where}: an empty list; give at least one value")
    if len(set(values)) < len(values):
        raise InputError(f"{where}: names a value twice")
    return values


def _value(node: Node, where: str) -> Value:
    if not isinstance(node.content, Scalar) or node.content.is_null:
        raise InputError(f"{where}: expected plain values; give a section key by key")
    text = node.content.text
    if node.content.plain and text in ("true", "false"):
        return text == "true"
    number = number_of(text) if node.content.plain else None
    return text if number is None else number


def _number(node: Node, where: str) -> float:
    value = _value(node, where)
    if isinstance(value, str | bool) or not math.isfinite(value):
        raise InputError(f"{where}: expected a finite number, got {value!r}")
    return value


def _flag(node: Node, where: str) -> bool:
    value = _value(node, where)
    if not isinstance(value, bool):
        raise InputError(f"{where}: expected true or false, got {value!r}")
    return value
