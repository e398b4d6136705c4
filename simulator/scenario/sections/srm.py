"""What a small recommendation model (SRM) is: its keys, its needs and how its network is made. Its kinds:
simulator/preparation/srm/."""

import inspect
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast, get_type_hints

from pydantic import Field, model_validator

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.scenario import own_code, own_guard
from fleetrec.simulator.scenario.sections.base import Section, kind_of
from fleetrec.simulator.scenario.sections.kinds import Family, Kind, keys_of, miswritten
from fleetrec.simulator.scenario.sections.model_problems import unhalved
from fleetrec.simulator.scenario.sections.training import SrmTraining

if TYPE_CHECKING:
    from fleetrec.models.srm.base import SmallModel

Precision = Literal["float32", "float16", "int8"]


class OnDeviceTable(Section):
    """The vectors of all known items, or of the most popular ones, are installed with the model."""

    kind: Literal["on_device"] = "on_device"
    precision: Precision = Field("float32", description="of a number in a vector; int8 has a scale a vector")
    top: int | None = Field(None, ge=1, description="most items that it holds, by popularity so far; none: all")


class WithListTable(Section):
    """The vectors of its items travel with each candidate list; a phone holds the encoder and those of its list."""

    kind: Literal["with_list"] = "with_list"
    precision: Precision = Field("float32", description="of a number in a vector; int8 has a scale a vector")


ItemTable = Annotated[OnDeviceTable | WithListTable, kind_of()]


PAPER: dict[str, Any] = {
    "dim": 32,
    "layers": 1,
    "heads": 4,
    "max_length": 10,
    "loss": "bce",
    "epochs": 10,
    "training": SrmTraining(learning_rate=1e-3, negatives=4, patience=10),
}
"""The SRMs of LSC4Rec's code; DIN and GRU4Rec there differ from SASRec in their kind only."""


class Srm(Kind):
    """The small recommendation model on each device.

    A kind needs `build` alone, which gives an untrained network. One of the user's own may also be a `torch.nn.Module`,
    whose constructor's parameters are its keys (docs/how-to/own_models.md).
    """

    family: ClassVar[Family] = Family(
        "srm", "fleetrec.simulator.preparation.srm", "sasrec", ("build(self, n_items)",), True, by_name=True
    )

    has_user_state: ClassVar[bool] = True
    """whether it gives a state after every interaction, which scores items by dot products; else it scores pairs of a
    history and a candidate"""

    preset: Literal["modern", "paper"] = Field(
        "modern",
        description="what the keys are that are not given: the defaults below, or those of LSC4Rec (dim 32, 1 layer, "
        "4 heads, 10 items of history, bce with 4 negatives, 10 epochs)",
    )
    dim: int = Field(64, ge=4, le=128, description="size of item and state vectors")
    max_length: int = Field(50, ge=2, description="longest history window, in items")
    loss: Literal["full_softmax", "bce"] = Field(
        "full_softmax",
        description="softmax over the catalogue, or binary cross-entropy with sampled negatives (din: this one only)",
    )
    epochs: int = Field(
        60,
        ge=0,
        description="most passes over the training events; training ends before, once validation gets no better; 0 "
        "leaves the model untrained",
    )
    item_table: ItemTable = Field(OnDeviceTable(), description="where a phone has the vectors of items from")
    training: SrmTraining = SrmTraining()

    @model_validator(mode="before")
    @classmethod
    def _by_preset(cls, values: Any) -> Any:
        """Keys that are not given are those of the preset."""
        if not isinstance(values, dict) or values.get("preset") != "paper":
            return values
        return {name: value for name, value in PAPER.items() if name in cls.model_fields} | values

    @classmethod
    def adapted(cls, own: type) -> type:
        torch = sys.modules.get("torch")
        return own if torch is None or not issubclass(own, torch.nn.Module) else _builder_of(own, cls)

    def build(self, n_items: int) -> Any:
        """The untrained network for a catalogue; it draws its weights from PyTorch's current generator."""
        raise NotImplementedError

    def network(self, n_items: int, n_users: int) -> "SmallModel":
        """The same, one of the user's own checked."""
        if not self.is_own():
            return cast("SmallModel", self.build(n_items))
        from fleetrec.models.srm.own import own_network

        source, own = self.own_source(), self.own_behaviour()
        place = f"{source.place}: {source.name}"
        given = own_guard.supplied(own.build, place, n_items=n_items, n_users=n_users)
        with own_guard.told(f"{place}.build", ("random", "numpy")):  # PyTorch's are seeded for it
            module = own.build(**given)
        return own_network(module, self, self.has_user_state, n_items, n_users, place, own_guard.told)

    def determinants(self) -> Mapping[str, Any]:
        """All but `training` that decides the weights: caches go by it."""
        source = {"kind": self.own_source().name, "source": self.own_source().digest} if self.is_own() else {}
        return keys_of(self, "preset", "item_table", "training") | source

    def problems(self) -> Iterator[tuple[str, str]]:
        """(key of its own, what is wrong and how to mend it) of values that do not go together."""
        if not self.has_user_state and self.loss == "full_softmax":
            text = f"full_softmax is too much for kind {self.kind}, which scores item by item"
            yield "loss", f"{text}; set srm.loss: bce"
        if unfit := unhalved(self.max_length):
            yield "max_length", unfit


