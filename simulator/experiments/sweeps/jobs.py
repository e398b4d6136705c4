"""What workers are given and what they give back: values that travel between processes and machines."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

from pydantic_core import to_jsonable_python

from fleetrec.models.runtime.artifacts import content_hash
from fleetrec.simulator.scenario import sections
from fleetrec.simulator.scenario.inputs import PreparationInputs, TrainingInputs, hash_of


@dataclass(frozen=True)
class TrainingJob:
    """Train a model that a scenario needs, or find it trained: done before its runs, so that no two workers train the
    same and several train side by side."""

    scenario: sections.Scenario
    model: Literal["srm", "llm", "both"]
    """the SRM, the one that makes the lists, or one after the other, where the SRM learns from lists"""

    @cached_property
    def key(self) -> tuple[str, str]:
        """Equal for scenarios that need the same."""
        inputs = TrainingInputs.of(self.scenario)
        if self.model == "srm":
            return self.model, hash_of(inputs)
        lists = inputs.log, inputs.threads, self.scenario.llm.candidates
        of = lists if self.model == "llm" else (inputs, *lists)
        return self.model, content_hash(to_jsonable_python(of))


@dataclass(frozen=True)
class RunJob:
    """One run: its scenario, seed and all, and the folder that it leaves its files in."""

    scenario: sections.Scenario
    folder: Path

    @property
    def trainings(self) -> list[TrainingJob]:
        """Of all models that it needs, each by whoever is idle."""
        scenario = self.scenario
        if not (scenario.policy.slate.uses_llm and scenario.llm.candidates.trains):
            return [TrainingJob(scenario, "srm")]
        if TrainingInputs.of(scenario).lists is not None:
            return [TrainingJob(scenario, "both")]
        return [TrainingJob(scenario, "srm"), TrainingJob(scenario, "llm")]

    @cached_property
    def key(self) -> tuple[str, str]:
        """The first part is equal for runs of one preparation, the second for those that ask the same of the cloud, as
        far as can be told beforehand: those that differ in fusion or prices alone."""
        asked = self.scenario.model_dump_json(exclude={"name": True, "policy": {"fusion"}, "tariffs": True})
        return hash_of(PreparationInputs.of(self.scenario)), asked


Job = TrainingJob | RunJob


@dataclass(frozen=True)
class Outcome:
    """How a job ended. `error`: one line on why it failed; none: it did not."""

    error: str | None = None
    details: str = ""
    """where in the code it failed, for what is not a user's mistake"""
    disk_full: bool = False
    artifacts: tuple[str, ...] = ()
    """places below the artifact store's root of what a TrainingJob made or found"""
    files: dict[str, bytes] = field(default_factory=dict, repr=False)
    """by path below the store's root (TrainingJob) or the run's folder, from a worker that does not share the disk"""


class Executor(Protocol):
    """Who does jobs while its `with` block lasts: local processes, or a cluster."""

    workers: int

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Outcome]]:
        """Do the jobs, begun in their order; (number of a job, how it ended) for each as it ends."""
        ...
