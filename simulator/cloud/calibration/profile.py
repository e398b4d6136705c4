"""A profile: the step times and limits of one model on one server, as a YAML file that a scenario can name."""

import math
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, field_validator

from fleetrec.models.runtime.artifacts import atomic_path
from fleetrec.models.runtime.errors import InputError
from fleetrec.models.runtime.program import program
from fleetrec.models.runtime.user_files import check_regular
from fleetrec.simulator.cloud.calibration.fitting import Calibration
from fleetrec.simulator.cloud.hardware.step_time import ExpertWeights, LinearCost, StepTime
from fleetrec.simulator.cloud.replica.jobs import Engine
from fleetrec.simulator.cloud.replica.pace import PaceLaw
from fleetrec.simulator.scenario.sections import QueueOrder, Section

_HEAD = """\
# Step times of a server, fitted to its log by `fleetrec calibrate`. A step takes the larger of compute and memory:
# fixed_s + per_token_s x new tokens + per_sequence_s x sequences + per_context_token_s x KV tokens read
# + per_pair_s x pairs of a new token and one that it attends to. Errors are simulated over measured, less one.
# pace: how its speed spreads around that, none where the log does not tell. Speeds (0.5: steps take twice as long) hold
# for stretch_s each; a replica goes through `run` of them as they follow one another, then on from a place drawn anew.
"""


_MOST_S = 1e4
"""of a part of a step: with more, sums of them are no times any more"""
_MOST_COUNT = 10**12
_LEAST_SPEED, _MOST_SPEED, _MOST_SPEEDS = 0.01, 100.0, 100_000


class _Line(Section):
    fixed_s: float = Field(gt=0, le=_MOST_S)
    per_token_s: float = Field(ge=0, le=_MOST_S)
    per_sequence_s: float = Field(ge=0, le=_MOST_S)
    per_context_token_s: float = Field(ge=0, le=_MOST_S)
    per_pair_s: float = Field(ge=0, le=_MOST_S)


class _Experts(Section):
    all_s: float = Field(ge=0, le=_MOST_S)
    routed_share: float = Field(gt=0, le=1)


class _Pace(Section):
    stretch_s: float = Field(gt=0, le=_MOST_S)
    run: int = Field(ge=1, le=_MOST_SPEEDS)
    speeds: tuple[Annotated[float, Field(ge=0, le=_MOST_SPEED)], ...] = Field(min_length=1, max_length=_MOST_SPEEDS)

    @field_validator("speeds")
    @classmethod
    def _goes_on(cls, speeds: tuple[float, ...]) -> tuple[float, ...]:
        if sum(speeds) < _LEAST_SPEED * len(speeds):
            raise ValueError(f"their mean is below {_LEAST_SPEED:g}, so that next to nothing is ever done; raise some")
        return speeds


class _Limits(Section):
    kv_blocks: int = Field(ge=1, le=_MOST_COUNT)
    max_batched_tokens: int = Field(ge=1, le=_MOST_COUNT)
    max_sequences: int = Field(ge=1, le=_MOST_COUNT)
    block_tokens: int = Field(ge=1, le=_MOST_COUNT)
    prefix_caching: bool
    order: str
    async_scheduling: bool
    separate_prefill: bool = False
    reserve_output: bool = False
    window_tokens: int = Field(0, ge=0, le=_MOST_COUNT)
    window_share: float = Field(0.0, ge=0, le=_MOST_COUNT)


class _Source(Section):
    log: str
    sha256: str
    requests: int = Field(ge=1)
    fitted_first: int = Field(ge=1)


class Profile(Section):
    """What a profile file holds."""

    model: str | None = Field(description="catalogue name; none: of a server that is in no catalogue, as the next")
    gpu: str | None = Field(description="catalogue name")
    gpus_per_replica: int = Field(ge=1)
    engine_limits: _Limits
    compute: _Line
    memory: _Line
    experts: _Experts | None = None
    pace: _Pace | None = None
    source: _Source
    in_sample: dict[str, float]
    held_out: dict[str, float] | None = None

    @property
    def steps(self) -> StepTime:
        """How long a step takes."""
        experts = None if self.experts is None else ExpertWeights(**self.experts.model_dump())
        return StepTime(LinearCost(**self.compute.model_dump()), LinearCost(**self.memory.model_dump()), experts)

    @property
    def pace_law(self) -> PaceLaw | None:
        """How its speed spreads; None: it does not."""
        return None if self.pace is None else PaceLaw(**self.pace.model_dump())

    @property
    def engine(self) -> Engine:
        """The server's limits. InputError where they contradict one another."""
        limits, orders = self.engine_limits, QueueOrder.family.built_in()
        if limits.order not in orders:
            raise InputError(f"engine: no order {limits.order!r}; known: {', '.join(orders)}")
        return Engine(**limits.model_dump() | {"order": orders[limits.order]()})

    def check_model(self, name: str, key: str = "cloud.profile") -> None:
        """InputError unless the profile is of model `name`, or of one that is in no catalogue, whose speed may be
        anybody's; `key` is the scenario key to blame."""
        if self.model is not None and name != self.model:
            raise InputError(
                f"{key}: the profile is of {self.model}, the scenario charges {name}; set llm.served_as: {self.model}, "
                f"or calibrate a profile to a log of {name}"
            )


def save_profile(found: Calibration, path: Path) -> None:
    """Write what a calibration found; the file appears whole or not at all."""
    steps, server, engine = found.steps, found.server, found.engine
    machine = server.machine
    content: dict[str, Any] = {
        "model": None if machine is None else machine.model.name,
        "gpu": None if machine is None else machine.gpu.name,
        "gpus_per_replica": server.gpus_per_replica,
        "engine_limits": {name: getattr(engine, name) for name in _Limits.model_fields} | {"order": engine.order.kind},
        "compute": dict(vars(steps.compute)),
        "memory": dict(vars(steps.memory)),
        "experts": None if steps.experts is None else vars(steps.experts),
        "pace": None if found.pace is None else {**vars(found.pace), "speeds": list(found.pace.speeds)},
        "source": {
            "log": found.log.name,
            "sha256": found.log.sha256,
            "requests": len(found.log),
            "fitted_first": found.fitted,
        },
        "in_sample": _finite(found.in_sample),
        "held_out": None if found.held_out is None else _finite(found.held_out),
    }
    with atomic_path(path) as temporary:
        temporary.write_text(_HEAD + yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def load_profile(path: Path) -> Profile:
    """The profile in file `path`. InputError where it cannot be read, or a key is missing, unknown or out of range."""
    check_regular(path)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise InputError(
            f"{path}: not a readable profile ({type(error).__name__}); write one with `{program()} calibrate`"
        ) from None
    try:
        return Profile.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "the file"
        raise InputError(
            f"{path}: {where}: {problem['msg']}; correct it, or write the profile anew with `{program()} calibrate`"
        ) from None


def _finite(errors: dict[str, float]) -> dict[str, float]:
    """Without those of times that were zero, to which no error is relative."""
    return {name: error for name, error in errors.items() if math.isfinite(error)}
