"""What others call the models and GPUs of the catalogue: a name counts only where the whole of it is understood.

An A100 of 40 GB is no A100 of 80 GB, a GH200 no H200, and a repository of 4-bit weights not the model of 16 bits that
it was made from: a word of a name that is not known is never passed over.
"""

import re
from collections.abc import Mapping
from difflib import SequenceMatcher
from pathlib import PurePosixPath

from fleetrec.simulator.cloud.hardware.gpus import GpuSpec
from fleetrec.simulator.cloud.hardware.models import ModelSpec

_MAKERS = re.compile(r"\b(nvidia|amd|instinct|geforce|tesla)\b")
_VERSION = re.compile(r"v\d+(\.\d+)*")
_SAME_NETWORK = re.compile(r"meta|instruct|chat|it|base|hf|thinking|preview|\d{4}")
"""words of a model's name that say how it was trained, when, or whose it is"""
_NEAR = 3


def gpu_called(text: str, gpus: Mapping[str, GpuSpec]) -> GpuSpec | None:
    """The GPU that a driver, or a person, calls so."""
    plain = _plain(text)
    return next((gpu for gpu in gpus.values() if plain in map(_plain, (gpu.name, *gpu.devices))), None)


def model_called(text: str, models: Mapping[str, ModelSpec]) -> ModelSpec | None:
    """The model of a repository, or of a folder that is named after one."""
    words, versions = _words(_repository(text))
    for model in models.values():
        published, of = _words(_repository(model.source.split()[0].rstrip(":")))
        if words and words in (_words(model.name)[0], published) and (versions == of or not versions or not of):
            return model
    return None


def nearest(text: str, known: Mapping[str, GpuSpec] | Mapping[str, ModelSpec]) -> str:
    """What to say of a name that is none: those most like it, or all."""
    plain = _plain(_repository(text))

    def unlike(name: str) -> float:
        return -max(SequenceMatcher(None, plain, _plain(one)).ratio() for one in (name, *_devices(known[name])))

    return f"nearest: {', '.join(sorted(known, key=unlike)[:_NEAR])}" if plain else f"known: {', '.join(known)}"


def _devices(spec: GpuSpec | ModelSpec) -> tuple[str, ...]:
    return spec.devices if isinstance(spec, GpuSpec) else ()


def _plain(text: str) -> str:
    return re.sub(r"[\W_]", "", _MAKERS.sub("", text.lower()))


def _repository(text: str) -> str:
    """The last part of a path or of OWNER/MODEL; of a hub's cache the folder that names the model."""
    parts = PurePosixPath(text.replace("\\", "/")).parts
    cached = [part.rsplit("--", 1)[1] for part in parts if part.startswith("models--")]
    return (cached or list(parts) or [""])[-1]


def _words(name: str) -> tuple[list[str], list[str]]:
    """The words that tell one network from another, and versions."""
    words = [word for word in re.split(r"[-_\s]+", name.lower()) if word and not _SAME_NETWORK.fullmatch(word)]
    return [w for w in words if not _VERSION.fullmatch(w)], [w for w in words if _VERSION.fullmatch(w)]
