"""Processes that do jobs for another one on this machine.

A worker is started afresh (spawn) or as a copy of a process that has loaded what it needs (forkserver), computes on one
thread unless it leads others, and ends with the process that started it, however that ends.
"""

import gc
import os
import resource
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from multiprocessing import connection, forkserver, get_context, parent_process
from multiprocessing.context import ForkServerContext, SpawnContext
from typing import Any, Self

from fleetrec.models.runtime.errors import InputError
from fleetrec.simulator.parallel.pool import Lost, Pool, Unread

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def processor_s() -> float:
    """Processor seconds of this process and of those that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in used)


def load_beside(module: str) -> None:
    """Start a process that loads `module`, whose copies those workers are that are to be `loaded`."""
    forkserver.set_forkserver_preload(["__main__", module])
    with _one_thread(), _deaf_to_ctrl_c():
        forkserver.ensure_running()


class WorkerProcess:
    """A process that does one job at a time."""

    def __init__(self, module: str, name: str, leads: bool = False, loaded: bool = False):
        """Jobs go to the `do` of an object of the class `name` of `module`, which is looked up in the new process.

        One that `leads` may use several threads and start workers itself. One that is `loaded` is a copy of the process
        that `load_beside` has started.
        """
        context: ForkServerContext | SpawnContext = get_context("forkserver") if loaded else get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, module, name), daemon=not leads)
        with nullcontext() if leads else _one_thread(), _deaf_to_ctrl_c():
            self._process.start()
        theirs.close()

    @property
    def pid(self) -> int | None:
        """Of the process."""
        return self._process.pid

    def give(self, job: Any) -> None:
        """Begin a job; of a worker that has died, `take` tells."""
        try:
            self.pipe.send(job)
        except (BrokenPipeError, ConnectionError):
            return

    def take(self) -> Any | None:
        """What came of the job; None where the worker itself has ended."""
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            return None

    def end(self) -> None:
        """End the process, in the middle of a job if need be."""
        self._process.kill()
        self._process.join()
        self.pipe.close()

    def exit_reason(self, option: str) -> str:
        """How a process that no longer answers ended, in words; `option` is what asks for so many of them."""
        self._process.join(1.0)
        self.end()
        code = self._process.exitcode or 0
        if code == -signal.SIGKILL:
            return f"killed, perhaps for want of memory; try fewer {option}"
        return signal.strsignal(-code) or "" if code < 0 else f"exit code {code}"


class ProcessPool(Pool[WorkerProcess]):
    """Processes of this machine, started all at once."""

    def __init__(self, workers: int, module: str, name: str, option: str, copied: bool = False):
        """Jobs go to the `do` of objects of the class `name` of `module`; `option` is what asks for so many workers.
        Where they are `copied`, one process loads the module for all of them, from now on."""
        super().__init__(workers)
        self._module, self._name, self._option, self._copied = module, name, option, copied
        if copied:
            load_beside(module)

    def __enter__(self) -> Self:
        self.start_all()
        return self

    def _start(self) -> WorkerProcess:
        return WorkerProcess(self._module, self._name, loaded=self._copied)

    def _give(self, handle: WorkerProcess, job: Any) -> None:
        handle.give(job)

    def _wait(self, busy: list[int]) -> int:
        ready = connection.wait([self.handles[worker].pipe for worker in busy])
        return next(worker for worker in busy if self.handles[worker].pipe in ready)

    def _take(self, handle: WorkerProcess) -> Any | Lost | Unread:
        result = handle.take()
        return Lost(handle.exit_reason(self._option)) if result is None else result

    def _end(self, handle: WorkerProcess) -> None:
        handle.end()


def _work(pipe: connection.Connection, module: str, name: str) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.freeze()  # what has been loaded stays
    gc.set_threshold(500_000, 20, 100)  # as the command itself has it
    place = getattr(import_module(module), name)()
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        except InputError as error:
            pipe.send(Unread(" ".join(str(error).split())))
            continue
        pipe.send(place.do(job))


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
    """The environment of a process that is to compute on one thread, which libraries read when they are loaded, and to
    find modules where this one does, before it is told so."""
    ours = {**dict.fromkeys(_ONE_THREAD, "1"), "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONSAFEPATH": "1"}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
