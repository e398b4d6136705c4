"""How far a serving engine's constants were from measurements of set-ups that they had not been fitted to.

`engines/held_out_errors.yaml` is written by `benchmarks/fit_engines.py`: each measured triple of model, GPU and engine,
predicted by a fit to all the others. `engines/held_out_beams.yaml` holds the same of each measured cell of wide beams.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import Field, ValidationError

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.cloud.hardware.engine_profile import engine_profile
from fleetrec.simulator.scenario.sections import EngineName, Section

ERRORS_FILE = Path(__file__).parent / "engines" / "held_out_errors.yaml"
BEAM_ERRORS_FILE = ERRORS_FILE.with_name("held_out_beams.yaml")


class HeldOut(Section):
    """Relative errors of some rows: of the time per output token, and of the time to the first token."""

    rows: int = Field(ge=1)
    tpot: float = Field(ge=0, description="median absolute error")
    tpot_p90: float = Field(ge=0)
    tpot_bias: float = Field(description="median signed error; above 0: predicted too slow")
    ttft: float = Field(ge=0)
    ttft_p90: float = Field(ge=0)
    ttft_bias: float


class Worst(Section):
    """The row of a triple whose TPOT is predicted worst."""

    prompt_tokens: int
    output_tokens: int
    concurrency: int
    gpus: int
    measured_tpot_ms: float
    predicted_tpot_ms: float


class Triple(HeldOut):
    """Errors of a model on a GPU under an engine."""

    worst: Worst


class Errors(Section):
    """What the file holds."""

    overall: Mapping[str, HeldOut] = Field(description="of all rows, of dense models and of mixtures of experts")
    engines: Mapping[EngineName, HeldOut]
    triples: Mapping[EngineName, Mapping[str, Triple]] = Field(description="by `model/gpu`")


class WorstCell(Section):
    """The measured beams that are predicted worst: of a batch, or of clients' requests each."""

    version: str
    model: str
    gpu: str
    prompt_tokens: int
    output_tokens: int
    beams: int
    requests: int
    measured_ms: float
    predicted_ms: float


class HeldOutCells(Section):
    """Relative errors of measured beams, each predicted by a fit to all others."""

    cells: int = Field(ge=1)
    median: float = Field(ge=0, description="absolute")
    p90: float = Field(ge=0)
    bias: float = Field(description="median signed error; above 0: predicted too slow")
    half: float = Field(ge=0, description="median absolute error where half of the cells are left out")
    half_worst: float = Field(ge=0)
    worst: WorstCell


class BeamErrors(Section):
    """What the file of beams holds."""

    overall: HeldOutCells
    engines: Mapping[EngineName, HeldOutCells]
    versions: Mapping[str, HeldOutCells] = Field(description="by program and version, as in the engines' files")


Read = TypeVar("Read", Errors, BeamErrors)


@cache
def held_out_errors() -> Errors:
    """The errors. InputError where the file is not one."""
    return _read(ERRORS_FILE, Errors)


@cache
def held_out_beams() -> BeamErrors:
    """Those of wide beams. InputError where the file is not one."""
    return _read(BEAM_ERRORS_FILE, BeamErrors)


def _read(path: Path, kind: type[Read]) -> Read:
    try:
        return kind.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise InputError(f"{path}: no held-out errors ({type(error).__name__}); restore the file") from None


def expected_error(model: str, gpu: str, engine: EngineName) -> str:
    """Which error to expect of predicted times, in words."""
    found, profile = held_out_errors(), engine_profile(engine)
    triples = found.triples.get(engine, {})
    own = triples.get(f"{model}/{gpu}")
    if own is not None:
        return (
            f"{_within(own)} on this model, GPU and engine "
            f"(median of {counted(own.rows, 'measured row')}, predicted from all others)"
        )
    models, gpus = ({name.split("/")[i] for name in triples} for i in (0, 1))
    missing = [name for name, known in ((model, models), (gpu, gpus)) if name not in known] or [f"{model} on {gpu}"]
    nearest = found.engines.get(engine) or found.overall["all"]
    whose = profile.title if engine in found.engines else "all engines"
    return (
        f"{_within(nearest)} (median over what was measured of {whose}, predicted from other models and GPUs); "
        f"never measured under {profile.title}: {', '.join(missing)}"
    )


def expected_beam_error(engine: EngineName, beams: int) -> str:
    """The same of requests that search with so many beams."""
    search = engine_profile(engine).search
    grows = "; its work grows with the width squared, that of generative_recommender does not" if search.square else ""
    return (
        f"requests of {beams} beams within {search.error:.0%}, at worst {search.error_worst:.0%} (of measured cells "
        f"that were left out: {search.fitted_to}, models of 1.7B); others were never measured{grows}"
    )


def _within(errors: HeldOut) -> str:
    return f"TPOT within {errors.tpot:.0%} and TTFT within {errors.ttft:.0%}"
