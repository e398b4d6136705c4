"""Which vector instructions PyTorch computes with here, on which the last bits of its sums depend."""

import os
import platform
from functools import cache
from pathlib import Path

from fleetrec.models.runtime.pytorch import is_loaded, torch

_CPUINFO = Path("/proc/cpuinfo")
_AVX512, _AVX2 = {"avx512vl", "avx512bw", "avx512dq", "fma"}, {"avx2", "fma"}


@cache
def vector_instructions() -> str:
    """`torch.backends.cpu.get_cpu_capability()`; on Linux on x86-64 told as PyTorch tells it (c10 and ATen's
    DispatchStub), without loading it."""
    flags = set() if is_loaded() or "ATEN_CPU_CAPABILITY" in os.environ else _flags()
    if not flags:
        return str(torch.backends.cpu.get_cpu_capability())
    return "AVX512" if flags >= _AVX512 else "AVX2" if flags >= _AVX2 else "DEFAULT"


def _flags() -> set[str]:
    """What the processor knows, by Linux's names; none where that is not told."""
    if platform.machine() != "x86_64" or not _CPUINFO.is_file():
        return set()
    lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    return set(next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), []))
