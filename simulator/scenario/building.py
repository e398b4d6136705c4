"""A tree of YAML nodes as typed sections. Every mistake becomes a `Problem` with its place; none ends the reading."""

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.reading import Node, Place, Scalar
from fleetrec.simulator.scenario.shapes import Shape, default_of, describe, fields_of, kinds_of
from fleetrec.simulator.scenario.units import Quantity

Path = tuple[str | int, ...]

_INT = re.compile(r"[-+]?\d[\d_]{0,40}")
_FLOAT = re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?")
NONE_WORDS = ("none", "null", "~")
_TRUE = ("true", "yes", "on")
_FALSE = ("false", "no", "off")


class Wrong:
    """Stands for a value that could not be built."""


WRONG = Wrong()


@dataclass(frozen=True)
class Problem:
    """One mistake: where it stands and what to do about it."""

    place: Place
    message: str


def raise_first(problems: list[Problem]) -> None:
    """End with the first problem (of the command line, else of the file), in one line that says how many there are."""
    if problems:
        first = min(problems, key=lambda problem: problem.place.line)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InputError(f"{first.place}: {first.message}{more}")


def dotted(path: Path) -> str:
    """`fleet.classes.0.share`."""
    return ".".join(str(part) for part in path)


def suggestion(word: str, known: list[str], what: str = "known") -> str:
    """` (did you mean 'x'?)`, or the known words where none is near."""
    by_fold = {name.lower().replace("-", "_"): name for name in known}
    near = get_close_matches(word.lower().replace("-", "_"), list(by_fold), n=1, cutoff=0.6)
    if near:
        return f" (did you mean {by_fold[near[0]]!r}?)"
    return f" ({what}: {', '.join(known)})"


