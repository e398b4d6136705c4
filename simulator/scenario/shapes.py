"""What a key of a scenario may hold, read off the annotation of its field: a section, one of several kinds of
section, a list, or a plain value. Reading, `--set` and the reference page all follow these shapes."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fleetrec.simulator.scenario.units import Quantity


@dataclass(frozen=True)
class Plain:
    """One type that a plain value may have, with its limits; `type` is int, float, bool or str, or a tuple of words."""

    type: type | tuple[Any, ...]
    limits: tuple[Any, ...] = ()
    quantity: Quantity | None = None

    @property
    def words(self) -> tuple[Any, ...]:
        """The words of a choice; () for anything else."""
        return self.type if isinstance(self.type, tuple) else ()


@dataclass(frozen=True)
class Shape:
    """What a key may hold; the parts that do not apply are empty."""

    sections: tuple[type[BaseModel], ...] = ()
    item: "Shape | None" = None
    plain: tuple[Plain, ...] = ()
    optional: bool = False
    base: Any = None
    """of the family whose kinds the sections are (sections/kinds.py); None: the annotation names them all"""

    @property
    def kinds(self) -> dict[str, type[BaseModel]]:
        """Section of each kind, where the key holds a section that is told by its `kind`."""
        return {kind: model for model in self.sections for kind in kinds_of(model)}

    def kind(self, name: str, folder: Path | None) -> type[BaseModel] | None:
        """Section of the kind of this name, the user's own ones too; None where there is none. InputError for own code
        that cannot be used; a relative file is taken from `folder` first."""
        if name in self.kinds or self.base is None:
            return self.kinds.get(name)
        found: type[BaseModel] | None = self.base.family.named(name, folder, self.base)
        return found

    @property
    def words(self) -> tuple[Any, ...]:
        """Every word that the key may be set to."""
        return tuple(word for part in self.plain for word in part.words)

    def accepts(self, type_: type) -> bool:
        """Whether a plain value of exactly this type may stand here."""
        return any(part.type is type_ for part in self.plain)


@cache
def fields_of(model: type[BaseModel]) -> dict[str, Shape]:
    """Shape of every key of a section, in order."""
    return {name: _shape(info.annotation, tuple(info.metadata)) for name, info in model.model_fields.items()}


def kinds_of(model: type[BaseModel]) -> tuple[str, ...]:
    """The words that `kind` may be in this section; () where it has no kind."""
    info = model.model_fields.get("kind")
    if info is not None and info.annotation is str:
        names: tuple[str, ...] = model.kind_names()  # type: ignore[attr-defined]  # a Kind, which imports this module
        return names
    return tuple(get_args(info.annotation)) if info else ()


def sections_in(shape: Shape, path: str) -> Iterator[tuple[type[BaseModel], str]]:
    """The section of one class that a key holds, or of which it holds a list, with the beginning of its keys."""
    for part, where in ((shape, path), (shape.item, f"{path}N.")):
        if part is not None and len(part.sections) == 1 and len(kinds_of(part.sections[0])) != 1:
            yield part.sections[0], where


def families_below(model: type[BaseModel], path: str = "") -> dict[str, Any]:
    """By dotted key (N: an item of a list), the base of each family whose kinds may stand in a section."""
    found: dict[str, Any] = {}
    for name, shape in fields_of(model).items():
        if shape.base is not None:
            found[f"{path}{name}"] = shape.base
        for inner, where in sections_in(shape, f"{path}{name}."):
            found |= families_below(inner, where)
    return found


def default_of(model: type[BaseModel], name: str, base: object = None) -> Any:
    """What key `name` of a section is where nobody gives it: as in `base`, an instance of it, else its own default."""
    if type(base) is model:
        return getattr(base, name)
    info = model.model_fields[name]
    return None if info.is_required() else info.get_default(call_default_factory=True)


def _shape(annotation: Any, metadata: tuple[Any, ...]) -> Shape:
    sections: list[type[BaseModel]] = []
    plain: list[Plain] = []
    item: Shape | None = None
    base: Any = None
    optional = False
    for part, limits in _parts(annotation, metadata):
        if part is NoneType:
            optional = True
        elif get_origin(part) is tuple:
            item = _shape(get_args(part)[0], ())
        elif get_origin(part) is Literal:
            plain.append(Plain(get_args(part)))
        elif isinstance(part, type) and "family" in vars(part):
            base = part
            sections += dict.fromkeys(base.family.built_in().values())
        elif isinstance(part, type) and issubclass(part, BaseModel):
            sections.append(part)
        else:
            quantity = next((limit for limit in limits if isinstance(limit, Quantity)), None)
            plain.append(Plain(part, limits, quantity))
    return Shape(tuple(sections), item, tuple(plain), optional, base)


def _parts(annotation: Any, metadata: tuple[Any, ...]) -> list[tuple[Any, tuple[Any, ...]]]:
    """The members of a union, each with the metadata that bears on it."""
    if get_origin(annotation) is Annotated:
        inner, *extra = get_args(annotation)
        flat = [m for e in extra for m in (e.metadata if isinstance(e, FieldInfo) else [e])]
        return _parts(inner, (*flat, *metadata))
    if get_origin(annotation) in (Union, UnionType):
        return [part for member in get_args(annotation) for part in _parts(member, metadata)]
    return [(annotation, metadata)]


def describe(shape: Shape, examples: bool = True) -> str:
    """What a plain value here must be, in words: "a whole number of at least 1, or none"."""
    parts = [_describe_plain(part, examples) for part in shape.plain]
    if shape.item is not None:
        parts.append(f"a list, each {describe(shape.item, examples)}")
    if shape.sections:
        parts.append("one of " + ", ".join(shape.kinds) if shape.kinds else _describe_section(shape.sections[0]))
    if shape.optional:
        parts.append("none")
    return ", or ".join(parts)


def _describe_section(model: type[BaseModel]) -> str:
    needed = [name for name, info in model.model_fields.items() if info.is_required()]
    return f"a section such as {{{needed[0] if needed else next(iter(model.model_fields))}: ...}}"


def _describe_plain(part: Plain, examples: bool) -> str:
    if part.words:
        words = ["false" if word is False else str(word) for word in part.words]
        return f"one of {', '.join(words)}" if len(words) > 1 else words[0]
    if part.quantity is not None:
        article = "an" if part.quantity.what[0] in "aeiou" else "a"
        example = f" such as {part.quantity.example}" if examples else ""
        return f"{article} {part.quantity.what}{_limits_text(part)}{example}"
    if part.type is bool:
        return "true or false"
    if part.type is str:
        pattern = any(getattr(limit, "pattern", None) for limit in part.limits)
        return "text of letters, digits, '_', '.' and '-' (first a letter or digit)" if pattern else "text"
    return ("a whole number" if part.type is int else "a number") + _limits_text(part)


def _limits_text(part: Plain) -> str:
    """The limits of a number in words, with a space before: " between 0 and 1", " of at least 1", " above 0"."""
    low: dict[str, Any] = {}
    for limit in part.limits:
        if isinstance(limit, annotated_types.Ge):
            low["ge"] = limit.ge
        elif isinstance(limit, annotated_types.Gt):
            low["gt"] = limit.gt
        elif isinstance(limit, annotated_types.Le):
            low["le"] = limit.le
        elif isinstance(limit, annotated_types.Lt):
            low["lt"] = limit.lt
    unit = f" {part.quantity.base}" if part.quantity and part.quantity.base else ""
    if "ge" in low and "le" in low:
        return f" between {low['ge']:g} and {low['le']:g}{unit}"
    bounds = []
    if "gt" in low:
        bounds.append(f"above {low['gt']:g}{unit}")
    elif "ge" in low:
        bounds.append(f"of at least {low['ge']:g}{unit}")
    if "le" in low:
        bounds.append(f"at most {low['le']:g}{unit}")
    elif "lt" in low:
        bounds.append(f"below {low['lt']:g}{unit}")
    return " " + " and ".join(bounds) if bounds else ""
