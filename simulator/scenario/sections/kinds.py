"""Kinds: a section that is told by its `kind` is one class in one file, with its keys, its needs and what it does.

A *family* is what may stand under one key, `policy.request` for instance. To make one: a base class here in `sections/`
that says `family = Family(...)` in its body and gives needs and behaviour their defaults, and a folder (the family's
package) with a file for each kind. A kind is a subclass with `kind: Literal["its_name"] = "its_name"`, fields for its
keys, and whatever it needs or does otherwise than the base. The field of the scenario is annotated with the base alone:

    request: RequestPolicy = Field(default_factory=RequestPolicy.family.default)

Reading, `--set`, `schema` and the reference page find the kinds in the folder when they are first asked for, so a new
file is all that a new kind takes. Files of kinds import neither PyTorch nor each other's behaviour: reading a scenario
imports all of them. Keys of the base are keys of every kind. A class of the user's own stands beside the built-in ones
under `FILE.py:NAME`, `module:NAME` or the name of an entry point (own_code.py); a plain class or a dataclass becomes a
kind by its annotated fields, and `adapted` makes one of a class of another form.
"""

import dataclasses
import inspect
import pkgutil
import types
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar, NoReturn, Self, cast, get_args, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import core_schema

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario import own_code, own_guard
from fleetrec.simulator.scenario.own_code import OwnSource
from fleetrec.simulator.scenario.sections.base import Section
from fleetrec.simulator.scenario.shapes import fields_of

_PLAIN = (int, float, bool, str)


@dataclass(frozen=True)
class Family:
    """What may stand under one key of a scenario."""

    key: str
    """dotted, such as policy.request"""
    package: str
    """whose modules hold the built-in kinds"""
    standard: str
    """the kind that stands there where nobody names one"""
    methods: tuple[str, ...]
    """what a class must have, with its arguments: `wants(self, device)`"""
    kind_optional: bool = False
    """whether keys without a `kind` are those of the standard one"""
    extends: str | None = None
    """the built-in kind whose keys a user's class has too; None: it has those of the base"""
    besides: tuple[str, ...] = ()
    """what it may have"""
    by_name: bool = False
    """whether methods are given what they have parameters for, by its name"""
    words: bool = False
    """whether a kind without keys is written as its name alone, which is all that the key once held"""

    def built_in(self) -> dict[str, "type[Kind]"]:
        """The kinds of this package, by name."""
        return _kinds_in(self.package)

    def default(self) -> Any:
        """The standard kind with its defaults."""
        return self.built_in()[self.standard]()

    def named(self, name: str, folder: Path | None, base: "type[Kind]") -> "type[Kind] | None":
        """The kind that a scenario names so; None where there is none. InputError for own code that cannot be used; a
        relative file is taken from `folder` first."""
        if name in self.built_in():
            return self.built_in()[name]
        if own_code.is_reference(name):
            return own_kind(own_code.load_class(name, folder), base)
        if name.endswith(".py"):
            raise InputError(f"{name} is a file; name a class in it, {name}:NAME")
        plugin = own_code.plugins().get(name)
        return own_kind(own_code.load_plugin(plugin), base) if plugin is not None else None


@cache
def _kinds_in(package: str) -> "dict[str, type[Kind]]":
    found: dict[str, type[Kind]] = {}
    for module in pkgutil.iter_modules(import_module(package).__path__):
        within = import_module(f"{package}.{module.name}")
        if getattr(within.__spec__, "_initializing", False):
            raise ImportError(f"{within.__name__} lacks its kinds yet: a section has one as its default, not a factory")
        for value in vars(within).values():
            if isinstance(value, type) and issubclass(value, Kind) and value.__module__ == within.__name__:
                found |= dict.fromkeys(value.kind_names(), value)
    return found


