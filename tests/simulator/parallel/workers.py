"""Workers for the tests of the pool."""

import os
import signal
from typing import Any

from fleetrec import InputError
from fleetrec.simulator.parallel.pool import Pool


class Doubler:
    """Doubles numbers; a negative one is its death."""

    def do(self, number: int) -> tuple[int, int]:
        """Twice the number, and who says so."""
        if number < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * number, os.getpid()


class Turns(Pool[int]):
    """Workers that take one time for every job, which comes to who did it."""

    def _start(self) -> int:
        self._begun: list[int] = getattr(self, "_begun", [])
        return len(self.handles)

    def _give(self, handle: int, job: str) -> None:
        self._begun.append(handle)

    def _wait(self, busy: list[int]) -> int:
        return self._begun.pop(0)

    def _take(self, handle: int) -> int:
        return handle

    def _end(self, handle: int) -> None:
        pass


class Unreadable:
    """A job that no other process can read."""

    def __reduce__(self) -> Any:
        return _cannot_be_read, ()


def _cannot_be_read() -> None:
    raise InputError("what it hangs on is gone;\nput it back")