_FROM_FLEETREC = ("n_items", "n_users", "dropout")
"""parameters of a module's constructor that are no keys; dropout is that of `training`"""


def _builder_of(module: type, base: type[Srm]) -> type:
    """A class whose fields are the parameters of a module's constructor, and which builds it."""
    place = f"{own_code.source_of(module).place}: {module.__name__}"
    scores = hasattr(module, "score")
    if not scores and "forward" not in {name for owner in module.__mro__[:-2] for name in vars(owner)}:
        raise InputError(f"{place} has neither forward(windows) nor score(history, candidates); give it one")
    for method in ("score(self, history, candidates)" if scores else "forward(self, windows)", "fit(self, data)"):
        if (wrong := miswritten(module, method)) is not None:
            raise InputError(f"{place}.{method.split('(')[0]} {wrong}; write it as def {method}")
    with own_guard.told(place):
        hints = get_type_hints(vars(module).get("__init__"), include_extras=True)
    fields: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    wanted = list(inspect.signature(module).parameters.values())
    for one in wanted:
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            raise InputError(f"{place}(...) takes {one}; name each parameter, since they are keys of the scenario")
        if one.name in _FROM_FLEETREC:
            continue
        if one.name not in base.model_fields and one.name not in hints:
            text = (
                f"write {one.name}: int"
                if one.default is one.empty
                else f"write {one.name}: {type(one.default).__name__}"
            )
            raise InputError(f"{place}.{one.name} has no type; {text} in its constructor for a key of the scenario")
        fields[one.name] = hints.get(one.name, Any)
        if one.default is not one.empty:
            defaults[one.name] = one.default
    if scores:
        fields.setdefault("loss", str)
        defaults.setdefault("loss", "bce")

    def build(self: Any, n_items: int, n_users: int) -> Any:
        given = {"n_items": n_items, "n_users": n_users, "dropout": self.training.dropout}
        return module(**{one.name: given.get(one.name, getattr(self, one.name, None)) for one in wanted})

    body = {
        "__module__": module.__module__,
        "__qualname__": module.__qualname__,
        "__doc__": module.__doc__,
        "__annotations__": fields,
        "has_user_state": not scores,
        "build": build,
    }
    return type(module.__name__, (), body | defaults)


class LayeredSrm(Srm):
    """What the kinds that come with the package share: all of them take these keys, and not all use them."""

    layers: int = Field(2, ge=1, le=8, description="encoder blocks (sasrec) or recurrent layers (gru4rec)")
    heads: int = Field(2, ge=1, description="attention heads (sasrec); must divide `dim`")
