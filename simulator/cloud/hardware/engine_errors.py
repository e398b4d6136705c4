"""How far a serving engine's constants were from measurements of set-ups that they had not been fitted to.

`engines/held_out_errors.yaml` is written by `benchmarks/fit_engines.py`: each measured triple of model, GPU and engine,
predicted by a fit to all the others.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.wording import counted
from fleetrec.simulator.cloud.hardware.engine_profile import engine_profile
from fleetrec.simulator.scenario.sections import EngineName, Section

ERRORS_FILE = Path(__file__).parent / "engines" / "held_out_errors.yaml"


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


@cache
def held_out_errors() -> Errors:
    """The errors. InputError where the file is not one."""
    try:
        return TypeAdapter(Errors).validate_python(yaml.safe_load(ERRORS_FILE.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise InputError(f"{ERRORS_FILE}: no held-out errors ({type(error).__name__}); restore the file") from None


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


def _within(errors: HeldOut) -> str:
    return f"TPOT within {errors.tpot:.0%} and TTFT within {errors.ttft:.0%}"
