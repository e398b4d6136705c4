"""The catalogue of language models and GPUs that a scenario can name: two YAML files, every figure with its source.

Assumes decoder-only transformers with gated feed-forward blocks, dense or with experts in every layer. Prices are list
prices on the date their source gives; a scenario's `tariffs.gpu_hour` overrides them.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import Field, ValidationError, model_validator

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.hardware.hf_config import architecture_of
from fleetrec.simulator.scenario.sections import Section

_FOLDER = Path(__file__).parent / "catalogue"


class ModelSpec(Section):
    """Architecture of a language model: what its speed and memory follow from."""

    name: str
    n_params: int = Field(gt=0)
    layers: int = Field(gt=0)
    hidden: int = Field(gt=0)
    heads: int = Field(gt=0)
    kv_heads: int = Field(gt=0)
    head_dim: int = Field(gt=0)
    vocab: int = Field(gt=0)
    dtype_bytes: int = Field(description="bytes of a weight", ge=1, le=4)
    kv_dtype_bytes: int | None = Field(None, description="bytes of a number in the KV cache; none: as weights", ge=1)
    tied_embeddings: bool = True
    ffn: int | None = Field(None, gt=0, description="width of the feed-forward block, or of an expert's")
    experts: int = Field(1, ge=1, description="feed-forward blocks of a layer; 1: a dense model")
    experts_per_token: int = Field(1, ge=1)
    qkv_bias: bool = False
    qk_norm: bool = Field(False, description="queries and keys are normalised, with a weight each per head dimension")
    mtp_layers: int = Field(0, ge=0, description="further layers that predict the tokens after the next")
    source: str = "the candidate model itself"

    @model_validator(mode="after")
    def _experts_are_known(self) -> Self:
        if self.experts > 1 and self.ffn is None:
            raise ValueError("a model with experts needs ffn, the width of an expert")
        if self.experts_per_token > self.experts:
            raise ValueError("experts_per_token exceeds experts")
        return self

    @property
    def weight_bytes(self) -> float:
        return float(self.n_params * self.dtype_bytes)

    @property
    def kv_bytes_per_token(self) -> float:
        """Keys and values of one token in all layers, bytes."""
        return 2.0 * self.layers * self.kv_heads * self.head_dim * (self.kv_dtype_bytes or self.dtype_bytes)

    def replica_kv_bytes_per_token(self, gpus: int) -> float:
        """The same over all GPUs of a replica, which copy the KV heads where they are more than there are heads."""
        return self.kv_bytes_per_token * max(1.0, gpus / self.kv_heads)

    @property
    def head_params(self) -> int:
        """Parameters of the output projection onto the vocabulary."""
        return self.vocab * self.hidden

    @property
    def expert_params(self) -> int:
        """Parameters of all experts in all layers; 0 for a dense model."""
        if self.experts == 1 or self.ffn is None:
            return 0
        return self.experts * self.layers * 3 * self.hidden * self.ffn

    @property
    def body_params(self) -> int:
        """Parameters of the layers: all but the embedding tables."""
        return self.n_params - self.head_params * (1 if self.tied_embeddings else 2)

    @property
    def active_body_params(self) -> int:
        """Parameters of the layers that one token is multiplied with."""
        return self.body_params - self.expert_params * (self.experts - self.experts_per_token) // self.experts

    @property
    def active_params(self) -> int:
        """Parameters that one token is multiplied with, the output projection included."""
        return self.active_body_params + self.head_params


class GpuSources(Section):
    hardware: str
    memory: str
    idle_power: str
    power_curve: str
    price: str


class GpuSpec(Section):
    """A GPU: peaks of the data sheet, power and price."""

    name: str
    title: str
    memory_bytes: float = Field(gt=0, description="that a program can allocate")
    bandwidth_bytes_per_s: float = Field(gt=0)
    flops_32bit: float = Field(gt=0)
    flops_16bit: float = Field(gt=0)
    flops_8bit: float = Field(gt=0)
    link_bytes_per_s: float = Field(gt=0, description="to another GPU of the same server, one direction")
    power_w: float = Field(gt=0, description="the board's power limit")
    idle_power_w: float = Field(gt=0, description="board power while nothing runs")
    busy_power_w: float = Field(gt=0, description="board power while it serves at a vanishing share of its FLOP/s")
    half_load: float = Field(gt=0, lt=1, description="share of its FLOP/s half way from busy_power_w to power_w")
    usd_per_hour: float = Field(ge=0)
    sources: GpuSources

    @model_validator(mode="after")
    def _powers_rise(self) -> Self:
        if not self.idle_power_w <= self.busy_power_w <= self.power_w:
            raise ValueError("idle_power_w, busy_power_w and power_w must not fall in this order")
        return self

    def peak_flops(self, dtype_bytes: int) -> float:
        """Dense peak, FLOP/s, for weights of `dtype_bytes` bytes."""
        return {1: self.flops_8bit, 2: self.flops_16bit}.get(dtype_bytes, self.flops_32bit)


_Spec = TypeVar("_Spec", ModelSpec, GpuSpec)


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"


def _read(path: Path, spec: type[_Spec]) -> dict[str, _Spec]:
    try:
        entries = dict(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError, yaml.YAMLError) as error:
        raise InputError(
            f"{path}: not a catalogue of named entries ({type(error).__name__}); restore the file"
        ) from None
    specs = {}
    for name, entry in entries.items():
        try:
            specs[name] = spec.model_validate({"name": name, **(entry or {})})
        except ValidationError as error:
            raise InputError(f"{path}: {name}.{_first_problem(error)}; correct the entry") from None
    return specs


def _named(entries: Mapping[str, _Spec], name: str, key: str, what: str) -> _Spec:
    if name in entries:
        return entries[name]
    near = get_close_matches(name.lower(), entries, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(entries)}"
    raise InputError(f"{key}: the catalogue has no {what} {name!r}; {hint}")


class Catalogue:
    """Models and GPUs by name, in the files' order."""

    def __init__(self, folder: Path = _FOLDER):
        """Raises InputError where a file of `folder` (models.yaml, gpus.yaml) is missing or an entry is wrong."""
        self.models = _read(folder / "models.yaml", ModelSpec)
        self.gpus = _read(folder / "gpus.yaml", GpuSpec)

    def model(self, name: str, key: str = "llm.served_as") -> ModelSpec:
        """The model of that name, or that of a `config.json`; InputError names the nearest ones.

        `key` is the scenario key, or the option, to blame.
        """
        if name.endswith(".json"):
            return model_from_config(Path(name))
        return _named(self.models, name, key, "model")

    def gpu(self, name: str, key: str = "cloud.gpu") -> GpuSpec:
        """The GPU of that name; InputError names the nearest ones."""
        return _named(self.gpus, name, key, "GPU")

    def figures(self) -> dict[str, Any]:
        """Everything in the catalogue, and what follows from a model's architecture, as plain values."""
        derived = ("active_params", "weight_bytes", "kv_bytes_per_token")
        models = {
            name: {**model.model_dump(exclude={"name"}), **{key: getattr(model, key) for key in derived}}
            for name, model in self.models.items()
        }
        return {"models": models, "gpus": {name: gpu.model_dump(exclude={"name"}) for name, gpu in self.gpus.items()}}


