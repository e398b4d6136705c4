"""The catalogue of language models and GPUs that a scenario can name: two YAML files, every figure with its source.

Prices are list prices on the dates that their source gives; a scenario's `tariffs.gpu_hour` chooses among them, or has
its own.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.cloud.hardware.gpus import GpuSpec
from fleetrec.simulator.cloud.hardware.hf_config import architecture_of
from fleetrec.simulator.cloud.hardware.models import ModelSpec

_FOLDER = Path(__file__).parent / "catalogue"


_Spec = TypeVar("_Spec", ModelSpec, GpuSpec)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a sixth of the time, where PyYAML has it


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    message = str(problem["msg"]).removeprefix("Value error, ")
    return ": ".join(filter(None, (".".join(map(str, problem["loc"])), message)))


def _read(path: Path, spec: type[_Spec]) -> dict[str, _Spec]:
    try:
        entries = dict(yaml.load(path.read_text(encoding="utf-8"), _LOADER))
    except (OSError, TypeError, ValueError, yaml.YAMLError) as error:
        raise InputError(
            f"{path}: not a catalogue of named entries ({type(error).__name__}); restore the file"
        ) from None
    specs = {}
    for name, entry in entries.items():
        try:
            specs[name] = spec.model_validate({"name": name, **(entry or {})})
        except ValidationError as error:
            raise InputError(f"{path}: {name}: {_first_problem(error)}; correct the entry") from None
    return specs


def _named(entries: Mapping[str, _Spec], name: str, key: str, what: str) -> _Spec:
    if name in entries:
        return entries[name]
    asked: str = re.sub(r"[^a-z0-9.]+", "-", name.lower())
    held: list[str] = sorted((entry for entry in entries if f"-{entry}-" in f"-{asked}-"), key=len, reverse=True)
    near = list(dict.fromkeys([*held, *get_close_matches(asked, entries, n=3, cutoff=0.5)]))[:3]
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
        spec = ModelSpec.model_validate({"name": name, "n_params": 1, **architecture_of(path)})
        return spec.model_copy(update={"n_params": spec.counted_params})
    except ValidationError as error:
        raise InputError(f"{path}: {_first_problem(error)}; correct it as in the model's repository") from None


@cache
def default_catalogue() -> Catalogue:
    """The catalogue that comes with the package."""
    return Catalogue()


def served_model(served_as: str | None, architecture: Mapping[str, Any] | None) -> ModelSpec:
    """The model whose speed is charged: the catalogue's `served_as`, else the candidate model's own `architecture`.

    `architecture` holds n_params, layers, hidden, heads, kv_heads, head_dim, vocab and dtype_bytes (of a weight).
    InputError where neither is known, as for a table of answers.
    """
    if served_as is not None:
        return default_catalogue().model(served_as)
    if architecture is None:
        raise InputError(
            "llm.served_as: the candidates do not say which model wrote them; name the catalogue model whose speed "
            f"is charged, one of {', '.join(default_catalogue().models)}"
        )
    fields = dict(architecture)
    weights = {4: "fp32", 1: "fp8"}.get(fields.pop("dtype_bytes", 2), "bf16")
    try:
        return ModelSpec.model_validate({"name": "candidate model", "weights": weights, **fields})
    except ValidationError as error:
        raise InputError(
            f"architecture of the candidate model: {_first_problem(error)}; "
            "correct it, or set llm.served_as to a catalogue model"
        ) from None
