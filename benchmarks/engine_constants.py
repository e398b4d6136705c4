"""The serving engines' constants as one vector of logarithms, with what is expected of each before it is measured.

What a GPU can do is shared by all engines; what an engine's own code takes has a value in the mean of engines, and a
factor of each engine.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from fleetrec.models.runtime.artifacts import atomic_path
from fleetrec.simulator.cloud.hardware.engine_profile import EngineProfile, engine_profile
from fleetrec.simulator.scenario.sections import EngineName

Floats = NDArray[np.float64]
ENGINES: tuple[EngineName, ...] = ("vllm", "tensorrt_llm", "sglang")
CONSTANTS_WITHIN, ERRORS_WITHIN = 0.1, 0.02
"""relative, and of errors absolute too: what --check lets pass, since the fit begins at the shipped constants"""


class Prior(NamedTuple):
    """What a constant is about, and how far off (standard deviation of its logarithm) that may be."""

    value: float
    shared: float
    """in the mean of engines"""
    own: float = 0.0
    """of an engine against that mean; 0: the same for all"""


PRIORS: dict[str, Prior] = {
    "products_16bit": Prior(0.68, 0.1),
    "products_8bit": Prior(0.66, 0.12),
    "products_4bit": Prior(0.4, 0.25),
    "block_scaled": Prior(0.75, 0.2),
    "expert_products": Prior(0.6, 0.3),
    "prompt_attention": Prior(0.5, 0.3),
    "reads": Prior(0.82, 0.1),
    "reads_4bit": Prior(0.8, 0.2),
    "expert_reads": Prior(0.8, 0.25),
    "cache_reads": Prior(0.8, 0.15),
    "link_one_shot": Prior(0.5, 0.4),
    "link_ring": Prior(0.55, 0.3),
    "fp4_gpu_products": Prior(0.85, 0.2),
    "fp4_gpu_reads": Prior(0.9, 0.12),
    "fp4_gpu_expert_reads": Prior(1.0, 0.4),
    "exchange": Prior(6e-6, 0.4),
    "exchange_doubling": Prior(2e-6, 0.5),
    "ring_doubling": Prior(8e-6, 0.5),
    "expert_tile": Prior(32.0, 0.6),
    "attention_data_exchange": Prior(1.5, 0.4),
    "layer_8bit": Prior(5e-6, 0.6),
    "layer_block_scaled": Prior(8e-6, 0.6),
    "layer_4bit": Prior(10e-6, 0.6),
    "all_products": Prior(1.0, 0.01, 0.12),  # factors of an engine
    "all_reads": Prior(1.0, 0.01, 0.08),
    "all_exchanges": Prior(1.0, 0.01, 0.3),
    "layer": Prior(28e-6, 0.5, 0.3),
    "expert_layer": Prior(20e-6, 0.6, 0.35),
    "prompt_layer": Prior(3e-5, 0.8, 0.5),
    "host": Prior(2e-3, 0.7, 0.4),
    "host_sequence": Prior(3e-5, 0.7, 0.5),
    "host_prompt_layer": Prior(2e-4, 0.6, 0.4),
    "step": Prior(5e-4, 0.7, 0.4),
    "sequence": Prior(8e-6, 0.7, 0.4),
    "layer_sequence": Prior(1.5e-7, 0.7, 0.4),
    "request": Prior(8e-3, 0.6, 0.5),
    "request_token": Prior(5e-6, 0.7, 0.5),
    "request_stream": Prior(5e-4, 0.7, 0.4),
}
NAMES = tuple(PRIORS)
_OWN = tuple(i for i, prior in enumerate(PRIORS.values()) if prior.own)
SIZE = len(NAMES) + len(ENGINES) * len(_OWN)
"""of the vector: each constant in the mean of engines, then the engines' own factors, engine by engine"""
START: Floats = np.concatenate([np.log([prior.value for prior in PRIORS.values()]), np.zeros(SIZE - len(NAMES))])
DEVIATIONS: Floats = np.array(
    [prior.shared for prior in PRIORS.values()] + len(ENGINES) * [PRIORS[NAMES[i]].own for i in _OWN]
)


