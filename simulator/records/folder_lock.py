"""A folder of results held by one process at a time: who comes second is told so before any work is done."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fleetrec.models.runtime.errors import InputError

LOCK = ".lock"


@contextmanager
def held(path: Path) -> Iterator[set[str]]:
    """The folder `path`, made where it is missing and held against other processes; the names of what is in it.

    Raises InputError for one that is a file, that cannot be written, or that another process holds.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        present = {entry.name for entry in path.iterdir()} - {LOCK}
        file = _locked(path / LOCK)
    except FileExistsError:
        raise InputError(f"--out {path}: is a file; name a folder") from None
    except BlockingIOError:
        raise InputError(f"--out {path}: another process is writing to it; wait for it, or name another") from None
    except OSError as error:
        raise InputError(f"--out {path}: cannot be written ({error.strerror}); name another folder") from None
    with file:
        try:
            yield present
        finally:
            (path / LOCK).unlink(missing_ok=True)  # while it is held: who waits for its name makes a new one


def _locked(path: Path) -> IO[str]:
    """The lock's file, locked. One that its holder has removed meanwhile locks nothing: another is made."""
    while True:
        file = path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise
        except OSError:  # a file system without locks
            return file
        try:
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass
        file.close()
