"""docs/reference/scenario.md: every key of a scenario with default, values and meaning, from the sections themselves.

`python -m fleetrec.simulator.scenario.reference` rewrites the page below its marker; a test compares the two.
"""

import re
from collections import Counter
from pathlib import Path

from pydantic import BaseModel

from fleetrec.models.runtime.artifacts import atomic_path
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.shapes import Shape, default_of, describe, fields_of, kinds_of
from fleetrec.simulator.scenario.writing import plain_text

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "scenario.md"
MARKER = (
    "<!-- Written by `python -m fleetrec.simulator.scenario.reference`; edit simulator/scenario/sections/ instead. -->"
)


Shared = frozenset[str]
"""names of sections that several kinds of one key have"""
_KIND: Shared = frozenset({"kind"})
_OWN = " ([how](../how-to/own_code.md))."
_AS_ABOVE = {"regions.N.cloud": "cloud", "regions.N.link": "fleet.classes.N.link"}
"""keys that hold what is described under another heading"""


def reference() -> str:
    """The reference part of the page, in Markdown."""
    text = "\n".join(_section("", sections.Scenario, None, 2))
    return re.sub(r"\n{3,}", "\n\n", text) + "\n"


def with_reference(page: str) -> str:
    """The page with the part below its marker written anew."""
    return page.split(MARKER)[0] + MARKER + "\n\n" + reference()


def _section(path: str, model: type[BaseModel], base: object, depth: int) -> list[str]:
    """Table of a section's own keys, then the sections in it."""
    return _table(path, model, base) + _children(path, model, base, depth)


def _table(
    path: str, model: type[BaseModel], base: object, shared: Shared = frozenset(), left_out: Shared = frozenset()
) -> list[str]:
    told_apart = bool(kinds_of(model)) and not model.model_fields["kind"].description
    left_out |= {"kind"} if told_apart else set()
    shapes = {name: shape for name, shape in fields_of(model).items() if name not in left_out}
    rows = [_row(path, name, shape, model, base, _owner(name, model, shared)) for name, shape in shapes.items()]
    return ["| key | default | values | meaning |", "|---|---|---|---|", *rows] if rows else []


def _children(
    path: str,
    model: type[BaseModel],
    base: object,
    depth: int,
    shared: Shared = frozenset(),
    left_out: Shared = frozenset(),
) -> list[str]:
    """The sections in a section, each under a heading with its dotted path."""
    lines: list[str] = []
    for name, shape in fields_of(model).items():
        if path + name in _AS_ABOVE or name in left_out:
            continue
        heading = ["", f"{'#' * depth} {path}{name}{_owner(name, model, shared)}", ""]
        default = default_of(model, name, base)
        deeper = (f"{path}{name}.", min(depth + 1, 4))
        if len(shape.sections) == 1:
            section = shape.sections[0]
            lines += [*heading, _doc(section), "", *_section(deeper[0], section, default, deeper[1])]
        elif shape.sections:
            lines += [
                *heading,
                f"One of several kinds; `{name}: KIND` is short for a section with nothing but its kind."
                + (" A class of your own may stand there too, as `FILE.py:NAME`" + _OWN if shape.base else ""),
            ]
            sections_of = Counter(
                key for section in shape.sections for key, part in fields_of(section).items() if part.sections
            )
            of_all = frozenset(shape.base.model_fields) - {"kind"} if shape.base is not None else frozenset()
            if of_all:
                where = f" Without a `kind`, `{shape.base.family.standard}` is meant." * shape.base.family.kind_optional
                lines[-1] += where
                lines += ["", "Every kind has these keys:", "", *_table(deeper[0], shape.base, None, left_out=_KIND)]
            common = frozenset(key for key, kinds in sections_of.items() if kinds > 1) - of_all
            for section in shape.sections:
                chosen = " (default)" if type(default) is section else ""
                names = ", ".join(f"`{kind}`" for kind in kinds_of(section))
                lines += ["", f"**kind: {names}**{chosen}. {_doc(section)}".rstrip(), ""]
                lines += _table(deeper[0], section, default if chosen else None, common, of_all)
            if of_all:
                lines += _children(deeper[0], shape.base, None, deeper[1])
            for section in shape.sections:
                known = default if type(default) is section else None
                lines += _children(deeper[0], section, known, deeper[1], common, of_all)
        elif shape.item is not None and shape.item.sections:
            item = shape.item.sections[0]
            shown = "The default:" if default else "None by default."
            lines += [*heading, f"A list. {_doc(item)} {shown}", ""]
            if default:
                lines += ["```yaml", f"{name}:", *(_flow(one) for one in default), "```", ""]
            lines += _section(f"{path}{name}.N.", item, None, deeper[1])
    return lines


def _owner(name: str, model: type[BaseModel], shared: Shared) -> str:
    """What tells the section `name` of this kind from that of another kind of the same key."""
    return f" of {kinds_of(model)[0]}" if name in shared else ""


def _row(path: str, name: str, shape: Shape, model: type[BaseModel], base: object, owner: str) -> str:
    meaning = model.model_fields[name].description or (_doc(shape.sections[0]) if shape.sections else "")
    cells = (f"`{name}`", _default(name, shape, model, base), _values(path, name + owner, shape), meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(name: str, shape: Shape, model: type[BaseModel], base: object) -> str:
    if model.model_fields[name].is_required():
        return "required"
    value = default_of(model, name, base)
    if isinstance(value, sections.CloudChanges):
        return "none"
    if isinstance(value, BaseModel):
        kind = getattr(value, "kind", None)
        return f"`{kind}`" if kind and len(shape.sections) > 1 else "its defaults"
    if shape.item is not None and shape.item.sections:
        return "below" if value else "none"
    if value is None:
        return "none"
    quantity = next((part.quantity for part in shape.plain if part.quantity), None)
    return f"`{quantity.show(value) if quantity else plain_text(value)}`"


def _values(path: str, name: str, shape: Shape) -> str:
    key = _AS_ABOVE.get(path + name, path + name)
    target = f"[{key}](#{key.replace('.', '').replace(' ', '-').lower()})"
    if shape.sections and not shape.plain:
        return target
    if shape.sections:
        return ", ".join(f"`{plain_text(word)}`" for word in shape.words) + f", or {target}"
    if shape.item is not None and shape.item.sections:
        return target
    return describe(shape, examples=False).removeprefix("one of ")


def _flow(item: BaseModel) -> str:
    """One item of a list default, on one line, with the keys that differ from the item's own defaults."""
    pairs = []
    for name, shape in fields_of(type(item)).items():
        if name in item.model_fields_set:
            value = getattr(item, name)
            quantity = next((part.quantity for part in shape.plain if part.quantity), None)
            text = quantity.show(value) if quantity else getattr(value, "kind", None) or plain_text(value)
            pairs.append(f"{name}: {text}")
    return f"  - {{{', '.join(pairs)}}}"


def _doc(model: type[BaseModel]) -> str:
    doc = model.__doc__ or ""
    return "" if doc == sections.Section.__doc__ else " ".join(doc.split())


if __name__ == "__main__":
    with atomic_path(PAGE) as temporary:
        temporary.write_text(with_reference(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
