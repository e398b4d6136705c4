"""Executors on this machine: this process itself, or several workers beside it.

A worker that dies takes its own job along and no other.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from importlib import import_module
from multiprocessing import connection
from types import TracebackType
from typing import Any, Self

from fleetrec.simulator.experiments.sweeps.jobs import Job, Outcome
from fleetrec.simulator.parallel.processes import WorkerProcess

_WORKSHOP = "fleetrec.simulator.experiments.sweeps.worker"  # looked up by those who work, since it imports PyTorch


class ThisProcess:
    """Jobs one after the other, here."""

    workers = 1

    def __init__(self) -> None:
        self._workshop: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._workshop = None

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Outcome]]:
        """See Executor."""
        if self._workshop is None:
            self._workshop = import_module(_WORKSHOP).Workshop()
        for number, job in enumerate(jobs):
            yield number, self._workshop.do(job)


class LocalProcesses:
    """Jobs on `workers` processes of this machine, while the `with` block lasts.

    All are started at once: while one trains what the jobs share, the others load what they need.
    """

    def __init__(self, workers: int):
        self.workers = workers
        self._crew: list[WorkerProcess] = []

    def __enter__(self) -> Self:
        for _ in range(self.workers):
            self._hire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker in self._crew:
            worker.end()
        self._crew = []

    def outcomes(self, jobs: Sequence[Job]) -> Iterator[tuple[int, Outcome]]:
        """See Executor."""
        waiting = deque(enumerate(jobs))
        busy: dict[connection.Connection, tuple[WorkerProcess, int]] = {}
        while waiting or busy:
            idle = [worker for worker in self._crew if worker.pipe not in busy]
            while waiting and len(busy) < self.workers:
                worker = idle.pop() if idle else self._hire()
                number, job = waiting.popleft()
                busy[worker.pipe] = worker, number
                worker.give(job)
            for pipe in connection.wait(list(busy)):
                assert isinstance(pipe, connection.Connection)
                worker, number = busy.pop(pipe)
                outcome: Outcome | None = worker.take()
                if outcome is None:
                    self._crew.remove(worker)
                    outcome = Outcome(f"the worker process ended: {worker.fate('--jobs')}")
                yield number, outcome

    def _hire(self) -> WorkerProcess:
        worker = WorkerProcess(_WORKSHOP, "Workshop")
        self._crew.append(worker)
        return worker