@dataclass
class Builder:
    """Builds sections and collects the problems met on the way, in the order of the file."""

    problems: list[Problem] = field(default_factory=list)

    def section(self, node: Node, model: type[BaseModel], path: Path, base: BaseModel | None) -> Any:
        """An instance of `model`, or WRONG. Keys that are not given keep those of `base`, the section's default."""
        content = node.content
        if isinstance(content, Scalar) and content.is_null:
            content = {}
        if not isinstance(content, dict):
            self._wrong(node, path, f"expected a section (keys with values below it), got {_shown(content)}")
            return WRONG
        shapes = fields_of(model)
        values = {name: getattr(base, name) for name in base.model_fields_set} if type(base) is model else {}
        before = len(self.problems)
        for name, child in content.items():
            if name in shapes:
                values[name] = self.value(child, shapes[name], (*path, name), default_of(model, name, base))
            else:
                self._unknown(child, name, model, path)
        for name, info in model.model_fields.items():
            if info.is_required() and name not in values:
                self._wrong(node, path, f"'{name}' is missing; give {describe(shapes[name])}")
        section: Any = WRONG
        try:
            section = model.model_validate({name: value for name, value in values.items() if value is not WRONG})
        except ValidationError as error:
            self._refused(error, node, content, shapes, path)
        return section if len(self.problems) == before else WRONG

    def value(self, node: Node, shape: Shape, path: Path, default: Any) -> Any:
        """What `node` holds, as `shape` asks for it, or WRONG; the limits of plain values are not checked yet."""
        content = node.content
        if shape.kinds and not (isinstance(content, Scalar) and _is_word(content, shape)):
            return self._kinded(node, shape, path, default)
        if shape.sections and not (isinstance(content, Scalar) and (shape.plain or shape.optional)):
            return self.section(node, shape.sections[0], path, default)
        single = any(not part.words for part in shape.plain)  # a plain value may stand for a list
        if shape.item is not None and not (isinstance(content, Scalar) and (single or _is_word(content, shape))):
            if not isinstance(content, list):
                self._wrong(node, path, f"expected {describe(shape)}, got {_shown(content)}")
                return WRONG
            items = tuple(self.value(child, shape.item, (*path, i), None) for i, child in enumerate(content))
            return WRONG if any(item is WRONG for item in items) else items
        if not isinstance(content, Scalar):
            self._wrong(node, path, f"expected {describe(shape)}, got {_shown(content)}")
            return WRONG
        value = plain_value(content, shape)
        if value is WRONG:
            near = suggestion(content.text, [str(w) for w in shape.words], "") if shape.words else ""
            hint = near if "did you mean" in near else _bound(number_of(content.text))
            self._wrong(node, path, f"expected {describe(shape)}, got {_shown(content)}{hint}")
        return value

    def _kinded(self, node: Node, shape: Shape, path: Path, default: Any) -> Any:
        content = node.content
        if isinstance(content, Scalar):
            if content.is_null and isinstance(default, BaseModel):
                return default
            if shape.optional and (content.is_null or (content.plain and content.text.lower() in NONE_WORDS)):
                return None
            content = {"kind": Node(content, node.place)}
        if not isinstance(content, dict):
            self._wrong(node, path, f"expected a section with a 'kind', got {_shown(content)}")
            return WRONG
        kinds = shape.kinds
        if "kind" not in content and len(shape.sections) == 1:
            return self.section(node, shape.sections[0], path, default)
        if "kind" not in content and shape.base is not None and shape.base.family.kind_optional:
            content = {"kind": Node(Scalar(shape.base.family.standard), node.place), **content}
        if "kind" not in content:
            fitting = [kind for kind, model in kinds.items() if set(content) <= set(model.model_fields)]
            fits = f" (these keys fit: {', '.join(fitting)})" if content and 0 < len(fitting) < len(kinds) else ""
            self._wrong(node, path, f"'kind' is missing; give one of {', '.join(kinds)}{fits}")
            return WRONG
        kind = content["kind"]
        name = kind.content.text if isinstance(kind.content, Scalar) else ""
        try:
            model = shape.kind(name, kind.place.folder)
        except InputError as error:
            self._wrong(kind, path, str(error))
            return WRONG
        if model is None:
            near = get_close_matches(name, list(kinds), n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            self._wrong(kind, path, f"unknown kind {_shown(kind.content)} ({hint}kinds: {', '.join(kinds)})")
            return WRONG
        return self.section(Node(content, node.place), model, path, default)

    def _unknown(self, child: Node, name: str, model: type[BaseModel], path: Path) -> None:
        where = f" in {dotted(path)}" if path else ""
        kind = f" of kind {kinds_of(model)[0]!r}" if len(kinds_of(model)) == 1 else ""
        self.problems.append(
            Problem(
                child.place, f"unknown key {name!r}{where}{kind}{suggestion(name, list(model.model_fields), 'keys')}"
            )
        )

    def _refused(
        self, error: ValidationError, node: Node, content: dict[str, Node], shapes: dict[str, Shape], path: Path
    ) -> None:
        """Problems of a section's plain values: one per key, however many members of a union refused it."""
        seen: set[Path] = set()
        for detail in error.errors(include_url=False):
            if detail["type"] == "missing":
                continue
            if not detail["loc"]:
                self._wrong(node, path, str(detail["msg"]).removeprefix("Value error, "))
                continue
            name = str(detail["loc"][0])
            where, child, shape = (*path, name), content.get(name, node), shapes[name]
            index = detail["loc"][1] if len(detail["loc"]) > 1 else None
            if isinstance(index, int) and isinstance(child.content, list) and shape.item is not None:
                where, child, shape = (*where, index), child.content[index], shape.item
            if where not in seen:
                seen.add(where)
                self._wrong(child, where, f"expected {describe(shape)}, got {_shown(child.content)}{_hint(detail)}")

    def _wrong(self, node: Node, path: Path, message: str) -> None:
        self.problems.append(Problem(node.place, f"{dotted(path)}: {message}" if path else message))


def plain_value(scalar: Scalar, shape: Shape) -> Any:
    """A plain value of the type that `shape` asks for, as far as the text allows; WRONG where no type fits it."""
    text = scalar.text
    if scalar.plain and shape.optional and (scalar.is_null or text.lower() in NONE_WORDS):
        return None
    if scalar.is_null:
        return WRONG
    for word in shape.words:
        if (text.lower() in _FALSE and scalar.plain) if word is False else text == str(word):
            return word
    types = [part.type for part in shape.plain]
    if bool in types:
        lowered = text.lower()
        return True if lowered in _TRUE else False if lowered in _FALSE else WRONG
    if any(part.quantity for part in shape.plain):
        return text
    number = number_of(text) if (scalar.plain or str not in types) else None
    if number is not None and (int in types or float in types):
        return number if abs(number) <= Quantity.most else WRONG
    return text if str in types else WRONG


def number_of(text: str) -> int | float | None:
    """The number that an unquoted text is, by YAML 1.2 (`010` is ten, `1e-3` a number) with `_` between digits."""
    if _INT.fullmatch(text):
        return int(text.replace("_", ""))
    if _FLOAT.fullmatch(text) or re.fullmatch(r"[-+]?\.?(inf|nan|infinity)", text, re.IGNORECASE):
        return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan").replace(".NaN", "nan"))
    return None


def _is_word(scalar: Scalar, shape: Shape) -> bool:
    return scalar.text in shape.words


def _bound(number: float | None) -> str:
    return f" (at most {Quantity.most:g})" if number is not None and number > Quantity.most else ""


def _hint(detail: Any) -> str:
    message = str(detail["msg"])
    if "(units:" in message:
        return " (units: " + message.split("(units: ")[1].split(")")[0] + ")"
    if " of at most " in message:
        return " (at most " + message.split(" of at most ")[1].split(",")[0] + ")"
    return ""


def _shown(content: Scalar | dict[str, Node] | list[Node]) -> str:
    if isinstance(content, dict):
        return "a section"
    if isinstance(content, list):
        return "a list" if content else "an empty list"
    if content.is_null:
        return "nothing"
    text = content.text if len(content.text) <= 60 else content.text[:57] + "..."
    return repr(text)