class Kind(Section):
    """A section that is one of a family."""

    model_config = ConfigDict(validate_default=True)

    family: ClassVar[Family]
    searched: ClassVar[Mapping[str, Any]] = {}
    """by key, what `optimise` tries of it where no space file says so, in the form of one: values, or a range"""
    own_class: ClassVar[type | None] = None
    """the user's class, where this one was made of its fields"""

    kind: str = Field("", description="which of the family it is")

    def __init_subclass__(cls, **options: Any) -> None:
        """A user's class is not of the kind that it extends: its own name stands in its key `kind`."""
        super().__init_subclass__(**options)
        if cls.is_own():
            cls.__annotations__ = {"kind": str} | inspect.get_annotations(cls)
            cls.kind = Field("", description="which of the family it is")

    @classmethod
    def kind_names(cls) -> tuple[str, ...]:
        """The words for this kind in a scenario; () for a base of several kinds."""
        if cls.is_own():
            return (cls.own_reference(),)
        return tuple(str(word) for word in get_args(cls.model_fields["kind"].annotation))

    @classmethod
    def is_own(cls) -> bool:
        """Whether it is the user's and not this package's."""
        return not cls.__module__.startswith("fleetrec.")

    @property
    def is_word(self) -> bool:
        """Whether it is written as its name alone."""
        return self.family.words and not self.is_own() and set(type(self).model_fields) == {"kind"}

    def dumped(self) -> Any:
        """What a hash takes for it."""
        return self.kind if self.is_word else self.model_dump(mode="json")

    @classmethod
    def called(cls, name: str, option: str) -> Self:
        """The kind of this name with its defaults, for an option of the command line. InputError for what is none."""
        try:
            return cls.of(name)
        except ValidationError as error:
            said = f"{name!r} has a key without a default, {'.'.join(map(str, error.errors()[0]['loc']))}"
        except (InputError, ValueError) as error:
            said = str(error)
        raise InputError(f"{option}: {said}")

    @classmethod
    def own_source(cls) -> OwnSource:
        """Where the user's class stands."""
        return own_code.source_of(cls.own_class or cls)

    @classmethod
    def own_reference(cls) -> str:
        """How a scenario names the user's class, from wherever it is read."""
        owner = cls.own_class or cls
        by_file = owner.__module__.startswith("fleetrec_own_") or owner.__module__ == "__main__"
        return f"{own_guard.shown(cls.own_source().path) if by_file else owner.__module__}:{owner.__name__}"

    def own_behaviour(self) -> Any:
        """An object with the user's own methods: this one, or a new one of their class with these values."""
        if self.own_class is None:
            return self
        values = keys_of(self, "kind")
        its = (
            {one.name for one in dataclasses.fields(self.own_class)} if dataclasses.is_dataclass(self.own_class) else {}
        )
        with own_guard.told(self.own_source().place, own_guard.LIBRARIES):
            made = self.own_class(**{name: value for name, value in values.items() if name in its})
        for name in values.keys() - its:
            object.__setattr__(made, name, values[name])
        return made

    @classmethod
    def adapted(cls, own: type) -> type:
        """What the user's class is taken for: itself, or a class that stands for one of another form."""
        return own

    @model_validator(mode="before")
    @classmethod
    def _with_own_name(cls, values: Any) -> Any:
        return {**values, "kind": cls.own_reference()} if isinstance(values, dict) and cls.is_own() else values

    @model_serializer(mode="wrap")
    def _with_source(self, handler: Any) -> dict[str, Any]:
        """Caches go by what this gives, so it tells versions of own code apart."""
        dumped = cast(dict[str, Any], handler(self))
        return dumped | {"source": self.own_source().digest} if self.is_own() else dumped

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Own kinds are read anew in the process that they travel to."""
        if not self.is_own():
            return super().__reduce_ex__(protocol)
        source, base = self.own_source(), _base_of(type(self))
        name = self.own_reference()
        where = f"{source.path}:{name.rsplit(':', 1)[1]}" if ".py:" in name else name
        values = {key: getattr(self, key) for key in self.model_fields_set if key != "kind"}
        return _read_anew, (base, where, values, self.kind, source.digest)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """A field of the family's base holds any of its kinds, as they are."""
        if "family" not in cls.__dict__:
            return handler(source)
        dump = core_schema.plain_serializer_function_ser_schema(_dumped, info_arg=True)
        return core_schema.no_info_plain_validator_function(cls.of, serialization=dump)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {"family": cls.family.key} if "family" in cls.__dict__ else handler(schema)

    @classmethod
    def of(cls, value: Any) -> Self:
        """From an instance, from the keys of one, or from its kind alone."""
        if isinstance(value, cls):
            return value
        keys = {"kind": value} if isinstance(value, str) else value
        if isinstance(keys, dict) and cls.family.kind_optional:
            keys = {"kind": cls.family.standard} | keys
        if not isinstance(keys, dict) or not isinstance(keys.get("kind"), str):
            raise ValueError(f"expected one of the kinds {', '.join(cls.family.built_in())}")
        found = cls.family.named(keys["kind"], None, cls)
        if found is None:
            raise ValueError(f"unknown kind {keys['kind']!r} (kinds: {', '.join(cls.family.built_in())})")
        return cast(Self, found.model_validate(keys))


