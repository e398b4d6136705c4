"""What a sweep file may hold beside its dotted keys, which `reading` keeps as they stand."""

from typing import Annotated, Literal

from pydantic import Field

from fleetrec.simulator.scenario.sections.base import Section
from fleetrec.simulator.scenario.units import Seconds


class SweepFile(Section):
    """The plain keys of a sweep file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80, description="names the sweep's folder")
    question: str = Field("", description="what the sweep is to answer, in a sentence")
    base: str = Field(description="scenario file that every variant starts from")
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] = Field(
        (1,), min_length=1, description="every variant is run at each: one world a seed, alike for all variants"
    )
    budget: int | None = Field(None, ge=1, description="most runs; a plan of more draws so many variants at random")
    metrics: tuple[str, ...] = Field(("ndcg@10",), min_length=1, description="figures of summary.json that matter")
    baseline: str | None = Field(None, description="variant that the others are compared with")
    warm_up: Literal["mser5"] | Seconds | None = Field(
        None, description="start of each run that metrics leave out: a duration, or found by the MSER-5 rule"
    )


class Sample(Section):
    """Random points, beside the ranges that they are drawn from."""

    n: int = Field(ge=1, le=100_000, description="points")
    method: Literal["latin_hypercube", "random"] = Field(
        "latin_hypercube", description="one point in each n-th of every range, or independent points"
    )
    seed: int = Field(1, ge=0, description="of the draws")


class Range(Section):
    """Where a key's values are drawn from."""

    low: float | str = Field(description="smallest value; a unit may follow the number")
    high: float | str = Field(description="largest value, in the same unit")
    scale: Literal["linear", "log"] = Field("linear", description="what is spread evenly: values or their logarithms")
    integer: bool = Field(False, description="whole numbers only, both ends included")
