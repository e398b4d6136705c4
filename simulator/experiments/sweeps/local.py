"""Executors on this machine: this process itself, or several workers beside it.

A worker is started afresh (spawn), computes on one thread, and ends with the process that started it, however that
ends. One that dies takes its own job along and no other.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import connection, get_context, parent_process
from types import TracebackType
from typing import Any, Self

from simulator.experiments.sweeps.jobs import Job, Outcome

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_WORKSHOP = "simulator.experiments.sweeps.workshop"  # looked up by those who work, since it imports PyTorch


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
        self._crew: list[_Worker] = []

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
        busy: dict[connection.Connection, tuple[_Worker, int]] = {}
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
                outcome = worker.take()
                if outcome is None:
                    self._crew.remove(worker)
                    outcome = Outcome(f"the worker process ended: {worker.fate()}")
                yield number, outcome

    def _hire(self) -> "_Worker":
        worker = _Worker()
        self._crew.append(worker)
        return worker


class _Worker:
    """A process that does one job at a time."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,), daemon=True)
        with _one_thread(), _deaf_to_ctrl_c():
            self._process.start()
        theirs.close()

    def give(self, job: Job) -> None:
        """Begin a job; of a worker that has died, `take` tells."""
        try:
            self.pipe.send(job)
        except (BrokenPipeError, ConnectionError):
            return

    def take(self) -> Outcome | None:
        """How the job ended; None where the worker itself did."""
        try:
            outcome: Outcome = self.pipe.recv()
            return outcome
        except (EOFError, OSError):
            return None

    def end(self) -> None:
        """End the process, in the middle of a job if need be."""
        self._process.kill()
        self._process.join()
        self.pipe.close()

    def fate(self) -> str:
        """How a process that no longer answers ended, in words."""
        self._process.join(1.0)
        self.end()
        code = self._process.exitcode or 0
        if code == -signal.SIGKILL:
            return "killed, perhaps for want of memory; try fewer --jobs"
        return signal.strsignal(-code) or "" if code < 0 else f"exit code {code}"


def _work(pipe: connection.Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    workshop = import_module(_WORKSHOP).Workshop()
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        pipe.send(workshop.do(job))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes started meanwhile ignore Ctrl-C from their first moment: it is for the one that starts them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _one_thread() -> Iterator[None]:
    """The environment of a process that is to compute on one thread: libraries read it when they are loaded."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