def keys_of(kind: Kind, *left_out: str) -> dict[str, Any]:
    """Its keys with their values, but for some."""
    return {name: getattr(kind, name) for name in type(kind).model_fields if name not in left_out}


def _dumped(value: Kind, info: core_schema.SerializationInfo) -> Any:
    return value.kind if value.is_word else value.model_dump(mode=info.mode, exclude_unset=info.exclude_unset)


def _base_of(kind: type[Kind]) -> type[Kind]:
    return next(base for base in kind.__mro__ if "family" in base.__dict__)


def _read_anew(base: type[Kind], reference: str, values: dict[str, Any], called: str, digest: str) -> Kind:
    try:
        kind = base.family.named(reference, None, base)
    except InputError as error:
        raise InputError(f"{error}; it could be read when this began: put it back, or begin again") from None
    assert kind is not None
    if kind.own_source().digest != digest:
        raise InputError(f"{kind.own_source().place}: was changed since this began; begin again")
    return kind(**values).model_copy(update={"kind": called})  # whatever folder that process is in


# --------------------------------------------------------------------------------------------- classes of users


_KEYS_ARE = "a key is an int, float, bool, str, Literal, one of fleetrec's units, or a tuple of one"


@cache
def own_kind(cls: type, base: type[Kind]) -> type[Kind]:
    """The kind that a user's class is, or that is made of its annotated fields. InputError for what it lacks."""
    cls = base.adapted(cls)
    extends = base.family.extends
    parent = base if extends is None else base.family.built_in()[extends]
    if issubclass(cls, Kind) and not issubclass(cls, parent):
        _refuse(cls, "", f"is no {parent.__name__}; extend that", " ")
    form = _form_of(cls)
    if form is not None:
        text = f"is {form}; extend fleetrec.{parent.__name__} or nothing, or make it a dataclass"
        _refuse(cls, "", text, " ")
    for wanted in base.family.methods:
        name = wanted.split("(")[0]
        if not callable(getattr(cls, name, None)) or getattr(cls, name) is getattr(base, name):
            _refuse(cls, "", f"has no method {wanted}; give it one", " ")
    for wanted in base.family.methods + base.family.besides:
        name = wanted.split("(")[0]
        if (wrong := miswritten(cls, wanted, base.family.by_name)) is not None:
            _refuse(cls, name, f"{wrong}; write it as def {wanted}", " ")
    kind = cls if issubclass(cls, parent) else _made_of(cls, parent)
    for name, shape in fields_of(kind).items():
        if name in parent.model_fields and kind.model_fields[name].annotation == parent.model_fields[name].annotation:
            continue
        if hasattr(parent, name):
            _refuse(cls, name, f"means something of its own to {parent.__name__}; call the key otherwise", " ")
        whole = shape.item or shape
        if shape.sections or any(part.type not in _PLAIN and not part.words for part in whole.plain):
            _refuse(cls, name, _KEYS_ARE)
    return kind


