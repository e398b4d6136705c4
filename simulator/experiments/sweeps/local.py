"""Executors on this machine: this process itself, or several workers beside it.

A worker that dies takes its own job along and no other.
"""

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, Self

from fleetrec.simulator.experiments.sweeps.jobs import Job, Outcome
from fleetrec.simulator.parallel.pool import Lost, Unread
from fleetrec.simulator.parallel.processes import ProcessPool

_WORKER = "fleetrec.simulator.experiments.sweeps.worker"  # looked up by those who work, who load more than plans need


class ThisProcess:
    """Jobs one after the other, here."""

    workers = 1

    def __init__(self) -> None:
        self._worker: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker = None

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Outcome]]:
        """See Executor."""
        if self._worker is None:
            self._worker = import_module(_WORKER).Worker()
        for number, job in enumerate(jobs):
            yield number, self._worker.do(job)


class LocalProcesses(ProcessPool):
    """Jobs on `workers` processes of this machine, while the `with` block lasts."""

    def __init__(self, workers: int):
        super().__init__(workers, _WORKER, "Worker", "--jobs", copied=True)

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Outcome]]:
        """See Executor."""
        for number, found in self.each(jobs, [job.key for job in jobs]):
            if isinstance(found, Unread):
                found = Outcome(found.reason)
            elif isinstance(found, Lost):
                found = Outcome(f"the worker process ended: {found.exit_reason}")
            yield number, found
