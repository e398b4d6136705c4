"""`--set dotted.key=value`, and the settings of a sweep: changes to a scenario before it is checked.

The value is YAML, but ` #` begins no comment in it. Setting a `kind` drops the siblings that the new kind does not
have; setting a whole section replaces it. List items are named by index or, where they have names, by name. What the
file does not give is there with its default.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from pydantic import BaseModel

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario.building import dotted, suggestion
from fleetrec.simulator.scenario.reading import Node, Place, Scalar, parse
from fleetrec.simulator.scenario.shapes import Shape, default_of, fields_of


def apply_override(root: Node, text: str, model: type[BaseModel]) -> None:
    """Change `root`, the tree of a `model`, as `dotted.key=value` says. Raises InputError naming the override."""
    key, value = setting_of(text)
    apply_setting(root, key, value, model)


def setting_of(text: str) -> tuple[str, Node]:
    """The dotted key and the value of "dotted.key=value". Raises InputError naming the override."""
    place = Place("--set " + " ".join(text.splitlines()))
    key, equals, value = text.partition("=")
    if not equals or not all(key.strip().split(".")):
        raise InputError(f"{place}: expected dotted.key=value, such as fleet.devices=500")
    return key.strip(), node_of(value, place)


def node_of(text: str, place: Place) -> Node:
    """The tree of YAML that was typed at an option of the command line, the `place`."""
    return Node(parse(text, place.source, lines=False).content, place)


def apply_setting(root: Node, key: str, value: Node, model: type[BaseModel]) -> None:
    """Set the dotted `key` of `root`, the tree of a `model`, to `value`. Raises InputError naming the value's place."""
    if isinstance(root.content, Scalar) and root.content.is_null:
        root.content = {}
    if not isinstance(root.content, dict):
        return
    _Setter(value.place, key.split("."), deepcopy(value)).section(root, Shape((model,)), None, 0)


class _Setter:
    """One override on its way down the tree."""

    def __init__(self, place: Place, path: list[str], value: Node):
        self._place = place
        self._path = path
        self._value = value

    def _descend(self, node: Node, shape: Shape, default: Any, depth: int) -> None:
        if shape.sections:
            self.section(node, shape, default, depth)
        elif shape.item is not None:
            self._item(node, shape.item, default, depth)
        else:
            raise InputError(
                f"{self._place}: {self._upto(depth)} holds a plain value; it has no key {self._path[depth]!r}"
            )

    def section(self, node: Node, shape: Shape, default: Any, depth: int) -> None:
        """Set a key of the section in `node`, or of one further down."""
        entries = self._entries(node, shape, default)
        model = self._model(entries, shape)
        name = self._path[depth]
        last = depth == len(self._path) - 1
        known = {key: field for section in shape.sections for key, field in fields_of(section).items()}
        if model is not None:
            known |= fields_of(model)
        if name not in known:
            where = f" in {self._upto(depth)}" if depth else ""
            raise InputError(f"{self._place}: unknown key {name!r}{where}{suggestion(name, list(known), 'keys')}")
        if last:
            entries[name] = self._value
            if name == "kind":
                self._drop_strangers(entries, shape)
            return
        if name not in entries:
            entries[name] = Node(Scalar(""), self._place)
        inner = default_of(model, name, default) if model is not None and name in model.model_fields else None
        self._descend(entries[name], known[name], inner, depth + 1)

    def _entries(self, node: Node, shape: Shape, default: Any) -> dict[str, Node]:
        """The node's mapping; a bare kind, a word or nothing at all is turned into one first."""
        if isinstance(node.content, Scalar):
            words = [
                Node(Scalar(word), node.place) for word in (node.content.text, getattr(default, "kind", "")) if word
            ]
            kind = next((word for word in words if self._kind(word, shape) is not None), None)
            node.content = {"kind": kind} if kind is not None else {}
        if not isinstance(node.content, dict):
            raise InputError(f"{node.place}: expected a section (keys with values below it), got a list")
        return node.content

    def _model(self, entries: dict[str, Node], shape: Shape) -> type[BaseModel] | None:
        if len(shape.sections) == 1:
            return shape.sections[0]
        if "kind" not in entries and shape.base is not None and shape.base.family.kind_optional:
            return self._kind(Node(Scalar(shape.base.family.standard), self._place), shape)
        return self._kind(entries["kind"], shape) if "kind" in entries else None

    def _kind(self, kind: Node, shape: Shape) -> type[BaseModel] | None:
        if not isinstance(kind.content, Scalar) or not shape.kinds:
            return None
        try:
            return shape.kind(kind.content.text, kind.place.folder)
        except InputError as error:
            raise InputError(f"{kind.place}: {error}") from None

    def _drop_strangers(self, entries: dict[str, Node], shape: Shape) -> None:
        model = self._model(entries, shape)
        if model is not None:
            for name in [name for name in entries if name not in model.model_fields]:
                del entries[name]

    def _item(self, node: Node, shape: Shape, default: Any, depth: int) -> None:
        if isinstance(node.content, Scalar) and node.content.is_null and default:
            node.content = [to_node(item, self._place) for item in default]
        items = node.content
        if not isinstance(items, list):
            raise InputError(f"{node.place}: {self._upto(depth)}: expected a list")
        names = [_name(item) for item in items]
        step = self._path[depth]
        if step in names:
            index = names.index(step)
        elif step.isdecimal() and int(step) < len(items):
            index = int(step)
        else:
            choices = [name or str(i) for i, name in enumerate(names)]
            raise InputError(
                f"{self._place}: {self._upto(depth)} has no item {step!r}{suggestion(step, choices, 'items')}"
            )
        if depth == len(self._path) - 1:
            items[index] = self._value
        else:
            self._descend(items[index], shape, None, depth + 1)

    def _upto(self, depth: int) -> str:
        return dotted(tuple(self._path[:depth]))


def to_node(value: Any, place: Place) -> Node:
    """The tree of a built value: what a file would have to say to give it."""
    if isinstance(value, BaseModel):
        return Node({name: to_node(getattr(value, name), place) for name in type(value).model_fields}, place)
    if isinstance(value, Mapping):
        return Node({str(name): to_node(item, place) for name, item in value.items()}, place)
    if isinstance(value, (tuple, list)):
        return Node([to_node(item, place) for item in value], place)
    if value is None:
        return Node(Scalar(""), place)
    if isinstance(value, bool):
        return Node(Scalar(str(value).lower()), place)
    return Node(Scalar(str(value), plain=not isinstance(value, str)), place)


def _name(item: Node) -> str:
    name = item.content.get("name") if isinstance(item.content, dict) else None
    return name.content.text if name and isinstance(name.content, Scalar) else ""