def miswritten(cls: type, wanted: str, by_name: bool = False) -> str | None:
    """Why a user's method cannot be called as `wanted(self, ...)` says; None where it can, or where it has none."""
    method = inspect.getattr_static(cls, wanted.split("(")[0], None)
    bound = isinstance(method, staticmethod | classmethod)
    function = method.__func__ if bound else method
    if not isinstance(function, types.FunctionType):
        return None
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return "is async"
    if inspect.isgeneratorfunction(function):
        return "yields, and is to return its answer"
    if by_name:
        return None
    given = wanted.count(",") + (not isinstance(method, staticmethod))
    try:
        inspect.signature(function).bind(*[None] * given)
    except TypeError:
        return f"takes {inspect.signature(function)}"
    return None


def _form_of(cls: type) -> str | None:
    """What a class is that has no fields and objects of the usual form; None for one that has."""
    if inspect.isabstract(cls):
        return "an abstract class"
    if issubclass(cls, tuple):
        return "a tuple"
    if issubclass(cls, Enum):
        return "an enumeration"
    if issubclass(cls, BaseModel) and not issubclass(cls, Kind):
        return "a pydantic model"
    return "a class with __slots__" if "__slots__" in vars(cls) and not dataclasses.is_dataclass(cls) else None


def _made_of(cls: type, base: type[Kind]) -> type[Kind]:
    """A kind with the fields of a plain class or a dataclass."""
    try:
        hints = get_type_hints(cls, include_extras=True)
    except Exception as error:
        own_guard.raise_told(error, own_code.source_of(cls).place)
    needs = base.__class_vars__
    body: dict[str, Any] = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    for name, value in vars(cls).items():
        if name.startswith("_") or name in hints or isinstance(value, types.FunctionType | classmethod | staticmethod):
            continue
        if name not in needs:
            if not isinstance(value, property):
                kind = type(value).__name__
                _refuse(cls, name, f"has no type; write {name}: {kind} = {value!r} for a key of the scenario", " ")
        else:
            body[name] = value
    defaults = {field.name: field for field in dataclasses.fields(cls)} if dataclasses.is_dataclass(cls) else {}
    annotations: dict[str, Any] = {}
    for name, hint in hints.items():
        if name in needs:
            body[name] = getattr(cls, name)
            continue
        if name in base.model_fields and name not in defaults and not hasattr(cls, name):
            continue
        inherited = base.model_fields.get(name)
        if inherited is not None:  # another default, within the same limits
            limits = (*inherited.metadata, Field(description=inherited.description))
            hint = Annotated[inherited.annotation, *limits]
        if name == "kind":
            _refuse(cls, name, "stands for the class itself in a scenario; call the key otherwise", " ")
        try:
            adapter = TypeAdapter[Any](hint)
        except PydanticUserError:
            _refuse(cls, name, _KEYS_ARE)
        annotations[name] = hint
        if name in defaults and defaults[name].default_factory is not dataclasses.MISSING:
            default = cast(Any, defaults[name].default_factory)()
        elif hasattr(cls, name) and not isinstance(getattr(cls, name), types.MemberDescriptorType):
            default = getattr(cls, name)
        else:
            continue
        try:
            body[name] = adapter.validate_python(default)
        except ValidationError as error:
            _refuse(cls, name, f"default {default!r}: {error.errors()[0]['msg'].removeprefix('Value error, ')}", " ")
    body |= {"__annotations__": annotations, "own_class": cls}
    try:
        with own_guard.shadowing():
            return cast(type[Kind], types.new_class(cls.__name__, (base,), {}, lambda made: made.update(body)))
    except Exception as error:
        own_guard.raise_told(error, own_code.source_of(cls).place)


def _refuse(cls: Any, name: str, why: str, between: str = ": ") -> NoReturn:
    """`name`: the key that is wrong; empty where the class itself is."""
    raise InputError(f"{own_code.source_of(cls).place}: {cls.__name__}{name and f'.{name}'}{between}{why}")
