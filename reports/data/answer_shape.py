"""What of an answer pages rely on: a file that somebody has edited is told with the place, before a page stumbles."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from fleetrec.models.runtime.errors import InputError


class _Held(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _Interval(_Held):
    mean: float | None = None
    low: float | None = None
    high: float | None = None


class _Alone(_Interval):
    baseline: str


class _Cheaper(_Held):
    variant: str
    share_saved: float
    __pydantic_extra__: dict[str, _Interval]


class _MoreSeeds(_Held):
    seeds: int


class _Decision(_Held):
    call: str | None = None
    policy: str | None = None
    winner: str | None = None
    winner_by: str | None = None
    runner_up: str | None = None
    nothing: list[_Alone] | None = None
    ties: list[list[str]] | None = None
    cheaper: _Cheaper | None = None
    more_seeds: _MoreSeeds | None = None


class _Point(_Held):
    variant: str
    probability_on_front: float | None = None


class _Share(_Held):
    key: str
    metric: str
    share_of_variance: float | None = None


class _Today(_Held):
    policy: str
    accuracy: float
    low: float
    high: float


class _Volume(_Held):
    value: float | None = None
    low: float | None = None
    high: float | None = None


class _Note(_Held):
    key: str
    text: str


class _Answer(_Held):
    headline: str | None = None
    baseline: str | None = None
    metric: str
    cost: str
    third: str | None = None
    winner: str | None = None
    knee: str | None = None
    decision: _Decision | None = None
    saving: dict[str, Any] | None = None
    frontier: list[_Point] | None = None
    hypervolume: _Volume | None = None
    sensitivity: list[_Share] | None = None
    today: list[_Today] | None = None
    hangs_on: list[dict[str, Any]] | None = None
    notes: list[_Note | str] | None = None

    @model_validator(mode="after")
    def _metric_is_told(self) -> "_Answer":
        cheaper = None if self.decision is None else self.decision.cheaper
        if cheaper is not None and self.metric not in cheaper.__pydantic_extra__:
            raise ValueError(f"decision.cheaper tells no {self.metric}")
        return self


def checked_answer(answer: Mapping[str, Any], path: Path, again: str) -> Mapping[str, Any]:
    """The answer; InputError with its file and `again`, what makes it anew, where a part has another form."""
    try:
        _Answer.model_validate(dict(answer))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "the file"
        raise InputError(f"{path}: {where}: {problem['msg']}; {again}") from None
    return answer
