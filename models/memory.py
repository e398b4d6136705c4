"""How much memory a process has taken; running out of it as one line that says what to lower."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from models.errors import InputError

_SIGNS = ("not enough memory", "out of memory", "can't allocate memory")


@contextmanager
def enough_memory(work: str, lower: str) -> Iterator[None]:
    """PyTorch's complaints about memory during `work` become an InputError that says which keys to `lower`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(sign in str(error) for sign in _SIGNS):
            raise InputError(f"{work}: out of memory; lower {lower}") from error
        raise


def peak_rss_bytes() -> int:
    """The most memory that this process has had at a time.

    Linux counts to a new process what the one that started it had, other than in /proc.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def available_bytes(root: Path = Path("/")) -> int | None:
    """Memory that a process can still take: what Linux has free, or less where a control group is limited; None where
    the machine does not say. `root`: of the file system that holds /proc and /sys."""
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        (free,) = (int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError):
        return None
    try:
        limit, used = ((root / "sys/fs/cgroup" / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return free if limit == "max" else max(min(free, int(limit) - int(used)), 0)
    except (OSError, ValueError):
        return free
