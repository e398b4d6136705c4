"""Kinds of the user's own: as they are handed over, as they stand in a scenario, and as their methods run."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario import own_guard
from fleetrec.simulator.scenario.sections.kinds import Kind, own_kind

Holder = TypeVar("Holder", bound=BaseModel)
_NOTHING = nullcontext()


def own_kinds(section: BaseModel, path: str = "") -> Iterator[tuple[str, Kind]]:
    """(dotted key, kind) of all of the user's own in a scenario."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        for number, item in enumerate(value if isinstance(value, tuple) else (value,)):
            key = f"{path}{name}{f'.{number}' if isinstance(value, tuple) else ''}"
            if isinstance(item, Kind) and item.is_own():
                yield key, item
            elif isinstance(item, BaseModel):
                yield from own_kinds(item, f"{key}.")


def silent(*parts: BaseModel) -> AbstractContextManager[None]:
    """While a scenario, or these of its kinds, are at work: own ones may not print."""
    own = any(part.is_own() if isinstance(part, Kind) else next(own_kinds(part), None) is not None for part in parts)
    return own_guard.silent() if own else nullcontext()


def kind_of_object(value: Any, base: type[Kind]) -> Kind:
    """A kind of the family from what a user hands over: one already, an object of a plain class or a dataclass, or a
    class, with some of its keys where it is in a `functools.partial`. InputError for what the class lacks."""
    if isinstance(value, base) and not value.is_own():
        return value
    handed = value.func if isinstance(value, partial) else value
    owner = handed if isinstance(handed, type) else type(handed)
    kind = own_kind(owner, base)
    if isinstance(value, kind):
        return value
    if owner is not handed and base.adapted(owner) is not owner:
        name = owner.__name__
        raise InputError(f"{name}: hand over the class, {name} or functools.partial({name}, key=value), and no object")
    given = value.keywords if isinstance(value, partial) else {}
    if owner is not handed:
        given = {name: getattr(value, name) for name in kind.model_fields if name != "kind" and hasattr(value, name)}
    try:
        return kind(**given)
    except ValidationError as error:
        first = error.errors()[0]
        said = first["msg"].removeprefix("Value error, ")
        raise InputError(f"{owner.__name__}.{'.'.join(map(str, first['loc']))}: {said}") from None


def with_kind(section: Holder, key: str, value: Any) -> Holder:
    """A section with what a user hands over (`kind_of_object`) at a dotted key of a family."""
    name, _, below = key.partition(".")
    if below:
        changed = with_kind(getattr(section, name), below, value)
    else:
        changed = kind_of_object(value, type(section).model_fields[name].annotation)  # type: ignore[arg-type]
    return section.model_copy(update={name: changed})


class OwnMethod:
    """A method of a user's own kind in a run: what it raises is told with its line, and global random numbers are
    compared at its first call and then at one in `every`."""

    def __init__(self, kind: Kind, name: str, own: Any = None, every: int = 64):
        """`own`: the object whose method it is, where several of its methods are called; none: a new one."""
        self._call, source = getattr(kind.own_behaviour() if own is None else own, name), kind.own_source()
        self.place = f"{source.place}: {source.name}.{name}"
        self._calls, self._every = 0, every

    def __call__(self, *arguments: Any) -> Any:
        """What it returns."""
        looked_at = self._calls % self._every == 0
        self._calls += 1
        with own_guard.told(self.place), own_guard.untouched_randomness(self.place) if looked_at else _NOTHING:
            return self._call(*arguments)


class Seen:
    """Something of the simulation as a user's method sees it: to be read alone."""

    __slots__ = ("_it",)

    def __init__(self, it: Any):
        object.__setattr__(self, "_it", it)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._it, name)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name!r} of what it is handed can only be read")


def yes_or_no(answer: Any, place: str) -> bool:
    """What a user's method answered. InputError, naming it, for what is neither."""
    if isinstance(answer, bool | np.bool_):
        return bool(answer)
    raise InputError(f"{place} returned {answer!r:.60}; return True or False")
