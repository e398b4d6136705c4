"""How much memory a process has taken, and how much the machine has left."""

import resource
from pathlib import Path


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
