"""Standard output and error as they may be: closed, full, a pipe whose reader has gone, a terminal that knows ASCII."""

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress


def _open_if_closed() -> None:
    """Give a stream that was closed before the command began to nobody, so that no file gets its number."""
    for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115


def with_usable_streams(run: Callable[[], int]) -> int:
    """The exit code of `run`; what a stream cannot write it writes otherwise, and one that takes no more ends it.

    2, and one line, where standard output is full; silence where its reader has gone.
    """
    _open_if_closed()
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    problem, code = None, 0
    try:
        code = run()
    except OSError as error:
        problem = why_not_flushed() or (error if error.errno == errno.ENOSPC and error.filename is None else None)
        if problem is None:  # it was about something else
            raise
    problem = problem or why_not_flushed()
    if problem is None:
        return code
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left for it goes nowhere
    if isinstance(problem, BrokenPipeError) or code:
        return code
    print(f"error: standard output: {problem.strerror}; what was finished is kept", file=sys.stderr)
    return 2


def why_not_flushed() -> OSError | None:
    """What keeps standard output from taking what is left for it."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return error
    return None