def columns_of(engine: EngineName) -> Floats:
    """How the logarithms of an engine's constants follow from the vector [constants, SIZE]."""
    matrix = np.zeros((len(NAMES), SIZE))
    matrix[:, : len(NAMES)] = np.eye(len(NAMES))
    begin = len(NAMES) + ENGINES.index(engine) * len(_OWN)
    for j, i in enumerate(_OWN):
        matrix[i, begin + j] = 1.0
    layer, expert_layer = NAMES.index("layer"), NAMES.index("expert_layer")
    matrix[expert_layer, begin + _OWN.index(layer)] = 1.0  # an engine that launches few kernels does so for experts too
    return matrix


_FACTORS = {
    "all_products": ("products_16bit", "products_8bit", "products_4bit"),
    "all_reads": ("reads", "cache_reads"),
    "all_exchanges": ("exchange", "exchange_doubling"),
}
FIGURES = tuple(name for name in NAMES if name not in _FACTORS)
"""an engine's constants as its profile names them"""


def _figures_of_constants() -> Floats:
    matrix = np.array([[float(figure == name) for name in NAMES] for figure in FIGURES])
    for factor, names in _FACTORS.items():
        matrix[[FIGURES.index(name) for name in names], NAMES.index(factor)] = 1.0
    return matrix


_FIGURES = _figures_of_constants()


def figures_of(logarithms: Floats) -> dict[str, float]:
    """An engine's constants by the names of its profile."""
    return dict(zip(FIGURES, np.exp(_FIGURES @ logarithms).tolist(), strict=True))


def profile_of(engine: EngineName, figures: Mapping[str, float]) -> EngineProfile:
    """The engine's profile with these constants."""
    old = engine_profile(engine)
    shares = {name: figures[name] for name in type(old.shares).model_fields}
    seconds = {name: figures[name] for name in type(old.seconds).model_fields}
    return old.model_copy(
        update={
            "shares": old.shares.model_copy(update=shares),
            "seconds": old.seconds.model_copy(update=seconds),
            "expert_tile": figures["expert_tile"],
            "attention_data_exchange": figures["attention_data_exchange"],
        }
    )


def shipped() -> Floats:
    """The vector whose constants are those of the profiles; of several such, the one nearest to what is expected."""
    figures = []
    for engine in ENGINES:
        profile = engine_profile(engine)
        values = {**profile.model_dump(), **profile.shares.model_dump(), **profile.seconds.model_dump()}
        figures.append(np.log([values[name] for name in FIGURES]))
    matrix = np.concatenate([_FIGURES @ columns_of(engine) for engine in ENGINES])
    spread = matrix * DEVIATIONS**2
    gain = spread.T @ np.linalg.inv(spread @ matrix.T + 1e-8 * np.eye(len(matrix)))
    return np.asarray(START + gain @ (np.concatenate(figures) - matrix @ START))


def written(text: str, figures: Mapping[str, float]) -> str:
    """The text of a profile's file with these constants in place of its own; all else stays as it stands."""
    lines, part = [], ""
    for line in text.splitlines():
        key, colon, _ = line.partition(":")
        if colon and not key.startswith((" ", "#")):
            part = key
        name = key.strip()
        if name in figures and part in ("shares", "seconds", name):
            line = f"{key}: {figures[name]:.3g}" if figures[name] >= 1e-2 else f"{key}: {figures[name]:.3e}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def write(texts: Mapping[Path, str]) -> None:
    """The files that a fit makes; one of constants that are the shipped ones within the tolerances stays, so that no
    result changes for nothing."""
    for path, text in texts.items():
        if path.stem.startswith("held_out") or changes({path: text}):
            with atomic_path(path) as temporary:
                temporary.write_text(text, encoding="utf-8")


def changes(texts: Mapping[Path, str]) -> list[str]:
    """Where the shipped files are others, beyond the tolerances."""
    return [
        line
        for path, text in texts.items()
        for line in differences(yaml.safe_load(path.read_text(encoding="utf-8")), yaml.safe_load(text), path.stem)
    ]


def differences(old: Any, made: Any, place: str) -> list[str]:
    """Where two files' values differ by more than the tolerances; which row is a triple's worst may change."""
    if isinstance(made, Mapping):
        keys = [key for key in made if key != "worst"]
        return [line for key in keys for line in differences((old or {}).get(key), made[key], f"{place}.{key}")]
    if isinstance(made, float) and isinstance(old, int | float):
        allowed = CONSTANTS_WITHIN * abs(made)
        allowed = max(allowed, ERRORS_WITHIN) if place.startswith("held_out") else allowed
        return [f"{place}: {old:g}, made {made:g}"] if abs(old - made) > allowed else []
    return [] if old == made else [f"{place}: {old}, made {made}"]
