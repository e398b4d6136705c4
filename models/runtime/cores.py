"""How many processor cores a process may use, by which workers and threads are counted."""

import os
from pathlib import Path


def available_cores(root: Path = Path("/")) -> int:
    """Cores that this process may run on, or fewer where a control group is given less time than theirs; 1 at least.
    `root`: of the file system that holds /sys."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (root / "sys/fs/cgroup/cpu.max").read_text().split()
        return cores if quota == "max" else max(min(cores, int(quota) // int(period)), 1)
    except (OSError, ValueError):
        return cores
