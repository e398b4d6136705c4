"""Workers for the tests of the pool."""

import os
import signal
from typing import Any

from fleetrec import InputError


class Doubler:
    """Doubles numbers; a negative one is its death."""

    def do(self, number: int) -> tuple[int, int]:
        """Twice the number, and who says so."""
        if number < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return 2 * number, os.getpid()


class Unreadable:
    """A job that no other process can read."""

    def __reduce__(self) -> Any:
        return _cannot_be_read, ()


def _cannot_be_read() -> None:
    raise InputError("what it hangs on is gone;\nput it back")