def model_from_config(path: Path) -> ModelSpec:
    """The model of a Hugging Face `config.json`, named after its folder; InputError where it cannot be served."""
    name = path.resolve().parent.name
    try:
        return ModelSpec.model_validate({"name": name, **architecture_of(path)})
    except ValidationError as error:
        raise InputError(f"{path}: {_first_problem(error)}; correct it as in the model's repository") from None


@cache
def default_catalogue() -> Catalogue:
    """The catalogue that comes with the package."""
    return Catalogue()


def served_model(served_as: str | None, architecture: Mapping[str, Any] | None) -> ModelSpec:
    """The model whose speed is charged: the catalogue's `served_as`, else the candidate model's own `architecture`.

    `architecture` holds n_params, layers, hidden, heads, kv_heads, head_dim, vocab and dtype_bytes. InputError where
    neither is known, as for a table of answers.
    """
    if served_as is not None:
        return default_catalogue().model(served_as)
    if architecture is None:
        raise InputError(
            "llm.served_as: the candidates do not say which model wrote them; name the catalogue model whose speed "
            f"is charged, one of {', '.join(default_catalogue().models)}"
        )
    try:
        return ModelSpec.model_validate({"name": "candidate model", **architecture})
    except ValidationError as error:
        raise InputError(
            f"architecture of the candidate model: {_first_problem(error)}; "
            "correct it, or set llm.served_as to a catalogue model"
        ) from None
