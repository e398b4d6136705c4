"""A sweep file as it stands: its plain keys checked, its dotted keys as nodes that know their line."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.experiments.sweeps.sections import Range, Sample, SweepFile
from fleetrec.simulator.scenario.building import Builder, raise_first, suggestion
from fleetrec.simulator.scenario.reading import Node, Place, Scalar, read_file
from fleetrec.simulator.scenario.text_files import resolve_path

Model = TypeVar("Model", bound=BaseModel)
Settings = dict[str, Node]
Axes = dict[str, list[Node]]

TRAININGS = "training.seed"
"""an axis that makes no variants: every variant is run with models trained anew at each of its seeds"""

_FREE = ("set", "variants", "axes", "zip", "sample")
_QUANTITY = re.compile(r"\s*([+-]?[\d.][\d_.]*(?:[eE][+-]?\d+)?)\s*([A-Za-z]*)\s*")


@dataclass(frozen=True)
class Group:
    """A named variant: its settings, and axes of its own that make several of it."""

    name: str
    place: Place
    settings: Settings
    axes: Axes


@dataclass(frozen=True)
class Span:
    """The range of a sampled key, in `unit` ("": a bare number)."""

    place: Place
    low: float
    high: float
    unit: str
    log: bool
    integer: bool


@dataclass(frozen=True)
class Samples:
    """Random points over spans and choices."""

    plan: Sample
    over: dict[str, Span | list[Node]]


@dataclass(frozen=True)
class Sweep:
    """A sweep file, read."""

    path: Path
    text: str
    file: SweepFile
    base: Path
    fixed: Settings = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    axes: Axes = field(default_factory=dict)
    zipped: Axes = field(default_factory=dict)
    samples: Samples | None = None
    trainings: list[int] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)

    def place(self, key: str) -> Place:
        """Where a key of the file stands; the file itself for one that is not given."""
        return self.places.get(key, Place(str(self.path)))


def read_sweep(path: Path, base: Path | None = None) -> Sweep:
    """The sweep in the YAML file `path`. Raises InputError, one line with file, line and key, for what is wrong in it.

    `base`: another scenario to start from than the file's own. Whether the file's dotted keys exist is seen when they
    meet that scenario.
    """
    root = read_file(path)
    top = _mapping(root, f"{path}: expected keys such as 'name: my_sweep' and 'base: scenarios/high_churn.yaml'")
    known = [*SweepFile.model_fields, *_FREE]
    for name, node in top.items():
        if name not in known:
            raise InputError(f"{node.place}: unknown key {name!r}{suggestion(name, known, 'keys')}")
    free = {name: top[name] for name in _FREE if name in top}
    file = _section(Node({name: node for name, node in top.items() if name not in free}, root.place), SweepFile, ())
    places = {name: node.place for name, node in top.items()}
    for name in ("seeds", "metrics"):
        values = getattr(file, name)
        if len(set(values)) < len(values):
            raise InputError(f"{places[name]}: {name}: one of them stands there twice; name each once")
    axes = _axes(free.get("axes"), "axes")
    trainings = _trainings(axes.pop(TRAININGS, []))
    text = path.read_text(encoding="utf-8-sig")
    if base is not None and not base.exists():
        raise InputError(f"--base {base}: no such file")
    sweep = Sweep(
        path=path,
        text=text if base is None else re.sub(r"(?m)^base:.*$", lambda _: f"base: {base}", text),
        file=file,
        base=base or _base(file.base, path, places["base"]),
        fixed=_keys(free.get("set"), "set"),
        groups=_groups(free.get("variants")),
        axes=axes,
        zipped=_axes(free.get("zip"), "zip"),
        samples=_samples(free.get("sample")),
        trainings=trainings,
        places=places,
    )
    lengths = {key: len(values) for key, values in sweep.zipped.items()}
    if len(set(lengths.values())) > 1:
        counted = ", ".join(f"{key} has {count}" for key, count in lengths.items())
        raise InputError(f"{places['zip']}: zip: all lists must be equally long, but {counted}")
    return sweep


def _base(text: str, path: Path, place: Place) -> Path:
    """The scenario file, from the folder in which the command runs or else from that of the sweep file."""
    from_here = resolve_path(text)
    beside = path.parent / from_here
    if not from_here.exists() and not beside.exists():
        raise InputError(f"{place}: base: {text}: no such file; it is taken from the folder in which the command runs")
    return from_here if from_here.exists() else beside


def _section(node: Node, model: type[Model], path: tuple[str | int, ...]) -> Model:
    builder = Builder()
    built = builder.section(node, model, path, None)
    raise_first(builder.problems)
    assert isinstance(built, model)
    return built


def _mapping(node: Node | None, problem: str) -> dict[str, Node]:
    if node is None or (isinstance(node.content, Scalar) and node.content.is_null):
        return {}
    if not isinstance(node.content, dict):
        raise InputError(problem)
    return node.content


def _keys(node: Node | None, where: str) -> Settings:
    """Dotted keys and what they are set to."""
    place = node.place if node else ""
    keys = _mapping(node, f"{place}: {where}: expected dotted keys with values, such as fleet.devices: 500")
    for key, value in keys.items():
        if not all(key.split(".")):
            raise InputError(f"{value.place}: {where}: {key!r} is not a dotted key such as fleet.devices")
    return keys


def _axes(node: Node | None, where: str) -> Axes:
    return {key: _values(value, f"{where}: {key}") for key, value in _keys(node, where).items()}


def _values(node: Node, where: str) -> list[Node]:
    if not isinstance(node.content, list):
        raise InputError(f"{node.place}: {where}: expected a list of values, such as [0.1, 0.2]")
    if not node.content:
        raise InputError(f"{node.place}: {where}: the axis is empty; give it a value, or remove it")
    return node.content


def _trainings(nodes: list[Node]) -> list[int]:
    """Seeds of the models: no variants, but replications of each."""
    seeds = []
    for node in nodes:
        text = node.content.text if isinstance(node.content, Scalar) else ""
        if not text.isdecimal() or int(text) in seeds:
            raise InputError(f"{node.place}: axes: {TRAININGS}: expected different whole numbers, such as [1, 2, 3]")
        seeds.append(int(text))
    return seeds


def _groups(node: Node | None) -> list[Group]:
    if node is None:
        return []
    items = _values(node, "variants")
    groups: dict[str, Group] = {}
    for item in items:
        keys = _mapping(item, f"{item.place}: variants: expected entries such as {{name: never, set: {{...}}}}")
        for key, value in keys.items():
            if key not in ("name", "set", "axes"):
                raise InputError(
                    f"{value.place}: variants: unknown key {key!r}{suggestion(key, ['name', 'set', 'axes'], 'keys')}"
                )
        name = keys["name"].content if "name" in keys else None
        if not isinstance(name, Scalar) or not name.text.strip():
            raise InputError(f"{item.place}: variants: 'name' is missing; each variant needs one")
        if name.text in groups:
            raise InputError(f"{item.place}: variants: the name {name.text!r} stands there twice; rename one")
        where = f"variants: {name.text}"
        settings, axes = _keys(keys.get("set"), f"{where}: set"), _axes(keys.get("axes"), f"{where}: axes")
        groups[name.text] = Group(name.text, item.place, settings, axes)
    return list(groups.values())


def _samples(node: Node | None) -> Samples | None:
    if node is None:
        return None
    keys = dict(_mapping(node, f"{node.place}: sample: expected keys such as n and over"))
    over = keys.pop("over", None)
    plan = _section(Node(keys, node.place), Sample, ("sample",))
    ranges = _keys(over, "sample: over")
    if not ranges:
        raise InputError(f"{node.place}: sample: 'over' is missing; give it dotted keys with a range or a list each")
    return Samples(plan, {key: _range_or_choices(key, value) for key, value in ranges.items()})


def _range_or_choices(key: str, node: Node) -> Span | list[Node]:
    return _values(node, f"sample: over: {key}") if isinstance(node.content, list) else _span(key, node)


def _span(key: str, node: Node) -> Span:
    if not isinstance(node.content, dict):
        raise InputError(f"{node.place}: sample: {key}: expected a list, or a range such as {{low: 0.1, high: 0.9}}")
    section = _section(node, Range, ("sample", "over", key))
    (low, unit), (high, other) = (_quantity(value, key, node.place) for value in (section.low, section.high))
    if unit != other:
        raise InputError(f"{node.place}: sample: {key}: low and high must have the same unit, not {unit!r}, {other!r}")
    log = section.scale == "log"
    if not low < high or (log and low <= 0):
        wanted = "0 < low < high" if log else "low < high"
        raise InputError(f"{node.place}: sample: {key}: expected {wanted}, got {section.low} and {section.high}")
    if section.integer and not (low.is_integer() and high.is_integer()):
        raise InputError(f"{node.place}: sample: {key}: integer ranges have whole ends, got {low:g} and {high:g}")
    return Span(node.place, low, high, unit, log, section.integer)


def _quantity(value: float | str, key: str, place: Place) -> tuple[float, str]:
    match = _QUANTITY.fullmatch(str(value))
    try:
        if match is not None:
            return float(match[1].replace("_", "")), match[2]
    except ValueError:
        pass
    raise InputError(f"{place}: sample: {key}: expected a number with or without a unit, got {value!r}")
